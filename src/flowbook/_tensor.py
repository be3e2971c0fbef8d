"""The cold side of Tensor and Variable: text, conversion to Python, indexing, NumPy protocols.

The types are native (`_core.Tensor`); what is not hot is written here and attached to them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from . import _core, _devices, _dtypes, _hints
from ._errors import no_value
from ._indexing import At, getitem

Tensor = _core.Tensor
Variable = _core.Variable
_ops = _core.ops


def value_of(x: Any) -> Any:
    """A Variable's value, a Tensor itself."""
    return x.read() if isinstance(x, Variable) else x


# ---- text ---------------------------------------------------------------------------------------


def _printable(t: Any) -> np.ndarray:
    return _host(_ops.cast(t, dtype="float32") if t.dtype is _dtypes.bfloat16 else t)


def _host(t: Any) -> np.ndarray:
    array: np.ndarray = _core.to_numpy(t)
    return array


def _numbers(t: Any, prefix: str = "", separator: str = ", ") -> str:
    """The numbers as NumPy prints them; of many in several dimensions a page, not ten."""
    edge = 3 if t.ndim <= 2 else 2 if t.ndim == 3 else 1
    return np.array2string(
        _printable(t), separator=separator, prefix=prefix, threshold=200, edgeitems=edge,
        max_line_width=100,
    )  # fmt: skip


def _tensor_repr(self: Any) -> str:
    """The numbers as NumPy prints them, then dtype and shape."""
    if self.symbolic:
        return f"Tensor({_core.describe(self)}, symbolic)"
    with _core.Recorder(None):
        if self.size == 0:
            return f"Tensor([], {self.spec})"
        return f"Tensor({_numbers(self, 'Tensor(')}, {self.spec})"


def _variable_repr(self: Any) -> str:
    name = f"{self.name!r}, " if self.name else ""
    fixed = "" if self.trainable else ", trainable=False"
    with _core.Recorder(None):
        value = self.stored()
        numbers = _numbers(value, "Variable(") if value.size else "[]"
    return f"Variable({name}{numbers}, {self.spec}{fixed})"


def _str(self: Any) -> str:
    t = self.stored() if isinstance(self, Variable) else self
    if t.symbolic:
        return repr(t)
    with _core.Recorder(None):
        return _numbers(t, separator=" ")


def _format(self: Any, spec: str) -> str:
    """`f"{loss:.3f}"`: a 0-d tensor formats like the number that it is."""
    t = self.stored() if isinstance(self, Variable) else self
    if not spec:
        return str(self)
    if t.symbolic or t.ndim:
        if t.symbolic:
            return repr(t)
        raise TypeError(
            f"format: {t.spec} does not format as `{spec}`. Only a 0-d tensor formats like a number."
        )
    return format(_core.item(t), spec)


def _repr_html(self: Any) -> str:
    """Dtype, shape and statistics, and a small picture of the numbers."""
    from . import _tensor_view

    t = self.stored() if isinstance(self, Variable) else self
    spec = t.spec
    if isinstance(self, Variable) and self.name:
        spec = f"{self.name}: {spec}"
    if t.symbolic:
        return f"<code>{escape(_core.describe(t))}</code> symbolic"
    with _core.Recorder(None):
        return _tensor_view.html(_printable(t), spec)


# ---- Python numbers -----------------------------------------------------------------------------


def _single(self: Any, what: str, instead: str) -> Any:
    t = value_of(self)
    if t.symbolic:
        raise no_value(t, what, instead)
    return _core.item(t)


def item(self: Any) -> bool | int | float | complex:
    """The value of a tensor with one element as a Python number.

    Raises:
        ShapeError: If there is not exactly one element.
        GraphError: For a symbol.
    """
    value: bool | int | float | complex = _single(
        self, "item() needs a value", "Use ops on it instead, or return it from the graph."
    )
    return value


def tolist(self: Any) -> Any:
    """The elements as nested lists of Python numbers (of a 0-d tensor: the number)."""
    t = value_of(self)
    if t.symbolic:
        raise no_value(t, "tolist() needs values", "Return it from the graph and convert it there.")
    return _printable(t).tolist()


