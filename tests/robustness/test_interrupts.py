"""An interrupt at any moment leaves a consistent state and acts within a tenth of a second."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


class Alarm:
    """SIGINT after `seconds`, as Ctrl-C or the notebook's stop button sends it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self.old = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.old)


@posix
@pytest.mark.parametrize("delay", [0.0001, 0.0007, 0.002, 0.005, 0.011, 0.023, 0.047, 0.08])
def test_an_interrupt_at_any_moment_leaves_a_consistent_state(delay):
    """Two variables that every step changes together never part, and work goes on afterwards."""
    a, b = fb.Variable(np.zeros(3000, "f4")), fb.Variable(np.zeros(3000, "f4"))

    def update(x):
        s = fb.tanh(x) * 0.0 + 1.0
        a.assign(a + s)
        b.assign(b + s)
        return fb.sum(s)

    step = fb.graph(update)
    x = fb.asarray(np.ones(3000, "f4"))
    step(x)
    try:
        with Alarm(delay):
            end = time.monotonic() + 2
            while time.monotonic() < end:
                step(x)
    except KeyboardInterrupt:
        pass
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert (a.numpy() == a.numpy()[0]).all()
    before = a.numpy()[0]
    step(x)
    assert a.numpy()[0] == before + 1


@pytest.mark.clock
@posix
def test_a_long_eager_op_stops_within_a_tenth_of_a_second():
    n = 3000
    x = fb.asarray(np.ones((n, n), "f8"))
    started = None
    try:
        with Alarm(0.05):
            started = time.monotonic()
            for _ in range(50):
                fb.matmul(x, x)
        pytest.fail("the loop was not interrupted")
    except KeyboardInterrupt:
        took = time.monotonic() - started - 0.05
    assert took < 1.0, f"stopped after {took * 1e3:.0f} ms"
    assert float(fb.sum(fb.ones(4))) == 4


@pytest.mark.clock
@posix
def test_a_long_graph_stops_and_discards():
    v = fb.Variable(np.zeros((600, 600), "f4"))

    @fb.graph
    def f(x):
        y = x
        for _ in range(200):
            y = fb.tanh(y @ x)
        v.assign(y)
        return fb.sum(y)

    x = fb.asarray(np.full((600, 600), 1e-3, "f4"))
    with pytest.raises(KeyboardInterrupt), Alarm(0.1):
        started = time.monotonic()
        for _ in range(100):
            f(x)
            v.assign(np.zeros((600, 600), "f4"))
    assert time.monotonic() - started < 2.0
    assert (v.numpy() == 0).all() or np.isfinite(v.numpy()).all()


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's /proc")
def test_a_run_that_is_stopped_asks_for_no_more_memory():
    """The pages of its arena come before its first step, which takes long where there are many."""

    def kilobytes(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])

    x, w = fb.asarray(np.ones((60_000, 8), "f4")), fb.asarray(np.ones((8, 1024), "f4"))
    graph = fb.graph(lambda x: (x @ w) @ w.T).trace(x)
    executable, _ = _core.Program(graph._core).plan(
        list(graph._examples), [x], list(graph._named.values()), True
    )
    token = _core.CancelToken()
    token.cancel()
    before = kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is what it is now
    with pytest.raises(fb.CancelledError):
        executable.run([x], token)
    assert executable.peak_bytes > 200 << 20
    assert kilobytes("VmHWM") - before < 100 << 10


@posix
@pytest.mark.parametrize("delay", [0.0005, 0.003, 0.01, 0.03])
def test_an_interrupt_while_tracing(delay):
    x = fb.asarray([1.0, 2.0])

    def body(x):
        for _ in range(3000):
            x = x * 1.0001
        return x

    try:
        with Alarm(delay):
            for _ in range(50):
                fb.graph(body)(x)
    except KeyboardInterrupt:
        pass
    y = x + 1.0  # nothing records any more
    np.testing.assert_array_equal(y.numpy(), [2, 3])
