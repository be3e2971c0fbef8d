"""How samples are declared: one `declare(...)` per op, in `samples/<family>.py`.

A declaration says how an op is called (inputs and attributes, as a function of the dtype), what the
answer is (NumPy or SciPy), how exact it must be, and which calls are errors. It does not say what
is checked: that is `test_ops.py`, alike for every op.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BOOL = ("bool",)
INTS = ("uint8", "int32", "int64")
SIGNED = ("int32", "int64")
FLOATS = ("float32", "float64")
NUMERIC = INTS + FLOATS
ALL = BOOL + NUMERIC
HALFS = ("float16", "bfloat16")


@dataclass
class Sample:
    """One call: positional inputs (arrays, scalars or lists of arrays) and attributes."""

    inputs: list[Any]
    attrs: dict[str, Any]
    symbolic: bool = (
        True  # False: the rule needs sizes as numbers, so inferring over symbols may refuse
    )
    grad: bool = True  # False: a kink, a tie or an integer step makes differences meaningless here

    def __str__(self) -> str:
        def show(x: Any) -> str:
            if isinstance(x, (list, tuple)):
                return "[" + ", ".join(map(show, x)) + "]"
            if isinstance(x, np.ndarray):
                return f"{x.dtype}{list(x.shape)}"
            return repr(x)

        parts = [show(x) for x in self.inputs]
        parts += [f"{k}={v!r}" for k, v in self.attrs.items()]
        return "(" + ", ".join(parts) + ")"


@dataclass
class Failing:
    """A call that must raise `error` (a class of flowbook, by name) with `text` in its message."""

    error: str
    text: str
    inputs: list[Any]
    attrs: dict[str, Any] = field(default_factory=dict)


class Maker:
    """Makes arrays of one dtype, the same ones in every run. Values are distinct where they can be,
    so that maxima have no ties and differences see no kink."""

    def __init__(self, name: str, dtype: str, low: float = -2.0, high: float = 2.0) -> None:
        self.dtype = dtype
        self.low, self.high = low, high
        self.rng = np.random.default_rng(zlib.crc32(f"{name}/{dtype}".encode()))

    def __call__(
        self,
        *shape: int,
        low: float | None = None,
        high: float | None = None,
        dtype: str | None = None,
    ) -> np.ndarray:
        dtype = dtype or self.dtype
        low = self.low if low is None else low
        high = self.high if high is None else high
        n = int(np.prod(shape))
        if dtype == "bool":
            return self.rng.integers(0, 2, shape).astype(bool)
        if dtype in INTS:
            low, high = (
                (max(low, 0), max(high, 5)) if dtype == "uint8" else (min(low, low * 3), high * 3)
            )
            return self.rng.integers(int(low), int(high) + 1, shape).astype(dtype)
        # One value from each of n equal slices of [low, high], shuffled; never closer than 0.2
        # slices, never within a hair of zero.
        values = low + (high - low) * (np.arange(n) + self.rng.uniform(0.1, 0.9, n)) / max(n, 1)
        values = np.where(np.abs(values) < 0.01, 0.01 + np.abs(values), values)
        return self.rng.permutation(values).reshape(shape).astype(np_dtype(dtype))

    def index(self, *shape: int, high: int, low: int = 0, dtype: str = "int64") -> np.ndarray:
        return self.rng.integers(low, high, shape).astype(dtype)

    def distinct(self, *shape: int) -> np.ndarray:
        """A permutation, for ops where ties would be ambiguous also with integers."""
        n = int(np.prod(shape))
        return self.rng.permutation(n).reshape(shape).astype(np_dtype(self.dtype))


def np_dtype(name: str) -> np.dtype:
    return np.dtype("float32" if name == "bfloat16" else name)


def call(*inputs: Any, symbolic: bool = True, grad: bool = True, **attrs: Any) -> Sample:
    return Sample(list(inputs), attrs, symbolic, grad)


def fails(error: str, text: str, *inputs: Any, **attrs: Any) -> Failing:
    return Failing(error, text, list(inputs), attrs)


@dataclass
class OpSamples:
    """All that the tests know about one op. Fields as in `declare`."""

    name: str
    reference: Callable[..., Any] | None
    dtypes: Sequence[str]
    make: Callable[[Maker], Iterable[Sample]]
    ulps: float | None = None
    rtol: dict[str, float] = field(default_factory=dict)
    low: float = -2.0
    high: float = 2.0
    grad: Sequence[int] | None = None
    order: int = 2
    grad_low: float | None = None
    errors: Sequence[Failing] = ()
    family: str = ""
    strided: bool = True
    refuses: Sequence[str] = ()

    def samples(self, dtype: str) -> list[Sample]:
        maker = Maker(self.name, dtype, self.low, self.high)
        return list(self.make(maker))

    def tolerance(self, dtype: str) -> float:
        default = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 5e-6, "float64": 1e-12}
        return self.rtol.get(dtype, default.get(dtype, 0.0))


DECLARED: dict[str, OpSamples] = {}


def declare(
    name: str,
    reference: Callable[..., Any] | None,
    dtypes: Sequence[str],
    make: Callable[[Maker], Iterable[Sample]],
    **options: Any,
) -> OpSamples:
    """Declares the samples of one op.

    Args:
        name: The op's name in the registry.
        reference: Gives the answer from the same inputs and attributes; float32 inputs reach it as
            float64 when `ulps` is set. None: the samples' own checks are elsewhere.
        dtypes: Dtypes that the op must take.
        make: Samples as a function of a `Maker`.
        options: `ulps` (largest error in units of the last place, else `rtol` counts), `rtol` by
            dtype, `low`/`high` (range of the made values), `grad` (indices of inputs to
            differentiate, default: all floating ones), `order` (of gradients), `errors` (calls that
            must fail), `strided` (False: the inputs cannot be views), `refuses` (dtypes that raise
            DTypeError).
    """
    if name in DECLARED:
        raise ValueError(f"samples of {name} are declared twice")
    family = Path(sys._getframe(1).f_code.co_filename).stem
    DECLARED[name] = OpSamples(name, reference, tuple(dtypes), make, family=family, **options)
    return DECLARED[name]
