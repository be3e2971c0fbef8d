"""Shows a memory snapshot as text and HTML: over time, by kind, by variable, by cell.

A snapshot is plain data; who made it (the notebook extension knows the variables' names) does not
matter here. The HTML stands alone and follows the page's colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from flowbook._palette import ALARM, ALARMED, KINDS, LEFT, LIVE, PAPER, PEAK, aside, block, spread
from flowbook._words import human_bytes, human_time, image, shorten

Snapshot = Mapping[str, Any]

_WORDS = {"optimizer": "optimizer state"}
_ROWS = 40
_CELLS = 12


class MemoryView:
    """A memory snapshot that shows itself, as text and as HTML that a saved notebook keeps.

    Attributes:
        snapshot: The plain data.
        view_id: Id of the live view, if there is one.
    """

    def __init__(self, snapshot: Snapshot, view_id: str = "") -> None:
        self.snapshot, self.view_id = snapshot, view_id

    def __repr__(self) -> str:
        return text(self.snapshot)

    def _repr_html_(self) -> str:
        return html(self.snapshot, self.view_id)


def _signed(count: int) -> str:
    return ("+" if count > 0 else "-" if count < 0 else "±") + human_bytes(abs(count))


def _headline(snapshot: Snapshot) -> str:
    text = f"{human_bytes(snapshot['live'])} live, peak {human_bytes(snapshot['peak'])}"
    text += f", {human_bytes(max(0, snapshot['reserved'] - snapshot['live']))} cached"
    if snapshot.get("limit"):
        text += f", limit {human_bytes(snapshot['limit'])}"
    before = snapshot.get("before")
    if before:
        text += f"; {_signed(snapshot['live'] - before['live'])} since the last look"
    return text


def _names(row: Mapping[str, Any], limit: int) -> str:
    names: Sequence[str] = row["names"]
    if not names:
        return "(no name)"
    more = f" = {', '.join(names[1:3])}" if len(names) > 1 else ""
    more += f" and {len(names) - 3} more" if len(names) > 3 else ""
    return shorten(names[0] + more, limit)


def _held(row: Mapping[str, Any]) -> str:
    """Who holds a row's memory, where that is the notebook alone; its first name stands already."""
    holders = row.get("holders") or ()
    others = [name for name in holders if name not in row["names"][:1]]
    if not holders or len(others) == len(holders):
        return f"held by {', '.join(others[:4])}" if holders else ""
    return "held by the notebook only" + (f", as {', '.join(others[:3])} too" if others else "")


def _change(row: Mapping[str, Any]) -> str:
    change = row.get("change")
    return "" if change is None else "new" if change == "new" else _signed(int(change))


def _listed(snapshot: Snapshot) -> tuple[Sequence[Mapping[str, Any]], str]:
    """The rows to show, and words on the others: after an earlier look only what is new counts."""
    rows = snapshot["rows"]
    if not snapshot.get("before"):
        return rows, ""
    new = [row for row in rows if _change(row)]
    same = len(rows) - len(new)
    size = human_bytes(sum(row["bytes"] for row in rows if not _change(row)))
    return new, f"{same} as before, {size}" if same else ""


def _colour(kind: str) -> str:
    return KINDS.get(kind, KINDS["external"])


def _kind(kind: str) -> str:
    return _WORDS.get(kind, kind)


def _cells(snapshot: Snapshot) -> list[Mapping[str, Any]]:
    """The cells that matter: those that changed the use or whose peak was high, newest first."""
    cells = [c for c in snapshot.get("cells", ()) if c.get("change") or c.get("peak")]
    return list(reversed(cells[-_CELLS:]))


def _cell_words(cell: Mapping[str, Any]) -> str:
    words = f"In [{cell['exec']}] {_signed(cell['change'])}"
    if cell.get("peak"):
        words += f" (peak +{human_bytes(cell['peak'])})"
    return words


