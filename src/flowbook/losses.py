"""Losses: functions `loss(prediction, target)` that return one number to minimise.

Shapes are strict: prediction and target must agree exactly, because a silent broadcast between
`[n, 1]` and `[n]` is the commonest wrong loss there is. `broadcast=True` relaxes that.
`reduction` is "mean" (default), "sum" or "none"; `weights` multiply the elementwise losses, and the
mean is then the weighted mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flowbook as fb

from . import _hints
from ._state import dtype_name, spec_text

__all__ = [
    "cosine_distance",
    "hinge",
    "huber",
    "kl_divergence",
    "mean_absolute_error",
    "mean_squared_error",
    "poisson",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]

_REDUCTIONS = ("mean", "sum", "none")


def _tensor(x: Any) -> Any:
    return x if isinstance(x, (fb.Tensor, fb.Variable)) else fb.asarray(x)


def _pair(who: str, prediction: Any, target: Any, broadcast: bool) -> tuple[Any, Any]:
    prediction, target = _tensor(prediction), _tensor(target)
    if tuple(prediction.shape) != tuple(target.shape) and not broadcast:
        raise fb.ShapeError(
            f"{who}: prediction is {spec_text(prediction)}, target is {spec_text(target)}. "
            "They must have the same shape; reshape one, or say broadcast=True if you mean it."
        )
    if "float" not in dtype_name(prediction.dtype):
        raise fb.DTypeError(
            f"{who}: prediction is {spec_text(prediction)}. It must be floating; "
            "fb.astype(prediction, fb.float32) casts it."
        )
    return prediction, fb.astype(target, prediction.dtype)


def _reduce(who: str, values: Any, reduction: str, weights: Any) -> Any:
    if reduction not in _REDUCTIONS:
        raise fb.ArgumentError(
            f"{who}: reduction is {reduction!r}. It is one of {', '.join(_REDUCTIONS)}."
        )
    if weights is not None:
        weights = _tensor(weights)
        if tuple(weights.shape) != tuple(values.shape):
            raise fb.ShapeError(
                f"{who}: weights is {spec_text(weights)}, but the elementwise loss is "
                f"{spec_text(values)}. They must have the same shape."
            )
        weights = fb.astype(weights, values.dtype)
        values = values * weights
        if reduction == "mean":
            return fb.sum(values) / fb.sum(weights)
    if reduction == "mean":
        return fb.mean(values)
    return fb.sum(values) if reduction == "sum" else values


def softmax_cross_entropy(
    logits: Any,
    labels: Any,
    *,
    label_smoothing: float = 0.0,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy between the softmax of scores and integer classes.

    Args:
        logits: Scores `[..., classes]`, floating.
        labels: Classes `[...]`, integers in `[0, classes)`.
        label_smoothing: Share of the target probability that is spread evenly over all classes.
        weights: Factors `[...]` on the losses, or None.
        reduction: "mean", "sum" or "none".

    Returns:
        A 0-d tensor, or `[...]` for "none"; in nats, with the dtype of `logits`.

    Raises:
        ShapeError: If `labels` is not shaped like `logits` without its last axis.
        DTypeError: If `labels` are not integers.
        ArgumentError: If `label_smoothing` or `reduction` is out of its range.

    Example:
        >>> scores = fb.asarray([[2.0, 0.0], [0.0, 2.0]])
        >>> round(float(fb.losses.softmax_cross_entropy(scores, fb.asarray([0, 1]))), 4)
        0.1269

    Source: label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2015), "Rethinking the
    Inception architecture for computer vision".
    """
    who = "softmax_cross_entropy"
    logits, labels = _tensor(logits), _tensor(labels)
    if len(logits.shape) == 0 or tuple(labels.shape) != tuple(logits.shape)[:-1]:
        wanted = f"[{', '.join(map(str, tuple(logits.shape)[:-1]))}]"
        raise fb.ShapeError(
            f"{who}: logits is {spec_text(logits)}, labels is {spec_text(labels)}. "
            f"labels holds one class per row of scores, so its shape would be {wanted}."
        )
    if "int" not in dtype_name(labels.dtype):
        raise fb.DTypeError(
            f"{who}: labels is {spec_text(labels)}. Labels are integer classes; for "
            "probabilities use kl_divergence, for one-hot rows fb.argmax(labels, axis=-1)."
        )
    if not 0 <= label_smoothing < 1:
        raise fb.ArgumentError(f"{who}: label_smoothing is {label_smoothing}. It is in [0, 1).")
    values = fb.nn.softmax_cross_entropy(logits, labels)
    if label_smoothing:
        spread = -fb.mean(fb.nn.log_softmax(logits, axis=-1), axis=-1)
        values = values * (1 - label_smoothing) + spread * label_smoothing
    return _reduce(who, values, reduction, weights)


