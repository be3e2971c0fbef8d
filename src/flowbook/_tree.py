"""Nested structures of tensors: lists, tuples, named tuples and dicts.

A structure is split into its leaves and a hashable description from which it can be rebuilt, so
that functions, graphs and sessions can take and return whatever the user writes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any


class Tree:
    """The shape of a nested structure, without its leaves.

    Attributes:
        size: Number of leaves.
        key: Hashable; equal for equal structures.
    """

    __slots__ = ("_children", "_kind", "_names", "key", "size")

    def __init__(self, kind: Any, children: tuple[Tree, ...] = (), names: tuple[Any, ...] = ()):
        self._kind, self._children, self._names = kind, children, names
        self.size: int = 1 if kind is None else sum(child.size for child in children)
        self.key: Hashable = (kind, names, tuple(child.key for child in children))

    def build(self, leaves: Iterator[Any]) -> Any:
        """The structure filled with the next leaves."""
        if self._kind is None:
            return next(leaves)
        values = [child.build(leaves) for child in self._children]
        if self._kind is dict or (isinstance(self._kind, type) and issubclass(self._kind, dict)):
            return self._kind(zip(self._names, values, strict=True))
        if self._names:
            return self._kind(**dict(zip(self._names, values, strict=True)))
        return self._kind(values)


LEAF = Tree(None)


def flatten(value: Any, leaves: list[Any]) -> Tree:
    """Appends the leaves of `value` to `leaves`, in order; returns its shape."""
    kind = type(value)
    if kind is tuple or kind is list:
        return Tree(kind, tuple(flatten(item, leaves) for item in value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return Tree(kind, tuple(flatten(item, leaves) for item in value), tuple(value._fields))
    if isinstance(value, dict) and kind.__init__ is dict.__init__:
        return Tree(kind, tuple(flatten(item, leaves) for item in value.values()), tuple(value))
    leaves.append(value)
    return LEAF


def leaves_of(value: Any) -> list[Any]:
    """The leaves of a nested structure, in order."""
    leaves: list[Any] = []
    flatten(value, leaves)
    return leaves


def transform(value: Any, function: Callable[[Any], Any]) -> Any:
    """The same structure with `function` applied to each leaf."""
    leaves: list[Any] = []
    tree = flatten(value, leaves)
    return tree.build(iter([function(leaf) for leaf in leaves]))


class Results(Mapping[str, Any]):
    """Named results: a read-only mapping whose entries are attributes, too.

    Example:
        >>> from flowbook._tree import Results
        >>> r = Results({"loss": 0.5})
        >>> r.loss, r["loss"]
        (0.5, 0.5)
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        _set_values(self, dict(values))

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"there is no result `{name}`. The results are: {', '.join(self._values)}."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("results cannot be changed.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._values)

    def __repr__(self) -> str:
        lines = [f"  {name}: {value!r}".replace("\n", "\n    ") for name, value in self.items()]
        return "Results(\n" + "\n".join(lines) + "\n)" if lines else "Results()"


_set_values = Results._values.__set__  # type: ignore[attr-defined]  # past __setattr__
