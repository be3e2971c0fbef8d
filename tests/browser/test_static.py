"""What is there without a kernel, without trust and without our front end: picture and table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from . import cells
from .cells import NET, SETUP

# What Jupyter and its widgets show instead of something that can't be shown.
ERRORS = ("model not found", "Error displaying", "Loading widget", "Error creating widget")

# A name that would run code wherever a view forgot to escape it.
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
HOSTILE_SETUP = f"""\
evil = fb.Variable(fb.zeros((3,)), name={HOSTILE!r})"""
HOSTILE_CELL = """\
%%graph hostile
out = evil * 2"""


def test_what_nbconvert_stores_is_small(stored: Path) -> None:
    """Widgets' states are stored too: the hub's is a loader, without the front end."""
    book = nbformat.read(stored, as_version=4)
    assert stored.stat().st_size < 60_000
    assert len(str(book.metadata.get("widgets", ""))) < 5_000
    assert "flowbook-kind" not in str(book.metadata.get("widgets", ""))


def check_picture_and_table(root: Any, texts: str) -> None:
    """The view's image is there and its table opens."""
    image = root.locator("img").first
    image.wait_for()
    assert image.evaluate("i => i.complete && i.naturalWidth > 100")
    assert "nodes" in image.get_attribute("alt")
    assert not root.locator("table").first.is_visible()
    root.locator("summary").first.click()
    assert root.locator("table tbody tr").first.is_visible()
    assert "matmul" in root.locator("table").inner_text()
    for error in ERRORS:
        assert error not in texts


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook that nbconvert executed: no browser ever saw it, nobody trusts it."""
    return cells.executed(tmp_path_factory.mktemp("stored"), SETUP, NET)


@pytest.mark.parametrize("front_end", ["lab", "notebook"])
def test_reopened_without_a_kernel(open_book: Any, shot: Any, front_end: str) -> None:
    book = open_book([SETUP, NET], front_end=front_end)
    book.run(0)
    book.run(1)
    saved = book.save()
    assert "widgets" not in saved.metadata
    (output,) = saved.cells[1].outputs
    assert set(output.data) == {"text/html", "text/plain"}

    again = open_book(book=saved, front_end=front_end, kernel=None)
    check_picture_and_table(again.view(1), again.page.inner_text("body"))
    shot(again.page, f"reopened-{front_end}")


@pytest.mark.parametrize("front_end", ["lab", "notebook"])
def test_untrusted(open_book: Any, shot: Any, stored: Path, front_end: str) -> None:
    book = open_book(book=nbformat.read(stored, as_version=4), front_end=front_end, kernel=None)
    assert not book.trusted(1)
    check_picture_and_table(book.view(1), book.page.inner_text("body"))
    shot(book.view(1), f"untrusted-{front_end}")


def test_exported_by_nbconvert(context: Any, stored: Path, shot: Any) -> None:
    cells.jupyter("nbconvert", "--to", "html", stored)
    cells.jupyter("nbconvert", "--to", "markdown", stored)

    page = context.new_page()
    page.route("http*://**", lambda route: route.abort())  # there is no network
    page.goto(stored.with_suffix(".html").as_uri())
    check_picture_and_table(page.locator(".flowbook-view").first, page.inner_text("body"))
    shot(page.locator(".flowbook-view").first, "nbconvert")
    page.close()

    markdown = stored.with_suffix(".md").read_text()
    assert '<img src="data:image/svg+xml;base64,' in markdown
    assert "<table" in markdown
    for error in ERRORS:
        assert error not in markdown


def test_hostile_names_are_text(open_book: Any) -> None:
    book = open_book([SETUP + "\n" + HOSTILE_SETUP, HOSTILE_CELL])
    book.run(0)
    book.run(1)
    view = book.view(1)
    view.wait_for()
    assert "<img src=x" in book.texts()[1]
    assert view.locator("script").count() == 0
    assert view.locator('img[src="x"]').count() == 0
    again = open_book(book=book.save(), kernel=None)
    again.view(1).locator("summary").first.click()
    assert "<img src=x" in again.view(1).locator("table").first.inner_text()
    for opened in (book, again):
        assert opened.page.evaluate("window.hacked") is None
