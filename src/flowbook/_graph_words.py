"""A graph record in words: its nodes as lines of text, a line of figures, a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowbook import _record_notes
from flowbook._boxes import SOURCES, Record, constant_value
from flowbook._nodes import Nodes
from flowbook._words import human_bytes, human_time, shorten

ROWS = 60  # nodes that are listed
_ASSIGNED = 20  # assignments to variables that are


# What a cell without an op on a tensor has recorded.
NOTHING = ": nothing was recorded. Ops on tensors become nodes, such as fb.exp(x) or x * 2"


def status_line(record: Record) -> str:
    """One line of figures: nodes, memory, times, and why it was compiled again."""
    stats: Mapping[str, Any] = record.get("stats") or {}
    parts = []
    count = len(record["nodes"])
    parts.append(f"{count:,} node{'s' if count != 1 else ''}" + ("" if count else NOTHING))
    if stats.get("planned_peak_bytes") is not None:
        parts.append(f"peak {human_bytes(stats['planned_peak_bytes'])}")
    for key in ("trace", "compile", "run"):
        value = stats.get(f"{key}_ms")
        if value is not None:
            parts.append(f"{key} {human_time(value * 1000)}")
    if stats.get("recompiled"):
        parts.append(f"recompiled: {stats['recompiled']}")
    return " · ".join(parts)


def describe(record: Record) -> str:
    """The picture in words, for screen readers."""
    nodes = Nodes.of(record["nodes"])
    sources = np.flatnonzero(nodes.where("kind", *SOURCES - {"constant"}))
    named = [
        f"{n['name'] or n['op']} {n['spec'] or ''}".strip() for n in nodes.rows(sources[:_SOME])
    ]
    outputs = record.get("outputs", ())
    made = [
        f"{o['name']} {(nodes.find(o['node']) or {}).get('spec') or ''}".strip()
        for o in outputs[:_SOME]
    ]
    text = f"Graph {record.get('name') or ''}".strip() + f": {len(nodes)} nodes."
    if named:
        text += f" Reads {_some(named, len(sources))}."
    if made:
        text += f" Makes {_some(made, len(outputs))}."
    failed = np.flatnonzero(nodes.columns["failed"])
    if len(failed):
        text += f" Failed at {nodes.word('op', failed[0])}."
    return text


_SOME = 8


def _some(words: Sequence[str], count: int | None = None) -> str:
    """The first few words, and how many more of `count` there are."""
    more = (len(words) if count is None else count) - _SOME
    return ", ".join(words[:_SOME]) + (f" and {more} more" if more > 0 else "")


def label_of(nodes: Nodes, id: int) -> str:
    """A node's name, else its number; a question mark for one that the graph never got."""
    position = nodes.position(id)
    name = nodes.word("name", position) if position >= 0 else None
    return name or (f"%{id}" if id >= 0 else "?")


def time_of(node: Record) -> str:
    """A node's time; that of a fused step belongs to all of its nodes together."""
    if not node.get("time_us"):
        return ""
    shared = node.get("fused_with")
    return human_time(node["time_us"]) + (f" with {shared} more" if shared else "")


def text(record: Record) -> str:
    """Lists a graph record as lines of text; the same graph always gives the same text.

    Args:
        record: The graph, as `Graph.record()` describes it.
    """
    nodes = Nodes.of(record["nodes"])
    outputs = [o["name"] for o in record.get("outputs", ())]
    name = record.get("name") or "graph"
    out = [f"{name}: {len(nodes)} nodes" + (f" -> {_some(outputs)}" if outputs else "")]
    if not len(nodes):
        out[0] += NOTHING

    shown = nodes[:] if len(nodes) <= ROWS else [*nodes[: ROWS - 10], None, *nodes[-10:]]
    for node in shown:
        if node is None:
            out.append(f"  ... {len(nodes) - ROWS:,} more ...")
            continue
        spec = shorten(node.get("spec") or "?", 80)
        if node.get("kind") in SOURCES:
            what = constant_value(node) or node["kind"]
            words = f"  {label_of(nodes, node['id'])}: {spec} ({what})"
        else:
            given = _some([label_of(nodes, j) for j in node["inputs"]])
            words = f"  {label_of(nodes, node['id'])} = {node['op']}({given}) : {spec}"
        if node.get("failed"):
            words += "   <-- failed here"
        elif node.get("alarm"):
            words += f"   <-- first {node['alarm']}"
        elif node.get("line") and node.get("kind") not in SOURCES:
            words += f"   # line {node['line']}"
        out.append(words)
    assigned = record.get("assignments", ())
    for change in assigned[:_ASSIGNED]:
        out.append(f"  {change['variable']} <- {label_of(nodes, change['node'])}")
    if len(assigned) > _ASSIGNED:
        out.append(f"  ... {len(assigned) - _ASSIGNED:,} more assignments ...")
    out += _record_notes.text_lines(record)
    error = record.get("error")
    if error:
        out.append(f"  {error['type']}: {error['message']}")
        if error.get("source"):
            out.append(f"  line {error['line']}: {error['source']}")
        out += [f"    {n}: {s}" for n, s in error.get("names", ())]
    return "\n".join(out)
