"""References of the optimizer updates, as their papers write them. The records' samples follow
their signature (lists of parameters, gradients and slots)."""

from __future__ import annotations

import numpy as np


def sgd(params, grads, velocities, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Sutskever et al. (2013) in the form of most frameworks: v = momentum v + g; p -= lr v."""
    out_p, out_v = [], []
    for p, g, v in zip(params, grads, velocities, strict=True):
        g = g + weight_decay * p
        v = momentum * v + g
        step = g + momentum * v if nesterov else v
        out_p.append(p - lr * step)
        out_v.append(v)
    return out_p, out_v


def adam(
    params,
    grads,
    m,
    v,
    step,
    lr,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    decoupled=False,
):
    """Kingma and Ba (2015); `decoupled`: Loshchilov and Hutter (2019). `step` counts from one."""
    out_p, out_m, out_v = [], [], []
    for p, g, mi, vi in zip(params, grads, m, v, strict=True):
        if not decoupled:
            g = g + weight_decay * p
        mi = beta1 * mi + (1 - beta1) * g
        vi = beta2 * vi + (1 - beta2) * g * g
        mhat, vhat = mi / (1 - beta1**step), vi / (1 - beta2**step)
        if decoupled:
            p = p - lr * weight_decay * p
        out_p.append(p - lr * mhat / (np.sqrt(vhat) + eps))
        out_m.append(mi)
        out_v.append(vi)
    return out_p, out_m, out_v