def _bool(self: Any) -> bool:
    t = value_of(self)
    if t.symbolic:
        raise no_value(
            t,
            "`if`, `while`, `and`, `or` and `not` need a value",
            "Use fb.where(condition, a, b), fb.logical_and and so on, or make it a static argument.",
        )
    if t.size != 1:
        raise _core.ShapeError(
            f"bool: the truth of {t.spec} is ambiguous. Use fb.any(x) or fb.all(x)."
        )
    return bool(_core.item(t))


def _int(self: Any) -> int:
    return int(
        _single(self, "int() needs a value", "Use fb.astype(x, fb.int64) to stay in the graph.")
    )


def _float(self: Any) -> float:
    v = _single(self, "float() needs a value", "Use fb.astype(x, fb.float32) to stay in the graph.")
    if isinstance(v, complex):
        raise _core.DTypeError("float: the tensor is complex. Take a part of it first.")
    return float(v)


def _complex(self: Any) -> complex:
    return complex(_single(self, "complex() needs a value", "Use ops on it instead."))


def _index(self: Any) -> int:
    t = value_of(self)
    if t.dtype.kind not in ("signed integer", "unsigned integer") or t.ndim:
        raise _core.DTypeError(f"index: {t.spec} is no index. Only 0-d integer tensors are.")
    return int(
        _single(
            self,
            "a size, a range or a list index needs a value",
            "Use fb.take to index a tensor, or name the argument in static= of fb.graph.",
        )
    )


# ---- arrays -------------------------------------------------------------------------------------


def numpy(self: Any) -> np.ndarray:
    """The elements as a read-only NumPy array that shares the memory.

    Returns:
        A view; `.copy()` makes it writable. Tensors of other devices are copied.

    Raises:
        GraphError: For a symbol.
        DTypeError: For bfloat16 without ml_dtypes.
    """
    t = value_of(self)
    if t.symbolic:
        raise no_value(t, "numpy() needs values", "Return it from the graph and convert it there.")
    return _host(t)


def _array(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    a = numpy(self)
    if dtype is not None and np.dtype(dtype) != a.dtype:
        if copy is False:
            raise ValueError(f"numpy: {self.spec} as {np.dtype(dtype)} needs a copy.")
        return a.astype(dtype)
    return a.copy() if copy else a


def _dlpack(
    self: Any,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """Exports by DLPack: read-only and without a copy, or as a copy to readers of the old form."""
    if stream is not None:
        raise _core.ArgumentError("__dlpack__: the CPU has no streams. Leave `stream` out.")
    if dl_device is not None and tuple(dl_device) != (1, 0):
        raise BufferError(f"__dlpack__: the tensor is on the CPU, not on device {dl_device}")
    versioned = max_version is not None and max_version[0] >= 1
    return _core.to_dlpack(value_of(self), versioned, copy)


def _dlpack_device(self: Any) -> tuple[int, int]:
    if self._device:
        raise BufferError("__dlpack_device__: only host memory can be exchanged by DLPack yet")
    return 1, 0


_UFUNCS = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "true_divide": "divide",
    "invert": "bitwise_invert", "bitwise_not": "bitwise_invert", "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift", "power": "pow", "float_power": "pow", "mod": "remainder",
    "rint": "round", "conjugate": "conj", "fabs": "abs",
}  # fmt: skip
_REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min",
               "logical_and": "all", "logical_or": "any"}  # fmt: skip


