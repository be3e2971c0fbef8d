"""Runs: steered between two steps and waited for, on threads of their own."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import numpy as np
import pytest
from working_runs import Gate, Hold, data, start, until

import flowbook as fb
from flowbook import nn
from flowbook._history import Mark
from flowbook.callbacks import Callback

pytestmark = pytest.mark.usefixtures("no_run_is_left")


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


def test_a_mark_reads_without_the_noise_of_floats():
    mark = Mark(64, 64 / 3, "learning rate", "learning rate 0.1 -> 0.02", 0.019999999552965164)
    assert repr(mark) == (
        "Mark(step=64, epoch=21.33, kind='learning rate', text='learning rate 0.1 -> 0.02', value=0.02)"
    )
    assert "value" not in repr(Mark(1, 0.25, "pause", "paused"))
