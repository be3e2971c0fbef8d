"""Forced colours, as Windows' contrast themes set them: every word and every sign stays readable."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from . import contrast
from .cells import NET, SETUP
from .graphs import box, card, live

TRAIN = """\
model = fb.nn.Sequential(fb.nn.Dense(16, activation=fb.nn.relu), fb.nn.Dense(10))
for rate in (0.1, 0.3):
    _ = fb.fit(model, (x, y), fb.losses.softmax_cross_entropy, fb.optim.SGD(rate), epochs=12)"""
KEEP = "fb.asarray(np.ones((500, 500), np.float32)) * 2"
COMPARE = "%runs compare 1 2"
CELLS = [SETUP, NET, TRAIN, KEEP, "%memory live", "%runs", COMPARE, "fb.profile(net, runs=3)", "x"]

schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def book(module_desk: Any) -> Any:
    opened = module_desk.open(CELLS)
    for index in range(len(CELLS)):
        assert "Error" not in opened.run(index)
    return opened


@pytest.fixture(scope="module")
def stored(book: Any) -> Any:
    """The same notebook as it is saved: nothing of it is live."""
    return nbformat.from_dict(book.save())


def force(book: Any, scheme: str) -> None:
    book.page.emulate_media(forced_colors="active", color_scheme=scheme)


def colours(view: Any, selector: str, what: str) -> list[str]:
    """A property of the elements, each value once."""
    found: list[str] = view.locator(selector).evaluate_all(
        "(all, what) => [...new Set(all.map(e => getComputedStyle(e)[what]))]", what
    )
    return found


def canvas_colour(page: Any) -> str:
    """The system's colour of paper."""
    found: str = page.evaluate(
        """() => {
          const e = document.body.appendChild(document.createElement('div'));
          e.style.color = 'Canvas';
          const colour = getComputedStyle(e).color;
          e.remove();
          return colour;
        }"""
    )
    return found


@schemes
def test_graph(book: Any, shot: Any, scheme: str) -> None:
    force(book, scheme)
    paper = canvas_colour(book.page)
    view = live(book, 1)
    book.page.wait_for_timeout(200)
    box(view, "relu").click()
    shot(view, f"forced-graph-{scheme}")
    contrast.check(view, 7)
    contrast.check(card(view, "mean"), 7)
    # Cards are paper, lines and rims are ink; bars and the legend keep telling kinds apart.
    assert colours(view, "g.is-node > rect.card:not(.source)", "fill") == [paper]
    assert paper not in colours(view, "path.line", "stroke")
    assert len(colours(view, ".swatch", "backgroundColor")) >= 4
    # What is pressed differs from what is not.
    button = view.get_by_role("button", name="Optimised")
    before = button.evaluate("e => getComputedStyle(e).backgroundColor")
    button.click()
    pressed = button.evaluate("e => getComputedStyle(e).backgroundColor")
    assert pressed != before
    shot(view, f"forced-graph-optimised-{scheme}")
    contrast.check(view, 4.5)
    button.click()
    box(view, "relu").press("Escape")


@schemes
def test_memory(book: Any, shot: Any, scheme: str) -> None:
    force(book, scheme)
    book.cell(4).scroll_into_view_if_needed()
    view = book.cell(4).locator(".fb-tables-host").first
    view.wait_for()
    book.page.wait_for_timeout(300)
    shot(view, f"forced-memory-{scheme}")
    contrast.check(view, 7)
    paper = canvas_colour(book.page)
    assert paper not in colours(view, ".fb-course .fb-live, .fb-course .fb-peaks", "stroke")
    # The bar by kind and its keys are made of colours: they are there, and differ.
    assert len(set(colours(view, "[style*='border-top:']", "borderTopColor")) - {paper}) >= 2


@schemes
def test_training(book: Any, shot: Any, scheme: str) -> None:
    force(book, scheme)
    book.cell(6).scroll_into_view_if_needed()
    view = book.cell(6).locator(".fb-run")
    view.wait_for()
    view.locator("summary").click()
    book.page.wait_for_timeout(300)
    shot(view, f"forced-runs-{scheme}")
    contrast.check(view, 7)
    # Each run keeps a colour of its own in the legend.
    assert len(colours(view, ".fb-swatch", "borderTopColor")) == 2
    # Which of two ways is chosen shows.
    on, off = (
        colours(view, f".fb-options > button[aria-pressed={pressed}]", "backgroundColor")
        for pressed in ("true", "false")
    )
    assert not set(on) & set(off)
    view.locator("summary").click()
    one = book.cell(2).locator(".fb-run").first
    book.cell(2).scroll_into_view_if_needed()
    one.wait_for()
    shot(one, f"forced-run-{scheme}")
    contrast.check(one, 7)


@schemes
def test_profile_and_tensor(book: Any, shot: Any, scheme: str) -> None:
    force(book, scheme)
    book.cell(7).scroll_into_view_if_needed()
    view = book.cell(7).locator(".fb-tables-host").first
    view.wait_for()
    book.page.wait_for_timeout(200)
    shot(view, f"forced-profile-{scheme}")
    contrast.check(view, 4.5)
    shot(book.cell(8), f"forced-tensor-{scheme}")
    contrast.check(book.cell(8).locator(".jp-OutputArea-output").last, 4.5)


@schemes
def test_static_views(module_desk: Any, stored: Any, shot: Any, scheme: str) -> None:
    book = module_desk.open(book=stored, kernel=None)
    force(book, scheme)
    for index in (1, 2, 4, 5, 6, 7):
        book.cell(index).scroll_into_view_if_needed()
        view = book.cell(index).locator(".flowbook-view").first
        view.wait_for()
        for summary in view.locator("summary").all():
            summary.click()
        shot(book.cell(index), f"forced-static-{index}-{scheme}")
        contrast.check(view, 4.5)
        paper = canvas_colour(book.page)
        bars = colours(view, "[style*='border-top:']", "borderTopColor")
        assert paper not in bars
        assert bars or index not in (4, 7)  # memory and profile have bars
    book.page.close()


@pytest.fixture(autouse=True)
def _check(request: pytest.FixtureRequest, module_desk: Any) -> Any:
    yield
    module_desk.check(request)
    for opened in module_desk.books:
        opened.page.emulate_media(forced_colors="none", color_scheme="light")
        opened.page.mouse.move(5, 5)
