"""Initialisers: how the values of new parameters are drawn.

An initialiser is a small object that is called with a shape and a dtype. It draws from the
process-wide generator (`fb.random.seed`), so that the same seed gives the same model.
Weights are `[in, out]` (matrices) or `[..., in, out]` (convolutions, HWIO), which decides the fans.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import flowbook as fb

from .. import _hints
from .._state import size_of

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Ones",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
    "Zeros",
]


class Initializer(Protocol):
    """Anything that is called as `init(shape, dtype)` and returns a concrete tensor."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor: ...


def _fans(shape: Sequence[int], who: str) -> tuple[int, int]:
    """Inputs and outputs of one unit of a weight `[..., in, out]`."""
    if len(shape) < 2:
        raise fb.ShapeError(
            f"{who}: shape {tuple(shape)} has no input and output axes. "
            "Weights are [in, out] or [..., in, out]; use Zeros, Normal or Uniform for vectors."
        )
    field = size_of(shape[:-2])
    return field * int(shape[-2]), field * int(shape[-1])


class _Described:
    """Prints as its constructor call and compares by it."""

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({settings})"


class Constant(_Described):
    """Every element is `value`.

    Args:
        value: The number to fill with.

    Example:
        >>> fb.nn.init.Constant(0.5)((2,)).numpy()
        array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        return fb.full(tuple(shape), self.value, dtype=dtype or fb.float32)


class Zeros(_Described):
    """Every element is 0: the usual start of biases.

    Example:
        >>> fb.nn.init.Zeros()((2,)).numpy()
        array([0., 0.], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        return fb.full(tuple(shape), 0, dtype=dtype or fb.float32)


class Ones(_Described):
    """Every element is 1: the usual start of scales.

    Example:
        >>> fb.nn.init.Ones()((2,)).numpy()
        array([1., 1.], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        return fb.full(tuple(shape), 1, dtype=dtype or fb.float32)


class Normal(_Described):
    """Independent draws from a normal distribution.

    Args:
        stddev: Standard deviation.
        mean: Mean.

    Example:
        >>> fb.nn.init.Normal(0.02)((64, 32)).shape
        (64, 32)
    """

    def __init__(self, stddev: float = 1.0, mean: float = 0.0) -> None:
        self.stddev, self.mean = stddev, mean

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        draw = fb.random.normal(tuple(shape), dtype=dtype or fb.float32)
        return draw * self.stddev + self.mean


class Uniform(_Described):
    """Independent draws from the half-open interval `[low, high)`.

    Args:
        low: Lower end.
        high: Upper end.

    Example:
        >>> w = fb.nn.init.Uniform(-0.1, 0.1)((64, 32))
        >>> bool(fb.max(fb.abs(w)) <= 0.1)
        True
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low, self.high = low, high

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        draw = fb.random.uniform(tuple(shape), dtype=dtype or fb.float32)
        return draw * (self.high - self.low) + self.low


class TruncatedNormal(_Described):
    """Normal draws, redrawn where they lie more than two standard deviations from the mean.

    Args:
        stddev: Standard deviation of the distribution before it is cut (after it: 0.88 of that).
        mean: Mean.

    Example:
        >>> w = fb.nn.init.TruncatedNormal(1.0)((64, 32))
        >>> bool(fb.max(fb.abs(w)) <= 2.0)
        True
    """

    def __init__(self, stddev: float = 1.0, mean: float = 0.0) -> None:
        self.stddev, self.mean = stddev, mean

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        draw = np.array(fb.random.normal(tuple(shape), dtype=dtype or fb.float32).numpy())
        outside = np.abs(draw) > 2
        while outside.any():  # each pass keeps 95 % of what it draws
            draw[outside] = fb.random.normal((int(outside.sum()),), dtype=draw.dtype.name).numpy()
            outside = np.abs(draw) > 2
        return fb.asarray(draw) * self.stddev + self.mean


class GlorotUniform(_Described):
    """Uniform in `±sqrt(6 / (fan_in + fan_out))`: keeps variances in both directions.

    Example:
        >>> w = fb.nn.init.GlorotUniform()((64, 32))
        >>> bool(fb.max(fb.abs(w)) <= (6 / 96) ** 0.5)
        True

    Source: Glorot, Bengio (2010), "Understanding the difficulty of training deep feedforward
    neural networks".
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        fan_in, fan_out = _fans(shape, "GlorotUniform")
        limit = math.sqrt(6 / max(1, fan_in + fan_out))
        return Uniform(-limit, limit)(shape, dtype)


class GlorotNormal(_Described):
    """Normal with standard deviation `sqrt(2 / (fan_in + fan_out))`.

    Example:
        >>> fb.nn.init.GlorotNormal()((64, 32)).shape
        (64, 32)

    Source: Glorot, Bengio (2010), "Understanding the difficulty of training deep feedforward
    neural networks".
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        fan_in, fan_out = _fans(shape, "GlorotNormal")
        return Normal(math.sqrt(2 / max(1, fan_in + fan_out)))(shape, dtype)


class HeUniform(_Described):
    """Uniform in `±sqrt(6 / fan_in)`: for layers followed by a rectifier.

    Example:
        >>> fb.nn.init.HeUniform()((64, 32)).shape
        (64, 32)

    Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers".
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        limit = math.sqrt(6 / max(1, _fans(shape, "HeUniform")[0]))
        return Uniform(-limit, limit)(shape, dtype)


class HeNormal(_Described):
    """Normal with standard deviation `sqrt(2 / fan_in)`: for layers followed by a rectifier.

    Example:
        >>> fb.nn.init.HeNormal()((64, 32)).shape
        (64, 32)

    Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers".
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        return Normal(math.sqrt(2 / max(1, _fans(shape, "HeNormal")[0])))(shape, dtype)


class LecunUniform(_Described):
    """Uniform in `±sqrt(3 / fan_in)`: unit variance through a linear layer.

    Example:
        >>> fb.nn.init.LecunUniform()((64, 32)).shape
        (64, 32)

    Source: LeCun, Bottou, Orr, Müller (1998), "Efficient BackProp".
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        limit = math.sqrt(3 / max(1, _fans(shape, "LecunUniform")[0]))
        return Uniform(-limit, limit)(shape, dtype)


class LecunNormal(_Described):
    """Normal with standard deviation `sqrt(1 / fan_in)`: unit variance through a linear layer.

    Example:
        >>> fb.nn.init.LecunNormal()((64, 32)).shape
        (64, 32)

    Source: LeCun, Bottou, Orr, Müller (1998), "Efficient BackProp".
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        return Normal(math.sqrt(1 / max(1, _fans(shape, "LecunNormal")[0])))(shape, dtype)


class Orthogonal(_Described):
    """Random matrix with orthonormal rows or columns (whichever are fewer), times `gain`.

    Leading axes are flattened together with the input axis.

    Args:
        gain: Factor on the result.

    Example:
        >>> w = fb.nn.init.Orthogonal()((8, 3)).numpy()
        >>> bool(np.allclose(w.T @ w, np.eye(3), atol=1e-5))
        True

    Source: Saxe, McClelland, Ganguli (2014), "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks".
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> fb.Tensor:
        _fans(shape, "Orthogonal")
        rows, columns = size_of(shape[:-1]), int(shape[-1])
        tall = (max(rows, columns), min(rows, columns))
        draw = fb.random.normal(tall, dtype=fb.float64).numpy()
        q, r = np.linalg.qr(draw)
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform
        q = q if rows >= columns else q.T
        matrix = np.ascontiguousarray(q * self.gain).reshape(tuple(shape))
        return fb.astype(fb.asarray(matrix), dtype or fb.float32)


if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
