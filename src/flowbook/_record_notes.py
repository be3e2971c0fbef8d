"""What stands around the drawing of a graph: NaN finding, changes since the last version, what was
optimised, and inputs that have been bound anew. As text and as HTML, from the record alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from flowbook._nodes import Nodes
from flowbook._palette import ALARM, NOTICE, aside
from flowbook._words import shorten

Record = Mapping[str, Any]

_SHOWN = 12
_SMALL = "font-size:12px"


def text_lines(record: Record) -> list[str]:
    """The notes as indented lines."""
    out = []
    if record.get("nonfinite"):
        out.append(f"  {record['nonfinite']['text']}")
    if record.get("stale"):
        out.append(f"  {record['stale']}")
    diff = record.get("diff")
    if diff and diff["summary"]:
        out.append(f"  since the last version: {diff['summary']}")
        out += [f"    {mark} {words}" for mark, words in _changes(record)]
    optimised = record.get("optimised")
    if optimised and optimised["nodes"]:
        out.append(f"  optimised: {optimised['summary']}")
    return out


def above(record: Record) -> str:
    """HTML that stands above the picture: what must not be missed."""
    out = []
    if record.get("nonfinite"):
        out.append(_mark(ALARM, escape(record["nonfinite"]["text"])))
    if record.get("stale"):
        out.append(_mark(NOTICE, escape(record["stale"])))
    return "".join(out)


def below(record: Record) -> str:
    """HTML that stands below the picture: what has changed, and what is left after optimisation."""
    out = []
    diff = record.get("diff")
    if diff and diff["summary"]:
        rows = "".join(
            f"<div><b><code>{mark}</code></b> <code>{escape(words)}</code></div>"
            for mark, words in _changes(record)
        )
        title = f"since the last version of this cell: {escape(diff['summary'])}"
        out.append(_details(title, rows))
    optimised = record.get("optimised")
    if optimised and optimised["nodes"]:
        rows = "".join(
            f"<div><code>{escape(group['label'])}</code> "
            f'<span style="opacity:0.7">{escape(_members(record, group))}</span></div>'
            for group in optimised["groups"][:_SHOWN]
        )
        more = len(optimised["groups"]) - _SHOWN
        rows += f"<div>and {more} more</div>" if more > 0 else ""
        out.append(_details(f"optimised: {escape(optimised['summary'])}", rows))
    return "".join(out)


def _mark(colour: str, words: str) -> str:
    return f'<div style="{aside(colour)}">{words}</div>'


def _details(title: str, body: str) -> str:
    if not body:
        return f'<div style="{_SMALL};margin-top:4px">{title}</div>'
    return (
        f'<details style="margin-top:4px"><summary style="cursor:pointer;{_SMALL}">{title}'
        f'</summary><div style="{_SMALL};padding:2px 0 4px 14px">{body}</div></details>'
    )


def stale_words(stale: Mapping[str, int]) -> str:
    """Names that mean something else now, and the cells since which they do, as a sentence."""
    words = [f"{name} (since In [{cell}])" if cell else name for name, cell in stale.items()]
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    verb = "are" if len(words) > 1 else "is"
    return f"stale: {', '.join(words[:_SHOWN])}{more} {verb} bound anew; run the cell again"


def _label(node: Mapping[str, Any]) -> str:
    what = node["op"]
    named = f"{node['name']} = {what}" if node.get("name") else f"%{node['id']} {what}"
    return shorten(f"{named} : {node.get('spec') or '?'}", 72)


def _changes(record: Record) -> list[tuple[str, str]]:
    """(sign, words) for each change, at most a few of each kind."""
    diff = record["diff"]
    nodes = Nodes.of(record["nodes"])
    out: list[tuple[str, str]] = []

    def add(mark: str, changes: Sequence[Any], words: Callable[[Any], str]) -> None:
        out.extend((mark, words(change)) for change in changes[:_SHOWN])
        if len(changes) > _SHOWN:
            out.append((mark, f"and {len(changes) - _SHOWN} more"))

    def at(id: int) -> str:
        node = nodes.find(id)
        return _label(node) if node is not None else f"%{id}"

    add("+", diff["added"], at)
    add("-", diff["removed"], _label)
    add("~", diff["changed"], lambda c: f"{at(c['id'])}   was {shorten(c['was'], 60)}")
    return out


def _members(record: Record, group: Mapping[str, Any]) -> str:
    nodes = Nodes.of(record["nodes"])
    places = {i: nodes.position(i) for i in group["members"]}
    names = [nodes.word("name", at) or f"%{i}" for i, at in places.items() if at >= 0]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
