"""Samples of the elementwise ops: plain values, broadcasting, and the corners of each dtype."""

from __future__ import annotations

import itertools

import numpy as np
import scipy.special as sp

from ..sample import ALL, BOOL, FLOATS, INTS, NUMERIC, SIGNED, Maker, call, declare

FLOAT_CORNERS = [
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    1e-42,
    -1e-42,
    3e38,
    -3e38,
]


def corners(dtype: str) -> np.ndarray:
    if dtype in FLOATS:
        return np.array(FLOAT_CORNERS, dtype)
    if dtype == "bool":
        return np.array([False, True])
    i = np.iinfo(dtype)
    values = [i.min, i.min + 1, -7, -1, 0, 1, 2, 7, 31, 32, 63, 64, 65, i.max - 1, i.max]
    return np.array([v for v in values if i.min <= v <= i.max], dtype)


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    c = corners(dtype)
    a, b = zip(*itertools.product(c, c), strict=True)
    return np.array(a, dtype), np.array(b, dtype)


def unary(name, reference, dtypes=FLOATS, ulps=2.0, special=True, **options):
    def make(m: Maker):
        yield call(m(3, 5))
        yield call(m())
        yield call(m(0))
        yield call(m(2, 0, 3))
        yield call(m(1037))  # more than one vector, and a tail
        if special:
            yield call(corners(m.dtype), grad=False)

    def wrapped(x):
        with np.errstate(all="ignore"):
            y = reference(x)
        return y.astype(x.dtype) if y.dtype.kind == "f" else y  # NumPy scalars widen float32

    declare(name, wrapped, dtypes, make, ulps=ulps, **options)


def binary(name, reference, dtypes=NUMERIC, ulps=0.0, special=True, second=None, **options):
    def make(m: Maker):
        other = second or m
        yield call(m(3, 5), other(3, 5))
        yield call(m(3, 5), other(5))
        yield call(m(4, 1, 3), other(2, 1))
        yield call(m(), other())
        yield call(m(2, 3), other())
        yield call(m(), other(3))
        yield call(m(0, 3), other(1, 3))
        yield call(m(1037), other(1037))
        if special:
            yield call(*pairs(m.dtype), grad=False)

    def wrapped(x, y):
        with np.errstate(all="ignore"):
            return reference(x, y)

    declare(name, wrapped, dtypes, make, ulps=ulps, **options)


# --- functions of the standard over floats; integers give the default float
# ------------------------
FLOATING = FLOATS
unary("exp", np.exp)
unary("expm1", np.expm1)
unary("log", np.log, low=0.1, high=5)
unary("log1p", np.log1p, low=-0.9, high=5)
unary("log2", np.log2, low=0.1, high=5)
unary("log10", np.log10, low=0.1, high=5)
unary("sqrt", np.sqrt, low=0.1, high=5, ulps=0.5)
unary("sin", np.sin, low=-6, high=6)
unary("cos", np.cos, low=-6, high=6)
unary("tan", np.tan, low=-1.4, high=1.4)
unary("asin", np.arcsin, low=-0.95, high=0.95)
unary("acos", np.arccos, low=-0.95, high=0.95)
unary("atan", np.arctan, low=-6, high=6)
unary("sinh", np.sinh, low=-4, high=4)
unary("cosh", np.cosh, low=-4, high=4)
unary("tanh", np.tanh, low=-4, high=4)
unary("asinh", np.arcsinh, low=-4, high=4)
unary("acosh", np.arccosh, low=1.1, high=5)
unary("atanh", np.arctanh, low=-0.95, high=0.95)
unary("reciprocal", lambda x: 1 / x, low=0.2, high=4, ulps=0.5)
unary("erf", sp.erf, ulps=3)
unary("erfc", sp.erfc, ulps=8)
unary("rsqrt", lambda x: np.where(np.isinf(x) & (x > 0), 0, 1 / np.sqrt(x)), low=0.1, high=5)

unary("abs", np.abs, NUMERIC, ulps=0.0)
unary("negative", np.negative, NUMERIC, ulps=0.0)
unary("positive", np.positive, NUMERIC, ulps=0.0)
unary("square", np.square, NUMERIC, ulps=0.5)
unary("sign", np.sign, NUMERIC, ulps=0.0)
unary("ceil", lambda x: np.ceil(x).astype(x.dtype), NUMERIC, ulps=0.0)
unary("floor", lambda x: np.floor(x).astype(x.dtype), NUMERIC, ulps=0.0)
unary("trunc", lambda x: np.trunc(x).astype(x.dtype), NUMERIC, ulps=0.0)
unary("round", lambda x: np.round(x).astype(x.dtype), NUMERIC, ulps=0.0)
unary("isnan", np.isnan, NUMERIC)
unary("isinf", np.isinf, NUMERIC)
unary("isfinite", np.isfinite, NUMERIC)
unary("signbit", np.signbit, FLOATS)
unary("logical_not", np.logical_not, ALL)
unary("bitwise_invert", np.invert, BOOL + INTS)

