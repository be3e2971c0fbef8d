"""Indexing: `x[...]` and `x.at[...]`, as NumPy's basic and advanced indexing, made of ops.

A key is cut into a slice of every axis (ints are slices of length 1 that vanish afterwards), arrays
of indices for some axes, and the place of each axis in the result. Slices become the `slice` op, a
window; arrays become one `take` over the indexed axes laid together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core
from ._errors import no_value

_ops = _core.ops
_END = 2**63 - 1  # the far end of an axis, whichever way the step goes
_NEW = object()  # a new axis in the result


class _Plan(NamedTuple):
    starts: list[int]
    stops: list[int]
    steps: list[int]
    whole: bool  # the slices change nothing
    arrays: list[tuple[int, Any]]  # axis, integer tensor
    layout: list[Any]  # axes of the result: axis numbers and _NEW; ints and arrays left out
    place: int | None  # where in the layout the arrays' axes go


def _too_many(x: Any, n: int) -> Exception:
    return _core.IndexOutOfRange(
        f"getitem: {n} indices for {x.spec}, which has {x.ndim} axes. Give at most {x.ndim}."
    )


def _is_array(k: Any) -> bool:
    if isinstance(k, (_core.Tensor, _core.Variable, list)):
        return True
    return hasattr(k, "dtype") and hasattr(k, "shape") and getattr(k, "ndim", 0) > 0


def _refuse(k: Any) -> Exception:
    return _core.IndexOutOfRange(
        f"getitem: an index is of type {type(k).__name__}. Use ints, slices, None, ... or arrays of "
        "ints or booleans."
    )


def _int(x: Any, k: Any, axis: int) -> int:
    """A checked, non-negative index (a symbolic axis leaves it as it is)."""
    if isinstance(k, (float, str)):
        raise _refuse(k)
    try:
        i = k.__index__()
    except (AttributeError, TypeError):
        raise _refuse(k) from None
    size = x.shape[axis]
    if isinstance(size, int):
        if not -size <= i < size:
            raise _core.IndexOutOfRange(
                f"getitem: index {i} is out of range for axis {axis} of {x.spec}. "
                f"It must be from {-size} to {size - 1}."
                if size
                else f"getitem: index {i} is out of range for axis {axis} of {x.spec}, which is empty."
            )
        return int(i) + size if i < 0 else int(i)
    return int(i)


def _bound(v: Any) -> int:
    if isinstance(v, (_core.Tensor, _core.Variable)) and getattr(v, "symbolic", False):
        raise no_value(v, "a slice needs numbers", "Use fb.take, or make it a static argument.")
    i = v.__index__()
    return max(-_END, min(_END - 1, int(i)))


def _slice(k: slice) -> tuple[int, int, int]:
    try:
        step = 1 if k.step is None else _bound(k.step)
        if step == 0:
            raise _core.ArgumentError("getitem: the step of a slice is 0. It must not be.")
        start = (0 if step > 0 else _END) if k.start is None else _bound(k.start)
        stop = _END if k.stop is None else _bound(k.stop)
    except (AttributeError, TypeError):
        raise _core.IndexOutOfRange(
            f"getitem: {k} is no slice of ints. Its parts must be ints or None."
        ) from None
    return start, stop, step


def _expand_masks(x: Any, key: list[Any]) -> list[Any]:
    """Boolean arrays become the integer arrays that np.nonzero gives."""
    if not any(_is_array(k) for k in key):
        return key
    out: list[Any] = []
    axis = 0
    for k in key:
        if k is None or k is Ellipsis:
            out.append(k)
            if k is Ellipsis:
                used = sum(
                    1 if not _is_array(j) else _core.asarray(j).ndim
                    if _core.asarray(j).dtype.name == "bool" else 1
                    for j in key if j is not None and j is not Ellipsis
                )  # fmt: skip
                axis += x.ndim - used
            continue
        if not _is_array(k):
            out.append(k)
            axis += 1
            continue
        t = _core.asarray(k)
        if isinstance(k, list) and t.size == 0:
            t = _core.asarray(k, "int64")
        if t.dtype.name != "bool":
            if t.dtype.name.startswith(("float", "bfloat", "complex")):
                raise _core.IndexOutOfRange(
                    f"getitem: an index is {t.spec}. Indices must be integers or booleans."
                )
            out.append(t)
            axis += 1
            continue
        if t.symbolic:
            raise no_value(
                t, "a boolean index gives a size", "Use fb.where(mask, x, other) instead."
            )
        if axis + t.ndim > x.ndim or tuple(x.shape[axis : axis + t.ndim]) != tuple(t.shape):
            raise _core.IndexOutOfRange(
                f"getitem: the mask is {t.spec} for {x.spec}. Its shape must be that of the axes it "
                "stands for."
            )
        if t.ndim == 0:
            raise _core.IndexOutOfRange(
                "getitem: a 0-d mask selects nothing that has a shape. Use a mask with axes."
            )
        out += _core.nonzero(t)
        axis += t.ndim
    return out


def _plan(x: Any, key: Any) -> _Plan:
    keys = list(key) if isinstance(key, tuple) else [key]
    if sum(k is Ellipsis for k in keys) > 1:
        raise _core.IndexOutOfRange("getitem: there are two `...`. Use one.")
    keys = _expand_masks(x, keys)
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > x.ndim:
        raise _too_many(x, used)
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    starts, stops, steps = [0] * x.ndim, [_END] * x.ndim, [1] * x.ndim
    whole = True
    arrays: list[tuple[int, Any]] = []
    layout: list[Any] = []
    place: int | None = None
    apart = False
    advanced = any(isinstance(k, _core.Tensor) for k in keys)
    axis = 0
    for k in keys:
        if k is None:
            layout.append(_NEW)
        elif k is Ellipsis:
            n = x.ndim - used
            layout += range(axis, axis + n)
            axis += n
        elif isinstance(k, slice):
            starts[axis], stops[axis], steps[axis] = _slice(k)
            whole = whole and (starts[axis], stops[axis], steps[axis]) == (0, _END, 1)
            layout.append(axis)
            axis += 1
        else:
            if isinstance(k, bool):
                raise _refuse(k)
            if not isinstance(k, _core.Tensor):
                i = _int(x, k, axis)
                if not advanced:
                    starts[axis] = i
                    stops[axis] = _END if i == -1 else i + 1
                    whole = False
                    axis += 1
                    continue
                k = _core.asarray(i)
            # Arrays side by side stay where they are; scattered ones go to the front, as in NumPy.
            apart = apart or (place is not None and place != len(layout))
            place = len(layout) if place is None else place
            arrays.append((axis, k))
            axis += 1
    return _Plan(starts, stops, steps, whole, arrays, layout, 0 if apart else place)


def _indices(x: Any, arrays: list[tuple[int, Any]]) -> tuple[Any, tuple[Any, ...]]:
    """One flat index over the indexed axes laid together, and the shape of the index arrays."""
    checked = []
    for axis, k in arrays:
        size = x.shape[axis]
        k = _core.as_index(k)
        if not k.symbolic and isinstance(size, int) and k.size:
            low, high = _core.index_range(k)
            if low < -size or high >= size:
                bad = low if low < -size else high
                raise _core.IndexOutOfRange(
                    f"getitem: index {bad} is out of range for axis {axis} of {x.spec}. "
                    f"It must be from {-size} to {size - 1}."
                )
        if len(arrays) > 1:  # `take` itself counts a negative one from the end
            n = size if isinstance(size, int) else _ops.dim(size=size)
            k = _ops.where(k < 0, k + n, k)
        checked.append((size, k))
    size, flat = checked[0]
    for n, k in checked[1:]:
        flat = flat * (n if isinstance(n, int) else _ops.dim(size=n)) + k
    return flat, flat.shape


def _product(sizes: Any) -> Any:
    n: Any = 1
    for s in sizes:
        n = n * s
    return n


def _sliced(x: Any, p: _Plan) -> Any:
    return x if p.whole else _ops.slice(x, starts=p.starts, stops=p.stops, steps=p.steps)


def _gathered(
    y: Any, p: _Plan
) -> tuple[Any, Any, tuple[Any, ...], int, list[int], tuple[Any, ...]]:
    """`y` with the indexed axes as one: (tensor, flat index, index shape, axis, order, its shape)."""
    flat, index_shape = _indices(y, p.arrays)
    axes = [a for a, _ in p.arrays]
    others = [a for a in range(y.ndim) if a not in axes]
    before = [a for a in others if p.layout.index(a) < (p.place or 0)] if p.place else []
    after = [a for a in others if a not in before]
    order = before + axes + after
    if order != list(range(y.ndim)):
        y = _ops.permute_dims(y, axes=order)
    at = len(before)
    shape = tuple(y.shape)
    if len(axes) > 1:
        merged = shape[:at] + (_product(shape[at : at + len(axes)]),) + shape[at + len(axes) :]
        y = _ops.reshape(y, shape=merged)
    return y, flat, index_shape, at, order, shape


def _result_shape(y: Any, p: _Plan, index_shape: tuple[Any, ...]) -> tuple[Any, ...]:
    """Shape of the result; `y` is the slice, with its axes in their own order."""
    shape: list[Any] = []
    for i, entry in enumerate(p.layout):
        if p.arrays and i == p.place:
            shape += index_shape
        shape.append(1 if entry is _NEW else y.shape[entry])
    if p.arrays and p.place == len(p.layout):
        shape += index_shape
    return tuple(shape)


def _masked(x: Any, mask: Any) -> Any:
    """`x[mask]` of a mask over the first axes: its places, counted in these axes laid together."""
    (places,) = _core.nonzero(mask, together=True)
    if mask.ndim > 1:
        x = _ops.reshape(x, shape=(mask.size, *x.shape[mask.ndim :]))
    return _ops.take(x, places, axis=0)


def getitem(x: Any, key: Any) -> Any:
    """`x[key]`."""
    if isinstance(key, _core.Tensor) and not key.symbolic and key.ndim > 0:
        if key.dtype.name == "bool" and tuple(x.shape[: key.ndim]) == tuple(key.shape):
            return _masked(x, key)
    p = _plan(x, key)
    y = _sliced(x, p)
    if not p.arrays:
        shape = _result_shape(y, p, ())
        if len(shape) != y.ndim or any(e is _NEW for e in p.layout):
            dropped = [a for a in range(y.ndim) if a not in p.layout]
            if dropped:
                y = _ops.squeeze(y, axis=dropped)
            for i, entry in enumerate(p.layout):
                if entry is _NEW:
                    y = _ops.expand_dims(y, axis=i)
        return y
    merged, flat, index_shape, at, _, _ = _gathered(y, p)
    taken = _ops.take(merged, flat, axis=at)
    shape = _result_shape(y, p, tuple(index_shape))
    return taken if tuple(taken.shape) == shape else _ops.reshape(taken, shape=shape)


def _update(x: Any, key: Any, value: Any, slice_op: Any, scatter_op: Any) -> Any:
    p = _plan(x, key)
    v = _core.asarray(value) if not isinstance(value, (int, float, complex)) else value
    if not isinstance(v, _core.Tensor):
        v = (
            _ops.full(shape=(), value=v, dtype=x.dtype)
            if not isinstance(v, complex)
            else _core.asarray(v)
        )
    if v.dtype is not x.dtype:
        v = _ops.cast(v, dtype=x.dtype)
    y = _sliced(x, p)
    index_shape = tuple(_indices(y, p.arrays)[1]) if p.arrays else ()
    shape = _result_shape(y, p, index_shape)
    if v.ndim > len(shape):  # leading axes of size 1 may be left out, as in NumPy
        extra = v.ndim - len(shape)
        if all(isinstance(s, int) and s == 1 for s in v.shape[:extra]):
            v = _ops.reshape(v, shape=v.shape[extra:])
    try:
        v = _ops.broadcast_to(v, shape=shape)
    except _core.ShapeError:
        raise _core.ShapeError(
            f"at: the value is {v.spec} for a place of shape {list(shape)} in {x.spec}. "
            "It must broadcast to that shape."
        ) from None
    if not p.arrays:
        v = _ops.reshape(v, shape=y.shape)  # in the place of every axis, dropped and new ones too
        return slice_op(x, v, starts=p.starts, stops=p.stops, steps=p.steps)
    merged, flat, _, at, order, permuted = _gathered(y, p)
    n = _product(index_shape)
    rest = [s for i, s in enumerate(merged.shape) if i != at]
    v = _ops.reshape(v, shape=tuple(rest[:at]) + (n,) + tuple(rest[at:]))
    new = scatter_op(merged, _ops.reshape(flat, shape=(n,)), v, axis=at)
    if tuple(new.shape) != tuple(permuted):
        new = _ops.reshape(new, shape=permuted)
    if order != list(range(len(order))):
        back = [order.index(a) for a in range(len(order))]
        new = _ops.permute_dims(new, axes=back)
    if p.whole:
        return new
    return _ops.set_slice(x, new, starts=p.starts, stops=p.stops, steps=p.steps)


class _Place:
    """A place in a tensor: what `x.at[...]` gives."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Any, key: Any) -> None:
        self._x = x
        self._key = key

    def __repr__(self) -> str:
        return f"<place {self._key!r} of {self._x.spec}>"

    def get(self) -> Any:
        """What stands there: `x[...]`."""
        return getitem(self._x, self._key)

    def set(self, value: Any) -> Any:
        """A tensor like `x` with `value` at the place. Of equal indices the last wins.

        Args:
            value: Broadcasts to the shape of `x[...]`; it is cast to the dtype of `x`.

        Returns:
            The new tensor; `x` stays as it is.

        Raises:
            ShapeError: If `value` does not broadcast to the place.
            IndexOutOfRange: If the place is not in `x`.

        Example:
            >>> fb.zeros(3).at[1].set(5.0)
            Tensor([0., 5., 0.], f32[3])
        """
        return _update(self._x, self._key, value, _ops.set_slice, _ops.scatter_set)

    def add(self, value: Any) -> Any:
        """A tensor like `x` with `value` added at the place. Equal indices add up.

        Args:
            value: Broadcasts to the shape of `x[...]`; it is cast to the dtype of `x`.

        Returns:
            The new tensor; `x` stays as it is.

        Raises:
            ShapeError: If `value` does not broadcast to the place.
            IndexOutOfRange: If the place is not in `x`.

        Example:
            >>> fb.zeros(3).at[fb.asarray([0, 0])].add(1.0)
            Tensor([2., 0., 0.], f32[3])
        """
        return _update(self._x, self._key, value, _ops.add_slice, _ops.scatter_add)


class At:
    """Places in a tensor, by index: `x.at[1:3].set(0)`. It never changes `x`."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> _Place:
        return _Place(self._x, key)

    def __repr__(self) -> str:
        return f"<places of {self._x.spec}: use .at[...].set(value), .add(value) or .get()>"