def sigmoid_cross_entropy(
    logits: Any,
    target: Any,
    *,
    weights: Any = None,
    reduction: str = "mean",
    broadcast: bool = False,
) -> Any:
    """Cross-entropy between `sigmoid(logits)` and probabilities (usually 0 or 1), elementwise.

    Args:
        logits: Scores of any shape, floating.
        target: Probabilities in `[0, 1]`, shaped like `logits`.
        weights: Factors on the losses, or None.
        reduction: "mean", "sum" or "none".
        broadcast: Let the shapes differ and broadcast.

    Raises:
        ShapeError: If the shapes differ and `broadcast` is False.

    Example:
        >>> loss = fb.losses.sigmoid_cross_entropy(fb.asarray([0.0]), fb.asarray([1.0]))
        >>> round(float(loss), 4)
        0.6931
    """
    x, y = _pair("sigmoid_cross_entropy", logits, target, broadcast)
    # max(x, 0) - x * y + log(1 + exp(-|x|)): never overflows
    values = fb.nn.relu(x) - x * y + fb.log1p(fb.exp(-fb.abs(x)))
    return _reduce("sigmoid_cross_entropy", values, reduction, weights)


def mean_squared_error(
    prediction: Any,
    target: Any,
    *,
    weights: Any = None,
    reduction: str = "mean",
    broadcast: bool = False,
) -> Any:
    """Squared differences, averaged over all elements.

    Args:
        prediction: Tensor of any shape, floating.
        target: Tensor shaped like `prediction`.
        weights: Factors on the squared differences, or None.
        reduction: "mean", "sum" or "none".
        broadcast: Let the shapes differ and broadcast.

    Raises:
        ShapeError: If the shapes differ and `broadcast` is False.

    Example:
        >>> float(fb.losses.mean_squared_error(fb.asarray([1.0, 3.0]), fb.asarray([1.0, 1.0])))
        2.0
    """
    prediction, target = _pair("mean_squared_error", prediction, target, broadcast)
    error = prediction - target
    return _reduce("mean_squared_error", error * error, reduction, weights)


def mean_absolute_error(
    prediction: Any,
    target: Any,
    *,
    weights: Any = None,
    reduction: str = "mean",
    broadcast: bool = False,
) -> Any:
    """Absolute differences, averaged over all elements.

    Args:
        prediction: Tensor of any shape, floating.
        target: Tensor shaped like `prediction`.
        weights: Factors on the differences, or None.
        reduction: "mean", "sum" or "none".
        broadcast: Let the shapes differ and broadcast.

    Raises:
        ShapeError: If the shapes differ and `broadcast` is False.

    Example:
        >>> float(fb.losses.mean_absolute_error(fb.asarray([1.0, 3.0]), fb.asarray([1.0, 1.0])))
        1.0
    """
    prediction, target = _pair("mean_absolute_error", prediction, target, broadcast)
    return _reduce("mean_absolute_error", fb.abs(prediction - target), reduction, weights)


def huber(
    prediction: Any,
    target: Any,
    *,
    delta: float = 1.0,
    weights: Any = None,
    reduction: str = "mean",
    broadcast: bool = False,
) -> Any:
    """Half the squared difference up to `delta`, linear beyond it.

    Args:
        prediction: Tensor of any shape, floating.
        target: Tensor shaped like `prediction`.
        delta: Difference at which the loss turns linear; positive.
        weights: Factors on the losses, or None.
        reduction: "mean", "sum" or "none".
        broadcast: Let the shapes differ and broadcast.

    Raises:
        ShapeError: If the shapes differ and `broadcast` is False.
        ArgumentError: If `delta` is not positive.

    Example:
        >>> float(fb.losses.huber(fb.asarray([0.0, 3.0]), fb.asarray([1.0, 0.0])))
        1.5

    Source: Huber (1964), "Robust estimation of a location parameter".
    """
    if not delta > 0:
        raise fb.ArgumentError(f"huber: delta is {delta}. It must be a positive number.")
    prediction, target = _pair("huber", prediction, target, broadcast)
    error = fb.abs(prediction - target)
    near = fb.minimum(error, delta)  # error^2 / 2 up to delta, delta * (error - delta / 2) beyond
    return _reduce("huber", near * (error - near * 0.5), reduction, weights)


