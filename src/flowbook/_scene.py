"""Turns the record of a graph into a picture's parts: labelled boxes and lines with coordinates.

The geometry (folding, layers, lines) is made in the native core; here are the words on the boxes,
their sizes, the grouping of graphs that have no scopes, and the choice between left-to-right and
downwards. What comes out is plain data (`Scene`), which `_drawing` turns into SVG and the front end
into a live view. No notebook package is imported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowbook._nodes import ABSENT, Array, Nodes
from flowbook._words import human_bytes, human_count, human_time, shorten, text_width

Record = Mapping[str, Any]
"""What a view is drawn from; `Graph.record()` makes it."""

_CROWD = 30  # more loose nodes than this in one scope are searched for repetition
_LIMIT = 48  # more entries than this in one scope are grouped by line
_TALL, _FEW = 1800.0, 28  # a picture taller than this is drawn again with fewer boxes
_PAGE = 1080.0  # width of a notebook's output area in pixels
_ROWS = 4  # parameters and numbers written on a box
_MARK = (34.0, 18.0, 5.0)  # width, height and gap of a gradient's mark

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


@dataclass
class Line:
    """A drawn dependency, or the stub of a long one."""

    kind: str  # line | stub | gradient
    source: int  # boxes
    target: int
    start: bool  # begins at a box, not at the border of a frame
    arrow: bool  # ends at a box
    points: list[tuple[float, float]]


@dataclass
class Scene:
    """The whole picture, in pixels."""

    direction: str  # right | down
    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]
    scopes: list[str]  # path of every scope, for expanding and collapsing
    box_of_node: list[int]  # by position in the record
    mark: tuple[float, float, float]  # width, height and gap of a gradient's mark


@dataclass
class _Scopes:
    """The scope tree as the arrays that the layout wants."""

    path: list[str] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, parent: int) -> int:
        found = self.index.get(path)
        if found is None:
            found = self.index[path] = len(self.path)
            self.path.append(path)
            self.parent.append(parent)
        return found

    def add_path(self, path: str) -> int:
        found = self.index.get(path)
        if found is not None:
            return found
        head, _, _ = path.rpartition("/")
        return self.add(path, self.add_path(head) if head else -1)


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


def _beside(nodes: Nodes) -> list[int]:
    """The forward node of every gradient node, or -1; loose ones follow their neighbours."""
    gradient = nodes.where("kind", "gradient") & ~nodes.columns["failed"]
    forward = nodes.positions(nodes.columns["forward_of"])
    named = gradient & (forward >= 0) & (forward < np.arange(len(nodes)))
    beside: list[int] = np.where(named, forward, -1).tolist()
    plain = ~nodes.where("kind", *SOURCES)
    start = nodes.columns["start"]
    for i in np.flatnonzero(gradient & ~named).tolist():
        inputs = [j for j in nodes.sources[start[i] : start[i + 1]].tolist() if 0 <= j < i]
        own = next((beside[j] for j in inputs if beside[j] >= 0), -1)
        if own < 0:
            own = max((j for j in inputs if plain[j]), default=-1)
        beside[i] = own
    return beside


def _alike(nodes: Nodes) -> list[int]:
    """Nodes of repeated blocks may stand for each other where these numbers are equal."""
    blocks: dict[str, int] = {}
    scopes = nodes.columns["scope"]
    block = np.zeros(len(nodes.words) + 1, np.int64)
    for code in np.unique(scopes).tolist():
        text = re.sub(r"\d+", "", nodes.words[code]) if code >= 0 else ""
        block[code] = blocks.setdefault(text, len(blocks))
    key = block[scopes] * 2 + nodes.columns["failed"]
    for column in ("op", "spec", "kind"):
        pairs = key * (len(nodes.words) + 1) + nodes.columns[column]
        key = np.unique(pairs, return_inverse=True)[1]
    same: list[int] = key.tolist()
    return same


def _absorbed(nodes: Nodes) -> Array:
    """Parameters and numbers that one node reads are written on its box: the reader's place or -1.

    Variables are absorbed where they belong to a module (they have a scope); those of a bare cell
    keep their box. What only an optimizer reads (its moments) belongs to the optimizer's box.
    """
    count, failed = len(nodes), nodes.columns["failed"]
    pairs = nodes.sources.astype(np.int64) * count + nodes.readers
    source, reader = np.divmod(np.unique(pairs[nodes.sources >= 0]), max(count, 1))
    # Gradients and optimizers read beside the forward pass: they count where nothing else reads.
    optimizer = nodes.where("kind", "optimizer")
    aside = ((nodes.where("kind", "gradient") | optimizer) & ~failed)[reader]
    uses = np.bincount(source[~aside], minlength=count)
    user, first = np.full(count, -1), np.full(count, -1)
    user[source[~aside]] = reader[~aside]
    first[source[aside][::-1]] = reader[aside][::-1]  # the last assignment stays: the first reader
    constant, variable = nodes.where("kind", "constant"), nodes.where("kind", "variable")
    scoped = variable & (nodes.columns["scope"] >= 0) & ~nodes.where("scope", "")
    sole = (uses == 1) & ~failed & (scoped | constant)
    spare = (uses == 0) & (first >= 0) & (constant | (variable & optimizer[first]))
    return np.where(sole, user, np.where(spare, first, -1))


def _own_scopes(nodes: Nodes, scopes: _Scopes) -> list[int]:
    """The scope of each node, -1 for those outside all; adds them in the nodes' order."""
    codes, first, own = np.unique(nodes.columns["scope"], return_index=True, return_inverse=True)
    number = np.full(len(codes), -1)
    for k in np.argsort(first).tolist():
        path = nodes.words[codes[k]] if codes[k] >= 0 else ""
        if path:
            number[k] = scopes.add_path(path)
    found: list[int] = number[own].tolist()
    return found


