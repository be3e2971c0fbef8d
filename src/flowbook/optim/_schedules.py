"""Learning-rate schedules: factors in the graph, as functions of the step.

A schedule is a peak rate and a factor that depends on the step, computed by ordinary ops from the
optimizer's `step` Variable. The peak becomes the optimizer's `lr` Variable, so that a rate changed
while training scales what is left of the schedule. `step` counts finished updates, from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import flowbook as fb


class Schedule:
    """A learning rate that changes with the step; called as `schedule(step)`.

    Args:
        peak: The rate where the factor is 1.
        factor: Function from a 0-d float32 tensor (the step) to the factor, written with ops.
        text: How the schedule prints.

    Example:
        >>> halving = fb.optim.Schedule(0.1, lambda step: 0.5**step)
        >>> round(float(halving(2)), 6)
        0.025
    """

    def __init__(self, peak: float, factor: Callable[[Any], Any], text: str | None = None) -> None:
        peak = float(peak)
        if not (math.isfinite(peak) and peak >= 0):
            raise fb.ArgumentError(
                f"Schedule: the learning rate is {peak}. It must be finite and not negative."
            )
        self.peak = peak
        self._factor = factor
        self._text = text

    def factor(self, step: Any) -> fb.Tensor:
        """The factor on the peak rate at `step`, a 0-d float32 tensor.

        Example:
            >>> float(fb.optim.constant(0.1).factor(7))
            1.0
        """
        if not isinstance(step, (fb.Tensor, fb.Variable)):
            step = fb.asarray(step)
        step = fb.astype(step, fb.float32)
        value = self._factor(step)
        if not isinstance(value, fb.Tensor):
            value = fb.asarray(value)
        return fb.astype(value, fb.float32)

    def __call__(self, step: Any) -> fb.Tensor:
        return self.factor(step) * self.peak

    def __repr__(self) -> str:
        return self._text or f"Schedule({self.peak:g}, {self._factor!r})"


class _Constant:
    def __call__(self, step: Any) -> Any:
        return fb.full((), 1.0, dtype=fb.float32)


class _Cosine:
    def __init__(self, steps: int, warmup: int, floor: float) -> None:
        self.steps, self.warmup, self.floor = steps, warmup, floor

    def __call__(self, step: Any) -> Any:
        t = fb.clip((step - self.warmup) * (1 / (self.steps - self.warmup)), 0.0, 1.0)
        decay = self.floor + (1 - self.floor) * 0.5 * (1 + fb.cos(t * math.pi))
        return _warm_up(step, self.warmup, decay)


class _Linear:
    def __init__(self, steps: int, warmup: int, floor: float) -> None:
        self.steps, self.warmup, self.floor = steps, warmup, floor

    def __call__(self, step: Any) -> Any:
        t = fb.clip((step - self.warmup) * (1 / (self.steps - self.warmup)), 0.0, 1.0)
        return _warm_up(step, self.warmup, 1 - (1 - self.floor) * t)


class _Exponential:
    def __init__(self, rate: float, every: int, staircase: bool) -> None:
        self.rate, self.every, self.staircase = rate, every, staircase

    def __call__(self, step: Any) -> Any:
        exponent = step / self.every
        exponent = fb.floor(exponent) if self.staircase else exponent
        return fb.exp(exponent * math.log(self.rate))


class _Piecewise:
    def __init__(self, boundaries: tuple[int, ...], factors: tuple[float, ...]) -> None:
        self.boundaries, self.factors = boundaries, factors

    def __call__(self, step: Any) -> Any:
        value = fb.full((), self.factors[0], dtype=fb.float32)
        for boundary, factor in zip(self.boundaries, self.factors[1:], strict=True):
            value = fb.where(step >= boundary, fb.full((), factor, dtype=fb.float32), value)
        return value


class _InverseSqrt:
    def __init__(self, warmup: int) -> None:
        self.warmup = warmup

    def __call__(self, step: Any) -> Any:
        decay = fb.sqrt(self.warmup / fb.maximum(step + 1, self.warmup))
        return _warm_up(step, self.warmup, decay)


def _warm_up(step: Any, warmup: int, after: Any) -> Any:
    """`(step + 1) / warmup` for the first `warmup` steps, so that the first update counts."""
    if warmup == 0:
        return after
    return fb.where(step < warmup, (step + 1) * (1 / warmup), after)


def constant(learning_rate: float) -> Schedule:
    """The same learning rate at every step.

    Args:
        learning_rate: The rate; finite and not negative.

    Raises:
        ArgumentError: If the rate is negative or not finite.

    Example:
        >>> round(float(fb.optim.constant(0.1)(1000)), 6)
        0.1
    """
    return Schedule(learning_rate, _Constant(), f"constant({learning_rate:g})")


def cosine(learning_rate: float, steps: int, *, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """Half a cosine from the peak down to `floor * learning_rate`, after a linear warm-up.

    Args:
        learning_rate: The peak rate, reached after the warm-up.
        steps: Length of the whole schedule, warm-up included; the rate stays at the floor after it.
        warmup: Steps over which the rate rises linearly, beginning at `learning_rate / warmup`.
        floor: Last rate as a fraction of the peak, in `[0, 1]`.

    Raises:
        ArgumentError: If `steps` is not larger than `warmup`, or a number is out of its range.

    Example:
        >>> rate = fb.optim.cosine(0.1, steps=100, warmup=10)
        >>> [round(float(rate(step)), 4) for step in (0, 9, 10, 55, 100, 500)]
        [0.01, 0.1, 0.1, 0.05, 0.0, 0.0]

    Source: Loshchilov, Hutter (2016), "SGDR: stochastic gradient descent with warm restarts";
    warm-up: Goyal et al. (2017), "Accurate, large minibatch SGD".
    """
    steps, warmup = _span("cosine", steps, warmup, floor)
    text = f"cosine({learning_rate:g}, steps={steps}, warmup={warmup}, floor={floor:g})"
    return Schedule(learning_rate, _Cosine(steps, warmup, floor), text)


def linear(learning_rate: float, steps: int, *, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """A straight line from the peak down to `floor * learning_rate`, after a linear warm-up.

    Args:
        learning_rate: The peak rate, reached after the warm-up.
        steps: Length of the whole schedule, warm-up included.
        warmup: Steps over which the rate rises linearly, beginning at `learning_rate / warmup`.
        floor: Last rate as a fraction of the peak, in `[0, 1]`.

    Raises:
        ArgumentError: If `steps` is not larger than `warmup`, or a number is out of its range.

    Example:
        >>> rate = fb.optim.linear(0.1, steps=100)
        >>> [round(float(rate(step)), 4) for step in (0, 50, 100)]
        [0.1, 0.05, 0.0]
    """
    steps, warmup = _span("linear", steps, warmup, floor)
    text = f"linear({learning_rate:g}, steps={steps}, warmup={warmup}, floor={floor:g})"
    return Schedule(learning_rate, _Linear(steps, warmup, floor), text)


def exponential(
    learning_rate: float, rate: float, every: int = 1, *, staircase: bool = False
) -> Schedule:
    """The rate times `rate ** (step / every)`.

    Args:
        learning_rate: The rate at step 0.
        rate: Factor per `every` steps; positive.
        every: Number of steps per factor; positive.
        staircase: Change only at multiples of `every`.

    Raises:
        ArgumentError: If `rate` or `every` is not positive.

    Example:
        >>> rate = fb.optim.exponential(1.0, 0.5, every=10)
        >>> [round(float(rate(step)), 4) for step in (0, 10, 20)]
        [1.0, 0.5, 0.25]
    """
    if not (rate > 0 and every > 0):
        raise fb.ArgumentError(
            f"exponential: rate is {rate} and every is {every}. Both must be positive."
        )
    text = f"exponential({learning_rate:g}, {rate:g}, every={every}, staircase={staircase})"
    return Schedule(learning_rate, _Exponential(float(rate), int(every), staircase), text)


def piecewise(learning_rate: float, changes: dict[int, float]) -> Schedule:
    """A rate that jumps at given steps.

    Args:
        learning_rate: The rate at step 0.
        changes: For each step at which the rate changes, the rate from that step on.

    Raises:
        ArgumentError: If the steps do not increase, or the first rate is not positive.

    Example:
        >>> rate = fb.optim.piecewise(0.1, {100: 0.01, 200: 0.001})
        >>> [round(float(rate(step)), 4) for step in (99, 100, 250)]
        [0.1, 0.01, 0.001]
    """
    boundaries: Sequence[int] = list(changes)
    if not learning_rate > 0:
        raise fb.ArgumentError(f"piecewise: learning_rate is {learning_rate}. It must be positive.")
    if any(b <= a for a, b in zip([0, *boundaries], boundaries, strict=False)):
        raise fb.ArgumentError(
            f"piecewise: the steps are {boundaries}. They must be positive and increase."
        )
    factors = (1.0, *(rate / learning_rate for rate in changes.values()))
    text = f"piecewise({learning_rate:g}, {changes})"
    return Schedule(learning_rate, _Piecewise(tuple(boundaries), factors), text)


def inverse_sqrt(learning_rate: float, warmup: int) -> Schedule:
    """Linear warm-up, then a rate proportional to `1 / sqrt(step)`.

    Args:
        learning_rate: The peak rate, reached after the warm-up.
        warmup: Number of steps of the warm-up; positive.

    Raises:
        ArgumentError: If `warmup` is not positive.

    Example:
        >>> rate = fb.optim.inverse_sqrt(0.1, warmup=100)
        >>> [round(float(rate(step)), 4) for step in (0, 99, 399)]
        [0.001, 0.1, 0.05]

    Source: Vaswani et al. (2017), "Attention is all you need", section 5.3.
    """
    if warmup < 1:
        raise fb.ArgumentError(f"inverse_sqrt: warmup is {warmup}. It must be at least 1.")
    text = f"inverse_sqrt({learning_rate:g}, warmup={warmup})"
    return Schedule(learning_rate, _InverseSqrt(int(warmup)), text)


def _span(who: str, steps: int, warmup: int, floor: float) -> tuple[int, int]:
    if warmup < 0 or steps <= warmup:
        raise fb.ArgumentError(
            f"{who}: steps is {steps} and warmup is {warmup}. "
            "steps counts the whole schedule, so it must be larger than warmup, which is 0 or more."
        )
    if not 0 <= floor <= 1:
        raise fb.ArgumentError(
            f"{who}: floor is {floor}. It is a fraction of the peak, between 0 and 1."
        )
    return int(steps), int(warmup)
