"""Functions of the array API standard that are sugar over ops: other defaults, other forms of the
arguments, or several ops in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _core, _devices, _dtypes
from ._core import Tensor
from ._errors import no_value
from ._tensor import astype as _astype
from ._tensor import value_of

__all__ = [
    "allclose", "arange", "asarray", "astype", "atleast_1d", "broadcast_arrays", "broadcast_shapes",
    "clip", "concat", "count_nonzero", "cumulative_sum", "diff", "e", "empty", "empty_like", "eye",
    "flatten", "from_dlpack", "full", "full_like", "inf", "isclose", "linspace", "meshgrid", "moveaxis",
    "nan", "newaxis", "nonzero", "ones", "ones_like", "outer", "pi", "reshape", "roll", "split",
    "swapaxes", "take", "tensor", "tensordot", "tile", "transpose", "unstack", "zeros", "zeros_like",
]  # fmt: skip

_ops = _core.ops

e = 2.718281828459045
pi = 3.141592653589793
inf = float("inf")
nan = float("nan")
newaxis = None

_place = _devices.place


# ---- from data ----------------------------------------------------------------------------------


def asarray(x: Any, dtype: Any = None, copy: bool | None = None, device: Any = None) -> Tensor:
    """Makes a Tensor of numbers, nested lists, NumPy arrays, or anything that speaks DLPack.

    Args:
        x: The data. Python floats give float32, ints int64; arrays keep their dtype.
        dtype: Converts the data.
        copy: None and True copy arrays, so that later writes to them don't show; False shares the
            memory (write to the array no more), or raises if it cannot be shared.
        device: Where to put it.

    Returns:
        The tensor; a Tensor that fits is returned as it is.

    Raises:
        DTypeError: If the data are no numbers.
        ShapeError: If nested lists are of unequal lengths.

    Example:
        >>> fb.asarray([[1, 2], [3, 4]])
        Tensor([[1, 2],
                [3, 4]], i64[2, 2])
    """
    return _place(_core.asarray(x, dtype, copy), device)


tensor = asarray


def from_dlpack(x: Any, device: Any = None, copy: bool | None = None) -> Tensor:
    """Takes an array from any library that speaks DLPack, without copying it.

    Args:
        x: An object with `__dlpack__`.
        device: Where to put it.
        copy: True copies; without, the memory is shared: write to the array no more.

    Returns:
        The tensor.
    """
    return _place(_core.from_dlpack(x, copy), device)


# ---- creation -----------------------------------------------------------------------------------


def full(shape: Any, fill_value: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of one value.

    Args:
        shape: An int or a tuple.
        fill_value: A number, or a 0-d tensor.
        dtype: None: float32 for floats, int64 for ints, bool for booleans.
        device: Where to put it.

    Returns:
        The tensor.

    Example:
        >>> fb.full((2,), 7)
        Tensor([7, 7], i64[2])
    """
    if isinstance(fill_value, (Tensor, _core.Variable, complex)) or getattr(
        fill_value, "ndim", False
    ):
        t = asarray(fill_value, dtype=dtype)
        return _place(_ops.broadcast_to(t, shape=shape), device)
    return _place(_ops.full(shape=shape, value=fill_value, dtype=dtype), device)


