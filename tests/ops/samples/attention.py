"""Samples of attention: the block-wise kernels against whole matrices in float64."""

from __future__ import annotations

import numpy as np

from ..sample import FLOATS, Maker, call, declare, fails

# query and key shapes, and the width of the values: even and odd, one block and several, unlike
# lengths, grouped and multi-query heads, no heads at all, nothing to look at.
SHAPES = [
    ((2, 3, 5, 4), (2, 3, 7, 4), 6),
    ((1, 2, 70, 8), (1, 2, 70, 8), 8),
    ((2, 4, 3, 4), (2, 2, 5, 4), 4),
    ((2, 4, 3, 4), (2, 1, 5, 4), 3),
    ((3, 4), (5, 4), 2),
    ((2, 3, 4), (2, 5, 4), 2),
    ((1, 1, 1, 4), (1, 1, 9, 4), 4),
    ((2, 1, 2, 6, 4), (2, 1, 2, 3, 4), 4),
]
LARGE = [((1, 1, 130, 4), (1, 1, 600, 4), 5), ((1, 2, 300, 16), (1, 1, 300, 16), 16)]
EMPTY = [((2, 2, 3, 4), (2, 2, 0, 4), 4), ((2, 2, 0, 4), (2, 2, 3, 4), 4)]


def _scores(query, key, mask, scale, causal):
    key = np.repeat(key, query.shape[-3] // key.shape[-3], -3) if query.ndim > 2 else key
    s = query @ np.swapaxes(key, -1, -2) * (scale or query.shape[-1] ** -0.5)
    s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    return np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if causal else s


def _shared(d, like):
    """The sum over the heads that share one of `like`'s."""
    if d.ndim < 3 or d.shape[-3] == like.shape[-3]:
        return d
    groups = d.shape[-3] // like.shape[-3]
    return d.reshape(*d.shape[:-3], like.shape[-3], groups, *d.shape[-2:]).sum(-3)


def _repeated(x, query):
    return np.repeat(x, query.shape[-3] // x.shape[-3], -3) if x.ndim > 2 else x


def _attention(query, key, value, mask, scale=0.0, causal=False):
    q, k, v = (x.astype("f8") for x in (query, key, value))
    with np.errstate(all="ignore"):
        s = _scores(q, k, mask, scale, causal)
        top = s.max(-1, keepdims=True, initial=-np.inf)
        top = np.where(top == -np.inf, 0, top)
        e = np.exp(s - top)
        size = e.sum(-1, keepdims=True)
        y = np.where(size == 0, 0, e @ _repeated(v, q) / np.where(size == 0, 1, size))
        lse = (top + np.log(size))[..., 0]
    return y.astype(query.dtype), lse.astype(query.dtype)


def _gradient(query, key, value, mask, y, logsumexp, dy, dlogsumexp, scale=0.0, causal=False):
    q, k, v, o, d = (x.astype("f8") for x in (query, key, value, y, dy))
    s = _scores(q, k, mask, scale, causal)
    size = logsumexp.astype("f8")[..., None]
    p = np.exp(s - np.where(size == -np.inf, 0, size))
    dp = d @ np.swapaxes(_repeated(v, q), -1, -2)
    shift = (d * o).sum(-1, keepdims=True) - dlogsumexp.astype("f8")[..., None]
    ds = p * (dp - shift) * (scale or q.shape[-1] ** -0.5)
    dk, dv = np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p, -1, -2) @ d
    grads = ds @ _repeated(k, q), _shared(dk, k), _shared(dv, v)
    return tuple(g.astype(query.dtype) for g in grads)


TRUE = np.array(True)


def _operands(m: Maker, shapes):
    query, key, width = shapes
    return m(*query), m(*key), m(*key[:-1], width)


def _masks(m: Maker, shapes):
    """Attributes and masks to try one shape with."""
    query, key, _ = shapes
    t, s = query[-2], key[-2]
    some = m.rng.integers(0, 4, (t, s)) > 0
    some[:, :1] = True
    yield some, {}
    yield some[:1], {"causal": True}
    yield m(*query[:-1], s), {"scale": 0.7}
    yield m(t, 1), {}


def _known_heads(shapes):
    """Grouped heads are a matter of numbers: inferring over symbols may refuse them."""
    query, key, _ = shapes
    return len(query) < 3 or query[-3] == key[-3]


def _calls(m: Maker):
    def sample(shapes, mask, grad, **attrs):
        symbolic = _known_heads(shapes)
        return call(*_operands(m, shapes), mask, symbolic=symbolic, grad=grad, **attrs)

    for shapes in SHAPES + LARGE:
        grad = shapes in SHAPES and shapes[0][-2] < 64
        yield sample(shapes, TRUE, grad)
        yield sample(shapes, TRUE, grad, causal=True)
    for shapes in [SHAPES[0], SHAPES[2], SHAPES[4], LARGE[0]]:
        for mask, attrs in _masks(m, shapes):
            yield sample(shapes, mask, shapes in SHAPES, **attrs)
    for shapes in EMPTY:
        yield sample(shapes, TRUE, False)
    nowhere = np.ones((5, 7), bool)
    nowhere[2] = False
    yield sample(SHAPES[0], nowhere, False)  # a logsumexp of minus infinity
    yield sample(SHAPES[0], np.array(False), False)
    query, key, value = _operands(m, SHAPES[0])
    query[0, 0, 0, 0] = np.nan
    yield call(query, key, value, TRUE, grad=False)
    yield call(query * 1e4, key, value, TRUE, grad=False)


def _gradient_calls(m: Maker):
    for sample in _calls(m):
        q, k, v, mask = sample.inputs
        if np.isnan(q).any() or abs(q).max(initial=0) > 100:
            continue
        y, lse = _attention(q, k, v, mask, **sample.attrs)
        # Keys that nobody sees make the derivative by logsumexp meaningless, not wrong.
        grad = sample.grad and bool(np.isfinite(lse).all())
        dy, dlse = m(*y.shape), m(*lse.shape)
        symbolic = sample.symbolic
        yield call(q, k, v, mask, y, lse, dy, dlse, symbolic=symbolic, grad=grad, **sample.attrs)


def _f4(*shapes):
    return [np.ones(s, "f4") for s in shapes]


declare(
    "attention",
    _attention,
    FLOATS,
    _calls,
    low=-1.5,
    high=1.5,
    rtol={"float32": 3e-5, "float64": 1e-11},
    errors=[
        fails("ShapeError", "at least 2 axes", *_f4((4,), (4,), (4,)), TRUE),
        fails("ShapeError", "as many axes", *_f4((2, 3, 4), (3, 4), (3, 4)), TRUE),
        fails("ShapeError", "last axes", *_f4((3, 4), (3, 5), (3, 4)), TRUE),
        fails("ShapeError", "as long", *_f4((3, 4), (3, 4), (2, 4)), TRUE),
        fails("ShapeError", "a multiple", *_f4((3, 2, 4), (2, 2, 4), (2, 2, 4)), TRUE),
        fails("ShapeError", "axis 0", *_f4((3, 2, 2, 4), (2, 2, 2, 4), (2, 2, 2, 4)), TRUE),
        fails("ShapeError", "broadcast", *_f4((3, 4), (5, 4), (5, 4)), np.ones((3, 3), bool)),
        fails("DTypeError", "mask", *_f4((3, 4), (5, 4), (5, 4)), np.ones((3, 5), "f8")),
    ],
)
declare(
    "attention_gradient",
    _gradient,
    FLOATS,
    _gradient_calls,
    low=-1.5,
    high=1.5,
    rtol={"float32": 1e-4, "float64": 1e-10},
    errors=[
        fails(
            "ShapeError",
            "dy is",
            *_f4((3, 4), (5, 4), (5, 4)),
            TRUE,
            *_f4((3, 4), (3,), (3, 5), (3,)),
        )
    ],
)
