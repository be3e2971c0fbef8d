"""Runs: steered between two steps, waited for, owned, in the background and at the end of a process."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core, nn
from flowbook._course import Course
from flowbook.callbacks import Callback


def data(count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, count, dtype=np.float32)[:, None]
    return x, 3 * x + 1


def start(**settings):
    """A run of four steps an epoch, in the background."""
    fb.random.seed(0)
    model = settings.pop("model", None) or nn.Sequential(nn.Dense(1))
    optimizer = settings.pop("optimizer", None) or fb.optim.SGD(0.1)
    given = {"epochs": 100_000, "batch_size": 16, "progress": False, "wait": False, **settings}
    return fb.fit(model, given.pop("data", None) or data(), fb.losses.mean_squared_error, optimizer,
                  **given)  # fmt: skip


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def _no_run_is_left() -> Iterator[None]:
    yield
    for run in fb.runs.active():
        run.stop("the test is over")
        run._over.wait(10)
    assert not fb.runs.active()


class Hold(Callback):
    """Holds a run before its first step."""

    def on_train_begin(self, run):
        run.pause()


class Gate:
    """Data whose batches come one at a time, when the test lets them."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)

    def __iter__(self):
        x, y = data(16)
        while True:
            self.let.acquire()
            yield x, y


# Steering


def test_it_returns_at_once_and_waits() -> None:
    run = start(epochs=3)
    assert run.wait() is run.history
    assert (run.status, run.history.epochs, run.step, run.examples) == ("finished", 3, 12, 192)
    assert run.wait(0) is run.history
    assert run.done
    assert run.seconds_left == 0
    assert "finished, epoch 3/3" in repr(run)


def test_stop_finishes_the_running_step() -> None:
    gate = Gate()
    run = start(data=gate, epochs=1)
    for _ in range(3):
        gate.let.release()
    until(lambda: run.step == 3)
    run.stop("enough")
    gate.let.release()  # the batch that the loop was waiting for
    history = run.wait(10)
    assert (history.steps, history.stopped, run.status) == (3, "enough", "stopped")


def test_pause_holds_and_steps_are_counted_exactly() -> None:
    run = start()
    run.pause()
    until(lambda: run.status == "paused")
    held = run.step
    time.sleep(0.05)
    assert run.step == held
    run.advance()
    until(lambda: run.step == held + 1 and run._controls.holds())
    run.advance(5)
    until(lambda: run._controls.holds())
    time.sleep(0.05)
    assert run.step == held + 6
    run.resume()
    until(lambda: run.step > held + 20)
    assert run.status == "running"
    run.stop()
    run.wait(10)
    kinds = [mark.kind for mark in run.history.marks]
    assert kinds == ["pause", "resume"]


def test_a_paused_run_can_be_stopped() -> None:
    run = start()
    run.pause()
    until(lambda: run.status == "paused")
    run.stop()
    assert run.wait(10).stopped
    assert run.status == "stopped"


@pytest.mark.parametrize("steps", [0, -3])
def test_advancing_backwards_is_refused(steps: int) -> None:
    run = start(epochs=1)
    with pytest.raises(fb.ArgumentError, match="at least 1"):
        run.advance(steps)
    run.wait(10)


def test_the_learning_rate_changes_at_the_next_step_and_is_recorded() -> None:
    rates: list[tuple[int, float]] = []

    class Watch(Callback):
        def on_step_end(self, run):
            rates.append((run.step, run.learning_rate))

    run = start(callbacks=[Watch()])
    run.pause()
    until(lambda: run.status == "paused")
    held = run.step
    run.learning_rate = 0.01
    until(lambda: run.learning_rate == np.float32(0.01))
    run.advance(2)
    until(lambda: run.step == held + 2)
    run.stop()
    run.wait(10)
    assert all(rate == pytest.approx(0.1) for step, rate in rates if step <= held)
    assert [r for s, r in rates if s > held] == [np.float32(0.01)] * 2
    mark = next(m for m in run.history.marks if m.kind == "learning rate")
    assert (mark.step, mark.value) == (held, 0.01)
    assert "0.1 to 0.01" in mark.text
    assert "0.1 to 0.01" in run._repr_mimebundle_()["text/html"]


