"""Samples of the reductions: every axis form, keepdims, zero-size axes, NaN, integer
accumulation."""

from __future__ import annotations

import numpy as np
import scipy.special as sp

from ..sample import ALL, FLOATS, NUMERIC, Maker, call, declare, fails


def forms(m: Maker, empty: bool = True, several: bool = True, **attrs):
    """The calls that every reduction takes."""
    yield call(m(3, 5), **attrs)
    yield call(m(3, 5), axis=0, **attrs)
    yield call(m(3, 5), axis=-1, keepdims=True, **attrs)
    yield call(m(2, 3, 4), axis=1, **attrs)
    yield call(m(2, 300), axis=1, **attrs)
    yield call(m(130, 3), axis=0, **attrs)
    yield call(m(1, 1), axis=1, **attrs)
    yield call(m(), **attrs)
    yield call(m(0, 3), axis=1, **attrs)  # no rows: nothing to reduce
    if several:
        yield call(m(2, 3, 4), axis=(0, 2), **attrs)
        yield call(m(2, 3, 4), axis=(0, 1, 2), keepdims=True, **attrs)
        yield call(m(2, 3, 4), axis=(-1, 0), **attrs)
        yield call(m(2, 3), axis=(), **attrs)
    if empty:
        yield call(m(0, 3), axis=0, **attrs)
        yield call(m(0), **attrs)


def nans(m: Maker, **attrs):
    if m.dtype in FLOATS:
        x = m(4, 5)
        x[1, 2] = np.nan
        x[2, 3], x[3, 0] = np.inf, -np.inf
        yield call(x, axis=1, grad=False, **attrs)
        yield call(x, grad=False, **attrs)


AXIS_ERRORS = [
    fails("AxisError", r"axis 2 is out of range", np.ones((3, 5), "f4"), axis=2),
    fails("AxisError", r"axis -3 is out of range", np.ones((3, 5), "f4"), axis=-3),
]
TWICE = [
    fails(
        "ArgumentError",
        r"(twice|repeat|more than once|duplicate)",
        np.ones((3, 5), "f4"),
        axis=(0, -2),
    )
]
EMPTY = [
    fails(
        "ShapeError", r"(empty|zero|size 0|no entries|no elements)", np.ones((0, 3), "f4"), axis=0
    )
]


def accumulator(x):
    """The dtype in which the standard adds: 64-bit integers, floats as they are."""
    if x.dtype == bool or x.dtype.kind == "i":
        return np.dtype("int64")
    return np.dtype("uint64") if x.dtype.kind == "u" else x.dtype


def _sum(x, axis=None, keepdims=False, dtype=None):
    out = np.dtype(dtype or accumulator(x))
    wide = np.float64 if out == np.float32 else out
    return np.sum(x.astype(wide), axis=axis, keepdims=keepdims).astype(out)


def _prod(x, axis=None, keepdims=False, dtype=None):
    out = np.dtype(dtype or accumulator(x))
    wide = np.float64 if out == np.float32 else out
    with np.errstate(all="ignore"):
        return np.prod(x.astype(wide), axis=axis, keepdims=keepdims).astype(out)


def floating(x):
    """Integers count as the default float."""
    return x if x.dtype.kind == "f" else x.astype("float32")


def _stat(f, **fixed):
    def reference(x, **attrs):
        x = floating(x)
        with np.errstate(all="ignore"):
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.asarray(f(x.astype("float64"), **attrs, **fixed)).astype(x.dtype)

    return reference


def _ddof(f):
    return lambda x, correction=0.0, **attrs: f(x, ddof=correction, **attrs)


