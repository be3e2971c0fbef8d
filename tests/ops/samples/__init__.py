"""Samples by family. Importing this package declares all of them (`sample.DECLARED`)."""

from . import attention, conv, create, elementwise, index, linalg, nn, optim, random, reduce, shape

__all__ = [
    "attention",
    "conv",
    "create",
    "elementwise",
    "index",
    "linalg",
    "nn",
    "optim",
    "random",
    "reduce",
    "shape",
]
