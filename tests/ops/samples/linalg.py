"""Samples of matmul and its kin: ranks, broadcasting, vectors, zero sizes, odd sizes."""

from __future__ import annotations

import numpy as np

from ..sample import FLOATS, NUMERIC, Maker, call, declare, fails


def matmuls(m: Maker):
    yield call(m(3, 4), m(4, 5))
    yield call(m(4), m(4, 5))
    yield call(m(3, 4), m(4))
    yield call(m(4), m(4))
    yield call(m(2, 3, 4), m(4, 5))
    yield call(m(3, 4), m(2, 4, 5))
    yield call(m(2, 1, 3, 4), m(6, 4, 5))
    yield call(m(2, 3, 4), m(4))
    yield call(m(4), m(2, 4, 5))
    yield call(m(1, 1), m(1, 1))
    yield call(m(3, 0), m(0, 5))  # zeros, as a sum over nothing
    yield call(m(0, 4), m(4, 5))
    yield call(m(3, 4), m(4, 0))
    yield call(m(0, 3, 4), m(4, 5))
    yield call(m(17, 33), m(33, 19))
    yield call(m(65, 130), m(130, 70))


def _matmul(x, y):
    if x.dtype == np.float32:
        return (x.astype("f8") @ y.astype("f8")).astype("f4")
    return x @ y


declare(
    "matmul",
    _matmul,
    NUMERIC,
    matmuls,
    rtol={"float32": 1e-5, "float64": 1e-12},
    errors=[
        fails(
            "ShapeError",
            r"inner dimensions differ.*3 != 2|inner dimensions differ",
            np.ones((2, 3), "f4"),
            np.ones((2, 3), "f4"),
        ),
        fails("ShapeError", r"", np.ones((), "f4"), np.ones((2, 3), "f4")),
        fails("ShapeError", r"", np.ones((2, 3, 4), "f4"), np.ones((3, 4, 5), "f4")),
    ],
)
declare(
    "vecdot",
    lambda x, y, axis=-1: (np.moveaxis(x, axis, -1) * np.moveaxis(y, axis, -1)).sum(
        -1, dtype=x.dtype
    ),
    NUMERIC,
    lambda m: [
        call(m(3, 4), m(3, 4)),
        call(m(4), m(3, 4)),
        call(m(3, 4), m(3, 4), axis=-2),
        call(m(0), m(0)),
    ],
)
declare(
    "tensordot",
    lambda x, y, x_axes, y_axes: np.tensordot(x, y, (x_axes, y_axes)),
    FLOATS,
    lambda m: [
        call(m(3, 4), m(4, 5), x_axes=(1,), y_axes=(0,)),
        call(m(2, 3, 4), m(4, 3, 5), x_axes=(1, 2), y_axes=(1, 0)),
        call(m(3), m(4), x_axes=(), y_axes=()),
    ],
)
declare("outer", np.outer, NUMERIC, lambda m: [call(m(3), m(4)), call(m(0), m(4))])
