"""Samples by family. Importing this package declares all of them (`sample.DECLARED`)."""

from . import create, elementwise, index, linalg, nn, optim, random, reduce, shape

__all__ = [
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
