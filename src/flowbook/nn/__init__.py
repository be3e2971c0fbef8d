"""Neural networks: functions in lower case, layers in CamelCase, initialisers in `init`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _hints
from .._policy import dtype_policy, set_dtype_policy
from . import _functions, init
from ._activations import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from ._attention import MultiHeadAttention, scaled_dot_product_attention
from ._conv import AvgPool2D, BatchNorm, Conv2D, GlobalAvgPool, MaxPool2D
from ._layers import Dense, Dropout, Embedding, Flatten, LayerNorm, Sequential
from ._module import Module
from ._training import is_training, training

# The ops of the registry: what is public follows from their families.
globals().update({name: getattr(_functions, name) for name in _functions.__all__})

__all__ = [
    "MaxPool2D",
    "GlobalAvgPool",
    "Conv2D",
    "BatchNorm",
    "AvgPool2D",
    "ELU",
    "GELU",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Module",
    "MultiHeadAttention",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "dtype_policy",
    "init",
    "is_training",
    "scaled_dot_product_attention",
    "set_dtype_policy",
    "training",
    *_functions.__all__,
]

if TYPE_CHECKING:
    from collections.abc import Callable

    __getattr__: Callable[[str], Any]  # the ops
else:
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
