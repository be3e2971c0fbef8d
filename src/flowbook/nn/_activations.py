"""Activations as layers: each wraps the function of the same name in lower case."""

from __future__ import annotations

from typing import Any

import flowbook as fb

from ._module import Module


class ReLU(Module):
    """`max(x, 0)`, elementwise.

    Example:
        >>> fb.nn.ReLU()(fb.asarray([-1.0, 0.0, 2.0])).shape
        (3,)

    Source: Nair, Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.relu(x)


class SiLU(Module):
    """`x * sigmoid(x)`, also called swish, elementwise.

    Example:
        >>> fb.nn.SiLU()(fb.asarray([-1.0, 0.0, 2.0])).shape
        (3,)

    Source: Elfwing, Uchibe, Doya (2017), "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning".
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.silu(x)


class Sigmoid(Module):
    """`1 / (1 + exp(-x))`, elementwise.

    Example:
        >>> fb.nn.Sigmoid()(fb.asarray([-1.0, 0.0, 2.0])).shape
        (3,)
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.sigmoid(x)


class Softplus(Module):
    """`log(1 + exp(x))`, elementwise.

    Example:
        >>> fb.nn.Softplus()(fb.asarray([-1.0, 0.0, 2.0])).shape
        (3,)

    Source: Dugas, Bengio, Bélisle, Nadeau, Garcia (2001), "Incorporating second-order functional
    knowledge for better option pricing".
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.softplus(x)


class Tanh(Module):
    """Hyperbolic tangent, elementwise.

    Example:
        >>> float(fb.nn.Tanh()(fb.asarray(0.0)))
        0.0
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.tanh(x)


class GELU(Module):
    """`x * P(X <= x)` for a standard normal X, elementwise.

    Args:
        approximate: Use the tanh form of the paper instead of the error function.

    Example:
        >>> float(fb.nn.GELU()(fb.asarray(0.0)))
        0.0

    Source: Hendrycks, Gimpel (2016), "Gaussian error linear units".
    """

    def __init__(self, approximate: bool = False) -> None:
        self.approximate = bool(approximate)

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.gelu(x, approximate="tanh" if self.approximate else "none")

    def describe(self) -> str:
        return "GELU(tanh)" if self.approximate else "GELU"


class LeakyReLU(Module):
    """`x` where positive, `slope * x` elsewhere.

    Args:
        slope: Factor for negative inputs.

    Example:
        >>> fb.nn.LeakyReLU(0.5)(fb.asarray([-2.0, 3.0])).numpy()
        array([-1.,  3.], dtype=float32)

    Source: Maas, Hannun, Ng (2013), "Rectifier nonlinearities improve neural network acoustic
    models".
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = float(slope)

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.leaky_relu(x, self.slope)

    def describe(self) -> str:
        return f"LeakyReLU({self.slope:g})"


class ELU(Module):
    """`x` where positive, `alpha * (exp(x) - 1)` elsewhere.

    Args:
        alpha: Minus the limit towards negative infinity.

    Example:
        >>> fb.nn.ELU()(fb.asarray([0.0, 3.0])).numpy()
        array([0., 3.], dtype=float32)

    Source: Clevert, Unterthiner, Hochreiter (2015), "Fast and accurate deep network learning by
    exponential linear units".
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.elu(x, self.alpha)

    def describe(self) -> str:
        return f"ELU({self.alpha:g})"


class Softmax(Module):
    """Turns scores into probabilities along an axis.

    Losses such as `softmax_cross_entropy` take the scores themselves: don't put this layer at the
    end of a classifier that is trained with them.

    Args:
        axis: The axis whose entries sum to one.

    Example:
        >>> float(fb.sum(fb.nn.Softmax()(fb.asarray([1.0, 2.0, 3.0])))) - 1 < 1e-6
        True
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = int(axis)

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.softmax(x, axis=self.axis)


class Identity(Module):
    """Returns its input: a placeholder where a layer is expected.

    Example:
        >>> fb.nn.Identity()(5)
        5
    """

    def forward(self, x: Any) -> Any:
        return x
