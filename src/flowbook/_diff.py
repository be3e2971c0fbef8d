"""What has changed between two versions of a graph, such as those of one cell.

Nodes are matched by what they are (op, attributes, spec) and by what they read, not by their place,
so that an inserted line changes only the nodes of that line. What reads a changed node is not
changed itself: a change is reported once, where it was made.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ._nodes import Nodes


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
    before, after = _Version(old["nodes"]), _Version(new["nodes"])
    match = _Match(before, after)
    other = [
        (i, j)
        for j in range(len(after.ids))
        if (i := match.old_of.get(j)) is not None and not match.unchanged(i, j)
    ]
    former = before.nodes.rows([i for i, _ in other])
    changed = [
        {"id": after.ids[j], "was": before.words(node)}
        for (_, j), node in zip(other, former, strict=True)
    ]
    added = [id for j, id in enumerate(after.ids) if j not in match.old_of]
    gone = [i for i in range(len(before.ids)) if i not in match.new_of]
    removed = list(before.nodes.rows(gone))
    parts = [
        f"{len(found)} {word}"
        for word, found in (("added", added), ("removed", removed), ("changed", changed))
        if found
    ]
    return {"added": added, "removed": removed, "changed": changed, "summary": ", ".join(parts)}


class _Version:
    """A graph as lists by position: what nodes are, what they are called, what they read.

    Attributes:
        nodes: The nodes.
        ids: Their numbers.
        what: Op, spec, kind and attributes: nodes that agree in them are alike.
        inputs: Positions of their inputs.
        named: Name and scope of those with a name, else None.
        placed: Op, scope and kind of those without a name, else None.
    """

    def __init__(self, nodes: Iterable[Mapping[str, Any]]) -> None:
        self.nodes = columns = Nodes.of(nodes)
        words = [*columns.words, None]

        def word(field: str) -> list[str | None]:
            return [words[code] for code in columns.columns[field].tolist()]

        self.op, kind, self.names, scope = (word(k) for k in ("op", "kind", "name", "scope"))
        attrs = [tuple(sorted((k, repr(v)) for k, v in a.items())) for a in columns.attributes]
        own = [*attrs, ()]
        self.ids: list[int] = columns.columns["id"].tolist()
        self.what = list(
            zip(
                self.op, word("spec"), kind,
                [own[code] for code in columns.columns["attrs"].tolist()], strict=True,
            )
        )  # fmt: skip
        sources, start = columns.sources.tolist(), columns.columns["start"].tolist()
        self.inputs: list[list[int]] = [
            [p for p in sources[first:last] if p >= 0] for first, last in pairwise(start)
        ]
        self.named: list[Hashable] = [
            (name, place) if name else None for name, place in zip(self.names, scope, strict=True)
        ]
        self.placed: list[Hashable] = [
            None if name else place
            for name, place in zip(self.names, zip(self.op, scope, kind, strict=True), strict=True)
        ]

    def readers(self) -> list[list[tuple[int, int]]]:
        """For each node (place among the inputs, reader) of those that read it."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.inputs]
        for reader, sources in enumerate(self.inputs):
            for place, source in enumerate(sources):
                found[source].append((place, reader))
        return found

    def signatures(self) -> list[Hashable]:
        """A number for each node that is equal where all that it is computed from is."""
        out: list[Hashable] = []
        for i, sources in enumerate(self.inputs):
            own: tuple[Hashable, ...] = self.what[i]
            if not sources:
                own += (self.names[i], self.nodes.word("scope", i))
            # Hashes of hashes: the whole history in one word.
            out.append(hash((own, tuple(out[s] if s < len(out) else None for s in sources))))
        return out

    def words(self, node: Mapping[str, Any]) -> str:
        """`add(h, b1) : f32[32, 10]` for a node as it was."""

        def label(id: int) -> str:
            at = self.nodes.position(id)
            return (self.names[at] if at >= 0 else None) or f"%{id}"

        attrs = [
            f"{k}={v}"
            for k, v in node["attrs"].items()
            if v is not None and not isinstance(v, (list, dict))
        ][:3]
        given = ", ".join([*(label(j) for j in node["inputs"]), *attrs])
        source = node["kind"] in ("input", "capture", "variable")
        head = node["op"] if source else f"{node['op']}({given})"
        return f"{head} : {node['spec'] or '?'}"


class _Match:
    """Pairs of nodes that are the same node in both versions."""

    def __init__(self, before: _Version, after: _Version) -> None:
        self.before, self.after = before, after
        self.new_of: dict[int, int] = {}
        self.old_of: dict[int, int] = {}
        # 1. The same computation from the same sources; in order where there are several.
        self._pair(before.signatures(), after.signatures())
        # 2. The same name in the same scope.
        self._pair(before.named, after.named)
        # 3. Neighbours of what is matched: the reader of matched values, the maker of a read value.
        if len(self.new_of) < len(before.ids) or len(self.old_of) < len(after.ids):
            self._spread()
        # 4. The same op in the same scope, in order.
        self._pair(before.placed, after.placed)

    def unchanged(self, i: int, j: int) -> bool:
        """Whether the two of a pair are the same and read the same."""
        inputs = [self.new_of.get(p) for p in self.before.inputs[i]]
        return self.before.what[i] == self.after.what[j] and inputs == self.after.inputs[j]

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
        before, after = self.before, self.after
        readers_before, readers_after = before.readers(), after.readers()
        todo = deque(self.new_of.items())
        while todo:
            i, j = todo.popleft()
            pairs = list(zip(before.inputs[i], after.inputs[j], strict=False))
            for place, reader in readers_before[i]:
                found = next(
                    (
                        r
                        for q, r in readers_after[j]
                        if q == place and r not in self.old_of and after.op[r] == before.op[reader]
                    ),
                    None,
                )
                if found is not None:
                    pairs.append((reader, found))
            for a, b in pairs:
                if a in self.new_of or b in self.old_of:
                    continue
                if before.op[a] != after.op[b]:
                    continue
                if before.named[a] and after.named[b]:
                    continue  # both have names of their own, and they differ
                self._join(a, b)
                todo.append((a, b))