def _array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`np.exp(t)` and `array + t` give Tensors: NumPy hands its ufuncs over."""
    name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
    op = getattr(_ops, name, None)
    if method == "reduce" and ufunc.__name__ in _REDUCTIONS and len(inputs) == 1:
        kwargs = {k: v for k, v in kwargs.items() if v is not None and k != "out"}
        if "axis" not in kwargs:
            kwargs["axis"] = 0
        if set(kwargs) <= {"axis", "keepdims", "dtype"}:
            return getattr(_ops, _REDUCTIONS[ufunc.__name__])(*inputs, **kwargs)
    if kwargs.pop("out", None) is not None:
        raise _core.DTypeError(
            f"np.{ufunc.__name__}: out= cannot be written by flowbook. Assign the result instead."
        )
    if op is None or method != "__call__" or kwargs:
        return NotImplemented
    return op(*inputs)


def _array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """Other NumPy functions: flowbook's of the same name where the arguments fit, else NumPy's own
    on read-only views."""
    flowbook = sys.modules["flowbook"]
    name = _NUMPY_NAMES.get(function.__name__, function.__name__)
    module = getattr(function, "__module__", "") or ""
    ours = (
        getattr(flowbook, name, None)
        if module == "numpy" and function.__name__ in _SHARED
        else None
    )
    if ours is not None:
        clean = {k: v for k, v in kwargs.items() if v is not None and v is not np._NoValue}
        try:
            return ours(*args, **clean)
        except _core.DTypeError as e:
            if "there is no argument" not in str(e) and "arguments were given" not in str(e):
                raise
    return function(*_hosted(args), **_hosted(kwargs))


_NUMPY_NAMES = {"concatenate": "concat", "transpose": "permute_dims", "amax": "max", "amin": "min",
                "cumsum": "cumulative_sum"}  # fmt: skip
_SHARED = frozenset(
    "sum mean prod max min amax amin any all var std argmax argmin concatenate stack reshape "
    "squeeze expand_dims flip roll where matmul tensordot clip take zeros_like ones_like full_like "
    "moveaxis broadcast_to outer tril triu round meshgrid vecdot unstack matrix_transpose cumsum".split()
)


def _hosted(x: Any) -> Any:
    if isinstance(x, (Tensor, Variable)):
        return numpy(x)
    if isinstance(x, (list, tuple)):
        return type(x)(map(_hosted, x))
    if isinstance(x, dict):
        return {k: _hosted(v) for k, v in x.items()}
    return x


# ---- shape and dtype ----------------------------------------------------------------------------


def astype(self: Any, dtype: Any, copy: bool = True) -> Any:
    """The elements as another dtype; floats to integers are cut towards zero."""
    t = value_of(self)
    return t if t.dtype is _dtypes.as_dtype(dtype) else _ops.cast(t, dtype=dtype)


def reshape(self: Any, *shape: Any) -> Any:
    """The same elements in another shape; one size may be -1."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return _ops.reshape(self, shape=shape)


def transpose(self: Any, *axes: Any) -> Any:
    """The axes in another order; without arguments reversed."""
    if len(axes) == 1 and isinstance(axes[0], (tuple, list)):
        axes = tuple(axes[0])
    return _ops.permute_dims(self, axes=axes or tuple(range(self.ndim))[::-1])


def _matrix_transposed(self: Any) -> Any:
    """The last two axes swapped."""
    return _ops.matrix_transpose(self)


def flatten(self: Any) -> Any:
    """The elements as a vector, in row-major order."""
    return _ops.reshape(self, shape=(-1,) if self.size else (0,))


def _device(self: Any) -> _devices.Device:
    """Where the tensor lives."""
    return _devices.by_index(self._device)


def to(self: Any, where: Any) -> Any:
    """The tensor on another device; itself if it is there.

    Raises:
        DeviceError: If there is no such device.
    """
    return _devices.place(value_of(self), where)


def to_device(self: Any, device: Any, /, *, stream: Any = None) -> Any:
    """The tensor on another device (the array API's name of `to`)."""
    return to(self, device)


def _len(self: Any) -> int:
    if self.ndim == 0:
        raise TypeError("len() of a 0-d tensor; it has no axes")
    n = self.shape[0]
    if not isinstance(n, int):
        raise _core.GraphError(f"len: the first axis of {self.spec} is symbolic. Use x.shape[0].")
    return n


def _iter(self: Any) -> Iterator[Any]:
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor; it has no axes")
    t = value_of(self)
    return (getitem(t, i) for i in range(_len(t)))


def _setitem(self: Any, key: Any, value: Any) -> None:
    raise TypeError(
        "Tensors do not change. Use y = x.at[index].set(value), or y = fb.where(mask, value, x)."
    )


def _variable_setitem(self: Any, key: Any, value: Any) -> None:
    raise TypeError(
        "a Variable is assigned as a whole. Use v.assign(v.value.at[index].set(value))."
    )


def _delitem(self: Any, key: Any) -> None:
    raise TypeError("Tensors do not change: elements cannot be deleted. Index what should stay.")


def _contains(self: Any, value: Any) -> bool:
    return bool(_ops.any(self == value))


def _at(self: Any) -> At:
    """Places, for changed copies: `x.at[1:3].set(0.0)`, `x.at[i].add(1.0)`."""
    return At(value_of(self))


def _round(self: Any, digits: int | None = None) -> Any:
    if not digits:
        return _ops.round(self)
    scale = 10.0**digits
    return _ops.round(self * scale) / scale


