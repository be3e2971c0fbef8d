"""Symbols of a graph: which value one stands for, and the specs of those with open sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _core
from .errors import ShapeError


def symbol_in(graph: Any, value: Any) -> int | None:
    """The value of `graph` that a symbol stands for; None if it is no symbol of this graph."""
    if isinstance(value, _core.Tensor) and _core.graph_of(value) is graph:
        v: int = _core.symbol_id(value)
        return v
    return None


def symbolic_spec(name: str, tensor: Any, dims: str | Iterable[Any]) -> str:
    """`"f32[batch, 784]"` from a tensor and `"batch 784"`; known sizes must agree."""
    parts = dims.replace(",", " ").split() if isinstance(dims, str) else [str(d) for d in dims]
    shape = tuple(tensor.shape)
    if len(parts) != len(shape):
        raise ShapeError(
            f"shapes: {name} has {len(shape)} axes, {shape}, but `{' '.join(parts)}` names "
            f"{len(parts)}. Name one size per axis."
        )
    for part, size in zip(parts, shape, strict=True):
        if part.isdigit() and int(part) != size:
            raise ShapeError(f"shapes: {name} has shape {shape}, which is not `{' '.join(parts)}`.")
    return f"{_core.describe(tensor).partition('[')[0]}[{', '.join(parts)}]"
