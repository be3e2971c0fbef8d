"""Functions of the array API standard that change dtypes and shapes, join and cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _core, _devices
from ._core import Tensor
from ._creation import asarray
from ._tensor import astype as _astype
from ._tensor import value_of

__all__ = [
    "astype", "atleast_1d", "broadcast_arrays", "broadcast_shapes", "concat", "flatten", "moveaxis",
    "pad", "reshape", "roll", "split", "swapaxes", "tile", "transpose", "unstack",
]  # fmt: skip

_ops = _core.ops
_place = _devices.place


def astype(x: Any, dtype: Any, copy: bool = True, device: Any = None) -> Tensor:
    """The elements as another dtype; floats to integers are cut towards zero.

    Args:
        x: The tensor.
        dtype: The new dtype.
        copy: For the standard's sake: tensors never change, so none is needed.
        device: Where to put it.

    Returns:
        The tensor; `x` itself if it has that dtype.

    Example:
        >>> fb.astype(fb.asarray([1.7, -1.7]), fb.int32)
        Tensor([ 1, -1], i32[2])
    """
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    return _place(_astype(t, dtype), device)


def reshape(x: Any, shape: Any, copy: bool | None = None) -> Tensor:
    """The same elements, in row-major order, in another shape.

    Args:
        x: The tensor.
        shape: The new shape; one size may be -1 and follows from the others.
        copy: For the standard's sake: tensors never change, so it makes no difference.

    Returns:
        The tensor, as a view where the strides allow it.

    Raises:
        ShapeError: If the number of elements differs.

    Example:
        >>> fb.reshape(fb.arange(6), (2, -1)).shape
        (2, 3)
    """
    return _ops.reshape(x, shape=shape)


def flatten(x: Any) -> Tensor:
    """The elements as a vector, in row-major order."""
    t = value_of(x) if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    return _ops.reshape(t, shape=(t.size,))


def concat(arrays: Sequence[Any], axis: int | None = 0) -> Tensor:
    """Joins tensors along an axis they have.

    Args:
        arrays: Tensors that differ along `axis` only.
        axis: The axis; None: of the flattened tensors.

    Returns:
        A tensor as long along `axis` as all of them together.

    Example:
        >>> fb.concat([fb.zeros(1), fb.ones(2)])
        Tensor([0., 1., 1.], f32[3])
    """
    if axis is None:
        return _ops.concat([flatten(a) for a in arrays], axis=0)
    return _ops.concat(arrays, axis=axis)


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Cuts a tensor into pieces along an axis.

    Args:
        x: The tensor.
        sections: How many equal pieces, or the size of each.
        axis: The axis.

    Returns:
        The pieces.

    Raises:
        ShapeError: If the sizes do not add up to that of the axis.

    Example:
        >>> [p.shape for p in fb.split(fb.arange(6), [1, 2, 3])]
        [(1,), (2,), (3,)]
    """
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    if isinstance(sections, int):
        n = t.shape[axis_of(axis, t)]
        if sections <= 0 or not isinstance(n, int) or n % sections:
            raise _core.ShapeError(
                f"split: axis {axis} of {t.spec} does not divide into {sections} equal pieces. "
                "Give the size of each."
            )
        sections = [n // sections] * sections
    return tuple(_ops.split(t, sizes=sections, axis=axis))


def axis_of(axis: int, t: Any) -> int:
    if not -t.ndim <= axis < t.ndim:
        raise _core.AxisError(f"axis {axis} is out of range for {t.spec}, which has {t.ndim} axes.")
    return axis % t.ndim


def unstack(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The entries along an axis, each as a tensor.

    Example:
        >>> a, b = fb.unstack(fb.asarray([[1, 2], [3, 4]]))
        >>> b
        Tensor([3, 4], i64[2])
    """
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    at = axis_of(axis, t)
    n = t.shape[at]
    if not isinstance(n, int):
        raise _core.GraphError(
            f"unstack: axis {axis} of {t.spec} is symbolic. Its size must be known."
        )
    pieces = _ops.split(t, sizes=[1] * n, axis=at) if n else ()
    return tuple(_ops.squeeze(p, axis=at) for p in pieces)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; reversed if none is given."""
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    return _ops.permute_dims(
        t, axes=tuple(axes) if axes is not None else tuple(range(t.ndim))[::-1]
    )


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Two axes in each other's place."""
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    order = list(range(t.ndim))
    a, b = axis_of(axis1, t), axis_of(axis2, t)
    order[a], order[b] = b, a
    return _ops.permute_dims(t, axes=order)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to new places; the others keep their order.

    Args:
        x: The tensor.
        source: Axis or axes to move.
        destination: Where each of them goes.

    Returns:
        A view.

    Example:
        >>> fb.moveaxis(fb.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    return _ops.moveaxis(x, source=source, destination=destination)


def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """Moves the entries along axes; those pushed out come in at the other end.

    Args:
        x: The tensor.
        shift: By how many places, for each axis.
        axis: Axis or axes; None: of the flattened tensor.

    Returns:
        A tensor like `x`.

    Example:
        >>> fb.roll(fb.arange(4), 1)
        Tensor([3, 0, 1, 2], i64[4])
    """
    if isinstance(shift, int) and isinstance(axis, (tuple, list)):
        shift = [shift] * len(axis)
    return _ops.roll(x, shift=shift, axis=axis)


def pad(x: Any, widths: Any, value: Any = 0) -> Tensor:
    """Surrounds a tensor with a constant.

    Args:
        x: The tensor, of any shape.
        widths: How many entries to add: a number for both ends of all axes, (before, after) for all
            axes, a pair for each axis as `numpy.pad` takes them, or the pairs' numbers in one row.
        value: The constant, cast to the dtype of `x`.

    Returns:
        `x`, longer along the axes.

    Raises:
        ShapeError: If there are not two numbers for each axis, or one is negative.

    Example:
        >>> fb.pad(fb.asarray([1, 2]), (1, 2))
        Tensor([0, 1, 2, 0, 0], i64[5])
        >>> fb.pad(fb.ones((2, 2)), ((0, 0), (1, 1))).shape
        (2, 4)
    """
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    if isinstance(widths, (int, np.integer)):
        widths = [widths] * (2 * t.ndim)
    elif isinstance(widths, (tuple, list, np.ndarray)):
        if all(isinstance(pair, (tuple, list, np.ndarray)) and len(pair) == 2 for pair in widths):
            widths = [width for pair in widths for width in pair]
        if len(widths) == 2:
            widths = [*widths] * t.ndim
    return _ops.pad(t, widths=widths, value=value)


def tile(x: Any, repetitions: int | Sequence[int]) -> Tensor:
    """A tensor laid side by side with itself.

    Example:
        >>> fb.tile(fb.asarray([1, 2]), 2)
        Tensor([1, 2, 1, 2], i64[4])
    """
    return _ops.tile(x, repetitions=repetitions)


def broadcast_shapes(*shapes: Any) -> tuple[Any, ...]:
    """The shape that tensors of these shapes broadcast to.

    Raises:
        ShapeError: If they do not.

    Example:
        >>> fb.broadcast_shapes((3, 1), (4,))
        (3, 4)
    """
    out: tuple[Any, ...] = ()
    for shape in shapes:
        s = (shape,) if isinstance(shape, int) else tuple(shape)
        a, b = (1,) * (len(s) - len(out)) + out, (1,) * (len(out) - len(s)) + s
        if any(m != n and m != 1 and n != 1 for m, n in zip(a, b)):
            raise _core.ShapeError(f"broadcast_shapes: {out} and {s} do not broadcast together.")
        out = tuple(n if m == 1 else m for m, n in zip(a, b))
    return out


def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """The tensors, each repeated to the shape they broadcast to."""
    xs = [asarray(a) for a in arrays]
    shape = broadcast_shapes(*(x.shape for x in xs))
    return [_ops.broadcast_to(x, shape=shape) for x in xs]


def atleast_1d(x: Any) -> Tensor:
    """The tensor, with an axis of size 1 if it has none."""
    t = asarray(x)
    return t if t.ndim else _ops.reshape(t, shape=(1,))