def test_a_schedule_is_scaled_from_the_next_step_on() -> None:
    optimizer = fb.optim.SGD(fb.optim.exponential(0.1, 0.5, every=4))
    run = start(optimizer=optimizer, epochs=2, callbacks=[Hold()])
    until(lambda: run.status == "paused")
    run.advance(4)
    until(lambda: run.step == 4 and run._controls.holds())
    assert run.learning_rate == pytest.approx(0.05)
    run.learning_rate = 0.2
    run.advance(4)
    until(lambda: run.step == 8 or run.done)
    assert float(optimizer.rate()) == pytest.approx(0.1)  # half of it four steps later
    run.resume()
    run.wait(10)


def test_a_schedule_at_zero_keeps_its_rate_and_says_so() -> None:
    run = start(optimizer=fb.optim.SGD(fb.optim.linear(0.1, steps=4)))
    until(lambda: run.step >= 8)
    run.learning_rate = 0.5
    until(lambda: run.history.marks)
    assert run.learning_rate == 0
    assert "come down to zero" in run.history.marks[0].text
    run.stop()
    run.wait(10)


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_impossible_rates_are_refused(rate: float) -> None:
    run = start(epochs=1)
    with pytest.raises(fb.ArgumentError, match="not negative"):
        run.learning_rate = rate
    run.wait(10)


# Waiting


def test_a_timeout_leaves_the_run_alone() -> None:
    run = start()
    with pytest.raises(TimeoutError, match=r"run .* has not ended: running"):
        run.wait(0.02)
    assert not run.done
    run.stop()
    run.wait(10)


def test_it_can_be_awaited() -> None:
    async def cell():
        run = start(epochs=20)
        ticks = 0

        async def others():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        task = asyncio.create_task(others())
        history = await run
        task.cancel()
        assert ticks
        return history

    assert asyncio.run(cell()).epochs == 20


def test_cancelling_the_waiting_task_stops_the_run() -> None:
    async def cell():
        run = start()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(run, 0.05)
        return run

    run = asyncio.run(cell())
    assert run.wait(10).stopped == "interrupted"


def test_detaching_lets_a_blocking_fit_return_while_the_run_goes_on() -> None:
    threads: list[str] = []

    class Let(Callback):
        def on_epoch_end(self, run):
            threads.append(threading.current_thread().name)
            if run.epoch == 2:
                run.detach()

    history = start(wait=True, callbacks=[Let()])
    run = fb.runs.active()[0]
    assert run.history is history
    before = history.epochs
    until(lambda: history.epochs > before + 5)
    assert set(threads[:3]) == {"MainThread"}
    assert threads[-1].startswith("flowbook ")
    run.stop()
    run.wait(10)


def test_a_callback_cannot_wait_for_its_own_run() -> None:
    run = start(epochs=2, callbacks=[lambda run: run.wait()])
    with pytest.raises(fb.GraphError, match="cannot wait for itself"):
        run.wait(10)


# Errors


class Broken(nn.Module):
    def __init__(self) -> None:
        self.dense = nn.Dense(1, inputs=1)

    def forward(self, x):
        return self.dense(x) @ fb.asarray(np.ones((2, 2), np.float32))


def test_errors_come_out_of_wait_and_await() -> None:
    run = start(model=Broken())
    for _ in range(2):
        with pytest.raises(fb.ShapeError) as caught:
            run.wait(10)
    frames = []
    trace = caught.value.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert "forward" in frames  # the line that is wrong
    assert frames.count("wait") == 1  # and not one more copy for each wait
    assert run.status == "failed"
    assert "ShapeError" in repr(run)
    assert "ShapeError" in run._repr_mimebundle_()["text/html"]

    async def cell():
        await start(model=Broken())

    with pytest.raises(fb.ShapeError):
        asyncio.run(cell())


