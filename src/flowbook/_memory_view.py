"""Shows a memory snapshot as text and HTML: bytes by kind, by variable, by cell.

A snapshot is plain data; who made it (the notebook extension knows the variables' names) does not
matter here. The HTML stands alone and follows the page's colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from flowbook._words import human_bytes, shorten

Snapshot = Mapping[str, Any]

_COLOURS = {
    "parameter": "#d97a1f",
    "gradient": "#d2477b",
    "optimizer": "#2f9e63",
    "activation": "#4f7fd5",
    "tensor": "#0e8a7d",
    "workspace": "#9440c9",
    "external": "#7a869a",
    "cache": "#a9b3c1",
}
_ROWS = 40


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


def _change(row: Mapping[str, Any]) -> str:
    change = row.get("change")
    return "" if change is None else "new" if change == "new" else _signed(int(change))


def text(snapshot: Snapshot) -> str:
    """Lists a snapshot as lines of text.

    Args:
        snapshot: What `%memory` collected.
    """
    out = [f"{snapshot['device']}: {_headline(snapshot)}"]
    kinds = {k: v for k, v in snapshot["by_kind"].items() if v}
    if kinds:
        out.append("  by kind: " + ", ".join(f"{k} {human_bytes(v)}" for k, v in kinds.items()))
    rows = snapshot["rows"]
    width = max((len(_names(r, 44)) for r in rows[:_ROWS]), default=0)
    for row in rows[:_ROWS]:
        cell = f"In [{row['cell']}]" if row.get("cell") else ""
        held = f"held by {', '.join(row['holders'][:3])}" if row.get("holders") else ""
        line = f"  {_names(row, 44):<{width}}  {human_bytes(row['bytes']):>8}  {row['spec']:<18}"
        tail = " ".join(word for word in (_change(row), held) if word)
        out.append(f"{line} {row['kind']:<10} {cell:<8} {tail}".rstrip())
    if len(rows) > _ROWS:
        rest = sum(r["bytes"] for r in rows[_ROWS:])
        out.append(f"  and {len(rows) - _ROWS} more, {human_bytes(rest)}")
    if snapshot.get("cells"):
        cells = (f"In [{c['cell']}] {human_bytes(c['bytes'])}" for c in snapshot["cells"][:8])
        out.append("  by cell: " + ", ".join(cells))
    hidden = snapshot.get("held_by_notebook") or 0
    if hidden:
        out.append(
            f"  {human_bytes(hidden)} held by the notebook only: %memory free outputs tracebacks"
        )
    return "\n".join(out)


def html(snapshot: Snapshot) -> str:
    """Shows a snapshot as HTML that a saved notebook keeps.

    Args:
        snapshot: What `%memory` collected.
    """
    kinds = {k: v for k, v in snapshot["by_kind"].items() if v > 0}
    kinds["cache"] = max(0, snapshot["reserved"] - snapshot["live"])
    total = max(1, sum(kinds.values()))
    bar = "".join(
        f'<div title="{escape(k)} {human_bytes(v)}" style="width:{100 * v / total:.2f}%;'
        f'background:{_COLOURS.get(k, "#7a869a")}"></div>'
        for k, v in kinds.items()
        if v
    )
    legend = "".join(
        f'<span style="white-space:nowrap"><span style="display:inline-block;width:9px;height:9px;'
        f"border-radius:2px;margin:0 5px 0 0;background:{_COLOURS.get(k, '#7a869a')}"
        f'"></span>{escape(k)} {human_bytes(v)}</span>'
        for k, v in kinds.items()
        if v
    )
    largest = max((r["bytes"] for r in snapshot["rows"]), default=1) or 1
    rows = "".join(_row(r, largest) for r in snapshot["rows"][:_ROWS])
    more = len(snapshot["rows"]) - _ROWS
    if more > 0:
        rest = sum(r["bytes"] for r in snapshot["rows"][_ROWS:])
        rows += f"<tr><td>and {more} more</td><td>{human_bytes(rest)}</td></tr>"
    changed = bool(snapshot.get("before"))
    columns = ["name", "bytes", "", "spec", "kind", "cell", *(["change"] if changed else [])]
    head = "".join(f'<th style="text-align:left">{c}</th>' for c in columns)
    table = (
        f'<table style="font-size:12px;margin-top:8px"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    cells = ""
    if snapshot.get("cells"):
        words = " · ".join(
            f"In [{c['cell']}] {human_bytes(c['bytes'])}" for c in snapshot["cells"][:12]
        )
        cells = f'<div style="font-size:12px;margin-top:6px;opacity:.8">By cell: {words}</div>'
    held = snapshot.get("held_by_notebook") or 0
    hint = (
        '<div style="font-size:12px;margin-top:6px;border-left:3px solid #d02a2a;padding-left:8px">'
        f"{human_bytes(held)} are held by the notebook only. "
        f"<code>%memory free outputs tracebacks</code> gives them back.</div>"
        if held
        else ""
    )
    return (
        '<div class="flowbook-view flowbook-memory" style="max-width:900px">'
        f"<div><b>{escape(str(snapshot['device']))}</b> {escape(_headline(snapshot))}</div>"
        '<div style="display:flex;height:14px;border-radius:7px;overflow:hidden;margin:8px 0 6px;'
        f'background:rgba(128,128,128,.15)">{bar}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:4px 16px;font-size:12px">{legend}</div>'
        f"{table}{cells}{hint}</div>"
    )


def _row(row: Mapping[str, Any], largest: int) -> str:
    width = max(1.0, 120 * row["bytes"] / largest)
    colour = _COLOURS.get(row["kind"], "#7a869a")
    bar = (
        f'<div style="width:{width:.0f}px;height:8px;border-radius:4px;background:{colour}"></div>'
    )
    names = f"<code>{escape(_names(row, 60))}</code>"
    if row.get("holders"):
        names += (
            '<div style="color:#d02a2a;text-align:left">held by '
            f"{escape(', '.join(row['holders'][:4]))}</div>"
        )
    cell = f"In [{row['cell']}]" if row.get("cell") else ""
    cells = [human_bytes(row["bytes"]), bar, escape(row["spec"]), escape(row["kind"]), cell]
    if (change := _change(row)) or row.get("change") is not None:
        cells.append(change)
    tail = "".join(f"<td>{c}</td>" for c in cells)
    return f'<tr><td style="text-align:left">{names}</td>{tail}</tr>'


def mimebundle(snapshot: Snapshot) -> dict[str, str]:
    """All static forms of a snapshot."""
    return {"text/plain": text(snapshot), "text/html": html(snapshot)}
