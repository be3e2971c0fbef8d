"""The nodes of a graph record as columns: numbers in arrays, each word, shape and attribute once.

A training graph has ten thousand nodes, and a dict for each costs more than all the drawing. `Nodes`
reads like the list of dicts that it stands for, and builds those on demand; what looks at all nodes
reads `columns`. Records that were made by hand, with plain dicts, are taken in by `Nodes.of`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

WORDS = ("op", "family", "name", "spec", "dtype", "device", "kind", "scope", "cell")
INDEXED = ("shape", "attrs")
NUMBERS = ("id", "exec", "line", "forward_of")
REALS = ("bytes", "time_us")
ABSENT = -(2**31)  # a whole number that is not known; words and indices use -1, reals NaN

_KNOWN = frozenset((*WORDS, *INDEXED, *NUMBERS, *REALS, "failed", "inputs"))

Array = NDArray[Any]


class Nodes(Sequence[dict[str, Any]]):
    """A sequence of nodes in the form of `Graph.record()["nodes"]`, kept as columns.

    Attributes:
        columns: By field. Words (`op`, `name`, ...) index `words`, `shape` and `attrs` index
            `shapes` and `attributes`; whole numbers are int32 with ABSENT, reals float64 with NaN.
            `inputs` are the ids of all nodes' inputs, those of the node at position i from
            `start[i]` to `start[i + 1]`. Other int32 columns are fields of their own.
        words: The words, each once.
        shapes: Lists of sizes.
        attributes: Dicts of attributes.
        more: Fields that few nodes have, by position.
    """

    def __init__(
        self,
        columns: Mapping[str, Array],
        words: Sequence[str],
        shapes: Sequence[list[Any]],
        attributes: Sequence[dict[str, Any]],
        more: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        self.columns, self.words = dict(columns), words
        self.shapes, self.attributes = shapes, attributes
        self.more = more or {}

    @classmethod
    def of(cls, nodes: Iterable[Mapping[str, Any]]) -> Nodes:
        """The same nodes as columns; those of dicts that lack a field are without it."""
        if isinstance(nodes, Nodes):
            return nodes
        rows = list(nodes)
        words: dict[str, int] = {}
        coded = [
            [-1 if (v := node.get(k)) is None else words.setdefault(v, len(words)) for k in WORDS]
            for node in rows
        ]
        columns: dict[str, Array] = dict(
            zip(WORDS, np.array(coded, np.int32).reshape(-1, len(WORDS)).T.copy(), strict=True)
        )
        tables: dict[str, dict[str, int]] = {k: {} for k in INDEXED}
        held: dict[str, list[Any]] = {k: [] for k in INDEXED}
        for k in INDEXED:
            indices = []
            for node in rows:
                value = node.get(k)
                index = tables[k].setdefault(repr(value), len(held[k])) if value else -1
                if index == len(held[k]):
                    held[k].append(value)
                indices.append(index)
            columns[k] = np.array(indices, np.int32)
        for k in NUMBERS:
            found = [ABSENT if (v := node.get(k)) is None else v for node in rows]
            columns[k] = np.array(found, np.int32)
        for k in REALS:
            values = [np.nan if (v := node.get(k)) is None else v for node in rows]
            columns[k] = np.array(values, np.float64)
        columns["failed"] = np.array([bool(node.get("failed")) for node in rows], np.bool_)
        columns["inputs"] = np.array([j for node in rows for j in node["inputs"]], np.int32)
        columns["start"] = np.cumsum([0, *(len(node["inputs"]) for node in rows)], dtype=np.int32)
        more = {
            i: fields
            for i, node in enumerate(rows)
            if (fields := {k: v for k, v in node.items() if k not in _KNOWN and v is not None})
        }
        return cls(columns, list(words), held["shape"], held["attrs"], more)

    # -- as a sequence of dicts ---------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.columns["id"])

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return list(self.rows(range(len(self))[index]))
        return next(self.rows([range(len(self))[index]]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.rows(range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Nodes: {len(self)}>"

    def rows(self, positions: Sequence[int] | Array) -> Iterator[dict[str, Any]]:
        """The nodes at some positions, each a dict of its own."""
        if not len(positions):
            return
        at = np.asarray(positions, np.intp)
        c = {k: v[at].tolist() for k, v in self.columns.items() if k not in ("inputs", "start")}
        words = [*self.words, None]  # -1 is the last one
        for k in WORDS:
            c[k] = [words[code] for code in c[k]]
        for k in NUMBERS:
            c[k] = [None if v == ABSENT else v for v in c[k]]
        for k in REALS:
            c[k] = [None if v != v else v for v in c[k]]
        shapes, attributes = [*self.shapes, []], [*self.attributes, {}]
        start, end = self.columns["start"][at], self.columns["start"][at + 1]
        low = int(start.min())
        inputs = self.columns["inputs"][low : int(end.max())].tolist()
        extra = [(k, c[k]) for k in c if k not in _KNOWN]
        for row, (i, first, last, size) in enumerate(
            zip(positions, (start - low).tolist(), (end - low).tolist(), c["bytes"], strict=True)
        ):
            node: dict[str, Any] = {
                "id": c["id"][row], "op": c["op"][row], "family": c["family"][row],
                "attrs": dict(attributes[c["attrs"][row]]), "name": c["name"][row],
                "inputs": inputs[first:last], "spec": c["spec"][row],
                "shape": list(shapes[c["shape"][row]]), "dtype": c["dtype"][row],
                "bytes": None if size is None else int(size), "kind": c["kind"][row],
                "scope": c["scope"][row], "cell": c["cell"][row], "exec": c["exec"][row],
                "line": c["line"][row], "time_us": c["time_us"][row],
                "failed": c["failed"][row], "forward_of": c["forward_of"][row],
            }  # fmt: skip
            if c["device"][row] is not None:
                node["device"] = c["device"][row]
            for k, values in extra:
                node[k] = None if values[row] == ABSENT else values[row]
            if i in self.more:
                node.update(self.more[i])
            yield node

    # -- as columns ---------------------------------------------------------------------------------

    def code(self, word: str) -> int:
        """The number of a word; -2, which nothing has, if no node uses it."""
        return self._codes.get(word, -2)

    @functools.cached_property
    def _codes(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def where(self, field: str, *values: str) -> Array:
        """Which nodes have one of some words in a field, as booleans."""
        column = self.columns[field]
        found = column == self.code(values[0])
        for value in values[1:]:
            found |= column == self.code(value)
        return found

    def word(self, field: str, position: int) -> str | None:
        """A node's word in a field."""
        code = self.columns[field][position]
        return self.words[code] if code >= 0 else None

    @functools.cached_property
    def readers(self) -> Array:
        """For each of `inputs` the position of the node that reads it."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.columns["start"]))

    @functools.cached_property
    def sources(self) -> Array:
        """For each of `inputs` its position; -1 for what is no node of the record."""
        return self.positions(self.columns["inputs"])

    @functools.cached_property
    def _in_order(self) -> bool:
        """Whether ids are positions, as in graphs; those of drawings of failures are not."""
        return bool(np.array_equal(self.columns["id"], np.arange(len(self))))

    def positions(self, ids: Array) -> Array:
        """Where the nodes with these ids stand; -1 for those that there are not."""
        if self._in_order:
            return np.where((ids >= 0) & (ids < len(self)), ids, -1)
        own = self.columns["id"]
        order = np.argsort(own, kind="stable").astype(np.int32)
        found = order[np.clip(np.searchsorted(own, ids, sorter=order), 0, len(own) - 1)]
        return np.where(own[found] == ids, found, -1)

    def position(self, id: int) -> int:
        """Where the node with this id stands, or -1."""
        if self._in_order:
            return id if 0 <= id < len(self) else -1
        return int(self.positions(np.array([id]))[0])

    def find(self, id: int) -> dict[str, Any] | None:
        """The node with this id, or None."""
        position = self.position(id)
        return self[position] if position >= 0 else None

    def shape(self, position: int) -> list[Any]:
        """The sizes of a node's first output; empty where they are not known."""
        index = self.columns["shape"][position]
        return self.shapes[index] if index >= 0 else []

    # -- changed ------------------------------------------------------------------------------------

    def taken(self, positions: Array) -> Nodes:
        """The nodes at some positions, with the inputs that they had."""
        columns = {k: v[positions] for k, v in self.columns.items() if k not in ("inputs", "start")}
        start = self.columns["start"]
        degree = (start[1:] - start[:-1])[positions]
        columns["start"] = np.concatenate(([0], np.cumsum(degree))).astype(np.int32)
        offset = np.repeat(start[positions] - columns["start"][:-1], degree)
        columns["inputs"] = self.columns["inputs"][np.arange(len(offset)) + offset]
        new = {old: i for i, old in enumerate(positions.tolist())} if self.more else {}
        more = {new[i]: fields for i, fields in self.more.items() if i in new}
        return Nodes(columns, self.words, self.shapes, self.attributes, more)

    def replaced(
        self,
        *,
        words: Sequence[str] | None = None,
        attributes: Sequence[dict[str, Any]] | None = None,
        **columns: Array,
    ) -> Nodes:
        """The same nodes with other columns, and with more words and attributes if there are."""
        return Nodes(
            {**self.columns, **columns}, words or self.words, self.shapes,
            attributes or self.attributes, self.more,
        )  # fmt: skip

    def with_fields(self, fields: Mapping[int, Mapping[str, Any]]) -> Nodes:
        """The same nodes with more known of some: by id, `time_us` or what is no column."""
        times = self.columns["time_us"].copy()
        more: dict[int, Mapping[str, Any]] = dict(self.more)
        for id, added in fields.items():
            position = self.position(id)
            if position < 0:
                continue
            if added.get("time_us") is not None:
                times[position] = added["time_us"]
            rest = {k: v for k, v in added.items() if k != "time_us"}
            if rest:
                more[position] = {**more.get(position, {}), **rest}
        return Nodes(
            {**self.columns, "time_us": times}, self.words, self.shapes, self.attributes, more
        )