@pytest.mark.parametrize("wait", [True, False])
def test_an_error_of_a_callback_ends_the_run(wait: bool) -> None:
    def fail(run):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        result = start(wait=wait, callbacks=[fail])
        result.wait(10)


def test_a_loss_that_is_not_finite_is_marked_once() -> None:
    x, y = data()
    y = y.copy()
    y[40] = np.nan
    with pytest.warns(RuntimeWarning, match="the loss is nan from step 3 on"):
        history = start(data=(x, y), epochs=3, shuffle=False).wait(10)
    (alert,) = [m for m in history.marks if m.kind == "alert"]
    assert alert.text.startswith(
        "the loss is nan from step 3 on; first NaN: input target holds 1 NaN"
    )
    assert alert.value == 3


# Threads


@pytest.mark.parametrize("wait", [True, False])
def test_where_callbacks_are_called(wait: bool) -> None:
    seen: set[str] = set()

    class Look(Callback):
        def on_train_begin(self, run):
            seen.add(threading.current_thread().name)

        on_epoch_begin = on_step_end = on_epoch_end = on_train_end = on_train_begin

    result = start(wait=wait, epochs=2, callbacks=[Look()])
    if not wait:
        result.wait(10)
    assert len(seen) == 1
    assert (seen == {"MainThread"}) is wait


def test_blocking_background_and_busy_neighbours_give_the_same_bits() -> None:
    def model():
        return nn.Sequential(nn.Dense(8, activation=nn.relu), nn.Dropout(0.5), nn.Dense(1))

    def bits(run):
        return [v.numpy().tobytes() for v in run]

    first = model()
    history = start(model=first, epochs=5, wait=True)
    after = fb.random.normal((3,)).numpy()
    second = model()
    run = start(model=second, epochs=5)
    assert run.wait(10)["loss"] == history["loss"]
    np.testing.assert_array_equal(fb.random.normal((3,)).numpy(), after)
    third = model()
    run = start(model=third, epochs=5)
    while not run.done:
        fb.random.normal((4,))
    assert run.history["loss"] == history["loss"]
    assert bits(first.variables()) == bits(second.variables()) == bits(third.variables())


def test_the_worker_has_the_callers_context_and_no_recorder() -> None:
    with fb.tape():
        history = start(epochs=2, wait=True)
    assert history.epochs == 2

    seen: list[bool] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(1)

        def forward(self, x):
            seen.append(nn.is_training())
            return self.dense(x)

    start(model=Spy(), validation=data(8), epochs=1).wait(10)
    assert set(seen) == {True, False}
    assert not nn.is_training()


# Ownership


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


# Interrupts


def press_after(seconds: float, times: int) -> None:
    def press() -> None:
        for _ in range(times):
            time.sleep(seconds)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