def _period(signature: np.ndarray) -> tuple[int, int, int] | None:
    """Finds the longest stretch that repeats at least three times: (start, period, times)."""
    best: tuple[int, int, int] | None = None
    for period in range(1, min(65, len(signature) // 3 + 1)):
        same = signature[period:] == signature[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            times = int(stop - start) // period + 1
            if (
                times >= 3
                and period > 1
                and (best is None or times * period > 1.2 * best[1] * best[2])
            ):
                best = (int(start), period, times)
    return best


def _group_crowds(
    nodes: Nodes, scope: list[int], scopes: _Scopes, loose: list[bool], sig: list[int]
) -> None:
    """Groups the nodes of crowded scopes: repetitions first, then lines, then runs of nodes."""
    own_nodes: list[list[int]] = [[] for _ in range(len(scopes.path) + 1)]
    children = [0] * (len(scopes.path) + 1)
    ids: list[int] = nodes.columns["id"].tolist()
    line_of: list[int] = nodes.columns["line"].tolist()
    for i, s in enumerate(scope):
        if loose[i]:
            own_nodes[s + 1].append(i)
    for s in scopes.parent:
        children[s + 1] += 1
    for parent in range(-1, len(scopes.path)):
        prefix = scopes.path[parent] + "/" if parent >= 0 else ""
        members, others = own_nodes[parent + 1], children[parent + 1]
        if len(members) > _CROWD:
            found = _period(np.asarray([sig[i] for i in members]))
            if found:
                start, period, times = found
                for k in range(times):
                    own = scopes.add(f"{prefix}block[{k}]", parent)
                    for i in members[start + k * period : start + (k + 1) * period]:
                        scope[i] = own
                members = members[:start] + members[start + period * times :]
                others += 1
        if not members or len(members) + others <= _LIMIT:
            continue
        lines: dict[int, list[int]] = {}
        for i in members:
            lines.setdefault(line_of[i], []).append(i)
        groups = [
            (f"line {line}", part)
            for line, part in lines.items()
            if line != ABSENT and len(part) > 1
        ]
        single = len(members) - sum(len(part) for _, part in groups)
        if len(groups) + single + others > _LIMIT or len(groups) < 2:
            size = -(-len(members) // (_LIMIT // 2))
            parts = [members[i : i + size] for i in range(0, len(members), size)]
            groups = [(f"nodes {ids[p[0]]}-{ids[p[-1]]}", p) for p in parts]
        for label, part in groups:
            own = scopes.add(prefix + label, parent)
            for i in part:
                scope[i] = own


def _drop_thin(scope: list[int], scopes: _Scopes, loose: list[bool]) -> tuple[list[int], _Scopes]:
    """Removes scopes that hold one thing only: a frame around a single box says nothing."""
    count = [0] * len(scopes.path)
    for i, s in enumerate(scope):
        if s >= 0 and loose[i]:
            count[s] += 1
    for parent in scopes.parent:
        if parent >= 0:
            count[parent] += 1
    kept = _Scopes()
    new: list[int] = []
    for s, path in enumerate(scopes.path):
        parent = new[scopes.parent[s]] if scopes.parent[s] >= 0 else -1
        new.append(kept.add(path, parent) if count[s] > 1 else parent)
    return [new[s] if s >= 0 else -1 for s in scope], kept


def _scope_title(path: str, parent: str, repeat: int) -> str:
    title = path[len(parent) + 1 :] if parent and path.startswith(parent + "/") else path
    if repeat > 1:
        title = re.sub(r"\[(\d+)\]$", lambda m: f"[{m[1]}…{int(m[1]) + repeat - 1}]", title)
    return title


def build(
    record: Record,
    *,
    layout: Callable[..., Mapping[str, Any]] | None = None,
    expanded: Mapping[str, bool] | None = None,
    direction: str = "auto",
    max_boxes: int = 60,
    fold_gradients: bool = True,
    fold_repeats: bool = True,
) -> Scene:
    """Arranges a graph record as a picture.

    Args:
        record: The graph, as `Graph.record()` describes it.
        layout: The geometry function, for tests; by default the native one.
        expanded: Scope path to `True` (open) or `False` (closed), where the reader decided.
        direction: `right`, `down` or `auto` (what fits a notebook page).
        max_boxes: How many boxes the picture may have before the reader opens more.
        fold_gradients: Draw gradient nodes as a mark beside their forward node.
        fold_repeats: Draw runs of equal scopes once, as "xN".
    """
    if layout is None:
        from flowbook import _core

        layout = _core.layout
    assert layout is not None
    every = Nodes.of(record["nodes"])
    home = _absorbed(every)
    kept = np.flatnonzero(home < 0)
    nodes = every.taken(kept)
    place = np.full(len(every), -1, np.int32)  # where each is drawn: by itself or on its reader
    place[kept] = np.arange(len(kept))
    place = place[np.where(home < 0, np.arange(len(every)), home)]
    beside = _beside(nodes) if fold_gradients else [-1] * len(nodes)
    loose = [b < 0 for b in beside]

    scopes = _Scopes()
    scope = _own_scopes(nodes, scopes)
    sig = _alike(nodes)
    _group_crowds(nodes, scope, scopes, loose, sig)
    scope, scopes = _drop_thin(scope, scopes, loose)

    outputs = {o["node"] for o in record.get("outputs", ())}
    writes: dict[int, list[str]] = {}
    for change in record.get("assignments", ()):
        writes.setdefault(change["node"], []).append(str(change["variable"]))
    slowest = float(np.fmax.reduce(nodes.columns["time_us"], initial=0.0))
    gradient, constant = every.where("kind", "gradient"), every.where("kind", "constant")
    ids: list[int] = nodes.columns["id"].tolist()

    def look(places: Sequence[int]) -> None:
        """Makes the boxes of some nodes."""
        at = kept[places]
        held: dict[int, list[int]] = {}  # what is written on them, variables first
        absorbed = np.flatnonzero(np.isin(home, at))
        for i in absorbed[np.argsort(constant[absorbed], kind="stable")].tolist():
            held.setdefault(int(home[i]), []).append(i)
        start = every.columns["start"]
        for i, position, node in zip(places, at.tolist(), every.rows(at), strict=True):
            read = every.sources[start[position] : start[position + 1]]
            gradients = int(np.count_nonzero(gradient[read[read >= 0]]))
            described = {**node, "writes": writes.get(ids[i], ()), "gradients": gradients}
            extras = held.get(position, [])
            rows = [_row(extra) for extra in every.rows(extras[:_ROWS])]
            faces[i] = _face(described, ids[i] in outputs, slowest, rows, len(extras))

    totals = _scope_totals(every, place, nodes, scope, scopes, loose)
    states = [
        -1 if expanded is None or p not in expanded else int(expanded[p]) for p in scopes.path
    ]
    # An optimizer reads every variable: those lines would only fill the picture.
    implied = nodes.where("kind", "optimizer")[nodes.readers]
    implied &= nodes.where("kind", "variable")[nodes.sources]
    drawn = (nodes.sources >= 0) & ~implied
    ends = nodes.sources[drawn], nodes.readers[drawn]
    faces: dict[int, Box] = {}  # of the nodes that are seen, and of scopes: most are not
    scope_faces: dict[int, Box] = {}

    def sizes(count: int, known: Mapping[int, Box], right: bool) -> np.ndarray:
        out = np.zeros((2, count))
        for i, box in known.items():
            out[:, i] = (box.height, box.width) if right else (box.width, box.height)
        return out

    def geometry(right: bool, boxes: int) -> Mapping[str, Any]:
        assert layout is not None
        return layout(
            *sizes(len(nodes), faces, right), scope, beside, sig, *ends,
            scopes.parent, states, *sizes(len(scopes.path), scope_faces, right),
            max_boxes=boxes, fold_repeats=fold_repeats,
            across=16.0 if right else 24.0, along=34.0 if right else 26.0,
            mark=(_MARK[1], _MARK[0], _MARK[2]) if right else _MARK,
            frame=(16, 16, 30, 14) if right else (30, 14, 16, 16),
        )  # fmt: skip

    def arrange(right: bool, boxes: int) -> Scene:
        raw = geometry(right, boxes)
        seen = raw["boxes"][:, :2].tolist()
        unseen = [i for kind, i in seen if kind == 0 and i not in faces]
        look(unseen)
        scopes_unseen = [i for kind, i in seen if kind > 0 and i not in scope_faces]
        for i in scopes_unseen:
            scope_faces[i] = _scope_face(i, scopes, totals)
        if unseen or scopes_unseen:  # which boxes are seen does not depend on their sizes
            raw = geometry(right, boxes)
        return _scene(raw, right, ids, place, faces, scope_faces, scopes)

    def chosen(boxes: int) -> Scene:
        if direction != "auto":
            return arrange(direction == "right", boxes)
        right = arrange(True, boxes)
        if right.width <= _PAGE and right.height <= 640:
            return right
        down = arrange(False, boxes)
        if down.height > _TALL and boxes > _FEW:
            return chosen(_FEW)
        return right if down.width > _PAGE and right.width < down.width else down

    return chosen(max_boxes)


def _row(extra: Record) -> tuple[str, str]:
    """What is written on a box for a parameter (name and spec) or a number."""
    if extra["kind"] == "constant":
        return shorten(constant_value(extra), 14), ""
    return shorten(_leaf(extra), 14), shorten(str(extra.get("spec") or ""), 22)


def _face(
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
    elif count > _ROWS:
        rows = [*rows[: _ROWS - 1], (f"and {count - _ROWS + 1} more", "")]
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


def _leaf(node: Record) -> str:
    """The last part of a parameter's path: `weight` of `model.layers[0].weight`."""
    return str(node.get("name") or node["op"]).rpartition(".")[2]


@dataclass
class _Totals:
    """What closed scopes say of their inside, by scope."""

    nodes: list[int]
    params: list[int]
    failed: list[bool]


def _scope_totals(
    every: Nodes,
    place: Array,
    nodes: Nodes,
    scope: list[int],
    scopes: _Scopes,
    loose: list[bool],
) -> _Totals:
    """Counts nodes and parameters below every scope."""
    size = len(scopes.path)
    total = _Totals([0] * size, [0] * size, [False] * size)
    for s, counts in zip(scope, loose, strict=True):
        if s >= 0:
            total.nodes[s] += counts
    scope_of = np.append(np.array(scope, np.int32), np.int32(-1))[place]
    for i in np.flatnonzero(every.where("kind", "variable") & (scope_of >= 0)).tolist():
        total.params[scope_of[i]] += _elements(every.shape(i))
    alarmed = [i for i, fields in nodes.more.items() if fields.get("alarm")]
    for i in [*np.flatnonzero(nodes.columns["failed"]).tolist(), *alarmed]:
        if scope[i] >= 0:
            total.failed[scope[i]] = True
    for s in reversed(range(size)):  # children come after their parents
        outer = scopes.parent[s]
        if outer >= 0:
            total.nodes[outer] += total.nodes[s]
            total.params[outer] += total.params[s]
            total.failed[outer] |= total.failed[s]
    return total


def _elements(shape: Sequence[Any]) -> int:
    """Number of elements, 0 where a size is open."""
    return math.prod(shape) if all(isinstance(size, int) for size in shape) else 0


def _scope_face(s: int, scopes: _Scopes, total: _Totals) -> Box:
    """The box of a closed scope: name, number of nodes and of parameters."""
    outer = scopes.path[scopes.parent[s]] if scopes.parent[s] >= 0 else ""
    title = shorten(_scope_title(scopes.path[s], outer, 1), 26)
    sub = f"{total.nodes[s]:,} nodes"
    if total.params[s]:
        sub += f" · {human_count(total.params[s])} params"
    width = max(text_width(title, 12.5, bold=True) + 50, text_width(sub, 10.5)) + 30
    return Box(
        kind="scope", ref=s, frame=-1, x=0, y=0, width=round(max(width, 110.0)), height=44.0,
        title=title, sub=sub, look="scope", failed=total.failed[s],
    )  # fmt: skip


def _scene(
    raw: Mapping[str, Any],
    right: bool,
    ids: Sequence[int],
    place: Array,
    faces: Mapping[int, Box],
    scope_faces: Mapping[int, Box],
    scopes: _Scopes,
) -> Scene:
    """Joins geometry and faces; what runs to the right is a mirrored picture that runs down."""
    boxes: list[Box] = []
    places = raw["places"].tolist()
    for row, (x, y, w, h) in zip(raw["boxes"].tolist(), places, strict=True):
        kind, ref, frame, repeat, inside, gradients = row
        face = faces[ref] if kind == 0 else scope_faces[ref]
        if right:
            x, y, w, h = y, x, h, w
        box = Box(
            **{**vars(face), "ref": ref, "frame": frame, "x": x, "y": y, "width": w, "height": h}
        )
        box.kind = ("node", "scope", "frame")[kind]
        box.repeat, box.nodes, box.gradients = repeat, inside, gradients
        box.ref = ids[ref] if kind == 0 else ref
        if kind > 0:
            parent = scopes.parent[ref]
            box.title = shorten(
                _scope_title(scopes.path[ref], scopes.path[parent] if parent >= 0 else "", repeat),
                40,
            )
        boxes.append(box)
    points = raw["points"].tolist()
    lines = []
    for kind, source, target, _edge, start, arrow, first, count in raw["segments"].tolist():
        own = [(y, x) if right else (x, y) for x, y in points[first : first + count]]
        lines.append(
            Line(("line", "stub", "gradient")[kind], source, target, bool(start), bool(arrow), own)
        )
    box_of_node = np.append(raw["box_of_node"], -1)[place].tolist()  # -1: not drawn
    width, height = raw["size"]
    if right:
        width, height = height, width
    return Scene(
        "right" if right else "down", width, height, boxes, lines, scopes.path, box_of_node, _MARK
    )
