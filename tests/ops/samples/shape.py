"""Samples of the ops that move or arrange entries without computing on them: answers are exact."""

from __future__ import annotations

import numpy as np

from ..sample import ALL, NUMERIC, Maker, call, declare, fails

f4 = np.ones((2, 3), "f4")

declare(
    "reshape",
    lambda x, shape: x.reshape(shape),
    ALL,
    lambda m: [
        call(m(2, 6), shape=(3, 4), symbolic=False),
        call(m(2, 6), shape=(-1,)),
        call(m(2, 6), shape=(4, -1), symbolic=False),
        call(m(2, 3, 4), shape=(6, 4), symbolic=False),
        call(m(1), shape=(), symbolic=False),
        call(m(), shape=(1, 1), symbolic=False),
        call(m(0, 3), shape=(3, 0), symbolic=False),
        call(m(0, 3), shape=(0,), symbolic=False),
    ],
    errors=[
        fails("ShapeError", r"", f4, shape=(4, 2)),
        fails("ShapeError", r"", f4, shape=(-1, 4)),
        fails("ShapeError", r"", f4, shape=(-1, -1)),
        fails("ShapeError", r"", f4, shape=(-2, -3)),
        fails("ShapeError", r"", np.ones((0, 3), "f4"), shape=(0, -1)),
    ],
)
declare(
    "permute_dims",
    lambda x, axes: np.transpose(x, axes),
    ALL,
    lambda m: [
        call(m(2, 3), axes=(1, 0)),
        call(m(2, 3, 4), axes=(2, 0, 1)),
        call(m(2, 3, 4), axes=(-1, 0, 1)),
        call(m(), axes=()),
        call(m(0, 3), axes=(1, 0)),
    ],
    errors=[
        fails("ShapeError", r"", f4, axes=(0, 0)),
        fails("ShapeError", r"", f4, axes=(0,)),
        fails("ShapeError", r"", f4, axes=(0, 2)),
    ],
)
declare(
    "matrix_transpose",
    lambda x: np.swapaxes(x, -1, -2),
    ALL,
    lambda m: [call(m(2, 3)), call(m(4, 2, 3)), call(m(0, 3))],
    errors=[fails("ShapeError", r"", np.ones(3, "f4"))],
)
declare(
    "moveaxis",
    lambda x, source, destination: np.moveaxis(x, source, destination),
    ALL,
    lambda m: [
        call(m(2, 3, 4), source=0, destination=2),
        call(m(2, 3, 4), source=(0, -1), destination=(1, 0)),
    ],
    errors=[fails("AxisError", r"out of range", f4, source=2, destination=0)],
)
declare(
    "broadcast_to",
    lambda x, shape: np.broadcast_to(x, shape),
    ALL,
    lambda m: [
        call(m(3), shape=(2, 3), symbolic=False),
        call(m(2, 1), shape=(2, 4), symbolic=False),
        call(m(), shape=(2, 3)),
        call(m(2, 3), shape=(2, 3), symbolic=False),
        call(m(1), shape=(0,)),
        call(m(1, 3), shape=(0, 3), symbolic=False),
    ],
    errors=[
        fails("ShapeError", r"", f4, shape=(3, 2)),
        fails("ShapeError", r"", f4, shape=(3,)),
        fails("ShapeError", r"", f4, shape=(2, -3)),
    ],
)
declare(
    "narrow",
    lambda x, start, length, axis: np.take(x, np.arange(start, start + length), axis),
    ALL,
    lambda m: [
        call(m(5, 3), start=1, length=3, axis=0),
        call(m(5, 3), start=0, length=3, axis=-1),
        call(m(5, 3), start=5, length=0, axis=0),
        call(m(0, 3), start=0, length=0, axis=0),
    ],
    errors=[
        fails("ShapeError", r"", f4, start=1, length=2, axis=0),
        fails("ShapeError", r"", f4, start=3, length=0, axis=0),
        fails("AxisError", r"out of range", f4, start=0, length=1, axis=2),
    ],
)
declare("stop_gradient", lambda x: x, ALL, lambda m: [call(m(2, 3)), call(m()), call(m(0, 3))])
declare(
    "expand_dims",
    lambda x, axis=0: np.expand_dims(x, axis),
    ALL,
    lambda m: [
        call(m(2, 3), axis=0),
        call(m(2, 3), axis=2),
        call(m(2, 3), axis=-1),
        call(m(), axis=0),
        call(m(0), axis=1),
    ],
    errors=[
        fails("AxisError", r"out of range", f4, axis=3),
        fails("AxisError", r"out of range", f4, axis=-4),
    ],
)
declare(
    "squeeze",
    lambda x, axis: np.squeeze(x, axis),
    ALL,
    lambda m: [
        call(m(1, 3), axis=0),
        call(m(1, 3, 1), axis=(0, 2)),
        call(m(3, 1), axis=-1),
        call(m(1), axis=0),
        call(m(0, 1), axis=1),
    ],
    errors=[
        fails("ShapeError", r"", f4, axis=0),
        fails("AxisError", r"out of range", f4, axis=2),
    ],
)
declare(
    "flip",
    lambda x, axis=None: np.flip(x, axis),
    ALL,
    lambda m: [
        call(m(5)),
        call(m(2, 3)),
        call(m(2, 3), axis=1),
        call(m(2, 3, 4), axis=(0, 2)),
        call(m()),
        call(m(0, 3), axis=0),
    ],
    errors=[fails("AxisError", r"out of range", f4, axis=2)],
)
declare(
    "roll",
    lambda x, shift, axis=None: np.roll(x, shift, axis),
    ALL,
    lambda m: [
        call(m(5), shift=2),
        call(m(2, 3), shift=-1),
        call(m(2, 3), shift=7, axis=1),
        call(m(2, 3), shift=(1, -1), axis=(0, 1)),
        call(m(0), shift=1),
    ],
    errors=[fails("AxisError", r"out of range", f4, shift=1, axis=2)],
)
declare(
    "concat",
    lambda xs, axis=0: np.concatenate(xs, axis),
    ALL,
    lambda m: [
        call([m(2, 3), m(4, 3)]),
        call([m(2, 3), m(2, 1), m(2, 4)], axis=1),
        call([m(2, 3)], axis=-1),
        call([m(0, 3), m(2, 3)], axis=0),
        call([m(1, 2)] * 9, axis=0),
    ],
    errors=[
        fails("ShapeError", r"", [f4, np.ones((2, 4), "f4")], axis=0),
        fails("ShapeError", r"", [f4, np.ones(3, "f4")], axis=0),
        fails("AxisError", r"out of range", [f4, f4], axis=2),
        fails("ShapeError", r"", [np.float32(1).reshape(()), np.float32(1).reshape(())], axis=0),
    ],
)
declare(
    "stack",
    lambda xs, axis=0: np.stack(xs, axis),
    ALL,
    lambda m: [
        call([m(2, 3), m(2, 3)]),
        call([m(2, 3), m(2, 3)], axis=1),
        call([m(2, 3), m(2, 3)], axis=-1),
        call([m(), m(), m()]),
        call([m(0)] * 2),
    ],
    errors=[
        fails("ShapeError", r"", [f4, np.ones((3, 2), "f4")]),
        fails("AxisError", r"out of range", [f4, f4], axis=3),
    ],
)


