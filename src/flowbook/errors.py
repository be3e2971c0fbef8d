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
    "OutOfMemoryError",
    "ShapeError",
]
