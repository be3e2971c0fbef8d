"""dtypes: the fifteen objects, and what the array API standard asks about them."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core

__all__ = [
    "DType", "bfloat16", "bool", "can_cast", "complex64", "complex128", "finfo", "float16",
    "float32", "float64", "iinfo", "int8", "int16", "int32", "int64", "isdtype", "result_type",
    "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip

_bool = bool


class DType:
    """The type of a tensor's elements, such as `fb.float32`. There is one object for each.

    Example:
        >>> fb.asarray([1.0, 2.0]).dtype
        flowbook.float32
    """

    __slots__ = ("itemsize", "name", "short")
    name: str
    short: str
    itemsize: int

    def __init__(self, name: str, short: str, itemsize: int) -> None:
        for key, value in (("name", name), ("short", short), ("itemsize", itemsize)):
            object.__setattr__(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("dtypes do not change")

    def __eq__(self, other: object) -> _bool:
        """Equal to itself, its name and NumPy's dtype of that name; unequal to anything else."""
        if isinstance(other, DType):
            return self is other
        if isinstance(other, str):
            return other == self.name
        name = getattr(other, "__name__", None) if isinstance(other, type) else None
        name = name or getattr(other, "name", None)
        module = getattr(type(other) if not isinstance(other, type) else other, "__module__", "")
        return module.split(".")[0] in ("numpy", "ml_dtypes") and name in (
            self.name,
            self.name + "_",
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"flowbook.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return _core.to_dtype, (self.name,)

    @property
    def kind(self) -> str:
        """One of "bool", "signed integer", "unsigned integer", "real floating", "complex floating"."""
        return _KINDS[self.name]

    @property
    def numpy(self) -> Any:
        """NumPy's dtype of the same name."""
        import numpy as np

        if self.name == "bfloat16":
            import ml_dtypes  # type: ignore[import-not-found, unused-ignore]

            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.name)


_BY_NAME = {name: DType(name, short, size) for name, short, size in _core.dtype_names()}
_core.set_dtypes(_BY_NAME)

bool = _BY_NAME["bool"]
int8 = _BY_NAME["int8"]
int16 = _BY_NAME["int16"]
int32 = _BY_NAME["int32"]
int64 = _BY_NAME["int64"]
uint8 = _BY_NAME["uint8"]
uint16 = _BY_NAME["uint16"]
uint32 = _BY_NAME["uint32"]
uint64 = _BY_NAME["uint64"]
float16 = _BY_NAME["float16"]
bfloat16 = _BY_NAME["bfloat16"]
float32 = _BY_NAME["float32"]
float64 = _BY_NAME["float64"]
complex64 = _BY_NAME["complex64"]
complex128 = _BY_NAME["complex128"]

SIGNED = (int8, int16, int32, int64)
UNSIGNED = (uint8, uint16, uint32, uint64)
FLOATING = (float16, bfloat16, float32, float64)
COMPLEX = (complex64, complex128)
GROUPS: dict[str, tuple[DType, ...]] = {
    "bool": (bool,),
    "signed integer": SIGNED,
    "unsigned integer": UNSIGNED,
    "integral": SIGNED + UNSIGNED,
    "real floating": FLOATING,
    "complex floating": COMPLEX,
    "numeric": SIGNED + UNSIGNED + FLOATING + COMPLEX,
}
_SINGLE = ("bool", "signed integer", "unsigned integer", "real floating", "complex floating")
_KINDS = {d.name: kind for kind in _SINGLE for d in GROUPS[kind]}


def as_dtype(dtype: Any) -> DType:
    """The dtype meant by a dtype object, a name, NumPy's dtype or a Python type."""
    return dtype if isinstance(dtype, DType) else _core.to_dtype(dtype)


