"""Creation functions of the array API standard, and its constants."""

from __future__ import annotations

from typing import Any

from . import _core, _devices
from ._core import Tensor
from ._tensor import value_of

__all__ = [
    "arange", "asarray", "e", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "inf",
    "linspace", "meshgrid", "nan", "newaxis", "ones", "ones_like", "pi", "tensor", "zeros",
    "zeros_like",
]  # fmt: skip

_ops = _core.ops
_place = _devices.place

e = 2.718281828459045
pi = 3.141592653589793
inf = float("inf")
nan = float("nan")
newaxis = None


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
