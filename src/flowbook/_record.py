"""The record of a graph: plain data from which views are drawn, independent of any front end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from . import _core

_ITEM_BYTES = {"bool": 1, "f16": 2, "bf16": 2, "c64": 8, "c128": 16}


def item_bytes(dtype: str) -> int:
    """Bytes of an element, by the dtype's short name."""
    return _ITEM_BYTES.get(dtype) or int(dtype[1:]) // 8


def record_of(
    graph: Any,
    name: str = "",
    outputs: list[tuple[str, int]] | None = None,
    stats: dict[str, Any] | None = None,
    extras: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Describes a native graph.

    Args:
        graph: The native graph.
        name: Its name.
        outputs: Named results, as (name, value number).
        stats: Times in milliseconds and planned bytes of the last run.
        extras: What more is known of nodes, such as `time_us` and `values`, by node number.
    """
    nodes = []
    values = graph.values()
    node_of = {v["index"]: v["node"] for v in values}
    assigned = {value for _, value in graph.assignments}
    family_of = _core.op_families()
    for node in graph.nodes():
        first = values[node["outputs"][0]]
        spec = ", ".join(values[v]["spec"] for v in node["outputs"])
        dtype = first["spec"].partition("[")[0]
        known = all(isinstance(size, int) for v in node["outputs"] for size in values[v]["shape"])
        size = (
            sum(
                math.prod(values[v]["shape"]) * item_bytes(values[v]["spec"].partition("[")[0])
                for v in node["outputs"]
            )
            if known
            else None
        )
        if node["op"] is None:
            kind = {"key": "input"}.get(node["source"], node["source"])
        elif node["op"] == "full":
            kind = "constant"
        elif family_of.get(node["op"]) == "optim":
            kind = "optimizer"
        elif node["forward"] >= 0:
            kind = "gradient"
        elif any(v in assigned for v in node["outputs"]):
            kind = "output"
        else:
            kind = "op"
        nodes.append(
            {
                "id": node["index"],
                "op": node["op"] or node["source"],
                "family": node["family"],
                "attrs": {k: _plain(v) for k, v in node["attrs"].items()},
                "name": first["name"] or None,
                "inputs": [node_of[v] for v in node["inputs"]],
                "spec": spec,
                "shape": [s if isinstance(s, int) else str(s) for s in first["shape"]],
                "dtype": dtype,
                "bytes": size,
                "kind": kind,
                "scope": node["scope"],
                "cell": node["cell"] or None,
                "exec": node["execution"] or None,
                "line": node["line"] or None,
                "time_us": None,
                "failed": False,
                "forward_of": node["forward"] if node["forward"] >= 0 else None,
                **(extras or {}).get(node["index"], {}),
            }
        )
    stats = dict(stats or {})
    stats.setdefault("nodes", len(nodes))
    return {
        "name": name or graph.name,
        "nodes": nodes,
        "outputs": [{"name": n, "node": node_of[v]} for n, v in outputs or ()],
        "assignments": [
            {"variable": variable.name or "variable", "node": node_of[value]}
            for variable, value in graph.assignments
        ],
        "stats": stats,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value)
