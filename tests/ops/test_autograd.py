"""The gradient of every differentiable op against `autograd`, an independent implementation.

Each row writes the op once more in autograd's NumPy; the calls are the op's samples. Helpers of
other gradients, and what autograd cannot write, are checked by differences only (test_ops.py).
"""

from __future__ import annotations

import warnings

import autograd.numpy as np
import autograd.scipy.special as sp
import numpy as onp
import pytest
from autograd import grad
from autograd.extend import defvjp, primitive
from autograd.scipy.stats import norm

import flowbook as fb

from . import native
from .harness import Failures, Projection, cases, differentiated
from .sample import DECLARED, OpSamples
from .test_ops import DIFFERENTIABLE


def floats(axis):
    """Axis and keepdims as autograd takes them: () is not supported by all of its rules."""
    return axis


def take(x, indices, axis=None):
    axis = 0 if axis is None else axis
    return np.swapaxes(np.swapaxes(x, 0, axis)[indices], 0, axis) if indices.ndim < 2 else None


@primitive
def add_at(x, indices, updates):
    y = onp.array(x)
    onp.add.at(y, indices, updates)
    return y


defvjp(add_at, lambda ans, x, i, u: lambda g: g, None, lambda ans, x, i, u: lambda g: g[i])


def along(indices, axis):
    grid = list(onp.indices(indices.shape))
    grid[axis] = indices
    return tuple(grid)


def scatter(indices, axis):
    return (slice(None),) * (axis % 8) + (indices,)


def window(starts, stops, steps, ndim):
    from .samples.shape import slices

    return slices(starts, stops, steps, (0,) * ndim)


def log_softmax(x, axis=-1):
    return x - sp.logsumexp(x, axis=axis, keepdims=True)


def cross_entropy(x, targets, axis=-1):
    x, n = np.moveaxis(x, axis, -1), targets.size
    picked = np.reshape(log_softmax(x), (n, -1))[onp.arange(n), targets.reshape(-1)]
    return -np.reshape(picked, targets.shape)


def layer_norm(x, weight, bias, axis=-1, epsilon=1e-5):
    m, v = np.mean(x, axis, keepdims=True), np.var(x, axis, keepdims=True)
    shape = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    weight, bias = np.reshape(weight, shape), np.reshape(bias, shape)
    return (x - m) / np.sqrt(v + epsilon) * weight + bias


def gelu(x, approximate="none"):
    if approximate == "none":
        return x * norm.cdf(x)
    return 0.5 * x * (1 + np.tanh(onp.sqrt(2 / onp.pi) * (x + 0.044715 * x**3)))


def cumulative_sum(x, axis=None, include_initial=False, dtype=None):
    y = np.cumsum(x, 0 if axis is None else axis)
    if include_initial:
        zero = onp.zeros([1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)])
        y = np.concatenate([zero, y], axis)
    return y


def pad(x, widths, value=0):
    pairs = [tuple(widths[i : i + 2]) for i in range(0, len(widths), 2)]
    return np.pad(x, pairs, "constant") if pairs else x


def split(x, sizes, axis=0):
    return tuple(np.split(x, list(onp.cumsum(sizes)[:-1]), axis))


def flip(x, axis=None):
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return x[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]


def roll(x, shift, axis=None):
    if not isinstance(shift, tuple):
        return np.roll(x, shift, axis)
    for s, a in zip(shift, axis):
        x = np.roll(x, s, a)
    return x


def clip(x, low, high):
    return np.minimum(np.maximum(x, low), high)


def named(*names, **renamed):
    return {n: getattr(np, n) for n in names} | {k: getattr(np, v) for k, v in renamed.items()}