def _split(x, sizes, axis=0):
    return np.split(x, np.cumsum(sizes)[:-1], axis)


declare(
    "split",
    _split,
    ALL,
    lambda m: [
        call(m(3, 6), sizes=(3, 3), axis=1, symbolic=False),
        call(m(6, 3), sizes=(1, 2, 3), symbolic=False),
        call(m(2, 4), sizes=(4, 0), axis=-1, symbolic=False),
    ],
    errors=[
        fails("ShapeError", r"", f4, sizes=(2, 2), axis=1),
        fails("ShapeError", r"", f4, sizes=(4, -1), axis=1),
        fails("AxisError", r"out of range", f4, sizes=(1,), axis=2),
    ],
)


def _pad(x, widths, value=0):
    pairs = [tuple(widths[i : i + 2]) for i in range(0, len(widths), 2)]
    return np.pad(x, pairs, constant_values=np.asarray(value).astype(x.dtype)) if pairs else x


declare(
    "pad",
    _pad,
    ALL,
    lambda m: [
        call(m(2, 3), widths=(1, 2, 0, 1)),
        call(m(2, 3), widths=(0, 0, 3, 0), value=1.0),
        call(m(0, 2), widths=(1, 1, 0, 0)),
        call(m(), widths=()),
    ],
    errors=[
        fails("ShapeError", r"", f4, widths=(1, 1)),
        fails("ShapeError", r"", f4, widths=(1, 1, -1, 0)),
    ],
)
declare(
    "tile",
    lambda x, repetitions: np.tile(x, repetitions),
    ALL,
    lambda m: [
        call(m(2, 3), repetitions=(2, 1)),
        call(m(2, 3), repetitions=(2,)),
        call(m(3), repetitions=(2, 2)),
        call(m(), repetitions=(3,)),
        call(m(2), repetitions=(0,)),
    ],
    errors=[fails("ShapeError", r"", f4, repetitions=(-1, 1))],
)
declare(
    "repeat",
    lambda x, repeats, axis=None: np.repeat(x, repeats, axis),
    ALL,
    lambda m: [
        call(m(2, 3), repeats=2),
        call(m(2, 3), repeats=3, axis=1),
        call(m(2, 3), repeats=0, axis=0),
        call(m(), repeats=2),
        call(m(0), repeats=2),
    ],
    errors=[
        fails("AxisError", r"out of range", f4, repeats=2, axis=2),
        fails("ShapeError", r"", f4, repeats=-1),
    ],
)