def text(snapshot: Snapshot) -> str:
    """Lists a snapshot as lines of text.

    Args:
        snapshot: What `fb.memory.take_snapshot` collected.
    """
    out = [f"{snapshot['device']}: {_headline(snapshot)}"]
    kinds = {k: v for k, v in snapshot["by_kind"].items() if v}
    if kinds:
        words = ", ".join(f"{_kind(k)} {human_bytes(v)}" for k, v in kinds.items())
        out.append("  by kind: " + words)
    rows, same = _listed(snapshot)
    width = max((len(_names(r, 44)) for r in rows[:_ROWS]), default=0)
    for row in rows[:_ROWS]:
        cell = f"In [{row['cell']}]" if row.get("cell") else ""
        held = _held(row)
        line = f"  {_names(row, 44):<{width}}  {human_bytes(row['bytes']):>8}  {row['spec']:<18}"
        tail = " ".join(word for word in (_change(row), held) if word)
        out.append(f"{line} {row['kind']:<10} {cell:<8} {tail}".rstrip())
    if len(rows) > _ROWS:
        rest = sum(r["bytes"] for r in rows[_ROWS:])
        out.append(f"  and {len(rows) - _ROWS} more, {human_bytes(rest)}")
    if same:
        out.append(f"  {same}")
    for row in snapshot.get("gone", ())[:8]:
        out.append(f"  gone: {_names(row, 44)}  {human_bytes(row['bytes'])}  {row['spec']}")
    cells = _cells(snapshot)
    if cells:
        out.append("  by cell: " + ", ".join(_cell_words(c) for c in cells[:8]))
    hidden = snapshot.get("held_by_notebook") or 0
    if hidden:
        out.append(
            f"  {human_bytes(hidden)} held by the notebook only: %memory free outputs tracebacks"
        )
    return "\n".join(out)


def course(snapshot: Snapshot, width: int = 620, height: int = 112) -> str:
    """Live bytes over time as an SVG document, with the peak marked; empty without a history."""
    history = [h for h in snapshot.get("history", ()) if h]
    if len(history) < 2:
        return ""
    start, end = history[0][0], history[-1][0]
    span = max(end - start, 1e-9)
    top = max(max(h[2] for h in history), snapshot.get("limit") or 0, 1)
    plot_w, plot_h = width - 16, height - 46  # with a line of words above

    def x(t: float) -> float:
        return 8 + plot_w * (t - start) / span

    def y(n: float) -> float:
        return 22 + plot_h * (1 - n / top)

    live, peaks = [], []
    for i, (t, n, peak) in enumerate(history):
        live.append(f"{'M' if i == 0 else 'H'}{x(t):.1f}{f' {y(n):.1f}' if i == 0 else ''}")
        if i:
            live.append(f"V{y(n):.1f}")
        if peak > n * 1.02:
            peaks.append(f"M{x(t):.1f} {y(n):.1f}V{y(peak):.1f}")
    line = "".join(live)
    area = f"{line}V{y(0):.1f}H{x(start):.1f}Z"
    high = max(history, key=lambda h: h[2])
    anchor = "end" if x(high[0]) > width * 0.7 else "start"
    label = y(high[2]) - 6  # above the line that goes on from there
    limit = ""
    if snapshot.get("limit"):
        level = y(snapshot["limit"])
        if 0 <= y(high[2]) - level < 18:  # the limit's line is where the words would be
            label = y(high[2]) + 14
        limit = f'<path d="M8 {level:.1f}h{plot_w}" class="m"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img"><style>{PAPER}'
        f".l{{fill:none;stroke:{LIVE};stroke-width:1.5}}.a{{fill:{LIVE};fill-opacity:.15}}"
        f".h{{fill:{PEAK}}}.p{{fill:none;stroke:{PEAK}}}.m{{fill:none;stroke:{ALARM};"
        "stroke-dasharray:4 3}</style>"
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="9" class="c"/>'
        f'<path d="{area}" class="a"/><path d="{"".join(peaks)}" class="p"/>'
        f'<path d="{line}" class="l"/>{limit}'
        f'<circle cx="{x(high[0]):.1f}" cy="{y(high[2]):.1f}" r="3" class="h"/>'
        f'<text x="{x(high[0]) + (-6 if anchor == "end" else 6):.1f}" '
        f'y="{label:.1f}" text-anchor="{anchor}">peak {human_bytes(high[2])}</text>'
        f'<text x="8" y="{height - 9}">{human_time(span * 1e6)} ago</text>'
        f'<text x="{width - 8}" y="{height - 9}" text-anchor="end">now</text></svg>'
    )