def zeros(shape: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of zeros; float32 unless told otherwise.

    Example:
        >>> fb.zeros(3)
        Tensor([0., 0., 0.], f32[3])
    """
    return _place(_ops.full(shape=shape, value=0.0, dtype=dtype), device)


def ones(shape: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of ones; float32 unless told otherwise.

    Example:
        >>> fb.ones((1, 2))
        Tensor([[1., 1.]], f32[1, 2])
    """
    return _place(_ops.full(shape=shape, value=1.0, dtype=dtype), device)


def empty(shape: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of zeros: tensors cannot be written to, so there is no use for unset memory."""
    return zeros(shape, dtype, device)


def full_like(x: Any, fill_value: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of one value, shaped (and typed, unless told otherwise) like `x`."""
    t = value_of(x) if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    if isinstance(fill_value, (Tensor, _core.Variable, complex)):
        return full(t.shape, fill_value, dtype or t.dtype, device)
    return _place(_ops.full_like(t, value=fill_value, dtype=dtype), device)


def zeros_like(x: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros, shaped (and typed, unless told otherwise) like `x`."""
    return full_like(x, 0, dtype, device)


def ones_like(x: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones, shaped (and typed, unless told otherwise) like `x`."""
    return full_like(x, 1, dtype, device)


def empty_like(x: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros, shaped (and typed, unless told otherwise) like `x`."""
    return full_like(x, 0, dtype, device)


def arange(
    start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, device: Any = None
) -> Tensor:
    """Numbers from `start` to before `stop`, `step` apart.

    Args:
        start: First number; with `stop` left out, the end, and the first is 0.
        stop: Where to stop; not contained.
        step: Distance, maybe negative.
        dtype: None: int64 for ints, float32 if one of the numbers is a float.
        device: Where to put it.

    Returns:
        A vector.

    Raises:
        ArgumentError: If `step` is 0.

    Example:
        >>> fb.arange(5)
        Tensor([0, 1, 2, 3, 4], i64[5])
        >>> fb.arange(1, 2, 0.25)
        Tensor([1.  , 1.25, 1.5 , 1.75], f32[4])
    """
    if stop is None:
        if isinstance(start, _core.Dim):
            return _place(_ops.iota(size=start, dtype=dtype), device)
        start, stop = 0, start
    return _place(_ops.arange(start=start, stop=stop, step=step, dtype=dtype), device)


def linspace(
    start: float,
    stop: float,
    num: int = 50,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """Evenly spaced numbers.

    Args:
        start: First number.
        stop: Last number.
        num: How many.
        dtype: A floating dtype; None: float32.
        device: Where to put it.
        endpoint: Whether `stop` itself is the last one.

    Returns:
        A vector.

    Example:
        >>> fb.linspace(0.0, 1.0, 3)
        Tensor([0. , 0.5, 1. ], f32[3])
    """
    t = _ops.linspace(start=start, stop=stop, num=num, endpoint=endpoint, dtype=dtype)
    return _place(t, device)


def eye(
    n_rows: Any, n_cols: Any = None, k: int = 0, dtype: Any = None, device: Any = None
) -> Tensor:
    """A matrix of ones on a diagonal and zeros elsewhere.

    Args:
        n_rows: Number of rows.
        n_cols: Number of columns; None: as many as rows.
        k: Which diagonal: 0 the main one, positive above it.
        dtype: None: float32.
        device: Where to put it.

    Returns:
        The matrix.

    Example:
        >>> fb.eye(2)
        Tensor([[1., 0.],
                [0., 1.]], f32[2, 2])
    """
    columns = n_rows if n_cols is None else n_cols
    return _place(_ops.eye(rows=n_rows, columns=columns, k=k, dtype=dtype), device)


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinates of a grid from the coordinates of its axes.

    Args:
        arrays: Vectors.
        indexing: "xy": rows follow the second vector, as in pictures; "ij": axes in the order given.

    Returns:
        A tensor for each vector.

    Raises:
        ArgumentError: If `indexing` is neither.
    """
    if indexing not in ("xy", "ij"):
        raise _core.ArgumentError(f'meshgrid: indexing is {indexing!r}. It must be "xy" or "ij".')
    xs = [asarray(a) for a in arrays]
    order = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        order[:2] = [1, 0]
    shape = tuple(xs[i].shape[0] if xs[i].ndim else 1 for i in order)
    out = []
    for i, x in enumerate(xs):
        own: list[Any] = [1] * len(xs)
        own[order.index(i)] = -1
        out.append(_ops.broadcast_to(_ops.reshape(x, shape=own), shape=shape))
    return out


# ---- shapes -------------------------------------------------------------------------------------


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
        n = t.shape[_axis(axis, t)]
        if sections <= 0 or not isinstance(n, int) or n % sections:
            raise _core.ShapeError(
                f"split: axis {axis} of {t.spec} does not divide into {sections} equal pieces. "
                "Give the size of each."
            )
        sections = [n // sections] * sections
    return tuple(_ops.split(t, sizes=sections, axis=axis))


def _axis(axis: int, t: Any) -> int:
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
    at = _axis(axis, t)
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
    a, b = _axis(axis1, t), _axis(axis2, t)
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


# ---- values -------------------------------------------------------------------------------------


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
    at = _axis(axis, t)
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
    return tuple(asarray(i.astype("i8")) for i in np.nonzero(_core.to_numpy(t)))


def count_nonzero(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero.

    Example:
        >>> fb.count_nonzero(fb.asarray([0, 3, 0, 4]))
        Tensor(2, i64[])
    """
    t = x if isinstance(x, (Tensor, _core.Variable)) else asarray(x)
    hit = t if t.dtype is _dtypes.bool else _ops.not_equal(t, 0)
    return _ops.sum(_ops.cast(hit, dtype="int64"), axis=axis, keepdims=keepdims)


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
