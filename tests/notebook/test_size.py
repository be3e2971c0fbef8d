"""A saved notebook grows by at most 50 kB for each view: of all kinds, in their largest states."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import flowbook as fb
from flowbook import runs

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

import display  # noqa: E402
import test_contrast  # noqa: E402

MOST = 50_000  # bytes of a view's MIME types together


def inspected(blocks: int) -> fb.Graph:
    graph = display.transformer(blocks)
    graph.inspect()
    return graph


def chain(steps: int) -> fb.Graph:
    """Matrix products, none of which can be fused with the next."""
    w = fb.asarray(np.eye(4, dtype=np.float32))
    with fb.graph("chain") as block:
        x = block.input("x", (4, 4))
        for _ in range(steps):
            x = fb.tanh(x @ w)
        block.output(y=x)
    graph: fb.Graph = block.graph
    return graph


def long_runs(count: int, numbers: int = 4, epochs: int = 400) -> runs.Comparison:
    """Runs whose numbers jump about, each with a label as long as one may be."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(count):
        columns = {f"number {n}": rng.normal(size=epochs).tolist() for n in range(numbers)}
        made.append(
            runs.LoggedRun(
                f"run-{k}",
                iter([
                    {"started": 0.0, "label": f"{k} " + "a label " * 12, "epochs": epochs,
                     "optimizer": "Adam(0.001)", "data": "8 batches of 32"},
                    {"summary": "Transformer: 9,610 parameters, 38.4 kB"},
                    {"logs": columns, "step": epochs, "seconds": 9.0},
                    {"ended": 1.0},
                ]),
            )
        )  # fmt: skip
    return runs.Comparison(made)


LARGE: Mapping[str, Callable[[], object]] = {
    "transformer": lambda: display.transformer(6),
    "large transformer": lambda: display.transformer(28),
    "inspected transformer": lambda: inspected(6),
    "large inspected transformer": lambda: inspected(28),
    "inspection": lambda: display.transformer(6).inspect(),
    "large inspection": lambda: display.transformer(28).inspect(),
    "profile": lambda: display.transformer(6).profile(runs=2),
    "large profile": lambda: display.transformer(28).profile(runs=2),
    "profile of a chain": lambda: chain(2_000).profile(x=np.ones((4, 4), np.float32), runs=2),
    "runs": lambda: long_runs(6),
    "many runs": lambda: long_runs(16, 24),
    "run": lambda: long_runs(1, 64),
}


def bundle(view: object) -> Mapping[str, str]:
    """What a notebook keeps of a value that a cell ends with."""
    if hasattr(view, "_repr_mimebundle_"):
        found: Mapping[str, str] = view._repr_mimebundle_()
        return found
    return {"text/plain": repr(view), "text/html": view._repr_html_()}  # type: ignore[attr-defined]


def size(text: str) -> int:
    return len(text.encode())


@pytest.mark.parametrize("name", LARGE)
def test_large_views_stay_small(name: str) -> None:
    sizes = {kind: size(text) for kind, text in bundle(LARGE[name]()).items()}
    assert 1_000 < sum(sizes.values()) <= MOST, sizes


@pytest.mark.parametrize("name", test_contrast.NAMES)
def test_small_views_stay_small(name: str) -> None:
    html = test_contrast.views()[name]
    assert size(html) <= MOST / 2