# --- helpers of gradient rules, ops like any other ----------
unary("exp2", np.exp2)
unary("erfinv", lambda x: np.copysign(sp.erfinv(x), x), low=-0.95, high=0.95, ulps=8)
unary("normal_cdf", sp.ndtr, ulps=32, low=-4, high=4)
unary(
    "silu_slope",
    lambda x: sp.expit(x) * (1 + x * sp.expit(-x)),
    ulps=None,
    low=-4,
    high=4,
    special=False,
)
unary("gelu_erf", lambda x: x * sp.ndtr(x), ulps=16, special=False)
unary(
    "gelu_erf_slope",
    lambda x: sp.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    ulps=None,
    special=False,
)


def _gate(x):
    return 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _gate_slope(x):
    g = _gate(x)
    return g + x * 2 * g * (1 - g) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)


unary("gelu_tanh_gate", _gate, ulps=16, special=False)
unary("gelu_tanh", lambda x: x * _gate(x), ulps=16, special=False)
unary("gelu_tanh_slope", _gate_slope, ulps=None, special=False)

# --- two inputs ----------
binary("add", np.add, ALL)
binary("subtract", np.subtract)
binary("multiply", np.multiply, ALL)
binary("divide", np.divide, FLOATS, low=0.3, high=3)
binary("floor_divide", np.floor_divide, low=0.3, high=4)
binary("remainder", np.remainder, low=0.3, high=4)
binary("pow", lambda x, y: np.power(x, y), ("uint8", *FLOATS), ulps=4, low=0.3, high=3)
binary("atan2", np.arctan2, FLOATS, ulps=3)
binary("hypot", np.hypot, FLOATS, ulps=3)
binary("copysign", np.copysign, FLOATS)
binary("nextafter", np.nextafter, FLOATS)
binary("logaddexp", np.logaddexp, FLOATS, ulps=None, rtol={"float32": 1e-6, "float64": 1e-14})
binary("maximum", np.maximum, ALL)
binary("minimum", np.minimum, ALL)
for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    binary(_name, getattr(np, _name), ALL)
for _name in ("logical_and", "logical_or", "logical_xor"):
    binary(_name, getattr(np, _name), ALL)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    binary(_name, getattr(np, _name), BOOL + INTS)
binary("bitwise_left_shift", np.left_shift, INTS)
binary("bitwise_right_shift", np.right_shift, INTS)

binary("multiply_no_nan", lambda x, y: np.where(y == 0, 0, x * y).astype(x.dtype), FLOATS)
binary("divide_no_nan", lambda x, y: np.where(y == 0, 0, x / y).astype(x.dtype), FLOATS)
binary(
    "larger_share",
    lambda x, y: np.where(x < y, 0, np.where(x == y, 0.5, 1)).astype(x.dtype),
    FLOATS,
)
binary(
    "logaddexp_share",
    lambda x, y: np.where(x == y, 0.5, sp.expit(x - y)),
    FLOATS,
    ulps=8,
    special=False,
)
binary("relu_gradient", lambda x, y: np.where(y <= 0, 0, x).astype(x.dtype), FLOATS)

# --- activations ----------
unary("relu", lambda x: np.where(x < 0, 0, x).astype(x.dtype), SIGNED + FLOATS, ulps=0.0)
unary("sigmoid", sp.expit, ulps=4, low=-4, high=4)
unary("softplus", lambda x: np.logaddexp(x, 0), ulps=4, low=-4, high=4)


def _silu(x):
    y = x * sp.expit(x)
    return np.where(np.isneginf(x), 0.0 * np.ones_like(x), y)


unary("silu", _silu, ulps=6, low=-4, high=4, special=False)


def _gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * sp.erfc(-x / np.sqrt(2))


declare(
    "gelu",
    lambda x, **attrs: _gelu(x, **attrs).astype(x.dtype),
    FLOATS,
    lambda m: [
        call(m(3, 5)),
        call(m()),
        call(m(0, 2)),
        call(m(1037)),
        call(m(3, 5), approximate="tanh"),
        call(np.array([np.nan, np.inf, 0.0, -0.0], m.dtype), grad=False),
    ],
    rtol={"float32": 4e-6, "float64": 1e-12},
)
declare(
    "leaky_relu",
    lambda x, negative_slope=0.01: np.where(x < 0, x * negative_slope, x).astype(x.dtype),
    FLOATS,
    lambda m: [call(m(3, 5)), call(m(3, 5), negative_slope=0.3), call(m()), call(m(0))],
)
declare(
    "elu",
    lambda x, alpha=1.0: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x).astype(x.dtype),
    FLOATS,
    lambda m: [call(m(3, 5)), call(m(3, 5), alpha=0.3), call(m()), call(m(0))],
)


declare(
    "clip",
    np.clip,
    NUMERIC,
    lambda m: [
        call(m(3, 5), m(low=0, high=0), m(low=1, high=1)),
        call(m(3, 5), m(5, low=-1, high=0), m(3, 1, low=1, high=2)),
        call(m(), m(low=-1, high=0), m(low=1, high=2)),
        call(m(0, 2), m(low=0, high=0), m(low=1, high=1)),
        call(corners(m.dtype), np.array(1, m.dtype), np.array(3, m.dtype), grad=False),
    ],
)
declare(
    "where",
    np.where,
    ALL,
    lambda m: [
        call(m(3, 5, dtype="bool"), m(3, 5), m(3, 5)),
        call(m(3, 1, dtype="bool"), m(5), m(1, 5)),
        call(m(dtype="bool"), m(), m()),
        call(m(0, 3, dtype="bool"), m(3), m(1)),
    ],
)
