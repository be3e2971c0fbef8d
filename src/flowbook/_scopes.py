"""The scopes of a graph's picture: those of the record, and groups where a record has none.

Crowds of nodes without a scope are grouped by repetition, by line, or just in runs; a scope around a
single thing is dropped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowbook._nodes import ABSENT, Array, Nodes

_CROWD = 30  # more loose nodes than this in one scope are searched for repetition
_LIMIT = 48  # more entries than this in one scope are grouped by line


@dataclass
class Scopes:
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


def own_scopes(nodes: Nodes, scopes: Scopes) -> list[int]:
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


def group_crowds(
    nodes: Nodes, scope: list[int], scopes: Scopes, loose: list[bool], sig: list[int]
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


def drop_thin(scope: list[int], scopes: Scopes, loose: list[bool]) -> tuple[list[int], Scopes]:
    """Removes scopes that hold one thing only: a frame around a single box says nothing."""
    count = [0] * len(scopes.path)
    for i, s in enumerate(scope):
        if s >= 0 and loose[i]:
            count[s] += 1
    for parent in scopes.parent:
        if parent >= 0:
            count[parent] += 1
    kept = Scopes()
    new: list[int] = []
    for s, path in enumerate(scopes.path):
        parent = new[scopes.parent[s]] if scopes.parent[s] >= 0 else -1
        new.append(kept.add(path, parent) if count[s] > 1 else parent)
    return [new[s] if s >= 0 else -1 for s in scope], kept


def scope_title(path: str, parent: str, repeat: int) -> str:
    title = path[len(parent) + 1 :] if parent and path.startswith(parent + "/") else path
    if repeat > 1:
        title = re.sub(r"\[(\d+)\]$", lambda m: f"[{m[1]}…{int(m[1]) + repeat - 1}]", title)
    return title


@dataclass
class Totals:
    """What closed scopes say of their inside, by scope."""

    nodes: list[int]
    params: list[int]
    failed: list[bool]


def scope_totals(
    every: Nodes,
    place: Array,
    nodes: Nodes,
    scope: list[int],
    scopes: Scopes,
    loose: list[bool],
) -> Totals:
    """Counts nodes and parameters below every scope."""
    size = len(scopes.path)
    total = Totals([0] * size, [0] * size, [False] * size)
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
