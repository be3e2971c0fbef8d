"""What the harness asks of the native core: the op records, and each of the ways to run an op.

The only file of the harness that knows how the bindings are spelt.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import flowbook as fb
from flowbook import _core

from .sample import np_dtype

testing = _core.testing


@cache
def records() -> dict[str, dict[str, Any]]:
    found = {r["name"]: r for r in _core.op_records()}
    for r in found.values():
        r["has_kernel"] = "cpu" in r["kernels"]
    return found


def function(name: str) -> Any:
    """The op as Python calls it."""
    return testing.function(name)


def listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def native(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a sample as the op takes them: dtypes by object instead of by name."""
    return {
        k: getattr(fb, v) if k == "dtype" and isinstance(v, str) else v for k, v in attrs.items()
    }


def tensor(x: Any) -> Any:
    """Sample inputs as tensors; lists of arrays stay lists."""
    if isinstance(x, (list, tuple)):
        return [tensor(i) for i in x]
    return fb.asarray(x) if isinstance(x, np.ndarray) else x


def call(name: str, inputs: list[Any], attrs: dict[str, Any]) -> list[Any]:
    """Runs (or records) an op; always a list of outputs."""
    return listed(function(name)(*inputs, **native(attrs)))


def expand(name: str, inputs: list[Any], attrs: dict[str, Any]) -> list[Any]:
    """Runs a composite by its meaning in other ops, never by a kernel of its own."""
    return testing.expand(name, flat(inputs), **native(attrs))


def infer(name: str, specs: list[str], attrs: dict[str, Any]) -> list[str]:
    """Output specs for input specs like "f32[batch, 3]"."""
    return testing.infer(name, specs, **native(attrs))


def attrs_json(name: str, attrs: dict[str, Any]) -> str:
    return testing.attrs_json(name, **native(attrs))


def attrs_round_trip(name: str, attrs: dict[str, Any]) -> bool:
    return testing.attrs_round_trip(name, **native(attrs))


def spec(t: Any) -> str:
    return testing.spec(t)


def flat(inputs: list[Any]) -> list[Any]:
    return [t for x in inputs for t in (x if isinstance(x, (list, tuple)) else [x])]


def zeros(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.zeros(shape, np_dtype(dtype))