def isdtype(dtype: Any, kind: Any) -> _bool:
    """Tells whether `dtype` is of a kind.

    Args:
        dtype: The dtype to look at.
        kind: A dtype; one of "bool", "signed integer", "unsigned integer", "integral",
            "real floating", "complex floating", "numeric"; or a tuple of these (any of them).

    Returns:
        True or False.

    Raises:
        ArgumentError: If `kind` is an unknown name.

    Example:
        >>> fb.isdtype(fb.float32, "real floating")
        True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    d = as_dtype(dtype)
    if isinstance(kind, str):
        if kind not in GROUPS:
            raise _core.ArgumentError(
                f"isdtype: there is no kind `{kind}`. The kinds are {', '.join(GROUPS)}."
            )
        return d in GROUPS[kind]
    return d is as_dtype(kind)


def _operand_dtype(x: Any) -> tuple[DType, _bool]:
    """The dtype of an argument of `result_type`, and whether it is weak."""
    if isinstance(x, (_core.Tensor, _core.Variable)):
        return x.dtype, getattr(x, "_weak", False)
    if isinstance(x, (type, DType, str)):
        return as_dtype(x), False
    if isinstance(x, _bool):
        return bool, True
    if isinstance(x, int):
        return int64, True
    if isinstance(x, float):
        return float64, True
    if isinstance(x, complex):
        return complex128, True
    if hasattr(x, "dtype") and hasattr(x, "item"):  # NumPy scalars are weak, arrays are not
        return as_dtype(x.dtype), getattr(x, "ndim", 0) == 0 and not hasattr(x, "resize")
    return as_dtype(x), False


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that an op on these would compute in.

    Args:
        arrays_and_dtypes: Tensors, dtypes and Python numbers (which are weak: they decide only
            where their kind is higher).

    Returns:
        The common dtype.

    Raises:
        DTypeError: If the standard defines none, as for uint64 with int64.

    Example:
        >>> fb.result_type(fb.int32, fb.float32, 1.5)
        flowbook.float32
    """
    if not arrays_and_dtypes:
        raise _core.ArgumentError("result_type: there are no arguments. Give at least one.")
    operands = [_operand_dtype(x) for x in arrays_and_dtypes]
    dtype, weak = operands[0]
    for d, w in operands[1:]:
        dtype, weak = _core.promote(dtype, weak, d, w), weak and w
    if weak:  # Python numbers alone: the default dtypes
        dtype = {float64: float32, complex128: complex64}.get(dtype, dtype)
    return dtype


def can_cast(from_: Any, to: Any) -> _bool:
    """Tells whether promotion could turn `from_` into `to`.

    Args:
        from_: A dtype or a tensor.
        to: A dtype.

    Returns:
        True or False.

    Example:
        >>> fb.can_cast(fb.int32, fb.int64), fb.can_cast(fb.float64, fb.float32)
        (True, False)
    """
    source = from_.dtype if isinstance(from_, (_core.Tensor, _core.Variable)) else as_dtype(from_)
    target = as_dtype(to)
    if source.kind != target.kind and not (
        source.kind == "unsigned integer" and target.kind == "signed integer"
    ):  # the standard leaves promotion between kinds open; only bool and int -> float is ours
        order = ("bool", "unsigned integer", "signed integer", "real floating", "complex floating")
        if order.index(source.kind) > order.index(target.kind):
            return False
    try:
        return _core.promote(source, False, target, False) is target
    except _core.DTypeError:
        return False


class FInfo(NamedTuple):
    """Limits of a floating dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IInfo(NamedTuple):
    """Limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


_FINFO = {  # bits, mantissa bits, largest exponent
    "float16": (16, 10, 15),
    "bfloat16": (16, 7, 127),
    "float32": (32, 23, 127),
    "float64": (64, 52, 1023),
    "complex64": (32, 23, 127),
    "complex128": (64, 52, 1023),
}


def _dtype_of(x: Any) -> DType:
    return x.dtype if isinstance(x, (_core.Tensor, _core.Variable)) else as_dtype(x)


def finfo(dtype: Any) -> FInfo:
    """Limits of a floating dtype (for a complex one, of its parts).

    Args:
        dtype: A floating dtype, or a tensor of one.

    Returns:
        Bits, eps (distance from 1 to the next number), max, min, smallest normal number, dtype.

    Raises:
        DTypeError: If the dtype is not floating.

    Example:
        >>> fb.finfo(fb.float32).eps
        1.1920928955078125e-07
    """
    d = _dtype_of(dtype)
    if d.name not in _FINFO:
        raise _core.DTypeError(f"finfo: {d.name} is not floating. Use fb.iinfo for integers.")
    bits, mantissa, exponent = _FINFO[d.name]
    largest = (2.0 - 2.0**-mantissa) * 2.0**exponent
    real = {complex64: float32, complex128: float64}.get(d, d)
    return FInfo(bits, 2.0**-mantissa, largest, -largest, 2.0 ** (1 - exponent), real)


def iinfo(dtype: Any) -> IInfo:
    """Limits of an integer dtype.

    Args:
        dtype: An integer dtype, or a tensor of one.

    Returns:
        Bits, max, min, dtype.

    Raises:
        DTypeError: If the dtype is no integer dtype.

    Example:
        >>> fb.iinfo(fb.uint8).max
        255
    """
    d = _dtype_of(dtype)
    if d not in GROUPS["integral"]:
        raise _core.DTypeError(f"iinfo: {d.name} is no integer dtype. Use fb.finfo for floats.")
    bits = 8 * d.itemsize
    if d in UNSIGNED:
        return IInfo(bits, 2**bits - 1, 0, d)
    return IInfo(bits, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), d)
