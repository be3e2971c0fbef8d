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
        call(m(19, 9), m.index(19, high=9)),
        call(m(33, 128), m.index(33, high=128), grad=False),
        call(m(33, 129), m.index(33, high=129), grad=False),
        call(m(3, 7, 5), m.index(3, 5, high=7), axis=1),
        call(m(2, 300, 20), m.index(2, 20, high=300), axis=1, grad=False),
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


def _layer_norm(x, weight, bias, axis=-1, epsilon=1e-5):
    mean, var = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    shape = [1] * x.ndim
    shape[axis] = -1
    return (x - mean) / np.sqrt(var + epsilon) * weight.reshape(shape) + bias.reshape(shape)


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
        call(m(5, 4), m(5), m(5), axis=0),
        call(m(2, 5, 4), m(5), m(5), axis=1),
    ],
    rtol={"float32": 2e-5, "float64": 1e-11},
    errors=[
        fails("ShapeError", r"", np.ones((4, 6), "f4"), np.ones(5, "f4"), np.ones(6, "f4")),
    ],
)


# --- gradients of the above, ops of their own ----------
def alike(m: Maker, f=None, **attrs):
    for shape, axis in (
        ((3, 5), -1),
        ((3, 5), 0),
        ((2, 3, 4), 1),
        ((7,), 0),
        ((4, 300), 1),
        ((0, 3), 1),
    ):
        x = m(*shape)
        yield call(
            x if f is None else f(x.astype("f8"), axis).astype(x.dtype), m(*shape), axis=axis
        )


def _both(f):
    return lambda x, dy, **attrs: f(x.astype("f8"), dy.astype("f8"), **attrs).astype(x.dtype)


declare(
    "softmax_gradient",
    _both(lambda y, dy, axis=-1: y * (dy - (y * dy).sum(axis, keepdims=True))),
    FLOATS,
    lambda m: alike(m, _softmax),
)
declare(
    "log_softmax_gradient",
    _both(lambda y, dy, axis=-1: dy - np.exp(y) * dy.sum(axis, keepdims=True)),
    FLOATS,
    lambda m: alike(m, _log_softmax),
)


def losses(m: Maker):
    for shape, axis in (
        ((6, 5), -1), ((5, 6), 0), ((2, 5, 3), 1), ((5,), 0), ((0, 5), 1),
        ((35, 20), -1), ((17, 128), 1), ((17, 129), 1), ((300, 18), 0), ((2, 131, 3), 1),
    ):  # fmt: skip
        x = m(*shape)
        rows = shape[:axis] + shape[axis:][1:] if axis >= 0 else shape[:axis]
        targets = m.index(*rows, high=shape[axis])
        loss = _cross_entropy(x.astype("f8"), targets, axis).astype(x.dtype)
        yield call(x, targets, loss, m(*rows), axis=axis)


def _cross_entropy_gradient(x, targets, loss, dloss, axis=-1):
    x, dloss = x.astype("f8"), dloss.astype("f8")
    hot = np.moveaxis(np.eye(x.shape[axis])[targets], -1, axis)
    return ((_softmax(x, axis) - hot) * np.expand_dims(dloss, axis)).astype(loss.dtype)


declare(
    "softmax_cross_entropy_gradient",
    _cross_entropy_gradient,
    FLOATS,
    losses,
    grad=(3,),  # logits and loss belong together: moving one alone means nothing
    rtol={"float32": 2e-5},
)


def _layer_norm_gradient(x, weight, dy, axis=-1, epsilon=1e-5):
    dtype = x.dtype
    x, dy = np.moveaxis(x.astype("f8"), axis, -1), np.moveaxis(dy.astype("f8"), axis, -1)
    s = np.sqrt(x.var(-1, keepdims=True) + epsilon)
    n = (x - x.mean(-1, keepdims=True)) / s
    g = dy * weight
    dx = (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True)) / s
    rows = tuple(range(x.ndim - 1))
    parts = np.moveaxis(dx, -1, axis), (dy * n).sum(rows), dy.sum(rows)
    return tuple(p.astype(dtype) for p in parts)


declare(
    "layer_norm_gradient",
    _layer_norm_gradient,
    FLOATS,
    lambda m: [
        call(m(4, 6), m(6), m(4, 6)),
        call(m(2, 3, 6), m(6), m(2, 3, 6), epsilon=0.1),
        call(m(6), m(6), m(6)),
        call(m(5, 4), m(5), m(5, 4), axis=0),
        call(m(4, 300), m(300), m(4, 300)),
        call(m(0, 6), m(6), m(0, 6)),
    ],
    rtol={"float32": 3e-5, "float64": 1e-10},
)
