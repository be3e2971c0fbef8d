"""Rows that are added or written by index: in the order of the indices, on any number of threads."""

import numpy as np
import pytest
from ops.compare import same_bits

import flowbook as fb

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("outer", "size", "count", "inner"),
    [
        (1, 96, 2048, 128),  # rows are cut
        (1, 7, 3000, 70),
        (1, 40, 9, 5000),
        (3, 11, 400, 200),
        (50, 5, 6, 3),  # many small ones
        (1, 30, 500, 1),
        (2, 4, 0, 64),
        (2, 4, 5, 0),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1"])
def test_rows_keep_their_order(outer, size, count, inner, dtype):
    def numbers(*shape):
        return (rng.normal(size=shape) * 50).astype(dtype if dtype != "u1" else "i4").astype(dtype)

    x, rows = numbers(outer, size, inner), numbers(outer, count, inner)
    at = rng.integers(-size, size, count)
    added, written = x.copy(), x.copy()
    for i, row in enumerate(np.moveaxis(rows, 1, 0)):
        added[:, at[i]] += row
        written[:, at[i]] = row
    arrays = [fb.asarray(a) for a in (x, at, rows)]
    before = fb.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fb.set_num_threads(threads)
            assert same_bits(fb.scatter_add(*arrays, axis=1).numpy(), added)
            assert same_bits(fb.scatter_set(*arrays, axis=1).numpy(), written)
    finally:
        fb.set_num_threads(before)
