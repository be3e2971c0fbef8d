"""Samples of the neural-network ops."""

from __future__ import annotations

import numpy as np

from ..sample import FLOATS, Maker, call, declare, fails
from .reduce import AXIS_ERRORS


def rows(m: Maker, **attrs):
    yield call(m(3, 5), **attrs)
    yield call(m(3, 5), axis=0, **attrs)
    yield call(m(2, 3, 4), axis=1, **attrs)
    yield call(m(2, 3, 4), axis=-1, **attrs)
    yield call(m(7), **attrs)
    yield call(m(4, 300), **attrs)
    yield call(m(1, 1), **attrs)
    yield call(m(0, 3), **attrs)
    yield call(m(3, 0), **attrs)
    if attrs.get("large", True):
        yield call(m(3, 4, low=1e4, high=1e4 + 5), grad=False, **attrs)
        yield call(
            np.array([[np.nan, 1, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [-np.inf] * 3], m.dtype),
            grad=False,
            **attrs,
        )


def _quiet(f):
    def reference(x, *rest, **attrs):
        with np.errstate(all="ignore"):
            return np.asarray(f(x.astype("f8"), *rest, **attrs)).astype(x.dtype)

    return reference


def _softmax(x, axis=-1):
    if x.shape[axis] == 0:
        return x
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _log_softmax(x, axis=-1):
    if x.shape[axis] == 0:
        return x
    s = x - x.max(axis, keepdims=True)
    return s - np.log(np.exp(s).sum(axis, keepdims=True))


declare("softmax", _quiet(_softmax), FLOATS, rows, errors=AXIS_ERRORS)
declare("log_softmax", _quiet(_log_softmax), FLOATS, rows, errors=AXIS_ERRORS)


def _cross_entropy(logits, targets, axis=-1):
    logp = _log_softmax(logits, axis)
    return -np.take_along_axis(logp, np.expand_dims(targets, axis), axis).squeeze(axis)


declare(
    "softmax_cross_entropy",
    _quiet(_cross_entropy),
    FLOATS,
    lambda m: [
        call(m(6, 5), m.index(6, high=5)),
        call(m(2, 3, 5), m.index(2, 3, high=5)),
        call(m(5), m.index(high=5)),
        call(m(6, 5), m.index(6, high=5, dtype="int32")),
        call(m(0, 5), m.index(0, high=5)),
        call(m(3, 4, low=1e4, high=1e4 + 5), m.index(3, high=4), grad=False),
        call(m(4, 300), m.index(4, high=300)),
    ],
    grad=(0,),
    rtol={"float32": 2e-5},
    errors=[
        fails("IndexOutOfRange", r"5", np.ones((2, 5), "f4"), np.array([0, 5])),
        fails("IndexOutOfRange", r"-1", np.ones((2, 5), "f4"), np.array([0, -1])),
        fails("ShapeError", r"", np.ones((2, 5), "f4"), np.array([0, 1, 2])),
        fails("ShapeError", r"", np.ones((2, 5), "f4"), np.array([[0], [1]])),
        fails("DTypeError", r"", np.ones((2, 5), "f4"), np.array([0.0, 1.0], "f4")),
    ],
)


def _layer_norm(x, weight=None, bias=None, axis=-1, epsilon=1e-5):
    mean, var = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    y = (x - mean) / np.sqrt(var + epsilon)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


declare(
    "layer_norm",
    _quiet(_layer_norm),
    FLOATS,
    lambda m: [
        call(m(4, 6), m(6), m(6)),
        call(m(2, 3, 6), m(6), m(6)),
        call(m(4, 6), m(6), m(6), epsilon=0.1),
        call(m(6), m(6), m(6)),
        call(m(0, 6), m(6), m(6)),
        call(m(4, 300), m(300), m(300)),
        call(m(3, 1), m(1), m(1)),
    ],
    rtol={"float32": 2e-5, "float64": 1e-11},
    errors=[
        fails("ShapeError", r"", np.ones((4, 6), "f4"), np.ones(5, "f4"), np.ones(6, "f4")),
    ],
)
