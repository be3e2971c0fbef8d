"""What a drawing says beyond its shape: values, versions, stale inputs, failures, what was fused."""

from __future__ import annotations

from typing import Any

import pytest

from .cells import SETUP
from .graphs import box, boxes, card, live

INSPECT = """\
%%graph seen --inspect
h = fb.tanh(x @ w1)
q = fb.log(h - 0.5)
total = fb.sum(q)"""
FIRST = """\
%%graph versions
a = x @ w1
b = fb.nn.relu(a)
c = fb.sum(b)"""
SECOND = """\
%%graph versions
a = x @ w1
d = fb.tanh(a)
c = fb.sum(d * 2)"""
FUSED = """\
%%graph fused
z = fb.sum(fb.tanh(x * 2 + 1) * 3)"""
FAILS = """\
%%graph broken
h = x @ w1
k = fb.nn.relu(h)
bad = k @ x"""


@pytest.fixture
def book(open_book: Any) -> Any:
    opened = open_book([SETUP, INSPECT, FIRST, FUSED, FAILS])
    assert "Error" not in opened.run(0)
    return opened


def test_values_of_the_last_run(book: Any, shot: Any) -> None:
    book.run(1)
    view = live(book, 1)
    tip = card(view, "tanh")
    bars = tip.locator("svg.bars")
    assert bars.get_attribute("aria-label").startswith("histogram from ")
    assert bars.locator("rect").count() > 5
    assert "mean" in tip.inner_text()
    assert "NaN" not in tip.inner_text()
    shot(view, "graph-values")
    book.page.mouse.move(5, 5)
    tip.wait_for(state="hidden")
    tip = card(view, "log")
    assert "NaN" in tip.inner_text()
    assert "the first NaN appears here" in tip.inner_text()
    assert view.locator(".badge.nan").count() == 1
    assert "first NaN" in view.locator(".strip.error").inner_text()
    shot(view, "graph-nan")


def test_what_differs_from_the_version_before(book: Any, shot: Any) -> None:
    book.run(2)
    assert not live(book, 2).get_by_role("button", name="Changes").is_visible()
    book.edit(2, SECOND)
    assert "Error" not in book.run(2)
    view = live(book, 2)
    view.get_by_role("button", name="Changes").click()
    words = view.locator(".strip").inner_text()
    assert "Since the version before: " in words
    assert "b = relu" in words  # what is gone
    assert view.locator(".badge.added").count() >= 1
    assert box(view, "tanh").get_attribute("aria-label").endswith("new")
    assert "was sum(" in card(view, "sum").inner_text()
    shot(view, "graph-changes")
    view.get_by_role("button", name="Changes").click()
    assert view.locator(".strip").count() == 0
    assert view.locator(".badge").count() == 0


def test_an_input_that_was_bound_anew_makes_it_stale(book: Any, shot: Any) -> None:
    book.run(2)
    view = live(book, 2)
    mark = view.locator(".stale")
    assert not mark.is_visible()
    book.run(book.add("kept = x\nx = fb.asarray(np.zeros((8, 784), np.float32))"))
    mark.wait_for()
    assert mark.inner_text().startswith("stale: x (since In [")
    shot(view, "graph-stale")
    book.run(book.add("x = kept"))
    mark.wait_for(state="hidden")


def test_before_and_after_optimisation(book: Any, shot: Any) -> None:
    book.run(3)
    view = live(book, 3)
    before = boxes(view).count()
    toggle = view.get_by_role("button", name="Optimised")
    toggle.click()
    step = box(view, "scope step")
    step.wait_for()
    assert toggle.get_attribute("aria-pressed") == "true"
    assert "multiply + add" in step.get_attribute("aria-label")
    assert "fused" in view.locator(".strip").inner_text()
    assert "in one pass" in card(view, "tanh").inner_text()
    shot(view, "graph-optimised")
    box(view, "tanh").click()
    picked = book.value("fused.view.selected")
    assert len(picked.split(",")) > 2  # what runs in one pass, as the cell wrote it
    toggle.click()
    book.until(lambda: boxes(view).count() == before, what="all nodes are back")


def test_a_failure_shows_the_part_that_was_recorded(book: Any, shot: Any) -> None:
    assert "ShapeError" in book.run(4)
    view = live(book, 4)
    strip = view.locator(".strip.error")
    assert "ShapeError" in strip.inner_text()
    assert "bad = k @ x" in strip.inner_text()
    failed = view.locator("g.box", has=book.page.locator(".card.failed"))
    assert failed.count() == 1
    assert "failed" in failed.get_attribute("aria-label")
    shot(view, "graph-failed")
