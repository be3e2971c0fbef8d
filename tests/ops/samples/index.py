"""Samples of the ops that read or write at positions held in a tensor."""

from __future__ import annotations

import numpy as np

from ..sample import ALL, FLOATS, NUMERIC, call, declare, fails

f4 = np.arange(12, dtype="f4").reshape(3, 4)
i8 = np.array([0, 2])
far = np.array([0, 3])
under = np.array([0, -4])

declare(
    "take",
    lambda x, indices, axis=None: np.take(x, indices, axis),
    ALL,
    lambda m: [
        call(m(7), m.index(4, high=7)),
        call(m(5, 3), m.index(4, high=5), axis=0),
        call(m(5, 3), m.index(6, high=3), axis=1),
        call(m(5, 3), m.index(2, 2, high=3), axis=-1),
        call(m(5, 3), np.array([-1, 0, -5]), axis=0),
        call(m(5, 3), np.array([1, 1, 1], "int32"), axis=0),
        call(m(5, 3), m.index(0, high=1), axis=0),
        call(m(5, 3), np.array(2), axis=0),
    ],
    grad=(0,),
    errors=[
        fails("IndexOutOfRange", r"3", f4, far, axis=0),
        fails("IndexOutOfRange", r"-4", f4, under, axis=0),
        fails("IndexOutOfRange", r"", np.ones((0, 3), "f4"), i8, axis=0),
        fails("AxisError", r"out of range", f4, i8, axis=2),
        fails("DTypeError", r"f64", f4, np.array([0.0, 1.0]), axis=0),
    ],
)
declare(
    "take_along_axis",
    lambda x, indices, axis=-1: np.take_along_axis(x, indices, axis),
    ALL,
    lambda m: [
        call(m(5, 3), m.index(5, 2, high=3), axis=1),
        call(m(5, 3), m.index(2, 3, high=5), axis=0),
        call(m(5, 3), m.index(5, 3, high=3)),
        call(m(4), np.array([-1, 0]), axis=0),
    ],
    grad=(0,),
    errors=[
        fails("IndexOutOfRange", r"", f4, np.full((3, 1), 4), axis=1),
        fails("ShapeError", r"", f4, i8, axis=1),
    ],
)


def _add_along_axis(x, indices, updates, axis=-1):
    y = x.copy()
    grid = list(np.indices(indices.shape))
    grid[axis] = indices
    np.add.at(y, tuple(grid), updates)
    return y


declare(
    "add_along_axis",
    _add_along_axis,
    NUMERIC,
    lambda m: [
        call(m(5, 3), m.index(5, 2, high=3), m(5, 2), axis=1),
        call(m(5, 3), m.index(2, 3, high=5), m(2, 3), axis=0),
        call(m(4), np.array([-1, 0, 0]), m(3), axis=0),
    ],
    grad=(0, 2),
    errors=[fails("IndexOutOfRange", r"", f4, np.full((3, 1), 4), np.ones((3, 1), "f4"), axis=1)],
)


def _scatter(ufunc):
    def reference(x, indices, updates, axis=0):
        y = np.moveaxis(x.copy(), axis, 0)
        u = np.moveaxis(np.broadcast_to(updates, _scattered(x, indices, axis)), axis, 0)
        if ufunc is None:
            y[indices] = u
        else:
            ufunc.at(y, indices, u)
        return np.moveaxis(y, 0, axis)

    return reference


def _scattered(x, indices, axis):
    shape = list(x.shape)
    shape[axis : axis + 1] = indices.shape
    return shape


declare(
    "scatter_add",
    _scatter(np.add),
    NUMERIC,
    lambda m: [
        call(m(5, 3), np.array([0, 2, 0]), m(3, 3)),
        call(m(7), np.array([1, -1, 1, 1]), m(4)),
        call(m(3, 5), np.array([4, 0]), m(3, 2), axis=1),
        call(m(5, 3), m.index(0, high=1), m(0, 3)),
    ],
    grad=(0, 2),
    errors=[
        fails("IndexOutOfRange", r"3", f4, far, np.ones((2, 4), "f4")),
        fails("ShapeError", r"", f4, i8, np.ones((2, 5), "f4")),
        fails("AxisError", r"out of range", f4, i8, f4, axis=2),
    ],
)
declare(
    "scatter_set",
    _scatter(None),
    ALL,
    lambda m: [
        call(m(5, 3), np.array([0, 2]), m(2, 3)),
        call(m(7), np.array([1, -1]), m(2)),
        call(m(3, 5), np.array([4, 0]), m(3, 2), axis=1),
    ],
    grad=(0, 2),
    errors=[fails("IndexOutOfRange", r"3", f4, far, np.ones((2, 4), "f4"))],
)


def _one_hot(x, classes, dtype=None):
    return (x[..., None] == np.arange(classes)).astype(
        dtype or "float32"
    )  # none where out of range


declare(
    "one_hot",
    _one_hot,
    ("int32", "int64"),
    lambda m: [
        call(m.index(5, high=4, dtype=m.dtype), classes=4),
        call(m.index(2, 3, high=4, dtype=m.dtype), classes=4),
        call(m.index(high=4, dtype=m.dtype), classes=4),
        call(m.index(0, high=4, dtype=m.dtype), classes=4),
    ],
    errors=[fails("DTypeError", r"", f4, classes=3), fails("ShapeError", r"-1", i8, classes=-1)],
)
declare(
    "embedding",
    lambda weight, indices: weight[indices],
    FLOATS,
    lambda m: [
        call(m(7, 3), m.index(4, high=7)),
        call(m(7, 3), m.index(2, 5, high=7)),
        call(m(7, 3), m.index(high=7)),
        call(m(7, 3), m.index(0, high=7)),
        call(m(4, 2), np.array([1, 1, 1, 1, 3])),
    ],
    grad=(0,),
    errors=[
        fails("IndexOutOfRange", r"3", f4, far),
        fails("DTypeError", r"", f4, np.ones(3, "f4")),
        fails("ShapeError", r"", np.ones(3, "f4"), i8),
    ],
)
