"""Finds the parts of live graph drawings."""

from __future__ import annotations

from typing import Any


def live(book: Any, index: int) -> Any:
    """The live view below a cell, once it is there."""
    book.cell(index).scroll_into_view_if_needed()
    found = book.cell(index).locator(".flowbook-kind-graph > .flowbook-live")
    found.locator("svg.drawing, canvas.drawing").first.wait_for()
    return found


def boxes(view: Any) -> Any:
    return view.locator("g.box")


def box(view: Any, words: str) -> Any:
    """The box that a screen reader calls so, at the beginning."""
    return view.locator(f'g.box[aria-label^="{words}"]').first


def folded(view: Any) -> Any:
    """The view with all scopes closed."""
    view.get_by_role("button", name="Close all scopes").click()
    return view


def card(view: Any, words: str) -> Any:
    """The card of a box, by hovering over it."""
    box(view, words).hover()
    found = view.locator(".tip")
    found.wait_for()
    return found