def html(snapshot: Snapshot, view_id: str = "", *, live: bool = False) -> str:
    """Shows a snapshot as HTML that a saved notebook keeps.

    Args:
        snapshot: What `fb.memory.take_snapshot` collected.
        view_id: Id of the live view, if there is one.
        live: For use inside a live view: without the element that such views look for, and without
            the course, which they draw themselves from `live_course`.
    """
    kinds = {k: v for k, v in snapshot["by_kind"].items() if v > 0}
    kinds["cache"] = max(0, snapshot["reserved"] - snapshot["live"])
    total = max(1, sum(kinds.values()))
    parts = "".join(
        f'<div title="{escape(_kind(k))} {human_bytes(v)}" style="width:{100 * v / total:.2f}%;'
        f'margin-right:1px;{block(_colour(k), 14)}"></div>'
        for k, v in kinds.items()
        if v
    )
    legend = "".join(
        f'<span style="{spread(16)}"><span style="display:inline-block;width:9px;'
        f'margin:0 5px 0 0;{block(_colour(k), 9)}"></span>{escape(_kind(k))} {human_bytes(v)}</span>'
        for k, v in kinds.items()
        if v
    )
    held = snapshot.get("held_by_notebook") or 0
    hint = (
        f'<div style="font-size:12px;{aside(ALARM)}">'
        f"{human_bytes(held)} are held by the notebook only. "
        f"<code>%memory free outputs tracebacks</code> gives them back.</div>"
        if held
        else ""
    )
    kind = "flowbook-view flowbook-kind-memory" + (f" flowbook-id-{view_id}" if view_id else "")
    names = "" if live else f' class="{kind}"'
    picture = "" if live else _course_image(snapshot)
    return (
        f'<div{names} style="max-width:900px">'
        f"<div><b>{escape(str(snapshot['device']))}</b> {escape(_headline(snapshot))}</div>"
        '<div style="display:flex;height:14px;border-radius:7px;overflow:hidden;margin:8px 0 6px;'
        f'background:rgba(128,128,128,0.15)">{parts}</div>'
        f'<div style="font-size:12px">{legend}</div>'
        f"{picture}{_variables(snapshot)}{_gone(snapshot)}{_cell_table(snapshot)}"
        f"{hint}</div>"
    )


def live_course(snapshot: Snapshot) -> dict[str, Any]:
    """What the live view draws: the history, the limit, and when which cell ran."""
    return {
        "history": [[round(t, 3), live, peak] for t, live, peak in snapshot.get("history", ())],
        "cells": [
            {"exec": cell["exec"], "at": [round(t, 3) for t in cell["at"]]}
            for cell in snapshot.get("cells", ())
            if cell.get("at")
        ],
        "limit": snapshot.get("limit"),
    }


def _course_image(snapshot: Snapshot) -> str:
    picture = course(snapshot)
    if not picture:
        return ""
    words = escape(f"memory over time: {_headline(snapshot)}")
    return (
        '<div style="margin-top:6px;overflow:auto">'
        f'<img src="{image(picture)}" alt="{words}" style="min-width:560px"></div>'
    )