declare(
    "sum",
    _sum,
    ALL,
    lambda m: [*forms(m), *nans(m), call(m(3, 4), dtype="float64"), call(m(70_000))],
    errors=AXIS_ERRORS + TWICE,
    rtol={"float32": 2e-6},
)
declare(
    "prod",
    _prod,
    NUMERIC,
    lambda m: [
        *(s for s in forms(m) if all(i.size <= 60 for i in s.inputs)),
        *nans(m),
        call(m(3, 4), dtype="float64"),
        call(np.array([[0, 2, 3], [0, 0, 1]], m.dtype), axis=1, grad=m.dtype == "float64"),
    ],
    errors=AXIS_ERRORS + TWICE,
)
declare(
    "mean",
    _stat(np.mean),
    FLOATS,
    lambda m: [*forms(m, empty=False), *nans(m)],
    errors=AXIS_ERRORS + TWICE,
)
declare(
    "var",
    _stat(_ddof(np.var)),
    FLOATS,
    lambda m: [*forms(m, empty=False), *nans(m), call(m(4, 5), axis=1, correction=1.0)],
    errors=AXIS_ERRORS,
)
declare(
    "std",
    _stat(_ddof(np.std)),
    FLOATS,
    lambda m: [
        *(
            s
            if s.inputs[0].size != 1 and s.attrs.get("axis") != ()
            else call(*s.inputs, grad=False, **s.attrs)
            for s in forms(m, empty=False)
        ),
        *nans(m),
        call(m(4, 5), axis=1, correction=1.0),
    ],
    errors=AXIS_ERRORS,
)
for _name, _f in (("max", np.max), ("min", np.min)):
    declare(
        _name,
        lambda x, _f=_f, **attrs: _f(x, **attrs),
        NUMERIC,
        lambda m: [*forms(m, empty=False), *nans(m)],
        errors=AXIS_ERRORS + TWICE + EMPTY,
    )
for _name, _f in (("argmax", np.argmax), ("argmin", np.argmin)):
    declare(
        _name,
        lambda x, _f=_f, **attrs: np.asarray(_f(x, **attrs)).astype("int64"),
        NUMERIC,
        lambda m: [
            *forms(m, empty=False, several=False),
            *nans(m),
            call(np.array([3, 1, 3, 1], m.dtype)),  # the first of equals
        ],
        errors=AXIS_ERRORS + EMPTY,
    )
for _name, _f in (("any", np.any), ("all", np.all)):
    declare(
        _name,
        lambda x, _f=_f, **attrs: np.asarray(_f(x, **attrs)),
        ALL,
        lambda m: [*forms(m), *nans(m)],
        errors=AXIS_ERRORS + TWICE,
    )


def _logsumexp(x, axis=None, keepdims=False):
    if axis == ():
        return x
    with np.errstate(all="ignore"):
        return np.asarray(sp.logsumexp(x.astype("float64"), axis=axis, keepdims=keepdims)).astype(
            x.dtype
        )


declare(
    "logsumexp",
    _logsumexp,
    FLOATS,
    lambda m: [
        *forms(m, empty=False),
        *nans(m),
        call(
            np.array([[1e4, 1e4], [-1e4, -1e4], [-np.inf, -np.inf], [np.inf, 1]], m.dtype),
            axis=1,
            grad=False,
        ),
    ],
    errors=AXIS_ERRORS,
)


def _cumulative(f, start):
    def reference(x, axis=None, dtype=None, include_initial=False):
        out = np.dtype(dtype or accumulator(x))
        axis = 0 if axis is None else axis
        with np.errstate(all="ignore"):
            y = f(x.astype(np.float64 if out == np.float32 else out), axis=axis).astype(out)
        if include_initial:
            shape = list(y.shape)
            shape[axis] = 1
            y = np.concatenate([np.full(shape, start, out), y], axis)
        return y

    return reference


for _name, _f, _start in (("cumulative_sum", np.cumsum, 0),):
    declare(
        _name,
        _cumulative(_f, _start),
        NUMERIC,
        lambda m: [
            call(m(6)),
            call(m(3, 5), axis=0),
            call(m(3, 5), axis=-1),
            call(m(2, 3, 4), axis=1),
            call(m(2, 3), axis=1, include_initial=True),
            call(m(19, 7), axis=1),
            call(m(9, 4), axis=1, include_initial=True),
            call(m(0)),
            call(m(0, 3), axis=0),
            call(m(3, 0), axis=0),
            call(m(5), dtype="float64"),
        ],
        errors=[fails("AxisError", r"axis 1 is out of range", np.ones(3, "f4"), axis=1)],
    )
