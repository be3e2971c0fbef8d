"""`Session`: fetch any value of a graph while feeding any other, as in TensorFlow 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _core
from ._compiled import GraphBlock
from ._graph import Graph
from ._node import Node
from ._tree import flatten
from .errors import FeedError, GraphError


class Session:
    """Runs parts of graphs. Variables are process-wide; a Session keeps no values of its own.

    Args:
        graph: The graph that names refer to; not needed where handles say it.

    Example:
        >>> with fb.graph("line") as g:
        ...     x = g.input("x", (2,))
        ...     y = x * 3.0
        ...     g.output(y=y)
        >>> fb.Session(g).run("y", {"x": [1.0, 2.0]}).tolist()
        [3.0, 6.0]
    """

    def __init__(self, graph: Graph | GraphBlock | None = None) -> None:
        self.graph = graph.graph if isinstance(graph, GraphBlock) else graph

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> Any:
        """Computes the fetches.

        Args:
            fetches: Names, handles (`g["h"]`, entries of `g.nodes`), or any nesting of them.
            feed_dict: Values by name, handle, captured tensor or Variable; inner values may be fed,
                too, then what they depend on is not computed.

        Returns:
            The values, nested like `fetches`.

        Raises:
            FeedError: If a feed fits no value or has another dtype, or an input is missing.
            GraphError: If the fetches do not say which graph is meant, or belong to several.
        """
        leaves: list[Any] = []
        tree = flatten(fetches, leaves)
        feeds = dict(feed_dict or {})
        graph = self._graph_of([*leaves, *feeds])
        ids = [graph._find(leaf) for leaf in leaves]
        fed = {}
        for key, value in feeds.items():
            if isinstance(key, _core.Variable):
                raise FeedError(
                    f"Session.run: Variable `{key.name}` cannot be fed. Assign it, or feed a value "
                    "that depends on it."
                )
            fed[graph._find(key, feed=True)] = value
        return tree.build(iter(graph._run(ids, fed)))

    def _graph_of(self, keys: list[Any]) -> Graph:
        graph = self.graph
        for key in keys:
            if isinstance(key, Node):
                if graph is not None and key.graph is not graph:
                    raise GraphError(
                        f"Session.run: {key!r} belongs to another graph than `{graph.name}`. Run "
                        "each graph by itself."
                    )
                graph = key.graph
        if graph is None:
            raise GraphError(
                "Session.run: names alone do not say which graph is meant. Use fb.Session(g), or "
                "handles such as g['loss']."
            )
        return graph

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Nothing to do: a Session holds no resources."""
