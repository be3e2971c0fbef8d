"""Recording, differentiating and planning a graph takes work in proportion to its size.

Counted, not timed: the loops whose length depends on the graph report their steps.
"""

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core


def chain(n):
    x = fb.asarray(np.ones((4, 4), np.float32))

    def f(x):
        for i in range(n):
            x = x @ x if i % 3 == 0 else fb.tanh(x)
        return x

    return f, [x]


def wide(n):
    x = fb.asarray(np.ones((64, 64), np.float32))
    return (lambda x: [fb.tanh(x @ (x + float(i))) for i in range(n // 3)]), [x]


def training(n):
    """Layers with parameters, composite ops and an optimizer: gradients and assignments."""
    width = 8
    variables = [fb.Variable(np.eye(width, dtype=np.float32)) for _ in range(n // 12)]
    optimizer = fb.optim.Adam(1e-3)

    def step(x):
        h = x
        for w in variables:
            h = fb.nn.gelu(fb.nn.softmax(h @ w))
        loss = fb.mean(fb.logaddexp(h, fb.square(h)))
        optimizer.update(variables, fb.gradients(loss, variables))
        return loss

    return step, [fb.asarray(np.ones((4, width), np.float32))]


def composites(n):
    """Ops that have no gradient rule of their own: each is differentiated through its expansion."""

    def f(x):
        h = x
        for _ in range(n // 8):
            h = fb.reshape(fb.nn.conv1d(h, w, padding="same"), h.shape)
        return fb.gradients(fb.sum(h), [x])[0]

    w = fb.asarray(np.ones((3, 2, 2), np.float32))
    return f, [fb.asarray(np.ones((1, 5, 2), np.float32))]


def work(make, n):
    function, args = make(n)
    before = _core.counted_work()
    fb.graph(function)(*args)
    return _core.counted_work() - before


@pytest.mark.parametrize("make", [chain, wide, training, composites])
def test_work_is_linear_in_the_size_of_the_graph(make):
    small, large = work(make, 300), work(make, 1200)
    assert small > 0
    assert large <= 4.6 * small, f"4 times the nodes took {large / small:.1f} times the work"
