"""The update rules: SGD, Adam, AdamW and relatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flowbook as fb

from .._core.ops import adam, sgd
from ._optimizer import Optimizer, Rate

Tensors = list[Any]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    With gradient g (plus `weight_decay * p`), momentum mu and rate lr:
    `v = mu * v + g`, then `p -= lr * v`, or `p -= lr * (g + mu * v)` with Nesterov's correction.

    Args:
        learning_rate: A number, a schedule, or a function of the step.
        momentum: Fraction of the last update that is kept, in `[0, 1)`.
        nesterov: Evaluate as if the momentum step had already been taken.
        weight_decay: Coefficient of the L2 penalty whose gradient is added to `g`.
        clip_norm: Upper bound of the joint 2-norm of the gradients, None for no bound.
        decay_mask: Function from a parameter to whether weight decay applies to it; None for all.

    Raises:
        ArgumentError: If a setting is out of its range, or `nesterov` has no momentum.

    Example:
        >>> w = fb.Variable(np.ones(2, np.float32))
        >>> opt = fb.optim.SGD(0.1, momentum=0.9)
        >>> opt.update([w], [fb.asarray([1.0, 1.0])])
        >>> opt.update([w], [fb.asarray([1.0, 1.0])])
        >>> [round(v, 4) for v in w.numpy().tolist()]
        [0.71, 0.71]

    Source: Robbins, Monro (1951), "A stochastic approximation method"; momentum: Polyak (1964),
    "Some methods of speeding up the convergence of iteration methods"; Nesterov's form: Sutskever,
    Martens, Dahl, Hinton (2013), "On the importance of initialization and momentum in deep
    learning".
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        decay_mask: Callable[[fb.Variable], bool] | None = None,
    ) -> None:
        self._require(0 <= momentum < 1, "momentum", momentum, "in [0, 1)")
        self._require(weight_decay >= 0, "weight_decay", weight_decay, "0 or more")
        if nesterov and momentum == 0:
            raise fb.ArgumentError(
                "SGD: nesterov without momentum. Give momentum=0.9, for example."
            )
        self.momentum, self.nesterov = float(momentum), bool(nesterov)
        self.weight_decay = float(weight_decay)
        self.slot_names = ("velocity",) if momentum else ()
        super().__init__(learning_rate, clip_norm=clip_norm, decay_mask=decay_mask)

    def _apply(
        self,
        params: Tensors,
        grads: Tensors,
        slots: dict[str, Tensors],
        step: fb.Tensor,
        lr: fb.Tensor,
        decay: bool,
    ) -> tuple[Tensors, dict[str, Tensors]]:
        new = sgd(
            [*params, *grads, *slots.get("velocity", []), lr],
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay if decay else 0.0,
        )
        count = len(params)
        return list(new[:count]), {"velocity": list(new[count:])} if self.momentum else {}

    def _settings(self) -> list[str]:
        settings = [f"momentum={self.momentum:g}"] if self.momentum else []
        settings += ["nesterov=True"] if self.nesterov else []
        return settings + ([f"weight_decay={self.weight_decay:g}"] if self.weight_decay else [])


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g * g`, then
    `p -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)` at the t-th update.

    Args:
        learning_rate: A number, a schedule, or a function of the step.
        beta1: Decay of the average of gradients, in `[0, 1)`.
        beta2: Decay of the average of squares, in `[0, 1)`.
        eps: Added to the root in the denominator; positive.
        clip_norm: Upper bound of the joint 2-norm of the gradients, None for no bound.

    Raises:
        ArgumentError: If a setting is out of its range.

    Example:
        >>> w = fb.Variable(np.ones(2, np.float32))
        >>> fb.optim.Adam(0.1).update([w], [fb.asarray([5.0, -0.5])])
        >>> [round(v, 4) for v in w.numpy().tolist()]
        [0.9, 1.1]

    Source: Kingma, Ba (2014), "Adam: a method for stochastic optimization", algorithm 1.
    """

    slot_names = ("m", "v")

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        clip_norm: float | None = None,
        decay_mask: Callable[[fb.Variable], bool] | None = None,
    ) -> None:
        self._require(0 <= beta1 < 1, "beta1", beta1, "in [0, 1)")
        self._require(0 <= beta2 < 1, "beta2", beta2, "in [0, 1)")
        self._require(0 < eps < float("inf"), "eps", eps, "positive")
        self.beta1, self.beta2, self.eps = float(beta1), float(beta2), float(eps)
        self.weight_decay = 0.0
        super().__init__(learning_rate, clip_norm=clip_norm, decay_mask=decay_mask)

    def _apply(
        self,
        params: Tensors,
        grads: Tensors,
        slots: dict[str, Tensors],
        step: fb.Tensor,
        lr: fb.Tensor,
        decay: bool,
    ) -> tuple[Tensors, dict[str, Tensors]]:
        new = adam(
            [*params, *grads, *slots["m"], *slots["v"], lr, step],
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.eps,
            weight_decay=self.weight_decay if decay else 0.0,
            decoupled=True,
        )
        n = len(params)
        return list(new[:n]), {"m": list(new[n : 2 * n]), "v": list(new[2 * n :])}

    def _settings(self) -> list[str]:
        names = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        return [f"{n}={getattr(self, n):g}" for n, d in names.items() if getattr(self, n) != d]


class AdamW(Adam):
    """Adam with decoupled weight decay: additionally `p -= lr * weight_decay * p`.

    Args:
        learning_rate: A number, a schedule, or a function of the step.
        beta1: Decay of the average of gradients, in `[0, 1)`.
        beta2: Decay of the average of squares, in `[0, 1)`.
        eps: Added to the root in the denominator; positive.
        weight_decay: Coefficient of the decay, which is scaled by the learning rate.
        clip_norm: Upper bound of the joint 2-norm of the gradients, None for no bound.
        decay_mask: Function from a parameter to whether weight decay applies to it; None for all.
            Usual: `lambda p: p.ndim > 1`, which spares biases and norms.

    Raises:
        ArgumentError: If a setting is out of its range.

    Example:
        >>> w = fb.Variable(np.ones(2, np.float32))
        >>> fb.optim.AdamW(0.1, weight_decay=0.5).update([w], [fb.asarray([5.0, -0.5])])
        >>> [round(v, 4) for v in w.numpy().tolist()]
        [0.85, 1.05]

    Source: Loshchilov, Hutter (2017), "Decoupled weight decay regularization".
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        decay_mask: Callable[[fb.Variable], bool] | None = None,
    ) -> None:
        self._require(weight_decay >= 0, "weight_decay", weight_decay, "0 or more")
        super().__init__(
            learning_rate, beta1, beta2, eps, clip_norm=clip_norm, decay_mask=decay_mask
        )
        self.weight_decay = float(weight_decay)