# ---- copies, pickles, the standard's namespace --------------------------------------------------


def _rebuild(array: Any, dtype: str) -> Any:
    return _core.asarray(array, dtype)


def _reduce(self: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    if self.symbolic:
        raise no_value(self, "only values can be pickled", "Return it from the graph.")
    with _core.Recorder(None):
        return _rebuild, (np.asarray(_printable(self), order="C"), self.dtype.name)


def _rebuild_variable(value: Any, name: str | None, trainable: bool, kind: str) -> Any:
    v = Variable(value, name=name, trainable=trainable)
    v.kind = kind
    return v


def _variable_reduce(self: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return _rebuild_variable, (self.stored(), self.name, self.trainable, self.kind)


def _variable_deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    if id(self) not in memo:
        memo[id(self)] = _rebuild_variable(self.stored(), self.name, self.trainable, self.kind)
    return memo[id(self)]


def _variable_copy(self: Any) -> Any:
    return _rebuild_variable(self.stored(), self.name, self.trainable, self.kind)


def _same(self: Any, *_: Any) -> Any:
    return self  # immutable: a copy would be no different


def _namespace(self: Any, *, api_version: str | None = None) -> Any:
    if api_version is not None and api_version not in ("2021.12", "2022.12", "2023.12", "2024.12"):
        raise _core.ArgumentError(
            f'__array_namespace__: version {api_version!r} is not supported. Use "2024.12".'
        )
    return sys.modules["flowbook"]


def assign_add(self: Any, value: Any) -> Any:
    """Adds to the Variable; returns it."""
    return self.assign(self.read() + value)


def assign_sub(self: Any, value: Any) -> Any:
    """Subtracts from the Variable; returns it."""
    return self.assign(self.read() - value)


_core.set_getitem(getitem)
_core.set_attribute_hook(lambda x, name: _hints.on_object(x, "Tensor", name))

# ---- attaching ----------------------------------------------------------------------------------

# Ops that are methods, too.
_METHODS = (
    "sum mean prod max min any all argmax argmin var std squeeze clip cumulative_sum take round"
).split()

_SHARED_MEMBERS: dict[str, Any] = {
    "__str__": _str,
    "__format__": _format,
    "_repr_html_": _repr_html,
    "item": item,
    "tolist": tolist,
    "__bool__": _bool,
    "__int__": _int,
    "__float__": _float,
    "__complex__": _complex,
    "__index__": _index,
    "numpy": numpy,
    "__array__": _array,
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
    "__dlpack__": _dlpack,
    "__dlpack_device__": _dlpack_device,
    "astype": astype,
    "reshape": reshape,
    "transpose": transpose,
    "flatten": flatten,
    "mT": property(_matrix_transposed, doc=_matrix_transposed.__doc__),
    "device": property(_device, doc=_device.__doc__),
    "to": to,
    "to_device": to_device,
    "__len__": _len,
    "__iter__": _iter,
    "__delitem__": _delitem,
    "__contains__": _contains,
    "__round__": _round,
    "at": property(_at, doc=_at.__doc__),
    "__array_namespace__": _namespace,
}


def _attach(cls: Any, members: dict[str, Any]) -> None:
    for name, member in members.items():
        if callable(member) and hasattr(member, "__name__"):
            member.__name__ = name
            member.__qualname__ = f"{cls.__name__}.{name}"
        setattr(cls, name, member)


def _ops_as_methods(names: Sequence[str]) -> dict[str, Any]:
    return {n: _core.method(getattr(_ops, n)) for n in names if hasattr(_ops, n)}


for _cls in (Variable, Tensor):
    _attach(_cls, _SHARED_MEMBERS)
    for _name, _member in _ops_as_methods(_METHODS).items():
        setattr(_cls, _name, _member)
_attach(
    Tensor,
    {
        "__repr__": _tensor_repr,
        "__setitem__": _setitem,
        "__reduce__": _reduce,
        "__copy__": _same,
        "__deepcopy__": _same,
    },
)
_attach(
    Variable,
    {
        "__repr__": _variable_repr,
        "__setitem__": _variable_setitem,
        "__reduce__": _variable_reduce,
        "__copy__": _variable_copy,
        "__deepcopy__": _variable_deepcopy,
        "assign_add": assign_add,
        "assign_sub": assign_sub,
    },
)
