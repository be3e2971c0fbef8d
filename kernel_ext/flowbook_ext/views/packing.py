"""Graph records in a compact form: interned strings, and columns of numbers in two binary buffers.

Ten thousand nodes are a few hundred kilobytes this way, and cost the page no parsing of text. The
front end's `graph/record.ts` reads it; the order of the columns is the same there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

STRINGS = ("op", "family", "name", "spec", "dtype", "device", "kind", "scope", "cell")
PARSED = ("shape", "attrs")
NUMBERS = ("id", "exec", "line", "forward_of")
REALS = ("bytes", "time_us")
ABSENT = -(2**31)

_KNOWN = frozenset((*STRINGS, *PARSED, *NUMBERS, *REALS, "failed", "inputs"))


def pack_nodes(nodes: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[bytes]]:
    """Packs the nodes of a graph record.

    Args:
        nodes: As `Graph.record()["nodes"]` holds them.

    Returns:
        JSON data (`count`, `strings`, `more`: fields that few nodes have, by position), and two
        buffers: whole numbers as int32, column by column, then all inputs; reals as float64.
    """
    index: dict[str, int] = {}

    def intern(text: str | None) -> int:
        return -1 if text is None else index.setdefault(text, len(index))

    def parsed(value: Any) -> int:
        return intern(json.dumps(finite(value), separators=(",", ":"))) if value else -1

    known: dict[Any, int] = {}  # shapes repeat: most are serialised once only

    def parsed_shape(node: Mapping[str, Any]) -> int:
        shape = node.get("shape")
        key = tuple(shape) if shape else ()
        if key not in known:
            known[key] = parsed(shape)
        return known[key]

    columns: list[list[int]] = [[intern(node.get(k)) for node in nodes] for k in STRINGS]
    columns.append([parsed_shape(node) for node in nodes])
    columns.append([parsed(node.get("attrs")) for node in nodes])
    columns += [[ABSENT if (v := node.get(k)) is None else v for node in nodes] for k in NUMBERS]
    columns.append([int(bool(node.get("failed"))) for node in nodes])
    columns.append([len(node["inputs"]) for node in nodes])
    columns.append([j for node in nodes for j in node["inputs"]])
    reals = [[np.nan if (v := node.get(k)) is None else v for node in nodes] for k in REALS]
    more = {
        str(i): finite(fields)
        for i, node in enumerate(nodes)
        if (fields := {k: v for k, v in node.items() if k not in _KNOWN and v is not None})
    }
    words = np.concatenate([np.asarray(column, np.int32) for column in columns])
    return (
        {"count": len(nodes), "strings": list(index), "more": more},
        [words.tobytes(), np.asarray(reals, np.float64).tobytes()],
    )


def pack_record(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Packs a graph record: everything beside its nodes stays as it is."""
    packed, buffers = pack_nodes(record["nodes"])
    rest = {k: finite(v) for k, v in record.items() if k not in ("nodes", "optimised")}
    return {**rest, "packed": packed}, buffers


def finite(value: Any) -> Any:
    """The same data without NaN and infinities, which JSON does not know: they become None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return value