def hinge(
    prediction: Any,
    target: Any,
    *,
    weights: Any = None,
    reduction: str = "mean",
    broadcast: bool = False,
) -> Any:
    """`max(0, 1 - target * prediction)` for targets -1 and 1.

    Args:
        prediction: Scores of any shape, floating.
        target: -1 or 1, shaped like `prediction`.
        weights: Factors on the losses, or None.
        reduction: "mean", "sum" or "none".
        broadcast: Let the shapes differ and broadcast.

    Raises:
        ShapeError: If the shapes differ and `broadcast` is False.

    Example:
        >>> float(fb.losses.hinge(fb.asarray([0.5, 2.0]), fb.asarray([1.0, 1.0])))
        0.25

    Source: Cortes, Vapnik (1995), "Support-vector networks".
    """
    prediction, target = _pair("hinge", prediction, target, broadcast)
    return _reduce("hinge", fb.nn.relu(1 - target * prediction), reduction, weights)


def kl_divergence(logits: Any, target: Any, *, weights: Any = None, reduction: str = "mean") -> Any:
    """Divergence of `softmax(logits)` from target probabilities: `sum(t * log(t / softmax))`.

    Args:
        logits: Scores `[..., classes]`, floating.
        target: Probabilities `[..., classes]` whose last axis sums to one; 0 is allowed.
        weights: Factors `[...]` on the losses, or None.
        reduction: "mean", "sum" or "none".

    Returns:
        A 0-d tensor, or `[...]` for "none", in nats.

    Raises:
        ShapeError: If the shapes differ or have no axis.

    Example:
        >>> loss = fb.losses.kl_divergence(fb.asarray([0.0, 0.0]), fb.asarray([0.5, 0.5]))
        >>> abs(float(loss)) < 1e-6
        True

    Source: Kullback, Leibler (1951), "On information and sufficiency".
    """
    logits, target = _pair("kl_divergence", logits, target, False)
    if len(logits.shape) == 0:
        raise fb.ShapeError("kl_divergence: logits is a scalar. It needs a last axis of classes.")
    positive = target > 0
    log_target = fb.log(fb.where(positive, target, 1.0))  # 0 * log 0 is 0 here
    values = fb.sum(target * (log_target - fb.nn.log_softmax(logits, axis=-1)), axis=-1)
    return _reduce("kl_divergence", values, reduction, weights)


def cosine_distance(
    prediction: Any,
    target: Any,
    *,
    eps: float = 1e-8,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """One minus the cosine of the angle between vectors along the last axis.

    Args:
        prediction: Vectors `[..., n]`, floating.
        target: Vectors `[..., n]`.
        eps: Lower bound of the product of norms, which keeps zero vectors finite.
        weights: Factors `[...]` on the distances, or None.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: If the shapes differ.

    Example:
        >>> loss = fb.losses.cosine_distance(fb.asarray([[1.0, 0.0]]), fb.asarray([[0.0, 2.0]]))
        >>> float(loss)
        1.0
    """
    a, b = _pair("cosine_distance", prediction, target, False)
    squares = fb.sum(a * a, axis=-1) * fb.sum(b * b, axis=-1)
    norms = fb.sqrt(fb.maximum(squares, eps * eps))
    return _reduce("cosine_distance", 1 - fb.sum(a * b, axis=-1) / norms, reduction, weights)


def poisson(
    log_rate: Any,
    target: Any,
    *,
    weights: Any = None,
    reduction: str = "mean",
    broadcast: bool = False,
) -> Any:
    """Negative log-likelihood of counts under Poisson rates, without the constant of the counts.

    Args:
        log_rate: Logarithms of the rates, floating, any shape.
        target: Counts, shaped like `log_rate`.
        weights: Factors on the losses, or None.
        reduction: "mean", "sum" or "none".
        broadcast: Let the shapes differ and broadcast.

    Raises:
        ShapeError: If the shapes differ and `broadcast` is False.

    Example:
        >>> float(fb.losses.poisson(fb.asarray([0.0]), fb.asarray([3.0])))
        1.0
    """
    log_rate, target = _pair("poisson", log_rate, target, broadcast)
    return _reduce("poisson", fb.exp(log_rate) - target * log_rate, reduction, weights)


if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