END = 2**63 - 1  # the far end of the axis in the direction of the step


def windows(*extra):
    """Calls of the slice family: Python's starts, stops and steps, axis by axis."""

    def make(m: Maker):
        def one(shape, starts, stops, steps=()):
            window = slices(starts, stops, steps, shape)
            rest = [m(*np.empty(shape)[window].shape) for _ in extra]
            attrs = {"starts": starts, "stops": stops, "steps": steps}
            return call(m(*shape), *rest, symbolic=False, **attrs)

        yield one((5, 6), (1, 0), (4, 6), (1, 2))
        yield one((5, 6), (0, 5), (5, 0), (2, -1))
        yield one((7,), (-1,), (END,), (-3,))
        yield one((7,), (-3,), (END,))
        yield one((4,), (2,), (2,), (1,))
        yield one((5, 6), (1,), (4,))
        yield one((0, 3), (0, 1), (END, 3))
        yield one((4,), (-100,), (100,), (1,))
        yield one((4,), (3,), (-100,), (-1,))

    return make


def slices(starts, stops, steps, shape):
    steps = tuple(steps) or (1,) * len(starts)
    return tuple(slice(a, None if b == END else b, s) for a, b, s in zip(starts, stops, steps))


def _slice(x, starts, stops, steps=()):
    return x[slices(starts, stops, steps, x.shape)]


def _set_slice(x, updates, starts, stops, steps=()):
    y = x.copy()
    y[slices(starts, stops, steps, x.shape)] = updates
    return y


def _add_slice(x, updates, starts, stops, steps=()):
    y = x.copy()
    y[slices(starts, stops, steps, x.shape)] += updates
    return y


declare(
    "slice",
    _slice,
    ALL,
    windows(),
    errors=[
        fails("ShapeError", r"", f4, starts=(0, 0, 0), stops=(1, 1, 1), steps=()),
        fails("ArgumentError", r"", f4, starts=(0,), stops=(1,), steps=(0,)),
    ],
)
declare("set_slice", _set_slice, ALL, windows("updates"))
declare("add_slice", _add_slice, NUMERIC, windows("updates"))


def _place(x, shape, starts, stops, steps=()):
    y = np.zeros(shape, x.dtype)
    y[slices(starts, stops, steps, shape)] = x
    return y


declare(
    "place",
    _place,
    ALL,
    lambda m: [
        call(m(3, 3), shape=(5, 6), starts=(1, 0), stops=(4, 6), steps=(1, 2), symbolic=False),
        call(m(3), shape=(7,), starts=(-1,), stops=(END,), steps=(-3,), symbolic=False),
        call(m(0), shape=(4,), starts=(2,), stops=(2,), steps=(1,), symbolic=False),
    ],
)
for _name, _f in (("tril", np.tril), ("triu", np.triu)):
    declare(
        _name,
        lambda x, k=0, _f=_f: _f(x, k),
        ALL,
        lambda m: [call(m(3, 4)), call(m(3, 4), k=1), call(m(2, 4, 3), k=-1), call(m(0, 3))],
        errors=[fails("ShapeError", r"", np.ones(3, "f4"))],
    )
