"""Samples of the optimizer steps: lists of parameters, gradients and slots in one call."""

from __future__ import annotations

import numpy as np

from ..sample import FLOATS, Maker, call, declare, fails

SHAPES = [(3, 5), (7,), (), (0, 2), (40, 30)]


def groups(m: Maker, n: int, *numbers: float):
    """`n` groups of tensors of the same shapes, then 0-d numbers; second moments are positive."""
    tensors = [m(*s) for _ in range(min(n, 3)) for s in SHAPES]
    if n == 4:
        tensors += [m(*s, low=0.1, high=2.0) for s in SHAPES]
    return [*tensors, *(np.array(v, m.dtype) for v in numbers)]


def split(xs, n, scalars):
    k = (len(xs) - scalars) // n
    wide = [x.astype("f8") for x in xs]
    return [wide[i * k : (i + 1) * k] for i in range(n)] + [
        float(v) for v in xs[len(xs) - scalars :]
    ]


def _sgd(xs, momentum=0.0, weight_decay=0.0, nesterov=False):
    """Sutskever et al. (2013), as most frameworks have it: v = momentum v + g; p = p - rate v."""
    n = 3 if momentum else 2
    params, grads, *velocities, rate = split(xs, n, 1)
    out_p, out_v = [], []
    for i, (p, g) in enumerate(zip(params, grads)):
        g = g + weight_decay * p
        v = momentum * velocities[0][i] + g if momentum else g
        out_p.append(p - rate * (g + momentum * v if nesterov else v))
        out_v.append(v)
    out = out_p + (out_v if momentum else [])
    return [np.asarray(y).astype(xs[0].dtype) for y in out]


def _adam(xs, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=False):
    """Kingma and Ba (2015); `decoupled`: Loshchilov and Hutter (2019). `step` counts from one."""
    params, grads, ms, vs, rate, step = split(xs, 4, 2)
    out = [[], [], []]
    for p, g, m, v in zip(params, grads, ms, vs):
        if not decoupled:
            g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        if decoupled:
            p = p - rate * weight_decay * p
        p = p - rate * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + epsilon)
        for group, y in zip(out, (p, m, v)):
            group.append(y)
    return [np.asarray(y).astype(xs[0].dtype) for group in out for y in group]


a, b = np.ones((2, 3), "f4"), np.ones((3, 2), "f4")
rate = np.array(0.1, "f4")
declare(
    "sgd",
    _sgd,
    FLOATS,
    lambda m: [
        call(groups(m, 2, 0.1)),
        call(groups(m, 2, 0.1), weight_decay=0.01),
        call(groups(m, 3, 0.1), momentum=0.9),
        call(groups(m, 3, 0.1), momentum=0.9, nesterov=True, weight_decay=0.1),
    ],
    errors=[
        fails("ShapeError", r"", [a, b, rate]),
        fails("ArgumentError", r"momentum", [a, a, a, rate], momentum=-0.5),
        fails("ArgumentError", r"", [a, a, a, rate]),
        fails("ShapeError", r"", [a, a, np.ones(2, "f4")]),
    ],
)
declare(
    "adam",
    _adam,
    FLOATS,
    lambda m: [
        call(groups(m, 4, 0.1, 1)),
        call(groups(m, 4, 0.1, 1000)),
        call(groups(m, 4, 0.1, 3), beta1=0.5, beta2=0.9, epsilon=0.1, weight_decay=0.1),
        call(groups(m, 4, 0.1, 3), weight_decay=0.1, decoupled=True),
    ],
    errors=[
        fails("ArgumentError", r"beta1", [a, a, a, a, rate, rate], beta1=1.0),
        fails("ShapeError", r"", [a, b, a, a, rate, rate]),
    ],
    rtol={"float32": 1e-5},
)
