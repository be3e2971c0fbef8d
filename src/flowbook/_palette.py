"""The colours of all views: drawings and charts, light and dark, and what stands on any page.

A notebook's page is light or dark, and a stored output cannot ask which. So text has the page's own
colour, and what is coloured is a graphic, with a contrast of at least 3:1 to white and to dark pages
alike. Pictures bring their own paper along, and pairs of colours: light and dark. The front end has
the same ones (`graph/paint.ts`, `run/chart.ts`, `theme.css`).
"""

from __future__ import annotations

LOOKS = {
    "linalg": ("#4f5bd5", "#8b94f5"),
    "elementwise": ("#0b7a6f", "#3fc7b8"),
    "reduce": ("#96620f", "#e3b25c"),
    "nn": ("#9440c9", "#c58af0"),
    "shape": ("#64748b", "#94a3b8"),
    "random": ("#c2377e", "#f081b8"),
    "optim": ("#2f855a", "#68c48f"),
    "input": ("#2b6cb0", "#74b3ee"),
    "capture": ("#2b6cb0", "#74b3ee"),
    "variable": ("#a35a13", "#eaa562"),
    "constant": ("#64748b", "#94a3b8"),
    "scope": ("#64748b", "#94a3b8"),
}
"""Of kinds of nodes in a drawing."""

SHEET = {
    "bg": ("#fff", "#14171c"),
    "card": ("#fff", "#1d2229"),
    "rim": ("#d5dbe3", "#414a57"),
    "ink": ("#1b2330", "#e8ecf2"),
    "soft": ("#5a6576", "#a3adbc"),
    "line": ("#748196", "#7b8797"),
    "frame": ("#6b7a9010", "#8fa0b80f"),
    "bad": ("#c62323", "#ff7b7b"),
    "badbg": ("#fdecec", "#3a1b1e"),
    "grad": ("#b3316a", "#f27aa5"),
    "gradbg": ("#fbe8f0", "#3a2230"),
    "on": ("#fff", "#14171c"),
}
"""Of a drawing's paper, words and lines; `on` is the colour of words on `bad`."""

GRID = ("#e8ecf1", "#262c35")

LINES = (
    ("#0072b2", "#56b4e9"), ("#d55e00", "#ff9650"), ("#009e73", "#3ed6a5"), ("#b0529a", "#e79fd0"),
    ("#b38600", "#f0c84b"), ("#3a8fb7", "#8fd0ee"), ("#7a5195", "#b79ae0"), ("#5b6b7b", "#a9b6c6"),
)  # fmt: skip
"""Of a chart's lines: Okabe and Ito's, which colour blindness leaves apart, and lighter ones."""

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

LIVE, PEAK = KINDS["activation"], KINDS["parameter"]  # of memory over time

STEPS = (
    "#4f5bd5", "#0b8377", "#9a6417", "#9440c9", "#c2377e", "#2b6cb0", "#2d8257", "#64748b",
)  # fmt: skip
"""Of the steps of a profile; white text stands on them."""

ALARMED = f"font-weight:600;border-left:3px solid {ALARM};padding-left:5px"
"""Style of a word that must not be missed."""


def aside(colour: str, more: str = "") -> str:
    """Style of a paragraph with a coloured bar beside it."""
    return f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0 8px{more}"


def block(colour: str, height: int) -> str:
    """Style of a block of one colour, such as the bar of a chart.

    It is a border: where the system forces its colours on a page, backgrounds vanish and borders
    take the colour of text. Its own colour stays there in trusted notebooks.
    """
    return f"height:0;border-top:{height}px solid {colour};forced-color-adjust:none"


LEFT = " style=text-align:left"
"""Attribute of a table's cell with words in it: notebooks put all cells to the right, as for numbers."""


def spread(gap: int) -> str:
    """Style of words in a row with gaps between them, in pixels.

    Untrusted notebooks keep no `gap` and no `flex-wrap`.
    """
    return f"display:inline-block;white-space:nowrap;margin:0 {gap}px 3px 0"


def variables(side: int, *names: str) -> str:
    """Colours of a sheet as CSS variables, for light (0) or dark (1) pages; all if none are named."""
    return ";".join(f"--{name}:{SHEET[name][side]}" for name in names or SHEET)


_PAPER = ("bg", "rim", "ink", "soft")
PAPER = (
    f":root{{{variables(0, *_PAPER)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{variables(1, *_PAPER)}}}}}"
    "@media(prefers-contrast:more){:root{--soft:var(--ink);--rim:var(--ink)}}"
    "text{font:10px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--soft)}"
    ".c{fill:var(--bg);stroke:var(--rim)}"
)
"""Style sheet of a small picture: its paper (class `c`) and its words, light and dark."""
