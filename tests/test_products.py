"""Matrix products: large enough for blocks that share what is packed, and of few rows. Against
float64, the same bits however many threads run, and memory for it in the plan. In our own loops the
same bits, too, however operands lie and whatever follows.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import flowbook as fb

OWN = fb.doctor()["matrix products"] == "own"


def assert_same(got: Any, want: Any, where: str = "") -> None:
    """Bit for bit. A library sums in another order where an operand lies in another way."""
    got, want = np.asarray(got), np.asarray(want)
    if OWN or want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=where)
    else:
        room = 40 * np.finfo(want.dtype).eps
        np.testing.assert_allclose(got, want, rtol=room, atol=20 * room, err_msg=where)


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
# depths, a last block of few rows; then long sums: stripes of rows and of columns, cut along k.
SIZES = [(1024, 384, 128), (517, 150, 300), (1030, 72, 513), (2050, 130, 257), (512, 128, 1100),
         (777, 264, 65), (257, 66, 2077), (66, 300, 1203), (513, 100, 2600), (90, 150, 4111)]  # fmt: skip


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
@pytest.mark.parametrize(
    ("m", "n", "k"), [(1030, 264, 300), (270, 66, 2077), (66, 270, 1100), (130, 66, 1100)]
)
def test_in_a_plan_with_what_follows(m: int, n: int, k: int, layout: str) -> None:
    """The plan's workspace holds the packed operand, or parts of long sums; an epilogue runs on
    each block."""
    x, y = operands(m, n, k, layout, "float32")
    bias = fb.asarray(np.linspace(-1, 1, n, dtype=np.float32))
    eager = np.asarray(fb.tanh(x @ y + bias))
    step = fb.graph(lambda x, y: fb.tanh(x @ y + bias))
    for count in (1, 2):
        with threads(count):
            assert_same(step(x, y), eager)


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


def surrounded(shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    """Room for `x` in an array of what must not be read."""
    return np.full(shape, np.nan if x.dtype.kind == "f" else 77, x.dtype)


def transposed(x: np.ndarray) -> fb.Tensor:
    return fb.permute_dims(fb.asarray(x.T.copy()), tuple(reversed(range(x.ndim))))


def with_gaps(x: np.ndarray) -> fb.Tensor:
    wide = surrounded((*x.shape[:-1], 2 * x.shape[-1]), x)
    wide[..., ::2] = x
    return fb.asarray(wide)[..., ::2]


def in_wider_rows(x: np.ndarray) -> fb.Tensor:
    wide = surrounded((*x.shape[:-1], x.shape[-1] + 3), x)
    wide[..., : x.shape[-1]] = x
    return fb.asarray(wide)[..., : x.shape[-1]]


def uneven(x: np.ndarray) -> fb.Tensor:
    """A stack with a row between its matrices."""
    if x.ndim < 3:
        return fb.asarray(x)
    tall = surrounded((*x.shape[:-2], x.shape[-2] + 1, x.shape[-1]), x)
    tall[..., : x.shape[-2], :] = x
    return fb.asarray(tall)[..., : x.shape[-2], :]


def backwards(x: np.ndarray) -> fb.Tensor:
    return fb.asarray(x[..., ::-1].copy())[..., ::-1]


LAYOUTS: list[Callable[[np.ndarray], fb.Tensor]] = [
    fb.asarray,
    transposed,
    with_gaps,
    in_wider_rows,
    uneven,
    backwards,
]

# Rows and columns by themselves, sums of less than a vector up to many, stacks with and without a
# matrix each, some large enough for a library; blocks of which the last has one column; few rows,
# with terms and columns beyond whole squares; rows that fill vectors or nearly do.
LAID_OUT = [
    ((1, 300), (300, 70)), ((2, 257), (257, 131)), ((1, 3), (3, 40)), ((2, 9), (9, 5)),
    ((300, 257), (257, 1)), ((64, 100), (100,)), ((513,), (513,)), ((100,), (100, 33)),
    ((5, 300), (300, 40)), ((40, 33), (33, 7)), ((6, 1, 130), (130, 40)), ((6, 2, 130), (130, 40)),
    ((2, 1, 40), (40, 9)), ((6, 1, 64), (6, 64, 50)), ((6, 9, 40), (40, 9)),
    ((200, 150), (150, 90)), ((2, 100, 80), (80, 90)), ((2, 100, 80), (2, 80, 90)),
    ((1, 40), (40, 4097)), ((2, 900), (900, 769)), ((40, 33), (33, 1025)),
    ((130, 1100), (1100, 66)), ((70, 1100), (1100, 270)), ((270, 1100), (1100, 70)),
    ((2, 130, 1100), (2, 1100, 66)), ((8, 130), (130, 105)), ((6, 40), (40, 87)), ((7, 33), (33, 300)),
    ((1, 31), (31, 47)), ((3, 1024), (1024, 33)), ((4, 16), (16, 16)), ((8, 100), (100, 31)),
    ((9, 300), (300, 72)), ((12, 77), (77, 131)), ((16, 530), (530, 300)), ((31, 40), (40, 66)),
    ((32, 513), (513, 64)), ((15, 1030), (1030, 90)), ((8, 1100), (1100, 77)), ((7, 16), (16, 64)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "int32"])
@pytest.mark.parametrize(
    ("left", "right"), [*LAID_OUT, ((24, 8), (8, 1100)), ((100, 100), (100, 2000))]
)
def test_bits_do_not_depend_on_layouts(
    left: tuple[int, ...], right: tuple[int, ...], dtype: str
) -> None:
    """Once a graph, which read a dense copy, summed a transposed operand in another order than the
    eager op, which read it in place."""
    rng = np.random.default_rng(len(left) + sum(left) + sum(right))
    if "int" in dtype:
        a, b = (rng.integers(-99, 99, s).astype(dtype) for s in (left, right))
    else:
        a, b = (rng.standard_normal(s).astype(dtype) for s in (left, right))
    dense = np.asarray(fb.asarray(a) @ fb.asarray(b))
    if "int" in dtype:
        np.testing.assert_array_equal(dense, (a.astype("i8") @ b.astype("i8")).astype(dtype))
    else:
        exact = a.astype("float64") @ b.astype("float64")
        close = 1e-4 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(dense, exact, rtol=1e-4, atol=close)
    step = fb.graph(lambda x, y: x @ y)
    for first in LAYOUTS:
        for second in LAYOUTS:
            x, y = first(a), second(b)
            where = f"{first.__name__}, {second.__name__}"
            assert_same(x @ y, dense, where)
            assert_same(step(x, y), dense, where)


def test_a_matrix_repeated_by_a_view() -> None:
    """The same shapes, the same bits, whether the stack on the right is one matrix or copies."""
    rng = np.random.default_rng(3)
    for m in (1, 2, 9, 100):  # the last is large enough for a library
        x = fb.asarray(rng.standard_normal((6, m, 70)).astype(np.float32))
        w = fb.asarray(rng.standard_normal((70, 90)).astype(np.float32))
        view = fb.broadcast_to(w, (6, 70, 90))
        assert_same(x @ view, x @ fb.asarray(view, copy=True))


def test_without_avx2() -> None:
    """There a library multiplies, which packs for itself or gets a dense copy."""
    if platform.machine() != "x86_64" or os.environ.get("FLOWBOOK_SANITIZED"):
        pytest.skip("instruction sets of x86-64")
    if os.environ.get("FLOWBOOK_ISA") == "v2":
        pytest.skip("all tests run so")
    tests = ["layouts", "in_a_plan_with_what_follows", "repeated_by_a_view"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
        + ["-k", " or ".join(tests)],
        env={**os.environ, "FLOWBOOK_ISA": "v2"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-4000:]


def test_rows_do_not_depend_on_each_other() -> None:
    """A row of a product has the same bits in any batch, whichever way the weights lie."""
    if not OWN:
        pytest.skip("for our own loops")
    rng = np.random.default_rng(5)
    x = fb.asarray(rng.standard_normal((9, 300)).astype(np.float32))
    for n in (1, 70):
        w = rng.standard_normal((300, n)).astype(np.float32)
        for laid in LAYOUTS:
            whole = np.asarray(x @ laid(w))
            for rows in (slice(0, 1), slice(3, 5), slice(2, 9)):
                np.testing.assert_array_equal(np.asarray(x[rows] @ laid(w)), whole[rows])


def test_stripes_of_a_long_sum() -> None:
    """Each has the bits of the same product alone, which is too small to be cut: stripes change
    nothing in the order of a sum."""
    if not OWN:
        pytest.skip("for our own loops")
    for m, n in ((300, 70), (70, 300)):
        x, y = operands(m, n, 1250, "a", "float32")
        whole = np.asarray(x @ y)
        for some in (slice(0, 7), slice(30, 35), slice(m - 3, m), slice(n - 3, n)):
            if m > n:
                np.testing.assert_array_equal(np.asarray(x[some] @ y), whole[some])
            else:
                np.testing.assert_array_equal(np.asarray(x @ y[:, some]), whole[:, some])
