"""Functions of the array API standard that are sugar over ops: other defaults, other forms of the
arguments, or several ops in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core, _dtypes
from ._core import Tensor
from ._creation import asarray
from ._errors import no_value
from ._shapes import axis_of
from ._tensor import value_of

__all__ = [
    "allclose", "clip", "count_nonzero", "cumulative_sum", "diff", "isclose", "nonzero", "outer",
    "take", "tensordot",
]  # fmt: skip

_ops = _core.ops


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """The elements, cut off at `min` below and at `max` above; NaN stays.

    Args:
        x: The tensor.
        min: Lower bound, or None.
        max: Upper bound, or None.

    Returns:
        A tensor like `x`.

    Example:
        >>> fb.clip(fb.asarray([-2.0, 0.5, 9.0]), 0, 1)
        Tensor([0. , 0.5, 1. ], f32[3])
    """
    if min is None and max is None:
        return _ops.positive(x)
    if min is None:
        return _ops.minimum(x, max)
    if max is None:
        return _ops.maximum(x, min)
    return _ops.clip(x, min, max)


def cumulative_sum(
    x: Any, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running sums along an axis.

    Args:
        x: The tensor.
        axis: The axis; may be left out for vectors.
        dtype: None: that of `x`, integers widen to 64 bits.
        include_initial: Whether to start with a 0, making the axis one longer.

    Returns:
        The sums.

    Example:
        >>> fb.cumulative_sum(fb.asarray([1, 2, 3]))
        Tensor([1, 3, 6], i64[3])
    """
    return _ops.cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)


def diff(x: Any, axis: int = -1, n: int = 1) -> Tensor:
    """Differences of neighbours along an axis, `n` times over."""
    t: Any = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    at = axis_of(axis, t)
    for _ in range(n):
        before = tuple(slice(None) if i != at else slice(None, -1) for i in range(t.ndim))
        after = tuple(slice(None) if i != at else slice(1, None) for i in range(t.ndim))
        t = t[after] ^ t[before] if t.dtype is _dtypes.bool else t[after] - t[before]
    return t


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The entries at `indices` along an axis.

    Args:
        x: The tensor.
        indices: Integers of any shape; negative ones count from the end.
        axis: The axis; may be left out for vectors.

    Returns:
        A tensor with the shape of `indices` in place of the axis.

    Raises:
        IndexOutOfRange: If an index is not on the axis.

    Example:
        >>> fb.take(fb.asarray([10, 20, 30]), fb.asarray([2, 0]))
        Tensor([30, 10], i64[2])
    """
    return _ops.take(x, indices, axis=axis)


def outer(x: Any, y: Any) -> Tensor:
    """Every product of an entry of `x` and one of `y`."""
    return _ops.outer(x, y)


def tensordot(x: Any, y: Any, axes: int | Sequence[Any] = 2) -> Tensor:
    """Sums products over pairs of axes.

    Args:
        x: A tensor.
        y: A tensor.
        axes: How many of the last axes of `x` meet the first of `y`, or the axes of each.

    Returns:
        A tensor with the other axes of `x`, then those of `y`.

    Example:
        >>> fb.tensordot(fb.ones((2, 3, 4)), fb.ones((3, 4, 5))).shape
        (2, 5)
    """
    a, b = (v if isinstance(v, (Tensor, _core.Variable)) else asarray(v) for v in (x, y))
    if isinstance(axes, int):
        if not 0 <= axes <= a.ndim or axes > b.ndim:
            raise _core.ArgumentError(
                f"tensordot: {axes} axes of {a.spec} and {b.spec} cannot meet. Give fewer."
            )
        x_axes: Any = list(range(a.ndim - axes, a.ndim))
        y_axes: Any = list(range(axes))
    else:
        x_axes, y_axes = axes
    return _ops.tensordot(a, b, x_axes=x_axes, y_axes=y_axes)


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """Where the elements are not zero: an index vector for each axis.

    Args:
        x: The tensor. How many there are depends on the values, so it cannot be a symbol.

    Returns:
        A tuple of int64 vectors.

    Raises:
        GraphError: For a symbol.

    Example:
        >>> fb.nonzero(fb.asarray([0, 3, 0, 4]))
        (Tensor([1, 3], i64[2]),)
    """
    t = value_of(asarray(x))
    if t.symbolic:
        raise no_value(
            t, "nonzero gives as many indices as the values say", "Use fb.where instead."
        )
    if t.ndim == 0:
        raise _core.AxisError("nonzero: x has no axes. Use fb.atleast_1d first.")
    if _dtypes.isdtype(t.dtype, "complex floating"):
        t = asarray(_core.to_numpy(t) != 0)
    return tuple(asarray(places) for places in _core.nonzero(t))


def count_nonzero(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero.

    Example:
        >>> fb.count_nonzero(fb.asarray([0, 3, 0, 4]))
        Tensor(2, i64[])
    """
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    hit = t if t.dtype is _dtypes.bool else _ops.not_equal(t, 0)
    return _ops.sum(hit, axis=axis, keepdims=keepdims)


def isclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether elements are equal within `atol + rtol * |y|`."""
    a, b = asarray(x), asarray(y)
    near = _ops.less_equal(_ops.abs(a - b), _ops.abs(b) * rtol + atol)
    near = _ops.logical_or(_ops.logical_and(near, _ops.isfinite(b)), _ops.equal(a, b))
    if equal_nan:
        near = _ops.logical_or(near, _ops.logical_and(_ops.isnan(a), _ops.isnan(b)))
    return near


def allclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are equal within `atol + rtol * |y|`.

    Example:
        >>> fb.allclose(fb.asarray([1.0]), 1.000001)
        True
    """
    return bool(_ops.all(isclose(x, y, rtol, atol, equal_nan)))
