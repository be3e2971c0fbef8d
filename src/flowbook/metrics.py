"""Metrics: what is measured while a model learns.

A function such as `accuracy` measures one batch. A `Metric` object keeps sums in Variables, so
that it can be updated inside a compiled step and read once per epoch, weighted by examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import flowbook as fb

from . import _hints
from ._state import Stateful, dtype_name, spec_text

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "TopKAccuracy",
    "accuracy",
    "binary_accuracy",
    "top_k_accuracy",
]


def _tensor(x: Any) -> Any:
    return x if isinstance(x, (fb.Tensor, fb.Variable)) else fb.asarray(x)


def _hits(who: str, prediction: Any, target: Any) -> Any:
    prediction, target = _tensor(prediction), _tensor(target)
    if "int" not in dtype_name(target.dtype):
        raise fb.DTypeError(f"{who}: target is {spec_text(target)}. It holds integer classes.")
    if "int" in dtype_name(prediction.dtype) and tuple(prediction.shape) == tuple(target.shape):
        return prediction == target
    if len(prediction.shape) == 0 or tuple(prediction.shape)[:-1] != tuple(target.shape):
        raise fb.ShapeError(
            f"{who}: prediction is {spec_text(prediction)}, target is {spec_text(target)}. "
            "The prediction is either scores [..., classes] or integer classes shaped like target."
        )
    return fb.argmax(prediction, axis=-1) == target


def accuracy(prediction: Any, target: Any) -> Any:
    """Share of examples whose highest score is at the right class.

    Args:
        prediction: Scores `[..., classes]`, or integer classes `[...]`.
        target: Integer classes `[...]`.

    Returns:
        A 0-d float32 tensor between 0 and 1; NaN for no examples.

    Raises:
        ShapeError: If the shapes don't fit.
        DTypeError: If `target` does not hold integers.

    Example:
        >>> scores = fb.asarray([[0.1, 0.9], [0.8, 0.2]])
        >>> float(fb.metrics.accuracy(scores, fb.asarray([1, 1])))
        0.5
    """
    return fb.mean(fb.astype(_hits("accuracy", prediction, target), fb.float32))


def _binary_hits(who: str, prediction: Any, target: Any, threshold: float) -> Any:
    prediction, target = _tensor(prediction), _tensor(target)
    if tuple(prediction.shape) != tuple(target.shape):
        raise fb.ShapeError(
            f"{who}: prediction is {spec_text(prediction)}, target is {spec_text(target)}. "
            "They must have the same shape."
        )
    return (prediction > threshold) == (target > 0.5)


def binary_accuracy(prediction: Any, target: Any, threshold: float = 0.0) -> Any:
    """Share of elements on the right side of a threshold.

    Args:
        prediction: Scores of any shape.
        target: 0 or 1, shaped like `prediction`.
        threshold: Scores above it count as 1: 0 for logits, 0.5 for probabilities.

    Returns:
        A 0-d float32 tensor between 0 and 1.

    Raises:
        ShapeError: If the shapes differ.

    Example:
        >>> float(fb.metrics.binary_accuracy(fb.asarray([-1.0, 2.0]), fb.asarray([0.0, 0.0])))
        0.5
    """
    hits = _binary_hits("binary_accuracy", prediction, target, threshold)
    return fb.mean(fb.astype(hits, fb.float32))


def _top_k_hits(who: str, prediction: Any, target: Any, k: int) -> Any:
    prediction, target = _tensor(prediction), _tensor(target)
    if "int" not in dtype_name(target.dtype):
        raise fb.DTypeError(f"{who}: target is {spec_text(target)}. It holds integer classes.")
    if len(prediction.shape) == 0 or tuple(prediction.shape)[:-1] != tuple(target.shape):
        raise fb.ShapeError(
            f"{who}: prediction is {spec_text(prediction)}, target is {spec_text(target)}. "
            "The prediction holds scores [..., classes]."
        )
    if k < 1:
        raise fb.ArgumentError(f"{who}: k is {k}. It must be at least 1.")
    classes = prediction.shape[-1]
    right = fb.nn.one_hot(target, classes) > 0.5
    low = fb.full((), -math.inf, dtype=prediction.dtype)
    score = fb.max(fb.where(right, prediction, low), axis=-1, keepdims=True)
    better = fb.sum(fb.astype(prediction > score, fb.int64), axis=-1)
    return (better < k) & (fb.squeeze(score, axis=-1) == fb.squeeze(score, axis=-1))


def top_k_accuracy(prediction: Any, target: Any, k: int = 5) -> Any:
    """Share of examples whose right class is among the `k` highest scores; ties count as right.

    Args:
        prediction: Scores `[..., classes]`.
        target: Integer classes `[...]`.
        k: How many classes may be named.

    Returns:
        A 0-d float32 tensor between 0 and 1.

    Raises:
        ShapeError: If the shapes don't fit.
        DTypeError: If `target` does not hold integers.

    Example:
        >>> scores = fb.asarray([[0.1, 0.7, 0.2]])
        >>> float(fb.metrics.top_k_accuracy(scores, fb.asarray([2]), k=2))
        1.0
    """
    hits = _top_k_hits("top_k_accuracy", prediction, target, k)
    return fb.mean(fb.astype(hits, fb.float32))


class Metric(Stateful):
    """A weighted mean that is collected over many batches, in Variables.

    Subclasses define `values(prediction, target)`: one number per example (or element). Sums are
    kept in float64 and counts in int64, so that long epochs lose nothing.

    Attributes:
        name: Key in logs and histories.

    Example:
        >>> metric = fb.metrics.Accuracy()
        >>> metric.update(fb.asarray([[0.1, 0.9]]), fb.asarray([1]))
        >>> metric.update(fb.asarray([[0.1, 0.9], [0.9, 0.1]]), fb.asarray([0, 1]))
        >>> round(metric.result(), 4)
        0.3333
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or _snake(type(self).__name__)
        with fb.outside_graph():
            self.total = fb.Variable(np.asarray(0, np.float64), name="total", trainable=False)
            self.count = fb.Variable(np.asarray(0, np.int64), name="count", trainable=False)

    def values(self, prediction: Any, target: Any) -> Any:
        """What is averaged, one number per example; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__}: no values().")

    def update(self, prediction: Any, target: Any) -> None:
        """Adds a batch; inside a recording graph the addition becomes part of the graph.

        Args:
            prediction: What the model said.
            target: What is right.

        Example:
            >>> metric = fb.metrics.MeanSquaredError()
            >>> metric.update(fb.asarray([1.0]), fb.asarray([3.0]))
            >>> metric.result()
            4.0
        """
        self.add(self.values(prediction, target))

    def add(self, values: Any, count: int | None = None) -> None:
        """Adds numbers to the mean.

        Args:
            values: A tensor of any shape, or a 0-d mean over `count` examples.
            count: The number of examples that a 0-d `values` stands for; 1 by default.

        Example:
            >>> metric = fb.metrics.Mean("loss")
            >>> metric.add(fb.asarray(2.0), count=3)
            >>> metric.add(fb.asarray(4.0))
            >>> metric.result()
            2.5
        """
        values = _tensor(values)
        if len(values.shape) == 0:
            number = 1 if count is None else count
            self.total.assign(self.total.value + fb.astype(values, fb.float64) * number)
            self.count.assign(self.count.value + number)
        else:
            # The number of elements as an op: a graph may run again with another batch size, to
            # which a Python number would not adapt.
            ones = fb.logical_or(values == values, values != values)
            self.total.assign(self.total.value + fb.sum(fb.astype(values, fb.float64)))
            self.count.assign(self.count.value + fb.sum(fb.astype(ones, fb.int64)))

    def result(self) -> float:
        """The mean so far, as a Python float; NaN before the first example.

        Example:
            >>> fb.metrics.Mean().result()
            nan
        """
        count = int(self.count.numpy())
        return float(self.total.numpy()) / count if count else math.nan

    def reset(self) -> None:
        """Forgets all examples.

        Example:
            >>> metric = fb.metrics.Mean()
            >>> metric.add(fb.asarray(1.0))
            >>> metric.reset()
            >>> metric.result()
            nan
        """
        with fb.outside_graph():
            self.total.assign(fb.full((), 0, dtype=fb.float64))
            self.count.assign(fb.full((), 0, dtype=fb.int64))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}): {self.result():.6g}"


class Mean(Metric):
    """Mean of given numbers, or of a function of prediction and target.

    Args:
        name: Key in logs and histories; the function's name by default.
        function: Called as `function(prediction, target)`; a 0-d result counts as the mean of the
            batch.

    Example:
        >>> error = fb.metrics.Mean(function=fb.losses.mean_absolute_error)
        >>> error.update(fb.asarray([1.0, 2.0]), fb.asarray([1.0, 4.0]))
        >>> error.name, error.result()
        ('mean_absolute_error', 1.0)
    """

    def __init__(
        self, name: str | None = None, function: Callable[[Any, Any], Any] | None = None
    ) -> None:
        super().__init__(name or getattr(function, "__name__", None) or "mean")
        self.function = function

    def values(self, prediction: Any, target: Any) -> Any:
        if self.function is None:
            raise fb.ArgumentError(
                f"Mean: {self.name!r} has no function. Give fb.metrics.Mean(function=...), "
                "or add numbers with add()."
            )
        return self.function(prediction, target)

    def update(self, prediction: Any, target: Any) -> None:
        target = _tensor(target)
        count = int(target.shape[0]) if len(target.shape) else 1
        self.add(self.values(prediction, target), count=count)


class Accuracy(Metric):
    """Share of examples whose highest score is at the right class; see `accuracy`.

    Example:
        >>> metric = fb.metrics.Accuracy()
        >>> metric.update(fb.asarray([[0.1, 0.9]]), fb.asarray([1]))
        >>> metric.result()
        1.0
    """

    def values(self, prediction: Any, target: Any) -> Any:
        return _hits("Accuracy", prediction, target)


class BinaryAccuracy(Metric):
    """Share of elements on the right side of a threshold; see `binary_accuracy`.

    Args:
        threshold: Scores above it count as 1: 0 for logits, 0.5 for probabilities.
        name: Key in logs and histories.

    Example:
        >>> metric = fb.metrics.BinaryAccuracy()
        >>> metric.update(fb.asarray([-1.0, 2.0]), fb.asarray([0.0, 1.0]))
        >>> metric.result()
        1.0
    """

    def __init__(self, threshold: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = float(threshold)

    def values(self, prediction: Any, target: Any) -> Any:
        return _binary_hits("BinaryAccuracy", prediction, target, self.threshold)


class TopKAccuracy(Metric):
    """Share of examples whose right class is among the `k` highest scores; see `top_k_accuracy`.

    Args:
        k: How many classes may be named.
        name: Key in logs and histories.

    Example:
        >>> metric = fb.metrics.TopKAccuracy(2)
        >>> metric.update(fb.asarray([[0.1, 0.7, 0.2]]), fb.asarray([2]))
        >>> metric.result()
        1.0
    """

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name or f"top_{k}_accuracy")
        self.k = int(k)

    def values(self, prediction: Any, target: Any) -> Any:
        return _top_k_hits("TopKAccuracy", prediction, target, self.k)


class MeanSquaredError(Metric):
    """Mean of squared differences; shapes must agree.

    Example:
        >>> metric = fb.metrics.MeanSquaredError()
        >>> metric.update(fb.asarray([1.0]), fb.asarray([3.0]))
        >>> metric.result()
        4.0
    """

    def values(self, prediction: Any, target: Any) -> Any:
        return fb.losses.mean_squared_error(prediction, target, reduction="none")


class MeanAbsoluteError(Metric):
    """Mean of absolute differences; shapes must agree.

    Example:
        >>> metric = fb.metrics.MeanAbsoluteError()
        >>> metric.update(fb.asarray([1.0]), fb.asarray([3.0]))
        >>> metric.result()
        2.0
    """

    def values(self, prediction: Any, target: Any) -> Any:
        return fb.losses.mean_absolute_error(prediction, target, reduction="none")


def _snake(name: str) -> str:
    text = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return text.lstrip("_")


if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
