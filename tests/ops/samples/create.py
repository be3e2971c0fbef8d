"""Samples of the ops that make tensors out of attributes, and of cast and copy."""

from __future__ import annotations

import numpy as np

from ..sample import ALL, NUMERIC, Maker, call, declare, fails


def _cast(x, dtype):
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def casts(m: Maker):
    for to in ALL:
        yield call(m(3, 4), dtype=to, grad=to == "float64")  # others round: steps, no slopes
        yield call(m(), dtype=to, grad=to == "float64")
        yield call(m(0, 2), dtype=to)
    yield call(np.array([0, 1, 2, 100], m.dtype), dtype="float16", grad=False)


declare("cast", _cast, ALL, casts)
declare("copy", lambda x: x.copy(), ALL, lambda m: [call(m(3, 4)), call(m()), call(m(0, 2))])


def fulls(m: Maker):
    value = {"bool": True}.get(m.dtype, 3 if m.dtype not in ("float32", "float64") else 0.1)
    for shape in ((2, 3), (), (0, 4), (1000,)):
        yield call(shape=shape, value=value, dtype=m.dtype)


declare(
    "full",
    lambda shape, value, dtype: np.full(shape, value, dtype),
    ALL,
    fulls,
    errors=[fails("ShapeError", r"negative|-1", shape=(2, -1), value=1.0, dtype="float32")],
)


def _arange(start, stop, step, dtype):
    return np.arange(start, stop, step).astype(dtype)


declare(
    "arange",
    _arange,
    NUMERIC,
    lambda m: [
        call(start=0, stop=5, step=1, dtype=m.dtype),
        call(start=1, stop=10, step=3, dtype=m.dtype),
        call(start=5, stop=0, step=-2, dtype=m.dtype),
        call(start=3, stop=3, step=1, dtype=m.dtype),
        call(start=5, stop=0, step=1, dtype=m.dtype),
    ],
    errors=[fails("ArgumentError", r"step|zero", start=0, stop=1, step=0, dtype="float32")],
)
declare(
    "linspace",
    lambda start, stop, num, dtype, endpoint=True: np.linspace(
        start, stop, num, endpoint=endpoint, dtype=dtype
    ),
    ("float32", "float64"),
    lambda m: [
        call(start=0.0, stop=1.0, num=5, dtype=m.dtype),
        call(start=0.0, stop=1.0, num=5, dtype=m.dtype, endpoint=False),
        call(start=2.0, stop=-1.0, num=7, dtype=m.dtype),
        call(start=2.0, stop=3.0, num=1, dtype=m.dtype),
        call(start=2.0, stop=3.0, num=0, dtype=m.dtype),
    ],
    errors=[fails("ArgumentError", r"num|negative", start=0.0, stop=1.0, num=-1, dtype="float32")],
)
declare(
    "eye",
    lambda rows, columns=None, k=0, dtype="float32": np.eye(rows, columns, k, dtype),
    ALL,
    lambda m: [
        call(rows=3, columns=3, dtype=m.dtype),
        call(rows=3, columns=5, k=1, dtype=m.dtype),
        call(rows=4, columns=2, k=-1, dtype=m.dtype),
        call(rows=0, columns=2, dtype=m.dtype),
        call(rows=2, columns=2, k=9, dtype=m.dtype),
    ],
)
declare(
    "iota",
    lambda size, dtype=None: np.arange(size, dtype=dtype or "int64"),
    NUMERIC,
    lambda m: [
        call(size=5, dtype=m.dtype),
        call(size=0, dtype=m.dtype),
        call(size=100, dtype=m.dtype),
    ],
)
declare("dim", lambda size: np.array(size), ("int64",), lambda m: [call(size=3), call(size=0)])


def likes(m: Maker, **attrs):
    for to in (None, "float64", "int32"):
        yield call(m(2, 3), dtype=to, **attrs)
        yield call(m(), dtype=to, **attrs)
        yield call(m(0, 2), dtype=to, **attrs)


declare(
    "full_like",
    lambda x, value, dtype=None: np.full_like(x, value, dtype),
    ALL,
    lambda m: likes(m, value=1),
)
declare("zeros_like", lambda x, dtype=None: np.zeros_like(x, dtype), ALL, likes)
declare("ones_like", lambda x, dtype=None: np.ones_like(x, dtype), ALL, likes)
