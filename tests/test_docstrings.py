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
    fb,
    fb.nn,
    fb.nn.init,
    fb.optim,
    fb.losses,
    fb.metrics,
    fb.data,
    fb.callbacks,
    fb.random,
]


def public_objects() -> Iterator[tuple[str, Any]]:
    """Functions and classes written in Python; ops have examples in their records."""
    for module in NAMESPACES:
        for name in getattr(module, "__all__", None) or dir(module):
            value = getattr(module, name)
            if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                yield f"{module.__name__}.{name}", value


OBJECTS = dict(public_objects())


def examples(value: Any) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for t in finder.find(value, globs={"fb": fb, "np": np}) if t.examples]
    # methods that are ops have the examples of the ops' records, which the op harness runs
    return [t for t in found if t.name.rpartition(".")[2] not in vars(fb.ops)]


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
