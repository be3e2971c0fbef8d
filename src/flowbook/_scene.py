"""Turns the record of a graph into a picture's parts: labelled boxes and lines with coordinates.

The geometry (folding, layers, lines) is made in the native core, `_boxes` has the words on the boxes
and their sizes, `_scopes` the grouping of graphs that have no scopes. Here are the folding of
parameters into their readers and the choice between left-to-right and downwards. What comes out is
plain data (`Scene`), which `_graph_svg` draws. No notebook package is imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowbook import _core
from flowbook._boxes import ROWS, SOURCES, Box, Record, face_of, row_of, scope_face
from flowbook._nodes import Array, Nodes
from flowbook._scopes import (
    Scopes,
    drop_thin,
    group_crowds,
    own_scopes,
    scope_title,
    scope_totals,
)
from flowbook._words import shorten

_TALL, _FEW = 1800.0, 28  # a picture taller than this is drawn again with fewer boxes
_PAGE = 1080.0  # width of a notebook's output area in pixels
_MARK = (34.0, 18.0, 5.0)  # width, height and gap of a gradient's mark


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


def build(
    record: Record,
    *,
    expanded: Mapping[str, bool] | None = None,
    direction: str = "auto",
    max_boxes: int = 60,
    fold_gradients: bool = True,
    fold_repeats: bool = True,
) -> Scene:
    """Arranges a graph record as a picture.

    Args:
        record: The graph, as `Graph.record()` describes it.
        expanded: Scope path to `True` (open) or `False` (closed), where the reader decided.
        direction: `right`, `down` or `auto` (what fits a notebook page).
        max_boxes: How many boxes the picture may have before the reader opens more.
        fold_gradients: Draw gradient nodes as a mark beside their forward node.
        fold_repeats: Draw runs of equal scopes once, as "xN".
    """
    every = Nodes.of(record["nodes"])
    home = _absorbed(every)
    kept = np.flatnonzero(home < 0)
    nodes = every.taken(kept)
    place = np.full(len(every), -1, np.int32)  # where each is drawn: by itself or on its reader
    place[kept] = np.arange(len(kept))
    place = place[np.where(home < 0, np.arange(len(every)), home)]
    beside = _beside(nodes) if fold_gradients else [-1] * len(nodes)
    loose = [b < 0 for b in beside]

    scopes = Scopes()
    scope = own_scopes(nodes, scopes)
    sig = _alike(nodes)
    group_crowds(nodes, scope, scopes, loose, sig)
    scope, scopes = drop_thin(scope, scopes, loose)

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
            rows = [row_of(extra) for extra in every.rows(extras[:ROWS])]
            faces[i] = face_of(described, ids[i] in outputs, slowest, rows, len(extras))

    totals = scope_totals(every, place, nodes, scope, scopes, loose)
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
        raw: Mapping[str, Any] = _core.layout(
            *sizes(len(nodes), faces, right), scope, beside, sig, *ends,
            scopes.parent, states, *sizes(len(scopes.path), scope_faces, right),
            max_boxes=boxes, fold_repeats=fold_repeats,
            across=16.0 if right else 24.0, along=34.0 if right else 26.0,
            mark=(_MARK[1], _MARK[0], _MARK[2]) if right else _MARK,
            frame=(16, 16, 30, 14) if right else (30, 14, 16, 16),
        )  # fmt: skip
        return raw

    def arrange(right: bool, boxes: int) -> Scene:
        raw = geometry(right, boxes)
        seen = raw["boxes"][:, :2].tolist()
        unseen = [i for kind, i in seen if kind == 0 and i not in faces]
        look(unseen)
        scopes_unseen = [i for kind, i in seen if kind > 0 and i not in scope_faces]
        for i in scopes_unseen:
            scope_faces[i] = scope_face(i, scopes, totals)
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


def _scene(
    raw: Mapping[str, Any],
    right: bool,
    ids: Sequence[int],
    place: Array,
    faces: Mapping[int, Box],
    scope_faces: Mapping[int, Box],
    scopes: Scopes,
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
                scope_title(scopes.path[ref], scopes.path[parent] if parent >= 0 else "", repeat),
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
