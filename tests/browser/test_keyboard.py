"""Memory and runs by keyboard alone: all is reached, all works, and the focus outlives live updates."""

from __future__ import annotations

from typing import Any

import pytest

from .cells import SETUP
from .test_tables import column, size, tables, words

NAME = """() => {
  let e = document.activeElement;
  while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
  return e === document.body ? '' : (e.getAttribute('aria-label') || e.textContent).trim();
}"""

TRAIN = """\
model = fb.nn.Sequential(fb.nn.Dense(16, activation=fb.nn.relu), fb.nn.Dense(10))
for rate in (0.1, 0.3):
    _ = fb.fit(model, (x, y), fb.losses.softmax_cross_entropy, fb.optim.SGD(rate), epochs=12,
               validation=(x, y), metrics=[fb.metrics.accuracy], label=f"rate {rate}")"""


def focused(book: Any) -> str:
    """The name of what has the focus; nothing where it is lost."""
    found: str = book.page.evaluate(NAME)
    return found


def stops(book: Any, count: int) -> list[str]:
    """Where Tab leads next."""
    found = []
    for _ in range(count):
        book.page.keyboard.press("Tab")
        found.append(focused(book))
    return found


@pytest.fixture
def memory(open_book: Any) -> Any:
    hold = "fb.asarray(np.ones((1000, 1000), np.float32)) * 2"
    book = open_book([SETUP, hold, "small = fb.zeros((10, 10))", "%memory live"])
    for index in range(4):
        assert "Error" not in book.run(index)
    return book


def test_memory(memory: Any, shot: Any) -> None:
    view = tables(memory, 3, "memory")
    view.locator(".fb-filter").focus()
    names = stops(memory, 12)
    assert names[:3] == ["Free outputs", "Free tracebacks", "Free caches"]
    assert names[3].startswith("memory over ")
    assert names[4:9] == ["name", "bytes", "spec", "kind", "cell"]
    assert "by cell" in names
    # Headings sort, and keep the focus when they do.
    view.get_by_role("button", name="bytes", exact=True).first.focus()
    memory.page.keyboard.press("Enter")
    assert view.locator("th[aria-sort=descending]").inner_text() == "bytes"
    memory.page.keyboard.press("Space")
    sizes = [size(text) for text in column(view, "bytes")]
    assert sizes == sorted(sizes)
    assert focused(memory) == "bytes"
    # A table opens by Enter.
    details = view.locator("details")
    view.locator("summary").focus()
    memory.page.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
    # The notebook sees no key.
    assert len(memory.texts()) == 4
    view.get_by_role("button", name="Free outputs").focus()
    memory.page.keyboard.press("Enter")
    memory.until(lambda: "Out[2]" not in words(view), what="the output is gone")
    assert focused(memory) == "Free outputs"
    shot(view, "memory-keyboard")


@pytest.mark.parametrize("where", ["bytes", "by cell", "In [2]"])
def test_the_focus_outlives_updates_of_memory(memory: Any, where: str) -> None:
    view = tables(memory, 3, "memory")
    if where.startswith("In"):
        view.locator("summary").click()
        view.locator("details a", has_text=where).focus()
    elif where == "by cell":
        view.locator("summary").focus()
    else:
        view.get_by_role("button", name=where, exact=True).first.focus()
    assert focused(memory) == where
    before = words(view)
    # Memory changes on another thread, while the reader rests on the view.
    memory.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({
          code: 'import threading, time\\n'
              + 'def grow():\\n    global more\\n    time.sleep(.3)\\n    more = fb.zeros((999, 999))\\n'
              + 'threading.Thread(target=grow).start()',
          store_history: false})"""
    )
    memory.until(lambda: words(view) != before, what="the view is updated")
    memory.page.wait_for_timeout(300)
    assert focused(memory) == where


def test_a_comparison_of_runs(open_book: Any, shot: Any) -> None:
    book = open_book([SETUP, TRAIN, "%runs compare 1 2"])
    for index in range(3):
        assert "Error" not in book.run(index)
    book.cell(2).scroll_into_view_if_needed()
    view = book.cell(2).locator(".fb-run")
    view.wait_for()
    view.locator("select").focus()
    first = focused(book)
    names = stops(book, 9)
    assert first == "number that is drawn"
    assert names[:4] == ["by step", "by epoch", "log", "smooth"]
    assert names[4:8] == [
        "rate 0.3", "rate 0.3 (validation)", "rate 0.1", "rate 0.1 (validation)",
    ]  # fmt: skip
    assert names[8] == "numbers"
    # Another number; a chart by epoch; logarithmic: each by the keyboard, each keeps the focus.
    view.locator("select").focus()
    book.page.keyboard.press("ArrowDown")
    assert view.locator("select").input_value() != "loss"
    book.page.keyboard.press("ArrowUp")
    assert view.locator("select").input_value() == "loss"
    for name in ("by epoch", "log"):
        button = view.get_by_role("button", name=name, exact=True)
        before = view.locator(".fb-chart").get_attribute("aria-label")
        button.focus()
        book.page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        assert focused(book) == name
        after = view.locator(".fb-chart").get_attribute("aria-label")
        assert (after != before) == (name == "by epoch")
    # Space hides and shows a run.
    entry = view.locator(".fb-legend-entry").first
    name = entry.inner_text()
    entry.focus()
    book.page.keyboard.press("Space")
    assert view.locator(".fb-legend-entry").first.get_attribute("aria-pressed") == "false"
    assert focused(book) == name
    shot(view, "runs-keyboard")
    book.page.keyboard.press("Space")
    assert view.locator(".fb-legend-entry").first.get_attribute("aria-pressed") == "true"
    view.locator("summary").focus()
    book.page.keyboard.press("Enter")
    book.until(lambda: view.locator("table.fb-epochs").count() == 2, 5, "the numbers open")
    assert len(book.texts()) == 3


SLOW = """\
import time
class Slow:
    def __len__(self):
        return 20
    def __iter__(self):
        for k in range(20):
            time.sleep(0.03)
            yield x, y
model = fb.nn.Sequential(fb.nn.Dense(16, activation=fb.nn.relu), fb.nn.Dense(10))
history = fb.fit(model, Slow(), fb.losses.softmax_cross_entropy, fb.optim.SGD(0.1), epochs=1000,
                 validation=(x, y))"""


def test_the_focus_outlives_updates_of_a_run(open_book: Any) -> None:
    book = open_book([SETUP, SLOW])
    assert "Error" not in book.run(0)
    wait = book.start(1)
    view = book.cell(1).locator(".fb-run")
    view.wait_for(timeout=20_000)

    def step() -> str:
        facts: str = view.locator(".fb-facts").inner_text()
        return facts

    for name in ("log", "loss", "numbers"):
        stop = view.locator("button, summary").filter(has_text=name).first
        book.until(stop.is_visible, what=name)
        stop.focus()
        assert focused(book) == name
        before = step()
        # An epoch ends meanwhile: its validation is a new line, with a key of its own.
        book.until(lambda b=before: step() != b, what="the view goes on")
        book.page.wait_for_timeout(800)
        assert focused(book) == name
    # What detaches and stops goes away with what it does; the keyboard stays in the view.
    for name in ("Detach", "Stop"):
        view.get_by_role("button", name=name, exact=True).focus()
        book.page.keyboard.press("Enter")
        book.until(
            lambda n=name: not view.get_by_role("button", name=n, exact=True).is_visible(),
            what=f"{name} is gone",
        )
        book.until(lambda: focused(book), 3, f"the focus is back after {name}")
        book.page.keyboard.press("Tab")
        assert view.locator(":focus").count() == 1
    wait(10)