@pytest.mark.parametrize("background", [True, False])
def test_an_interrupt_while_waiting_stops_after_the_step(background: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    press_after(0.15, 1)
    result = start(wait=not background)
    history = result.wait() if background else result
    assert history.stopped == "interrupted"
    assert history.steps > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_raises_although_the_data_hang() -> None:
    gate = Gate()
    gate.let.release()
    press_after(0.15, 2)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        start(data=gate, wait=True)
    assert time.monotonic() - began < 5
    for _ in range(5):
        gate.let.release()


def test_an_interrupt_gives_what_awaits_a_run_its_partial_history() -> None:
    async def cell():
        press_after(0.15, 1)
        return await start()

    before = signal.getsignal(signal.SIGINT)
    history = asyncio.run(cell())
    assert history.stopped == "interrupted"
    assert history.steps > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_cancels_what_awaits_a_run_although_the_data_hang() -> None:
    gate = Gate()
    gate.let.release()
    runs = []

    async def cell():
        runs.append(start(data=gate))
        press_after(0.15, 2)
        await runs[0]

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    assert 0.3 <= time.monotonic() - began < 5
    for _ in range(5):
        gate.let.release()
    assert runs[0].wait(10).stopped == "interrupted"


def test_tasks_that_await_runs_leave_the_signal_as_it_was() -> None:
    """Also where they end in another order than they began."""

    async def wait(epochs: int) -> None:
        await start(epochs=epochs)

    async def cell() -> None:
        await asyncio.gather(wait(200), wait(2))
        press_after(0.05, 1)
        await asyncio.sleep(5)

    before = signal.getsignal(signal.SIGINT)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    assert time.monotonic() - began < 4  # the interrupt means what it did
    assert signal.getsignal(signal.SIGINT) is before


SCRIPT = """
import sys, time
import numpy as np
import flowbook as fb
x = np.ones((64, 1), np.float32)
model = fb.nn.Dense(1, inputs=1)
run = fb.fit(model, (x, x), fb.losses.mean_squared_error, epochs=10**9, progress=False, wait=False,
             log=True)
while run.step < 10:
    time.sleep(0.001)
print("leaving", flush=True)
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError"])
def test_the_interpreter_ends_while_a_run_is_at_work(end: str, tmp_path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + end], capture_output=True, text=True, timeout=60,
        env={**os.environ, "FLOWBOOK_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == "leaving\n"
    assert done.returncode == {"": 0, "sys.exit(3)": 3}.get(end, 1), done.stderr
    assert ("ValueError" in done.stderr) == ("ValueError" in end)
    assert "Fatal" not in done.stderr
    assert time.monotonic() - began < 30
    (log,) = (tmp_path / "runs").glob("*.jsonl")
    assert '"stopped": "the interpreter ended"' in log.read_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_no_runs() -> None:
    run = start()
    until(lambda: run.step > 2)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run.done and not fb.runs.active() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    run.stop()
    run.wait(10)


# The course of the loss


def test_courses_keep_extremes_in_bounded_memory() -> None:
    course = Course(limit=64)
    values = np.ones(10_001)
    values[777], values[778] = 50, -50
    for part in np.array_split(values, 137):
        course.extend(part.tolist())
    points = course.points()
    assert course.steps == 10_001
    assert 32 <= len(points.step) <= 65
    assert points.step[-1] == 10_001
    assert (points.high.max(), points.low.min()) == (50, -50)
    assert np.average(points.mean[:-1]) == pytest.approx(1, abs=0.01)


def test_courses_leave_out_what_is_not_finite() -> None:
    course = Course(limit=4)
    course.extend([math.nan, 1.0, math.inf, 3.0, math.nan, math.nan, 5.0, 7.0])
    points = course.points()
    assert points.step.tolist() == [2, 4, 6, 8]
    np.testing.assert_array_equal(points.mean, [1, 3, math.nan, 6])


def test_a_course_of_every_step() -> None:
    losses: list[float] = []

    class Note(Callback):
        def on_step_end(self, run):
            losses.append(float(run.loss))

    run = start(epochs=6, callbacks=[Note()])
    run.wait(10)
    assert run.points().mean.tolist() == losses


def test_losses_are_read_in_one_go() -> None:
    """float32 scalars without a Python object for each; whatever float() takes as well."""
    values = [fb.asarray(v, dtype) for v in (1.5, -2.0) for dtype in (fb.float32, fb.float64)]
    values += [fb.asarray([3.0]), fb.asarray(7), 2, math.nan, fb.asarray(-math.inf)]
    found = _core.numbers(values)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1.5, 1.5, -2, -2, 3, 7, 2, math.nan, -math.inf])
    assert _core.numbers([]).shape == (0,)
    with pytest.raises(TypeError):
        _core.numbers(["no number"])
    with pytest.raises(fb.FlowbookError):
        _core.numbers([fb.asarray([1.0, 2.0])])


def test_buckets_keep_least_greatest_and_mean() -> None:
    values = np.array([1.0, 3.0, math.nan, math.inf, 5.0])
    low, high, mean = _core.summary(values, 2)
    np.testing.assert_array_equal(low, [1, math.nan, 5])
    np.testing.assert_array_equal(high, [3, math.nan, 5])
    np.testing.assert_array_equal(mean, [2, math.nan, 5])
    assert _core.summary(values[:0], 4).shape == (3, 0)
    with pytest.raises(ValueError, match="at least one"):
        _core.summary(values, 0)
