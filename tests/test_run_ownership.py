"""What a run trains belongs to it: others read it as it is between two steps, and don't write."""

from __future__ import annotations

import numpy as np
import pytest
from working_runs import data, start, until

import flowbook as fb
from flowbook import nn
from flowbook.callbacks import Callback

pytestmark = pytest.mark.usefixtures("no_run_is_left")


def test_writes_from_outside_are_refused_and_reads_are_not() -> None:
    model = nn.Sequential(nn.Dense(1, inputs=1))
    optimizer = fb.optim.Adam(0.01)
    run = start(model=model, optimizer=optimizer)
    until(lambda: run.step > 3)
    weight = model.layers[0].weight
    assert weight.owner == f"run {run.name}"
    before = weight.numpy().copy()
    with pytest.raises(fb.GraphError, match=f"belongs to run {run.name}"):
        weight.assign(np.zeros((1, 1), np.float32))
    with pytest.raises(fb.GraphError, match=r"lr.*belongs to run"):
        optimizer.lr.assign(fb.asarray(np.float32(1)))

    @fb.graph
    def add(x):
        weight.assign(weight + x)
        return x

    with pytest.raises(fb.GraphError, match="belongs to run"):
        add(fb.ones((1, 1)))
    assert np.isfinite(before).all()
    assert fb.predict(model, data()[0]).shape == (64, 1)
    run.stop()
    run.wait(10)
    assert weight.owner is None
    add(fb.ones((1, 1)))
    weight.assign(before)


def test_a_second_run_over_the_same_model_is_refused() -> None:
    model, optimizer = nn.Sequential(nn.Dense(1)), fb.optim.SGD(0.1)
    run = start(model=model, optimizer=optimizer)
    for arguments in ({"model": model}, {"optimizer": optimizer}):
        with pytest.raises(fb.GraphError, match=f"run {run.name} trains this"):
            start(**arguments)
    until(lambda: run.step > 1)
    shared = nn.Sequential(model.layers[0], nn.Dense(1))
    with pytest.raises(fb.GraphError, match=f"belongs to run {run.name}"):
        start(model=shared)
    run.stop()
    run.wait(10)
    assert start(model=shared, epochs=1).wait(10).epochs == 1


def test_variables_born_in_the_first_step_are_owned_too() -> None:
    model = nn.Sequential(nn.Dense(2), nn.BatchNorm(), nn.Dense(1))
    run = start(model=model)
    until(lambda: run.step > 1)
    written = [v for v in model.variables() if v.owner is not None]
    assert len(written) == len(model.variables())
    run.stop()
    run.wait(10)
    assert not any(v.owner for v in model.variables())


class Pair(nn.Module):
    """Two parameters that a step keeps equal."""

    def __init__(self) -> None:
        self.a = fb.Variable(np.zeros((1,), np.float32), name="a")
        self.b = fb.Variable(np.zeros((1,), np.float32), name="b")

    def forward(self, x):
        return x * self.a + x * self.b


def test_a_graph_reads_all_variables_between_the_same_two_steps() -> None:
    pair = Pair()
    run = start(model=pair, data=(data()[0], np.ones((64, 1), np.float32) * 1e6))
    until(lambda: run.step > 3)

    @fb.graph
    def difference(x):
        return pair.a - pair.b + x * 0

    zero = fb.asarray(np.zeros(1, np.float32))
    for _ in range(300):
        assert float(difference(zero)[0]) == 0
        a, b = fb._core.read_together([pair.a, pair.b])
        assert float(a[0]) == float(b[0])
    assert run.status == "running"
    run.stop()
    run.wait(10)


def test_callbacks_may_write() -> None:
    class Reset(Callback):
        def on_epoch_end(self, run):
            run.model.layers[0].bias.assign(np.zeros(1, np.float32))

    for wait in (True, False):
        result = start(wait=wait, epochs=2, callbacks=[Reset()])
        assert (result if wait else result.wait(10)).epochs == 2
