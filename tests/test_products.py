"""Matrix products large enough for blocks that share what is packed: against float64, the same bits
however many threads run and whatever follows, and memory for it in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import flowbook as fb


@contextmanager
def threads(n: int) -> Iterator[None]:
    before = fb.get_num_threads()
    fb.set_num_threads(n)
    try:
        yield
    finally:
        fb.set_num_threads(before)


def operands(m: int, n: int, k: int, layout: str, dtype: str) -> tuple[Any, Any]:
    """a[m, k] and b[k, n], of which `layout` says which lie transposed or in wider rows."""
    rng = np.random.default_rng(m + n + k)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    x = fb.asarray(np.ascontiguousarray(a.T)).T if "a" in layout else fb.asarray(a)
    y = fb.asarray(np.ascontiguousarray(b.T)).T if "b" in layout else fb.asarray(b)
    if "w" in layout:  # columns of wider arrays
        x = fb.concat([x.T, fb.ones((k, 24), dtype=dtype)], axis=1)[:, :m].T
        y = fb.concat([y, fb.ones((k, 8), dtype=dtype)], axis=1)[:, :n]
    return x, y


# Sizes whose blocks end raggedly in each direction: rows beyond whole tiles, half panels, several
# depths, a last block of few rows.
SIZES = [(1024, 384, 128), (517, 150, 300), (1030, 72, 513), (2050, 130, 257), (512, 128, 1100),
         (777, 264, 65)]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["", "a", "b", "ab", "w"])
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_large_products(m: int, n: int, k: int, layout: str, dtype: str) -> None:
    x, y = operands(m, n, k, layout, dtype)
    got = {}
    for count in (1, 2, 3):
        with threads(count):
            got[count] = np.asarray(x @ y)
    exact = np.asarray(x).astype(np.float64) @ np.asarray(y).astype(np.float64)
    room = np.finfo(dtype).eps * np.sqrt(k) * 8
    np.testing.assert_allclose(got[1], exact, rtol=room, atol=room * np.sqrt(k))
    for count in (2, 3):
        np.testing.assert_array_equal(got[count], got[1])


@pytest.mark.parametrize("layout", ["", "a", "b", "w"])
def test_in_a_plan_with_what_follows(layout: str) -> None:
    """The plan's workspace holds the packed operand; an epilogue runs on each block."""
    x, y = operands(1030, 264, 300, layout, "float32")
    bias = fb.asarray(np.linspace(-1, 1, 264, dtype=np.float32))
    eager = np.asarray(fb.tanh(x @ y + bias))
    step = fb.graph(lambda x, y: fb.tanh(x @ y + bias))
    for count in (1, 2):
        with threads(count):
            np.testing.assert_array_equal(np.asarray(step(x, y)), eager)


def test_both_gradients_of_a_wide_layer() -> None:
    """Products that would share a job if they did not pack first: each is one of its own."""
    x = fb.asarray(np.random.default_rng(1).standard_normal((1500, 130)).astype(np.float32))
    w = fb.asarray(np.random.default_rng(2).standard_normal((130, 390)).astype(np.float32) / 12)

    @fb.graph
    def step(x: Any, w: Any) -> Any:
        h = x @ w
        return fb.gradients(fb.sum(h * h), [x, w])

    for count in (1, 2):
        with threads(count):
            dx, dw = (np.asarray(g).astype(np.float64) for g in step(x, w))
    a, b = (np.asarray(t).astype(np.float64) for t in (x, w))
    np.testing.assert_allclose(dx, 2 * (a @ b) @ b.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dw, 2 * a.T @ (a @ b), rtol=1e-4, atol=1e-2)
