"""Every public function, class and method has a docstring whose example runs."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import flowbook as fb

NAMESPACES: list[ModuleType] = [
    fb.nn,
    fb.nn.init,
    fb.optim,
    fb.losses,
    fb.metrics,
    fb.data,
    fb.callbacks,
]
FUNCTIONS = ["fit", "evaluate", "predict", "save", "load", "load_metadata", "History"]


def public_objects() -> Iterator[tuple[str, Any]]:
    for name in FUNCTIONS:
        yield f"fb.{name}", getattr(fb, name)
    for module in NAMESPACES:
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            if name.startswith("_") or not callable(value):
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value


OBJECTS = dict(public_objects())


def examples(value: Any) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [t for t in finder.find(value, globs={"fb": fb, "np": np}) if t.examples]


@pytest.mark.parametrize("name", sorted(n for n, v in OBJECTS.items() if examples(v)))
def test_examples_run(name: str) -> None:
    fb.random.seed(0)
    report: list[str] = []
    for test in examples(OBJECTS[name]):
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        runner.run(test, out=report.append)
        assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_public_objects_are_documented(name: str) -> None:
    doc = inspect.getdoc(OBJECTS[name])
    assert doc, f"{name} has no docstring"
    assert len(doc.splitlines()[0]) < 100
