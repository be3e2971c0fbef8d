"""The colours of static views outside of pictures: of bars, marks and lines that stand on any page.

A notebook's page is light or dark, and a stored output cannot ask which. So text has the page's own
colour, and what is coloured is a graphic, with a contrast of at least 3:1 to white and to dark pages
alike. Pictures (`_graph_svg`, `_chart`) bring their own paper along, and light and dark colours.
"""

from __future__ import annotations

ALARM = "#d02a2a"
NOTICE = "#b7791f"
FIGURE = "#2a9d8f"  # sparklines and histograms

KINDS = {
    "parameter": "#d97a1f",
    "gradient": "#d2477b",
    "optimizer": "#2f9e63",
    "activation": "#4f7fd5",
    "tensor": "#0e8a7d",
    "workspace": "#9440c9",
    "external": "#7a869a",
    "cache": "#8792a3",
}
"""Of kinds of memory."""

STEPS = (
    "#4f5bd5", "#0b8377", "#9a6417", "#9440c9", "#c2377e", "#2b6cb0", "#2d8257", "#64748b",
)  # fmt: skip
"""Of the steps of a profile; white text stands on them."""

ALARMED = f"font-weight:600;border-left:3px solid {ALARM};padding-left:5px"
"""Style of a word that must not be missed."""


def aside(colour: str, more: str = "") -> str:
    """Style of a paragraph with a coloured bar beside it."""
    return f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0 8px{more}"


LEFT = " style=text-align:left"
"""Attribute of a table's cell with words in it: notebooks put all cells to the right, as for numbers."""


def spread(gap: int) -> str:
    """Style of words in a row with gaps between them, in pixels.

    Untrusted notebooks keep no `gap` and no `flex-wrap`.
    """
    return f"display:inline-block;white-space:nowrap;margin:0 {gap}px 3px 0"


PAPER = (
    ":root{--bg:#fff;--rim:#d5dbe3;--ink:#1b2330;--soft:#5f6b7b}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171c;--rim:#3a424e;--ink:#e8ecf2;--soft:#98a3b3}}"
    "@media(prefers-contrast:more){:root{--soft:var(--ink);--rim:var(--ink)}}"
    "text{font:10px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--soft)}"
    ".c{fill:var(--bg);stroke:var(--rim)}"
)
"""Style sheet of a small picture: its paper (class `c`) and its words, light and dark."""
