"""The errors that flowbook raises. Each has a help text with a wrong and a right example."""

from __future__ import annotations

from ._core import (
    ArgumentError,
    AxisError,
    CancelledError,
    DataError,
    DeviceError,
    DTypeError,
    FeedError,
    FlowbookError,
    GradientError,
    GraphError,
    IndexOutOfRange,
    InternalError,
    LoadError,
    MissingKernelError,
    OutOfMemoryError,
    ShapeError,
)

__all__ = [
    "ArgumentError",
    "AxisError",
    "CancelledError",
    "DTypeError",
    "DataError",
    "DeviceError",
    "FeedError",
    "FlowbookError",
    "GradientError",
    "GraphError",
    "IndexOutOfRange",
    "InternalError",
    "LoadError",
    "MissingKernelError",
    "NonFiniteError",
    "OutOfMemoryError",
    "ShapeError",
]


class NonFiniteError(FlowbookError, ArithmeticError):
    """A training step whose loss (or a gradient) is NaN or infinite, with `fit(on_nan="raise")`.

    The step has changed nothing: the model is as it was before, and `fb.save` can keep it. The text
    names the first node that made the number, its layer and its line.

    Wrong:  loss = lambda p, y: -fb.mean(y * fb.log(p))
    Right:  loss = lambda p, y: -fb.mean(y * fb.log(fb.maximum(p, 1e-7)))
    """
