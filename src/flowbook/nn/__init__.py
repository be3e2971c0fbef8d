"""Neural networks: functions in lower case, layers in CamelCase, initialisers in `init`."""

from __future__ import annotations

from .._policy import dtype_policy, set_dtype_policy
from . import init
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
from ._functions import (
    dropout,
    elu,
    embedding,
    gelu,
    layer_norm,
    leaky_relu,
    log_softmax,
    one_hot,
    relu,
    sigmoid,
    silu,
    softmax,
    softmax_cross_entropy,
    softplus,
    tanh,
)
from ._layers import Dense, Dropout, Embedding, Flatten, LayerNorm, Sequential
from ._module import Module
from ._training import is_training, training

__all__ = [
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
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "dropout",
    "dtype_policy",
    "elu",
    "embedding",
    "gelu",
    "init",
    "is_training",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "one_hot",
    "relu",
    "set_dtype_policy",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "tanh",
    "training",
]
