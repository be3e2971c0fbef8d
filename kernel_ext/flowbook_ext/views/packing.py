"""Graph records in a compact form: strings and reals each once, and columns of small whole numbers.

Ten thousand nodes are a few hundred kilobytes this way, and cost the page no parsing of text. The
front end's `graph/record.ts` reads it; the order of the columns is the same there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowbook._nodes import ABSENT, INDEXED, NUMBERS, REALS, WORDS, Nodes
from flowbook._scene import Scene

_BOX = (
    "kind", "ref", "frame", "x", "y", "width", "height", "title", "sub", "tag", "look", "repeat",
    "nodes", "gradients", "output", "failed", "rows",
)  # fmt: skip
_COLUMNS = frozenset((*WORDS, *INDEXED, *NUMBERS, *REALS, "failed", "inputs", "start"))


def pack_nodes(nodes: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[bytes]]:
    """Packs the nodes of a graph record.

    Args:
        nodes: As `Graph.record()["nodes"]` holds them, or as columns.

    Returns:
        JSON data, and one buffer with all columns of whole numbers (words, shapes and attributes as
        places in `strings`; known numbers; the reals as places in `reals`; each node's number of
        inputs; all inputs). `count` is the number of nodes; `columns` has for each column its bytes
        per number and its value if it has but one, 0 bytes then; `more` are fields that few nodes
        have, by position. -1 stands for what is absent.
    """
    columns = Nodes.of(nodes)
    at = columns.columns
    strings = list(columns.words)

    def parsed(values: Sequence[Any], field: str) -> np.ndarray:
        """The column with its values as JSON among the strings; -1 stands for empty ones."""
        places = np.full(len(values) + 1, -1, np.int32)
        for i, value in enumerate(values):
            if value:
                places[i] = len(strings)
                strings.append(json.dumps(finite(value), separators=(",", ":")))
        return places[at[field]]

    whole = [at[k] for k in WORDS]
    whole += [parsed(columns.shapes, "shape"), parsed(columns.attributes, "attrs")]
    whole += [np.where(at[k] == ABSENT, -1, at[k]) for k in NUMBERS]
    whole += [at["failed"], np.diff(at["start"])]
    reals, places = np.unique(np.concatenate([at[k] for k in REALS]), return_inverse=True)
    whole += [*places.reshape(len(REALS), -1), at["inputs"]]
    parts = [_narrow(column) for column in whole]
    more = {str(i): finite(fields) for i, fields in columns.more.items()}
    for field in sorted(at.keys() - _COLUMNS):
        column = at[field].tolist()
        for i in np.flatnonzero(at[field] != ABSENT).tolist():
            more.setdefault(str(i), {})[field] = column[i]
    data = {
        "count": len(columns), "strings": strings, "reals": finite(reals.tolist()), "more": more,
        "columns": [about for about, _ in parts],
    }  # fmt: skip
    return data, [b"".join(data for _, data in parts)]


def _narrow(column: np.ndarray) -> tuple[list[int], bytes]:
    """Bytes per number and the only value, if there is but one, of a column; and its bytes."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    if low == high:
        return [0, low], b""
    kind = next(k for k in (np.int8, np.int16, np.int32) if np.iinfo(k).max >= max(high, ~low))
    return [kind().itemsize], column.astype(kind).tobytes()


def pack_record(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Packs a graph record: everything beside its nodes stays as it is."""
    packed, buffers = pack_nodes(record["nodes"])
    rest = {k: v for k, v in record.items() if k not in ("nodes", "optimised")}
    # There may be thousands of outputs and assignments: names and ids, no reals.
    rest |= {k: finite(v) for k, v in rest.items() if k not in ("outputs", "assignments")}
    return {**rest, "packed": packed}, buffers


def pack_scene(scene: Scene) -> tuple[dict[str, Any], list[bytes]]:
    """Packs the arrangement of a graph, so that a page can draw it at once.

    Args:
        scene: As `flowbook._scene.build` makes it.

    Returns:
        JSON data in the form of the front end's `Scene`, with the paths of visible scopes only, and a
        buffer with the box of each node as int32.
    """
    boxes = [{field: getattr(box, field) for field in _BOX} for box in scene.boxes]
    lines = [
        {**vars(line), "points": [{"x": x, "y": y} for x, y in line.points]} for line in scene.lines
    ]
    shown = {box.ref for box in scene.boxes if box.kind != "node"}
    data = {
        "direction": scene.direction, "width": scene.width, "height": scene.height,
        "boxes": boxes, "lines": lines,
        "scopes": {str(ref): scene.scopes[ref] for ref in shown}, "mark": scene.mark,
    }  # fmt: skip
    return data, [np.asarray(scene.box_of_node, "<i4").tobytes()]


def finite(value: Any) -> Any:
    """The same data without NaN and infinities, which JSON does not know: they become None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return value
