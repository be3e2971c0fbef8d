"""Samples by family. Importing this package declares all of them (`sample.DECLARED`)."""

from . import conv, create, elementwise, index, linalg, nn, optim, random, reduce, shape

__all__ = [
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
