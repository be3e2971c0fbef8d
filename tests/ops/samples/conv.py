"""Samples of convolutions and pooling: strides, paddings, dilation, groups, odd and zero sizes.

The references walk over the taps of a window in NumPy, in float64.
"""

from __future__ import annotations

import numpy as np

from ..sample import FLOATS, Maker, call, declare, fails

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def _pair(v, otherwise=1):
    v = (v,) if np.isscalar(v) else tuple(v)
    return v * 2 if len(v) == 1 else v or (otherwise, otherwise)


def _axis(n, size, stride, dilation, padding, pads):
    """Positions of a window along one axis, and the padding before and after the axis."""
    reach = (size - 1) * dilation + 1
    before, after = pads or (0, 0)
    if not pads and padding == "same":
        out = -(-n // stride)
        total = max((out - 1) * stride + reach - n, 0) if n else 0
        before, after = total // 2, total - total // 2
        return out, before, after
    return (n + before + after - reach) // stride + 1, before, after


class Windows:
    """All windows over an image of h x w, as one strided view for each tap."""

    def __init__(self, h, w, kh, kw, strides, padding, pads, dilation):
        self.k, self.s, self.d = (kh, kw), _pair(strides), _pair(dilation)
        pads = (pads,) * 4 if np.isscalar(pads) else tuple(pads) * (4 if len(pads) == 1 else 1)
        axes = [
            _axis(n, self.k[i], self.s[i], self.d[i], padding, pads[2 * i : 2 * i + 2])
            for i, n in enumerate((h, w))
        ]
        self.size = (h, w)
        self.out = tuple(a[0] for a in axes)
        self.pads = tuple(a[1:] for a in axes)

    def pad(self, x, value=0.0):
        room = [(b, max(a, 0)) for b, a in self.pads]
        return np.pad(x, [(0, 0), *room, (0, 0)], constant_values=value)

    def taps(self, padded):
        for i in range(self.k[0]):
            for j in range(self.k[1]):
                r, c = i * self.d[0], j * self.d[1]
                yield (
                    (i, j),
                    padded[
                        :,
                        r : r + (self.out[0] - 1) * self.s[0] + 1 : self.s[0],
                        c : c + (self.out[1] - 1) * self.s[1] + 1 : self.s[1],
                    ]
                    if min(self.out) > 0
                    else padded[:, :0, :0],
                )

    def crop(self, padded):
        (top, _), (left, _) = self.pads
        return padded[:, top : top + self.size[0], left : left + self.size[1]]


def _split(x, groups):  # [..., c] -> [..., groups, c / groups]
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _conv2d(x, w, strides=1, padding="valid", pads=(), dilation=1, groups=1):
    win = Windows(x.shape[1], x.shape[2], w.shape[0], w.shape[1], strides, padding, pads, dilation)
    y = np.zeros((x.shape[0], *win.out, groups, w.shape[3] // groups))
    for (i, j), tap in win.taps(win.pad(x.astype("f8"))):
        y += np.einsum(
            "nhwgc,cgo->nhwgo", _split(tap, groups), _split(w[i, j].astype("f8"), groups)
        )
    return y.reshape(*y.shape[:3], w.shape[3]).astype(x.dtype)


def _input_gradient(dy, w, size, strides=1, padding="valid", pads=(), dilation=1, groups=1):
    win = Windows(*size, w.shape[0], w.shape[1], strides, padding, pads, dilation)
    padded = win.pad(np.zeros((dy.shape[0], *size, w.shape[2] * groups)))
    for (i, j), tap in win.taps(padded):
        part = np.einsum(
            "nhwgo,cgo->nhwgc",
            _split(dy.astype("f8"), groups),
            _split(w[i, j].astype("f8"), groups),
        )
        tap += part.reshape(tap.shape)
    return win.crop(padded).astype(dy.dtype)


def _weights_gradient(x, dy, size, strides=1, padding="valid", pads=(), dilation=1, groups=1):
    win = Windows(x.shape[1], x.shape[2], *size, strides, padding, pads, dilation)
    dw = np.zeros((*size, x.shape[3] // groups, dy.shape[3]))
    for (i, j), tap in win.taps(win.pad(x.astype("f8"))):
        part = np.einsum("nhwgc,nhwgo->cgo", _split(tap, groups), _split(dy.astype("f8"), groups))
        dw[i, j] = part.reshape(dw.shape[2:])
    return dw.astype(x.dtype)


# image [n, h, w, c], weights' [kh, kw, outputs], attributes
# Weights have their sizes before a graph does; over symbolic images see test_infer.py.
CASES = [
    ((2, 5, 6, 3), (3, 3, 4), {}),
    ((1, 4, 4, 1), (2, 2, 1), {}),
    ((2, 5, 6, 3), (1, 1, 4), {}),
    ((2, 5, 6, 3), (1, 1, 4), {"strides": 2}),
    ((2, 6, 5, 2), (3, 3, 4), {"padding": "same"}),
    ((2, 6, 5, 2), (3, 2, 4), {"padding": "same", "strides": (2, 3)}),
    ((2, 7, 6, 2), (3, 3, 3), {"pads": (1, 2, 0, 1), "strides": (2, 1)}),
    ((1, 9, 8, 2), (3, 2, 3), {"dilation": (2, 3)}),
    ((1, 6, 6, 4), (3, 3, 6), {"groups": 2, "padding": "same"}),
    ((2, 6, 6, 5), (3, 3, 5), {"groups": 5, "pads": 1}),
    ((1, 5, 5, 17), (3, 3, 33), {"padding": "same"}),
    ((0, 5, 6, 3), (3, 3, 4), {}),
    ((2, 5, 6, 0), (3, 3, 4), {}),
    ((2, 5, 6, 3), (3, 3, 0), {}),
]


def _weights(m: Maker, x, w, attrs):
    return m(*w[:2], x[3] // attrs.get("groups", 1), w[2])


def _windows(x, w, attrs):
    rest = {"strides": 1, "padding": "valid", "pads": (), "dilation": 1, **attrs}
    rest.pop("groups", None)
    return Windows(*x[1:3], *w[:2], **rest)


def _convolutions(m: Maker):
    for x, w, attrs in CASES:
        yield call(m(*x), _weights(m, x, w, attrs), symbolic=False, **attrs)


def _input_gradients(m: Maker):
    for x, w, attrs in CASES:
        dy = m(x[0], *_windows(x, w, attrs).out, w[2])
        yield call(dy, _weights(m, x, w, attrs), size=x[1:3], symbolic=False, **attrs)


def _weights_gradients(m: Maker):
    for x, w, attrs in CASES:
        dy = m(x[0], *_windows(x, w, attrs).out, w[2])
        yield call(m(*x), dy, size=w[:2], symbolic=False, **attrs)


def _bad(*shapes, error="ShapeError", text="", **attrs):
    return fails(error, text, *(np.ones(s, "f4") for s in shapes), **attrs)


declare(
    "conv2d",
    _conv2d,
    FLOATS,
    _convolutions,
    rtol=TOLERANCE,
    errors=[
        _bad((5, 6, 3), (3, 3, 3, 4), text="4 axes"),
        _bad((2, 5, 6, 3), (3, 3, 4), text="4 axes"),
        _bad((2, 5, 6, 3), (3, 3, 2, 4), text="3 channels"),
        _bad((2, 5, 6, 4), (3, 3, 2, 3), text="evenly", groups=2),
        _bad((2, 2, 6, 3), (3, 3, 3, 4), text="reaches over 3"),
        _bad((2, 5, 6, 3), (3, 3, 3, 4), error="ArgumentError", text="strides", strides=0),
        _bad((2, 5, 6, 3), (3, 3, 3, 4), error="ArgumentError", text="strides", strides=(1, 2, 3)),
        _bad((2, 5, 6, 3), (3, 3, 3, 4), error="ArgumentError", text="padding", padding="full"),
        _bad((2, 5, 6, 3), (3, 3, 3, 4), error="ArgumentError", text="pads", pads=(1, 2)),
        _bad((2, 5, 6, 3), (3, 3, 3, 4), error="ArgumentError", text="pads", pads=-1),
        _bad((2, 5, 6, 3), (3, 3, 3, 4), error="ArgumentError", text="groups", groups=0),
    ],
)
declare(
    "conv2d_input_gradient",
    _input_gradient,
    FLOATS,
    _input_gradients,
    rtol=TOLERANCE,
    errors=[
        _bad((2, 3, 4, 4), (3, 3, 3, 4), text="positions", size=(6, 6)),
        _bad((2, 3, 4, 4), (3, 3, 3, 5), text="outputs", size=(5, 6)),
        _bad((2, 3, 4, 4), (3, 3, 3, 4), error="ArgumentError", text="size", size=(5,)),
    ],
)
declare(
    "conv2d_weights_gradient",
    _weights_gradient,
    FLOATS,
    _weights_gradients,
    rtol=TOLERANCE,
    errors=[
        _bad((2, 5, 6, 3), (2, 3, 4, 4), text="positions", size=(2, 3)),
        _bad((2, 5, 6, 3), (1, 3, 4, 4), text="first axes", size=(3, 3)),
    ],
)


def _transposed(n, k, stride, dilation, padding, pads):
    reach = (k - 1) * dilation + 1
    if pads:
        return (n - 1) * stride + reach - sum(pads)
    return n * stride if padding == "same" else n * stride + max(reach - stride, 0)


def _conv2d_transpose(x, w, strides=1, padding="valid", pads=(), dilation=1, groups=1):
    s, d = _pair(strides), _pair(dilation)
    p = (pads,) * 4 if np.isscalar(pads) else tuple(pads)
    size = [
        _transposed(x.shape[1 + i], w.shape[i], s[i], d[i], padding, p[2 * i : 2 * i + 2])
        for i in range(2)
    ]
    return _input_gradient(x, w, size, strides, padding, pads, dilation, groups)


def _transposes(m: Maker):
    for attrs in (
        {},
        {"strides": 2},
        {"strides": (3, 1), "padding": "same"},
        {"strides": 2, "pads": (1, 0, 1, 1)},
        {"dilation": 2, "strides": 2},
    ):
        yield call(m(2, 4, 3, 3), m(3, 2, 5, 3), symbolic=False, **attrs)
    yield call(m(1, 4, 4, 6), m(2, 2, 2, 6), groups=3, strides=2, symbolic=False)
    yield call(m(1, 3, 3, 2), m(2, 2, 4, 2), strides=3, symbolic=False)


declare(
    "conv2d_transpose",
    _conv2d_transpose,
    FLOATS,
    _transposes,
    rtol=TOLERANCE,
    errors=[_bad((2, 4, 3, 3), (3, 2, 5, 4), text="outputs")],
)


def _row(attrs):
    """The attributes of the two-dimensional op that does this over images of one row."""
    two = dict(attrs)
    for one, both in (("stride", "strides"), ("dilation", "dilation")):
        if one in two:
            two[both] = (1, two.pop(one))
    if "pads" in two:
        pads = two["pads"]
        two["pads"] = (0, 0, *((pads, pads) if np.isscalar(pads) else pads))
    return two


declare(
    "conv1d",
    lambda x, w, **attrs: _conv2d(x[:, None], w[None], **_row(attrs))[:, 0],
    FLOATS,
    lambda m: [
        call(m(2, 7, 3), m(3, 3, 4), symbolic=False),
        call(m(2, 7, 3), m(2, 3, 4), padding="same", stride=2, symbolic=False),
        call(m(1, 8, 4), m(3, 2, 6), pads=(2, 0), dilation=2, groups=2, symbolic=False),
        call(m(2, 6, 2), m(3, 2, 2), pads=2, symbolic=False),
    ],
    rtol=TOLERANCE,
    errors=[_bad((7, 3), (3, 3, 4), text="3 axes")],
)
declare(
    "conv1d_transpose",
    lambda x, w, **attrs: _conv2d_transpose(x[:, None], w[None], **_row(attrs))[:, 0],
    FLOATS,
    lambda m: [
        call(m(2, 4, 3), m(3, 4, 3), symbolic=False),
        call(m(2, 4, 3), m(2, 4, 3), stride=2, symbolic=False),
        call(m(2, 4, 3), m(3, 4, 3), stride=2, padding="same", symbolic=False),
    ],
    rtol=TOLERANCE,
    errors=[_bad((7, 3), (3, 3, 4), text="3 axes")],
)


# ---- pooling -----------------------------------------------------------------------------------


def _pool_windows(x, window=2, strides=(), padding="valid", pads=()):
    window = _pair(window)
    return Windows(*x[1:3], *window, strides or window, padding, pads, 1)


def _stacked(x, value, **attrs):
    """All entries of each window, along a new first axis."""
    win = _pool_windows(x.shape, **attrs)
    return np.stack([tap for _, tap in win.taps(win.pad(x.astype("f8"), value))])


def _max_pool2d(x, **attrs):
    return np.max(_stacked(x, -np.inf, **attrs), 0).astype(x.dtype)


def _hits(x, y, **attrs):
    taps = _stacked(x, -np.inf, **attrs)
    hit = ((taps == y) | (np.isnan(taps) & np.isnan(y))).astype("f8")
    return hit / hit.sum(0)


def _max_pool2d_gradient(x, y, dy, **attrs):
    win = _pool_windows(x.shape, **attrs)
    padded = win.pad(np.zeros(x.shape))
    for (_, tap), share in zip(win.taps(padded), _hits(x, y, **attrs), strict=True):
        tap += share * dy
    return win.crop(padded).astype(x.dtype)


def _max_pool2d_double_gradient(x, y, g, **attrs):
    return (_hits(x, y, **attrs) * _stacked(g, 0.0, **attrs)).sum(0).astype(x.dtype)


def _avg_pool2d(x, **attrs):
    total = _stacked(x, 0.0, **attrs).sum(0)
    return (total / _stacked(np.ones(x.shape), 0.0, **attrs).sum(0)).astype(x.dtype)


def _avg_pool2d_gradient(dy, size, **attrs):
    shape = (dy.shape[0], *size, dy.shape[3])
    win = _pool_windows(shape, **attrs)
    padded = win.pad(np.zeros(shape))
    share = dy.astype("f8") / _stacked(np.ones(shape), 0.0, **attrs).sum(0)
    for _, tap in win.taps(padded):
        tap += share
    return win.crop(padded).astype(dy.dtype)


POOLS = [
    ((2, 4, 6, 3), {}),
    ((2, 5, 7, 3), {}),
    ((1, 5, 6, 2), {"window": 3, "strides": 1}),
    ((1, 6, 5, 2), {"window": (3, 2), "strides": (2, 1), "padding": "same"}),
    ((2, 6, 5, 1), {"window": 3, "strides": 2, "pads": (1, 1, 2, 0)}),
    ((1, 3, 4, 300), {"window": 2, "strides": 1}),
    ((0, 4, 4, 3), {}),
    ((2, 4, 4, 0), {}),
]
NAN = np.array([[1, np.nan], [3, 2], [np.inf, 4], [-np.inf, -np.inf]]).reshape(1, 2, 4, 1)
TIES = np.array([[1.0, 1.0, 2.0, 1.0], [1.0, 0.0, 2.0, 2.0]]).reshape(1, 2, 4, 1)
POOL_ERRORS = [
    _bad((4, 6, 3), text="4 axes"),
    _bad((2, 1, 6, 3), text="reaches over"),
    _bad((2, 4, 6, 3), error="ArgumentError", text="reach out", pads=2),
    _bad((2, 4, 6, 3), error="ArgumentError", text="window", window=0),
]


def _pools(m: Maker):
    for x, attrs in POOLS:
        yield call(m(*x), symbolic="padding" not in attrs, **attrs)
    yield call(NAN.astype(m.dtype), grad=False)
    yield call(TIES.astype(m.dtype), grad=False)


def _max_gradients(m: Maker):
    for x, attrs in POOLS:
        image = m(*x)
        y = _max_pool2d(image, **attrs)
        yield call(image, y, m(*y.shape), symbolic=False, **attrs)
    for image in (NAN, TIES):
        image = image.astype(m.dtype)
        y = _max_pool2d(image)
        yield call(image, y, m(*y.shape), symbolic=False)


def _picks(m: Maker):
    for x, attrs in POOLS:
        image = m(*x)
        yield call(image, _max_pool2d(image, **attrs), m(*x), symbolic=False, **attrs)
    ties = TIES.astype(m.dtype)
    yield call(ties, _max_pool2d(ties), m(*ties.shape), symbolic=False)


def _avg_gradients(m: Maker):
    for x, attrs in POOLS:
        dy = m(x[0], *_pool_windows(x, **attrs).out, x[3])
        yield call(dy, size=x[1:3], symbolic=False, **attrs)


declare("max_pool2d", _max_pool2d, FLOATS, _pools, errors=POOL_ERRORS)
declare(
    "max_pool2d_gradient",
    _max_pool2d_gradient,
    FLOATS,
    _max_gradients,
    grad=[2],
    errors=[_bad((2, 4, 4, 3), (2, 2, 2, 3), (2, 2, 3, 3), text="dy is")],
)
declare(
    "max_pool2d_double_gradient",
    _max_pool2d_double_gradient,
    FLOATS,
    _picks,
    grad=[2],
    errors=[_bad((2, 4, 4, 3), (2, 2, 2, 3), (2, 2, 3, 3), text="g is")],
)
declare("avg_pool2d", _avg_pool2d, FLOATS, _pools, errors=POOL_ERRORS)
declare(
    "avg_pool2d_gradient",
    _avg_pool2d_gradient,
    FLOATS,
    _avg_gradients,
    errors=[_bad((2, 2, 2, 3), text="dy is", size=(6, 4))],
)


def _pool_row(window=2, stride=0, padding="valid", pads=()):
    two = {"window": (1, window), "strides": (1, stride or window), "padding": padding}
    if np.isscalar(pads) or pads:
        two["pads"] = (0, 0, *((pads, pads) if np.isscalar(pads) else pads))
    return two


def _signals(m: Maker):
    yield call(m(2, 7, 3))
    yield call(m(2, 7, 3), window=3, stride=1, pads=(1, 2))
    yield call(m(1, 8, 2), window=3, stride=2, padding="same", symbolic=False)


for _name, _two in (("max_pool1d", _max_pool2d), ("avg_pool1d", _avg_pool2d)):
    declare(
        _name,
        lambda x, _two=_two, **attrs: _two(x[:, None], **_pool_row(**attrs))[:, 0],
        FLOATS,
        _signals,
        errors=[_bad((7, 3), text="3 axes")],
    )


def _places(m: Maker):
    yield call(m(2, 4, 3, 5))
    yield call(m(2, 7, 3))
    yield call(m(2, 3, 2, 2, 4))


declare(
    "global_max_pool",
    lambda x: x.max(tuple(range(1, x.ndim - 1))),
    FLOATS,
    _places,
    errors=[_bad((7, 3), text="3 axes")],
)
declare(
    "global_avg_pool",
    lambda x: x.mean(tuple(range(1, x.ndim - 1)), dtype="f8").astype(x.dtype),
    FLOATS,
    _places,
    errors=[_bad((7, 3), text="3 axes")],
)


# ---- batch normalisation -----------------------------------------------------------------------


def _rows(x):
    return tuple(range(x.ndim - 1))


def _batch_norm(x, weight, bias, epsilon=1e-5):
    with np.errstate(all="ignore"):
        wide = x.astype("f8")
        mean, var = wide.mean(_rows(x)), wide.var(_rows(x))
    y = (wide - mean) / np.sqrt(var + epsilon) * weight + bias
    return tuple(r.astype(x.dtype) for r in (y, mean, var))


def _batch_norm_gradient(x, weight, mean, variance, dy, dmean, dvariance, epsilon=1e-5):
    rows, n = _rows(x), max(x.size // max(x.shape[-1], 1), 1)
    far, s = x.astype("f8") - mean, 1 / np.sqrt(variance.astype("f8") + epsilon)
    dbias, dweight = dy.sum(rows, dtype="f8"), (dy * far).sum(rows) * s
    dx = weight * s * (dy - dbias / n - far * s * dweight / n) + dmean / n + 2 * far * dvariance / n
    return tuple(r.astype(x.dtype) for r in (dx, dweight, dbias))


BATCHES = [(6, 4), (2, 3, 4, 5), (3, 2, 1), (700, 3), (5, 80)]


def _batches(m: Maker):
    for shape in BATCHES:
        c = shape[-1]
        yield call(m(*shape), m(c), m(c))
    yield call(m(6, 4), m(4), m(4), epsilon=0.1)
    yield call(m(3, 0), m(0), m(0))


def _batch_gradients(m: Maker):
    for shape in BATCHES:
        c, x = shape[-1], m(*shape)
        wide = x.astype("f8")
        stats = [r.astype(x.dtype) for r in (wide.mean(_rows(x)), wide.var(_rows(x)))]
        yield call(x, m(c), *stats, m(*shape), m(c), m(c))


declare(
    "batch_norm",
    _batch_norm,
    FLOATS,
    _batches,
    rtol={"float32": 3e-5, "float64": 1e-10},
    errors=[
        _bad((4,), (4,), (4,), text="at least 2 axes"),
        _bad((3, 4), (3,), (4,), text="4 channels"),
        _bad((3, 4), (4,), (4, 1), text="4 channels"),
    ],
)
declare(
    "batch_norm_gradient",
    _batch_norm_gradient,
    FLOATS,
    _batch_gradients,
    rtol={"float32": 3e-5, "float64": 1e-10},
)
declare(
    "batch_norm_inference",
    lambda x, weight, bias, mean, variance, epsilon=1e-5: (
        (x - mean.astype("f8")) / np.sqrt(variance + np.float64(epsilon)) * weight + bias
    ).astype(x.dtype),
    FLOATS,
    lambda m: [
        call(m(6, 4), m(4), m(4), m(4), m(4, low=0.5)),
        call(m(2, 3, 4), m(4), m(4), m(4), m(4, low=0.5), epsilon=0.1),
        call(m(0, 4), m(4), m(4), m(4), m(4, low=0.5)),
    ],
    rtol={"float32": 1e-5, "float64": 1e-12},
    errors=[_bad((3, 4), (4,), (4,), (3,), (4,), text="mean is")],
)