def _variables(snapshot: Snapshot) -> str:
    rows, same = _listed(snapshot)
    rest = f'<div style="font-size:12px;margin-top:4px">{same}</div>' if same else ""
    if not rows:
        return rest
    largest = max(r["bytes"] for r in rows) or 1
    body = "".join(_row(r, largest) for r in rows[:_ROWS])
    if len(rows) > _ROWS:
        more = human_bytes(sum(r["bytes"] for r in rows[_ROWS:]))
        body += f"<tr><td{LEFT}>and {len(rows) - _ROWS} more</td><td>{more}</td></tr>"
    changed = bool(snapshot.get("before"))
    columns = ["name", "bytes", "", "spec", "kind", "cell", *(["change"] if changed else [])]
    head = "".join(f"<th{'' if c == 'bytes' else LEFT}>{c}</th>" for c in columns)
    return (
        '<div style="overflow:auto"><table style="font-size:12px;margin-top:8px"><thead>'
        f"<tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{rest}"
    )


def _gone(snapshot: Snapshot) -> str:
    words = [
        f"<code>{escape(_names(row, 60))}</code> {human_bytes(row['bytes'])}"
        for row in snapshot.get("gone", ())[:8]
    ]
    return f'<div style="font-size:12px">Gone: {", ".join(words)}</div>' if words else ""


def _cell_table(snapshot: Snapshot) -> str:
    """What each cell has added, with a link to it."""
    cells = _cells(snapshot)
    if not cells:
        return ""
    place = "padding:1px 12px 1px 0;text-align:left"
    rows = []
    for cell in cells:
        label = f"In [{cell['exec']}]"
        if cell.get("cell"):
            label = f'<a href="#cell-id={escape(str(cell["cell"]), quote=True)}">{label}</a>'
        peak = f"+{human_bytes(cell['peak'])}" if cell.get("peak") else ""
        rows.append(
            f'<tr><td style="{place}">{label}</td>'
            f'<td style="{place}">{_signed(cell["change"])}</td><td style="{place}">{peak}</td>'
            f'<td style="{place}"><code>{escape(shorten(cell.get("source") or "", 60))}</code></td>'
            "</tr>"
        )
    head = "".join(
        f'<th style="{place}">{c}</th>' for c in ("cell", "left behind", "peak within", "")
    )
    return (
        '<details style="margin-top:6px"><summary style="cursor:pointer;font-size:12px">by cell'
        f'</summary><table style="font-size:12px"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></details>"
    )


def _row(row: Mapping[str, Any], largest: int) -> str:
    width = max(1.0, 120 * row["bytes"] / largest)
    colour = _colour(row["kind"])
    share = f'<div style="width:{width:.0f}px;border-radius:4px;{block(colour, 8)}"></div>'
    first, *others = row["names"] or ["(no name)"]
    names = f"<code>{escape(shorten(first, 60))}</code>"
    if held := escape(_held(row)):
        # Red where the page is known to suit it: in the live view.
        names += f'<div style="color:var(--bad,inherit);text-align:left;{ALARMED}">{held}</div>'
    elif others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        words = escape(shorten(", ".join(others[:3]), 80) + more)
        names += f'<div style="opacity:0.7;text-align:left">shared by {words}</div>'
    cell = f"In [{row['cell']}]" if row.get("cell") else ""
    cells = [share, escape(row["spec"]), escape(_kind(row["kind"])), cell]
    if (change := _change(row)) or row.get("change") is not None:
        cells.append(change)
    # Notebooks let cells wrap whatever the table says.
    whole = "white-space:nowrap"
    tail = "".join(
        f'<td style="text-align:left;{whole}">{c}</td>' if c else "<td></td>" for c in cells
    )
    size = f'<td style="{whole}">{human_bytes(row["bytes"])}</td>'
    return f"<tr><td{LEFT}>{names}</td>{size}{tail}</tr>"


def mimebundle(snapshot: Snapshot) -> dict[str, str]:
    """All static forms of a snapshot."""
    return {"text/plain": text(snapshot), "text/html": html(snapshot)}
