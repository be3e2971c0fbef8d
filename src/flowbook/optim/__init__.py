"""Optimizers, learning-rate schedules, gradient clipping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _hints
from ._clip import clip_by_global_norm, clip_by_value, global_norm
from ._optimizer import Optimizer
from ._rules import SGD, Adam, AdamW
from ._schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    linear,
    piecewise,
)

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "Schedule",
    "clip_by_global_norm",
    "clip_by_value",
    "constant",
    "cosine",
    "exponential",
    "global_norm",
    "inverse_sqrt",
    "linear",
    "piecewise",
]

if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
