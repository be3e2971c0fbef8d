"""Where Variables live: one walk over models, optimizers, metrics and plain containers.

Every Variable has a path such as `layers[0].weight`: attributes with dots, list entries by index,
dict entries by key. Saving, printing, counting and optimizer slots use the same walk, and a
Variable that several places share appears once, at its first path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import flowbook as fb

from . import _hints

SHORT_NAMES = {
    "bool": "bool",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "complex64": "c64",
    "complex128": "c128",
}


class Stateful:
    """Something that owns Variables at named places: modules, optimizers, metrics."""

    _hints = ""  # whose names people look for here

    def _children(self) -> Iterable[tuple[str, Any]]:
        """Pairs of path component (`.name` or `[key]`) and value, in a fixed order."""
        return [(f".{name}", value) for name, value in vars(self).items()]

    if not TYPE_CHECKING:  # a type checker knows the names

        def __getattr__(self, name: str) -> Any:
            if not hasattr(type(self), name):
                _hints.on_object(self, self._hints, name)
            return object.__getattribute__(self, name)  # raises: Python's error, or a property's


def children(owner: Any) -> Iterable[tuple[str, Any]]:
    """The places directly below `owner`; empty for anything that cannot hold Variables."""
    if isinstance(owner, Stateful):
        return owner._children()
    if isinstance(owner, (list, tuple)):
        return [(f"[{i}]", value) for i, value in enumerate(owner)]
    if isinstance(owner, Mapping):
        return [(f"[{key!r}]", value) for key, value in owner.items()]
    return ()


def walk(owner: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Yields `(path, leaf)` for every Variable and Tensor below `owner`, each object once."""
    seen = set() if seen is None else seen
    if id(owner) in seen:
        return
    if isinstance(owner, (fb.Variable, fb.Tensor)):
        seen.add(id(owner))
        yield path.lstrip("."), owner
        return
    if isinstance(owner, (Stateful, list, tuple, Mapping)):
        seen.add(id(owner))  # also ends cycles
        for part, value in children(owner):
            yield from walk(value, path + part, seen)


def named_variables(owner: Any) -> dict[str, fb.Variable]:
    """All Variables below `owner` by path, shared ones once."""
    return {path: leaf for path, leaf in walk(owner) if isinstance(leaf, fb.Variable)}


def trainable_variables(owner: Any) -> dict[str, fb.Variable]:
    """The Variables below `owner` that an optimizer may change, by path."""
    return {path: v for path, v in named_variables(owner).items() if v.trainable}


def dtype_name(dtype: Any) -> str:
    """`float32` for `fb.float32`, whatever its `repr` looks like."""
    return str(getattr(dtype, "name", dtype)).rsplit(".", 1)[-1]


def spec_text(tensor: Any) -> str:
    """`f32[64, 10]` for a tensor or Variable of that dtype and shape."""
    name = dtype_name(tensor.dtype)
    return f"{SHORT_NAMES.get(name, name)}[{', '.join(map(str, tensor.shape))}]"


def size_of(shape: Iterable[int]) -> int:
    """Number of elements of a shape."""
    size = 1
    for extent in shape:
        size *= int(extent)
    return size


def flatten(tree: Any) -> list[Any]:
    """Leaves of nested lists, tuples and dicts (dicts in insertion order), None left out."""
    if tree is None:
        return []
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in flatten(item)]
    if isinstance(tree, Mapping):
        return [leaf for item in tree.values() for leaf in flatten(item)]
    return [tree]
