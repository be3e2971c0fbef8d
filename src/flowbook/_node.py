"""A value of a graph as users meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._graph import Graph


class Node:
    """A value of a graph: a handle to fetch, feed or differentiate it.

    Attributes:
        graph: The `Graph`.
        name: Its variable name, or `%n`.
    """

    __slots__ = ("_value", "graph")

    def __init__(self, graph: Graph, value: int) -> None:
        self.graph, self._value = graph, value

    @property
    def name(self) -> str:
        return self.graph._core.value_name(self._value) or f"%{self._value}"

    @property
    def spec(self) -> str:
        """Dtype and shape, such as `f32[32, 10]`."""
        spec: str = self.graph._core.value(self._value)["spec"]
        return spec

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple(self.graph._core.value(self._value)["shape"])

    @property
    def dtype(self) -> Any:
        return self.graph._core.value(self._value)["dtype"]

    @property
    def op(self) -> str:
        """The op that makes it, or what kind of input it is."""
        node = self.graph._core.node(self.graph._core.value(self._value)["node"])
        return str(node["op"] or node["source"])

    @property
    def inputs(self) -> list[Node]:
        node = self.graph._core.node(self.graph._core.value(self._value)["node"])
        return [Node(self.graph, v) for v in node["inputs"]]

    @property
    def line(self) -> int | None:
        """Line of the cell or file that made it."""
        return self.graph._core.node(self.graph._core.value(self._value)["node"])["line"] or None

    def __repr__(self) -> str:
        return f"<Node {self.name}: {self.spec} = {self.op} of graph {self.graph.name!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.graph is self.graph and other._value == self._value

    def __hash__(self) -> int:
        return hash((id(self.graph), self._value))
