"""Loops that only long arrays or many rows reach, against NumPy: one story each, exact results."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb

Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(7)


def same(got: fb.Tensor, want: np.ndarray) -> None:
    have = got.numpy()
    assert have.shape == want.shape
    assert have.dtype == want.dtype
    assert have.tobytes() == np.ascontiguousarray(want).tobytes()


@pytest.mark.parametrize("n", [63, 64, 16_319, 16_320, 16_384, 100_003])
def test_booleans_are_counted_in_bytes_that_never_overflow(n: int) -> None:
    assert int(fb.sum(fb.ones(n, dtype=fb.bool))) == n
    assert int(fb.count_nonzero(fb.ones(n, dtype=fb.bool))) == n
    assert int(fb.sum(fb.zeros(n, dtype=fb.bool))) == 0


@pytest.mark.parametrize("shape", [(3, 5), (300, 77), (1000, 130)])
def test_booleans_are_added_up_over_every_axis(rng: Rng, shape: tuple[int, int]) -> None:
    m = rng.random(shape) < 0.7
    t = fb.asarray(m)
    for axis in (None, 0, 1):
        same(fb.sum(t, axis=axis), np.asarray(m.sum(axis=axis, dtype=np.int64)))
        same(fb.prod(t, axis=axis), np.asarray(m.prod(axis=axis, dtype=np.int64)))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64", "float16"])
def test_booleans_become_numbers(rng: Rng, dtype: str) -> None:
    m = rng.random((101, 77)) < 0.5
    same(fb.astype(fb.asarray(m), dtype), m.astype(dtype))
    same(fb.astype(fb.asarray(m)[:, ::3], dtype), m[:, ::3].astype(dtype))
    same(~fb.asarray(m)[:, ::3], ~m[:, ::3])
