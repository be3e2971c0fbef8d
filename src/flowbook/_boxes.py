"""The boxes of a graph's picture: what is written on nodes and closed scopes, and how large that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowbook._scopes import Scopes, Totals, scope_title
from flowbook._words import human_bytes, human_count, human_time, shorten, text_width

Record = Mapping[str, Any]
"""What a view is drawn from; `Graph.record()` makes it."""

ROWS = 4  # parameters and numbers written on a box

SOURCES = frozenset({"input", "capture", "variable", "constant"})


@dataclass
class Box:
    """A visible rectangle: a node, a closed scope or the frame of an open one."""

    kind: str  # node | scope | frame
    ref: int  # id of the node, or index of the scope in Scene.scopes
    frame: int  # index of the frame around it, or -1
    x: float
    y: float
    width: float
    height: float
    title: str
    sub: str = ""
    tag: str = ""  # the notebook variable it is bound to
    look: str = "elementwise"  # colour: a family of ops or a kind of source
    repeat: int = 1
    nodes: int = 1
    gradients: int = 0
    output: bool = False
    failed: bool = False
    heat: float | None = None  # share of the slowest node's time
    detail: str = ""  # for the tooltip
    rows: list[tuple[str, str]] = field(
        default_factory=list
    )  # parameters written on the box: name, spec


def family(node: Record) -> str:
    """The family that decides a node's colour."""
    kind = node.get("kind", "op")
    if kind in SOURCES:
        return str(kind)
    if kind == "optimizer":
        return "optim"
    named = str(node.get("family") or "elementwise")
    return {"index": "shape", "create": "shape"}.get(named, named)


def node_title(node: Record) -> str:
    """The first word on a node's box: a source's name, an op's op."""
    if node.get("kind") in SOURCES:
        return str(node.get("name") or constant_value(node) or node["op"])
    return str(node["op"])


def constant_value(node: Record) -> str:
    """The number of a constant, as it is written on boxes."""
    value = (node.get("attrs") or {}).get("value")
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def row_of(extra: Record) -> tuple[str, str]:
    """What is written on a box for a parameter (name and spec) or a number."""
    if extra["kind"] == "constant":
        return shorten(constant_value(extra), 14), ""
    return shorten(_leaf(extra), 14), shorten(str(extra.get("spec") or ""), 22)


def face_of(
    node: Record, output: bool, slowest: float, rows: list[tuple[str, str]], count: int
) -> Box:
    """A node's box with its words and size; its place comes later.

    `rows` are the first of the `count` parameters and numbers that are written on it.
    """
    look = family(node)
    source = look in SOURCES
    title = shorten(node_title(node), 26)
    sub = "" if look == "optim" else shorten(str(node.get("spec") or ""), 28)
    tag = "" if source else shorten(str(node.get("name") or ""), 18)
    if written := node.get("writes"):
        tag = "→ " + (shorten(written[0], 16) if len(written) == 1 else f"{len(written)} variables")
    time = node.get("time_us")
    wide = text_width(title, 12.5, bold=True)
    if tag:
        wide += 14 + text_width(tag, 11, mono=True)
    if look == "constant":
        width, height = max(26.0, text_width(title, 11) + 18), 24.0
    else:
        width = max(wide, text_width(sub, 10.5, mono=True)) + (30 if source else 26)
        height = 40.0
    if node.get("kind") == "optimizer":
        rows = [("state", f"{count} variables")] if rows else []
        if node.get("gradients"):
            rows.append(("gradients", str(node["gradients"])))
    elif count > ROWS:
        rows = [*rows[: ROWS - 1], (f"and {count - ROWS + 1} more", "")]
    if rows:
        height += 6 + 13 * len(rows)
        width = max(
            width, 40 + max(text_width(a, 10) + text_width(b, 10, mono=True) for a, b in rows)
        )
    detail = [
        f"{node.get('name') or ''} = {node['op']}" if node.get("name") else node["op"],
        shorten(str(node.get("spec") or ""), 80),  # an optimizer has hundreds of outputs
    ]
    if node.get("bytes"):
        detail.append(human_bytes(node["bytes"]))
    if time:
        shared = node.get("fused_with")
        detail.append(human_time(time) + (f" with {shared} fused" if shared else ""))
    if node.get("alarm"):
        detail.append(f"first {node['alarm']}")
    if node.get("line"):
        detail.append(f"line {node['line']}")
    return Box(
        kind="node", ref=0, frame=-1, x=0, y=0,
        width=round(max(width, 48.0 if look != "constant" else 26.0)), height=height,
        title=title, sub="" if look == "constant" else sub, tag=tag, look=look, output=output,
        failed=bool(node.get("failed") or node.get("alarm")),
        heat=(time / slowest) if time and slowest else None,
        detail=" · ".join(d for d in detail if d), rows=rows,
    )  # fmt: skip


def scope_face(s: int, scopes: Scopes, total: Totals) -> Box:
    """The box of a closed scope: name, number of nodes and of parameters."""
    outer = scopes.path[scopes.parent[s]] if scopes.parent[s] >= 0 else ""
    title = shorten(scope_title(scopes.path[s], outer, 1), 26)
    sub = f"{total.nodes[s]:,} nodes"
    if total.params[s]:
        sub += f" · {human_count(total.params[s])} params"
    width = max(text_width(title, 12.5, bold=True) + 50, text_width(sub, 10.5)) + 30
    return Box(
        kind="scope", ref=s, frame=-1, x=0, y=0, width=round(max(width, 110.0)), height=44.0,
        title=title, sub=sub, look="scope", failed=total.failed[s],
    )  # fmt: skip


def _leaf(node: Record) -> str:
    """The last part of a parameter's path: `weight` of `model.layers[0].weight`."""
    return str(node.get("name") or node["op"]).rpartition(".")[2]
