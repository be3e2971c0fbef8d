"""What has changed between two versions of a graph, such as those of one cell.

Nodes are matched by what they are (op, attributes, spec) and by what they read, not by their place,
so that an inserted line changes only the nodes of that line. What reads a changed node is not
changed itself: a change is reported once, where it was made.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Compares two graph records.

    Args:
        old: The record before, as `Graph.record()` gives it.
        new: The record now.

    Returns:
        `added`: numbers of new nodes. `removed`: the old nodes that are gone. `changed`: `id` of a
        node and `was`, its former self in words. `summary`: all that in a line, empty if the graphs
        are the same.
    """
    before: Sequence[Node] = old["nodes"]
    after: Sequence[Node] = new["nodes"]
    match = _Match(before, after)
    changed = []
    for j, node in enumerate(after):
        i = match.old_of.get(j)
        if i is None:
            continue
        was = before[i]
        same_inputs = [match.new_of.get(p) for p in match.inputs_before[i]] == match.inputs_after[j]
        if not _alike(was, node) or not same_inputs:
            changed.append({"id": node["id"], "was": _words(was, before, match.place_before)})
    added = [node["id"] for j, node in enumerate(after) if j not in match.old_of]
    removed = [dict(node) for i, node in enumerate(before) if i not in match.new_of]
    parts = [
        f"{len(found)} {word}"
        for word, found in (("added", added), ("removed", removed), ("changed", changed))
        if found
    ]
    return {"added": added, "removed": removed, "changed": changed, "summary": ", ".join(parts)}


class _Match:
    """Pairs of nodes that are the same node in both versions."""

    def __init__(self, before: Sequence[Node], after: Sequence[Node]) -> None:
        self.before, self.after = before, after
        self.place_before = {node["id"]: i for i, node in enumerate(before)}
        place_after = {node["id"]: j for j, node in enumerate(after)}
        self.inputs_before = _inputs(before, self.place_before)
        self.inputs_after = _inputs(after, place_after)
        self.new_of: dict[int, int] = {}
        self.old_of: dict[int, int] = {}
        # 1. The same computation from the same sources; in order where there are several.
        self._pair(_signatures(before, self.inputs_before), _signatures(after, self.inputs_after))
        # 2. The same name in the same scope.
        self._pair(*(_keys(nodes, _named) for nodes in (before, after)))
        # 3. Neighbours of what is matched: the reader of matched values, the maker of a read value.
        self._spread()
        # 4. The same op in the same scope, in order.
        self._pair(*(_keys(nodes, _kind_in_scope) for nodes in (before, after)))

    def _pair(self, old: Sequence[Hashable], new: Sequence[Hashable]) -> None:
        waiting: dict[Hashable, deque[int]] = defaultdict(deque)
        for i, key in enumerate(old):
            if key is not None and i not in self.new_of:
                waiting[key].append(i)
        for j, key in enumerate(new):
            if key is not None and j not in self.old_of and waiting.get(key):
                self._join(waiting[key].popleft(), j)

    def _join(self, i: int, j: int) -> None:
        self.new_of[i], self.old_of[j] = j, i

    def _spread(self) -> None:
        readers_before = _readers(self.inputs_before)
        readers_after = _readers(self.inputs_after)
        todo = deque(self.new_of.items())
        while todo:
            i, j = todo.popleft()
            pairs = list(zip(self.inputs_before[i], self.inputs_after[j], strict=False))
            for place, reader in readers_before[i]:
                found = next(
                    (
                        r
                        for q, r in readers_after[j]
                        if q == place
                        and r not in self.old_of
                        and self.after[r]["op"] == self.before[reader]["op"]
                    ),
                    None,
                )
                if found is not None:
                    pairs.append((reader, found))
            for a, b in pairs:
                if a in self.new_of or b in self.old_of:
                    continue
                if self.before[a]["op"] != self.after[b]["op"]:
                    continue
                if _named(self.before[a]) and _named(self.after[b]):
                    continue  # both have names of their own, and they differ
                self._join(a, b)
                todo.append((a, b))


def _inputs(nodes: Sequence[Node], place: Mapping[Any, int]) -> list[list[int]]:
    return [[place[i] for i in node["inputs"] if i in place] for node in nodes]


def _readers(inputs: Sequence[Sequence[int]]) -> list[list[tuple[int, int]]]:
    found: list[list[tuple[int, int]]] = [[] for _ in inputs]
    for reader, sources in enumerate(inputs):
        for place, source in enumerate(sources):
            found[source].append((place, reader))
    return found


def _attrs(node: Node) -> Hashable:
    return tuple(sorted((k, repr(v)) for k, v in (node.get("attrs") or {}).items()))


def _alike(a: Node, b: Node) -> bool:
    return (
        a["op"] == b["op"]
        and a.get("spec") == b.get("spec")
        and a.get("kind") == b.get("kind")
        and _attrs(a) == _attrs(b)
    )


def _signatures(nodes: Sequence[Node], inputs: Sequence[Sequence[int]]) -> list[Hashable]:
    """A number for each node that is equal where all that it is computed from is."""
    out: list[Hashable] = []
    for node, sources in zip(nodes, inputs, strict=True):
        own: tuple[Hashable, ...] = (node["op"], node.get("spec"), node.get("kind"), _attrs(node))
        if not sources:
            own += (node.get("name"), node.get("scope"))
        # Hashes of hashes: the whole history in one word.
        out.append(hash((own, tuple(out[s] if s < len(out) else None for s in sources))))
    return out


def _keys(nodes: Sequence[Node], key: Callable[[Node], Hashable]) -> list[Hashable]:
    return [key(node) for node in nodes]


def _named(node: Node) -> Hashable:
    return (node["name"], node.get("scope")) if node.get("name") else None


def _kind_in_scope(node: Node) -> Hashable:
    return None if node.get("name") else (node["op"], node.get("scope"), node.get("kind"))


def _words(node: Node, nodes: Sequence[Node], place: Mapping[Any, int]) -> str:
    """`add(h, b1) : f32[32, 10]` for a node as it was."""

    def label(i: Any) -> str:
        at = place.get(i)
        return str((nodes[at].get("name") if at is not None else None) or f"%{i}")

    attrs = [
        f"{k}={v}"
        for k, v in (node.get("attrs") or {}).items()
        if v is not None and not isinstance(v, (list, dict))
    ][:3]
    given = ", ".join([*(label(i) for i in node["inputs"]), *attrs])
    head = node["op"] if node.get("kind") in ("input", "capture", "variable") else None
    return f"{head or node['op'] + '(' + given + ')'} : {node.get('spec') or '?'}"
