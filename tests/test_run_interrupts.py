"""Runs at the end: interrupts, processes that end or fork while a run is at work."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from working_runs import Gate, start, until

import flowbook as fb

pytestmark = pytest.mark.usefixtures("no_run_is_left")


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


def test_an_interrupt_stops_all_runs_that_tasks_await() -> None:
    """It stopped the one awaited last; the cell then went on waiting for the other."""

    async def cell():
        runs = [start(), start(), start()]
        press_after(0.15, 1)
        return await asyncio.gather(*runs)

    before = signal.getsignal(signal.SIGINT)
    histories = asyncio.run(cell())
    assert [history.stopped for history in histories] == ["interrupted"] * 3
    assert all(history.steps > 0 for history in histories)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_stops_what_is_awaited_behind_a_blocking_wait() -> None:
    async def cell():
        behind = asyncio.ensure_future(asyncio.wait_for(start(), 10))
        await asyncio.sleep(0.02)
        press_after(0.15, 1)
        return start(wait=True), await behind

    before = signal.getsignal(signal.SIGINT)
    assert [history.stopped for history in asyncio.run(cell())] == ["interrupted"] * 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_cancels_all_that_await_although_one_has_ended() -> None:
    gate = Gate()
    gate.let.release()
    runs = []

    async def cell():
        runs.extend([start(), start(data=gate)])
        press_after(0.15, 2)
        await asyncio.gather(*runs)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(cell())
    for _ in range(5):
        gate.let.release()
    assert [run.wait(10).stopped for run in runs] == ["interrupted"] * 2


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
