"""The dtype in which layers, data and `fit` compute by default (float32).

`asarray` keeps the dtype of its source and bare operations promote by the array API standard. What
is cast to the policy's dtype is: the parameters of layers, floating inputs of layers, and floating
columns of `fb.data`. Integers and booleans are never cast.
"""

from __future__ import annotations

from typing import Any

import flowbook as fb

from ._state import dtype_name

FLOATS = ("float16", "bfloat16", "float32", "float64")
_current = "float32"


def dtype_policy() -> Any:
    """The dtype of new layers' parameters and of floating data.

    Example:
        >>> fb.nn.dtype_policy() == fb.float32
        True
    """
    return getattr(fb, _current)


def set_dtype_policy(dtype: Any) -> None:
    """Chooses the dtype of layers created and of data prepared from now on.

    Args:
        dtype: A floating dtype or its name, such as `fb.float64`.

    Raises:
        DTypeError: If `dtype` is not a floating dtype.

    Example:
        >>> fb.nn.set_dtype_policy("float64")
        >>> fb.nn.Dense(1, inputs=1).weight.dtype == fb.float64
        True
        >>> fb.nn.set_dtype_policy("float32")
    """
    global _current
    name = dtype_name(dtype)
    if name not in FLOATS:
        raise fb.DTypeError(
            f"set_dtype_policy: {name} is not a floating dtype. Choose one of {', '.join(FLOATS)}."
        )
    _current = name


def cast_floating(x: Any, dtype: Any = None) -> fb.Tensor:
    """`x` as a tensor, cast to `dtype` (the policy's by default) where it is floating."""
    if not isinstance(x, (fb.Tensor, fb.Variable)):
        x = fb.asarray(x)
    dtype = dtype_policy() if dtype is None else dtype
    name = x.dtype.name
    if name == dtype or name not in FLOATS or x.dtype == dtype:
        return x
    return fb.astype(x, dtype)
