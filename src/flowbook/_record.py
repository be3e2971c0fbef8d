"""The record of a graph: plain data from which views are drawn, independent of any front end.

Inside the library its `nodes` are columns (`Nodes`); users get lists of dicts, which `plain` makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._nodes import ABSENT, Nodes

_ITEM_BYTES = {"bool": 1, "f16": 2, "bf16": 2, "c64": 8, "c128": 16}


def item_bytes(dtype: str) -> int:
    """Bytes of an element, by the dtype's short name."""
    return _ITEM_BYTES.get(dtype) or int(dtype[1:]) // 8


def record_of(
    graph: Any,
    name: str = "",
    outputs: list[tuple[str, int]] | None = None,
    stats: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Describes a native graph, its nodes as columns.

    Args:
        graph: The native graph.
        name: Its name.
        outputs: Named results, as (name, value number).
        stats: Times in milliseconds and planned bytes of the last run.
    """
    columns = graph.columns()
    node_of = columns.pop("node_of")
    nodes = _nodes(columns)
    stats = dict(stats or {})
    stats.setdefault("nodes", len(nodes))
    return {
        "name": name or graph.name,
        "nodes": nodes,
        "outputs": [{"name": n, "node": int(node_of[v])} for n, v in outputs or ()],
        "assignments": [
            {"variable": variable.name or "variable", "node": int(node_of[value])}
            for variable, value in graph.assignments
        ],
        "stats": stats,
    }


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with lists of dicts where it has columns: what JSON and users take."""
    out = {k: list(v) if isinstance(v, Nodes) else v for k, v in record.items()}
    optimised = record.get("optimised")
    if optimised:
        out["optimised"] = plain(optimised)
    return out


def compact(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its nodes as columns, however it was made."""
    return {**record, "nodes": Nodes.of(record["nodes"])}


def _nodes(native: dict[str, Any]) -> Nodes:
    """The nodes that native columns describe."""
    words, shapes, attributes = (native.pop(k) for k in ("words", "shapes", "attributes"))
    count = len(native["op"])
    for field in ("exec", "line"):
        native[field] = np.where(native[field] == 0, np.int32(ABSENT), native[field])
    forward = native["forward_of"]
    native["forward_of"] = np.where(forward < 0, np.int32(ABSENT), forward)
    native["id"] = np.arange(count, dtype=np.int32)
    native["failed"] = np.zeros(count, np.bool_)
    native["time_us"] = np.full(count, np.nan)
    sizes = [[s if isinstance(s, int) else str(s) for s in shape] for shape in shapes]
    return Nodes(
        native, words, sizes, [{k: _plain(v) for k, v in each.items()} for each in attributes]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value)