ROWS = named(
    *[
        "exp",
        "expm1",
        "log",
        "log1p",
        "log2",
        "log10",
        "sqrt",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "square",
        "negative",
        "reciprocal",
        "exp2",
    ],
    *[
        "add",
        "subtract",
        "multiply",
        "divide",
        "remainder",
        "maximum",
        "minimum",
        "logaddexp",
        "abs",
        "matmul",
        "outer",
    ],
    "reshape",
    asin="arcsin",
    acos="arccos",
    atan="arctan",
    asinh="arcsinh",
    acosh="arccosh",
    atanh="arctanh",
    pow="power",
    atan2="arctan2",
    concat="concatenate",
) | {
    "where": lambda c, x, y: x * c + y * (1 - c),  # autograd's own forgets to undo broadcasting
    "positive": lambda x: x,
    "copy": lambda x: x * 1.0,
    "hypot": lambda x, y: np.sqrt(x * x + y * y),
    "rsqrt": lambda x: x**-0.5,
    "erf": sp.erf,
    "erfc": sp.erfc,
    "erfinv": sp.erfinv,
    "normal_cdf": norm.cdf,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": sp.expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "silu": lambda x: x * sp.expit(x),
    "gelu": gelu,
    "gelu_erf": gelu,
    "gelu_tanh": lambda x: gelu(x, "tanh"),
    "elu": lambda x, alpha=1.0: np.where(x < 0, alpha * (np.exp(np.minimum(x, 0)) - 1), x),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x < 0, x * negative_slope, x),
    "clip": clip,
    "multiply_no_nan": np.multiply,
    "divide_no_nan": np.divide,
    "sum": lambda x, axis=None, keepdims=False, dtype=None: np.sum(x, axis=axis, keepdims=keepdims),
    "mean": np.mean,
    "prod": lambda x, axis=None, keepdims=False, dtype=None: np.prod(
        x, axis=axis, keepdims=keepdims
    ),
    "max": np.max,
    "min": np.min,
    "var": lambda x, axis=None, keepdims=False, correction=0.0: np.var(
        x, axis=axis, keepdims=keepdims, ddof=correction
    ),
    "std": lambda x, axis=None, keepdims=False, correction=0.0: np.std(
        x, axis=axis, keepdims=keepdims, ddof=correction
    ),
    "logsumexp": sp.logsumexp,
    "cumulative_sum": cumulative_sum,
    "matrix_transpose": lambda x: np.swapaxes(x, -1, -2),
    "permute_dims": lambda x, axes: np.transpose(x, [a % x.ndim for a in axes]),
    "flip": flip,
    "roll": roll,
    "moveaxis": np.moveaxis,
    "broadcast_to": lambda x, shape: x * onp.ones(shape),
    "expand_dims": np.expand_dims,
    "squeeze": np.squeeze,
    "concat": lambda xs, axis=0: np.concatenate(xs, axis),
    "stack": lambda xs, axis=0: np.stack(xs, axis),
    "split": split,
    "pad": pad,
    "repeat": lambda x, repeats, axis=None: np.repeat(
        np.reshape(x, (-1,)) if axis is None else x, repeats, axis or 0
    ),
    "tril": lambda x, k=0: x * onp.tril(onp.ones(x.shape), k),
    "triu": lambda x, k=0: x * onp.triu(onp.ones(x.shape), k),
    "slice": lambda x, starts, stops, steps=(): x[window(starts, stops, steps, x.ndim)],
    "add_slice": lambda x, u, starts, stops, steps=(): add_at(
        x, window(starts, stops, steps, x.ndim), u
    ),
    "take": lambda x, i, axis=None: np.moveaxis(
        np.moveaxis(x, axis or 0, 0)[i],
        range(i.ndim),
        range((axis or 0) % x.ndim, (axis or 0) % x.ndim + i.ndim),
    ),
    "take_along_axis": lambda x, i, axis=-1: x[along(i, axis)],
    "add_along_axis": lambda x, i, u, axis=-1: add_at(x, along(i, axis), u),
    "scatter_add": lambda x, i, u, axis=0: add_at(x, scatter(i, axis), u),
    "embedding": lambda w, i: w[i],
    "vecdot": lambda x, y, axis=-1: np.sum(np.moveaxis(x, axis, -1) * np.moveaxis(y, axis, -1), -1),
    "tensordot": lambda x, y, x_axes, y_axes: np.tensordot(x, y, (x_axes, y_axes)),
    "softmax": lambda x, axis=-1: np.exp(log_softmax(x, axis)),
    "log_softmax": log_softmax,
    "softmax_cross_entropy": cross_entropy,
    "layer_norm": layer_norm,
}
WITHOUT = {
    "logaddexp_share",
    "relu_gradient",
    "silu_slope",
    "gelu_erf_slope",
    "gelu_tanh_slope",
    "gelu_tanh_gate",
    "copysign",
    "nextafter",
    "cast",
    "set_slice",
    "scatter_set",
    "place",
    "stop_gradient",
    "dropout",
    "tile",
    "narrow",
    "layer_norm_gradient",
    "log_softmax_gradient",
    "softmax_cross_entropy_gradient",
    "softmax_gradient",
}


def test_every_differentiable_op_has_a_row():
    """Convolutions, pooling and attention have references of their own, differentiated by
    differences."""
    missing = set(DIFFERENTIABLE) - set(ROWS) - WITHOUT
    missing = {n for n in missing if DECLARED[n].family not in ("conv", "attention")}
    assert not {n for n in missing if has_gradient(n)}


def has_gradient(name: str) -> bool:
    """Whether some sample has a gradient other than zero: comparisons have none."""
    op = DECLARED[name]
    for _, sample in cases(op, ("float64",)):
        outputs = native.call(name, [native.tensor(x) for x in sample.inputs], sample.attrs)
        x = [fb.asarray(i) for i in native.flat(sample.inputs) if getattr(i, "dtype", None) == "f8"]
        if not x or not any("float" in str(o.dtype) for o in outputs) or not sample.grad:
            continue
        p = Projection(op, sample)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return p.start != [] and any(onp.any(g != 0) for g in p.gradients(p.start))
    return False


@pytest.mark.parametrize("name", [n for n in DIFFERENTIABLE if n in ROWS])
def test_gradient_is_autograds(name: str):
    op, f = DECLARED[name], ROWS[name]
    with Failures(name) as failures:
        for _, sample in cases(op, ("float64",)):
            empty = any(getattr(x, "size", 1) == 0 for x in native.flat(sample.inputs))
            if (
                sample.grad
                and differentiated(op, sample)
                and not empty
                and sample.attrs.get("axis") != ()
            ):
                failures.check(sample, problem(op, sample, f))


def problem(op: OpSamples, sample, f) -> str | None:
    p = Projection(op, sample)
    got = p.gradients(p.start)
    weights = [w.numpy() for w in p.weights]

    def total(*chosen):
        left = iter(native.flat(sample.inputs))
        replaced = dict(zip(p.chosen, chosen))
        flat = [replaced.get(i, x) for i, x in enumerate(left)]
        inputs = []
        for x in sample.inputs:
            if isinstance(x, list):
                inputs.append([flat.pop(0) for _ in x])
            else:
                inputs.append(flat.pop(0))
        outputs = f(*inputs, **sample.attrs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum(np.sum(o * w) for o, w in zip(outputs, weights))

    for i in range(len(p.start)):
        want = grad(total, i)(*p.start)
        want = onp.where(onp.isnan(want), got[i], want)  # prod over several zeros
        if not onp.allclose(got[i], want, rtol=1e-8, atol=1e-9):
            return f"input {p.chosen[i]}: {got[i].ravel()[:4]}, autograd {onp.ravel(want)[:4]}"
    return None
