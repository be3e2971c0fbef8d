"""Waiting for a run in a cell, by `run.wait()` and `await run`, and what interrupts do to it."""

from __future__ import annotations

from typing import Any

import pytest

from .test_training import BLOCKING, Run, opened

SHORT = "run = train((x, y), epochs=3, wait=False)"
LONG = "run = train(wait=False)"
# A step for which the data take half a minute.
STUCK = """\
class Stuck:
    def __len__(self):
        return 50
    def __iter__(self):
        yield x[:32], y[:32]
        for _ in range(600):
            time.sleep(0.05)
        yield x[:32], y[:32]
began = time.time()
history = train(Stuck())"""


@pytest.mark.parametrize("wait", ["run.wait()", "await run"])
def test_a_cell_waits_for_a_run(open_book: Any, wait: str) -> None:
    book = opened(open_book, SHORT, f"history = {wait}\nhistory.stopped, len(history['loss'])")
    assert "Error" not in book.run(1)
    assert book.run(2).strip() == "(None, 3)"
    Run(book, 1).wait_status("finished")


@pytest.mark.parametrize("wait", ["run.wait()", "await run"])
def test_stop_ends_the_wait(open_book: Any, wait: str) -> None:
    """The view works while a cell waits; the cell gets what there is."""
    book = opened(open_book, LONG, f"history = {wait}")
    book.run(1)
    done = book.start(2)
    run = Run(book, 1)
    run.wait_step(5)
    run.click("Stop")
    done(10)
    assert "Error" not in book.text(2)
    assert book.value("history.stopped") == "'stopped in the view'"
    assert int(book.value("run.steps")) >= 5


@pytest.mark.parametrize("wait", ["run.wait()", "await run"])
def test_an_interrupt_ends_the_wait(open_book: Any, wait: str) -> None:
    """The run ends after its step, and its history is there, as `fit` itself gives it."""
    book = opened(open_book, LONG, f"history = {wait}")
    book.run(1)
    done = book.start(2)
    Run(book, 1).wait_step(5)
    book.interrupt()
    done(10)
    assert "KeyboardInterrupt" not in book.text(2), book.text(2)
    assert book.value("history.stopped") == "'interrupted'"
    Run(book, 1).wait_status("stopped")


def test_an_interrupt_ends_the_wait_for_two_runs(open_book: Any) -> None:
    other = "other = fb.nn.Sequential(fb.nn.Dense(10))\n"
    book = opened(
        open_book,
        LONG,
        f"{other}second = train(model=other, wait=False)",
        "import asyncio\nhistories = await asyncio.gather(run, second)",
    )
    book.run(1)
    book.run(2)
    done = book.start(3)
    Run(book, 2).wait_step(5)
    book.interrupt()
    done(10)
    assert "KeyboardInterrupt" not in book.text(3), book.text(3)
    assert book.value("[h.stopped for h in histories]") == "['interrupted', 'interrupted']"


def test_the_second_interrupt_comes_through_at_once(open_book: Any, shot: Any) -> None:
    """The first one lets the step end, which takes half a minute; the second one does not wait."""
    book = opened(open_book, STUCK)
    done = book.start(1)
    run = Run(book, 1)
    run.wait_step(1)
    book.page.wait_for_timeout(300)
    book.interrupt()
    book.page.wait_for_timeout(1500)
    assert book.text(1) == "" or "KeyboardInterrupt" not in book.text(1)
    assert book.page.evaluate("Object.keys(window.finished || {}).length") == 1  # the cell goes on
    book.interrupt()
    done(5)
    assert "KeyboardInterrupt" in book.text(1)
    assert "history" not in book.value("[n for n in dir() if n == 'history']")
    # And the kernel is as it was: it computes, and an interrupt means what it did.
    assert book.value("6 * 7") == "42"
    shot(book.page, "run-interrupted-twice")


def test_the_first_interrupt_gives_the_partial_history(open_book: Any) -> None:
    book = opened(open_book, BLOCKING)
    done = book.start(1)
    Run(book, 1).wait_step(60)  # more than an epoch
    book.interrupt()
    done(10)
    assert "KeyboardInterrupt" not in book.text(1)
    assert book.value("history.stopped") == "'interrupted'"
    assert int(book.value("len(history['loss'])")) >= 1
