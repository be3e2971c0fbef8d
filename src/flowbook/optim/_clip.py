"""Limits on gradients before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flowbook as fb


def global_norm(tensors: Sequence[Any]) -> fb.Tensor:
    """The 2-norm of all elements of all tensors together.

    Args:
        tensors: Tensors of any shapes and floating dtypes.

    Returns:
        A 0-d float32 tensor (float64 if a tensor is float64); 0 for no tensors.

    Example:
        >>> float(fb.optim.global_norm([fb.asarray([3.0]), fb.asarray([[4.0]])]))
        5.0
    """
    total: Any = None
    for tensor in tensors:
        x = tensor if tensor.dtype == fb.float64 else fb.astype(tensor, fb.float32)
        part = fb.sum(x * x)
        total = part if total is None else total + part
    return fb.full((), 0.0, dtype=fb.float32) if total is None else fb.sqrt(total)


def clip_by_global_norm(grads: Sequence[Any], max_norm: float) -> tuple[list[fb.Tensor], fb.Tensor]:
    """Scales all gradients together so that their joint 2-norm is at most `max_norm`.

    Args:
        grads: Tensors of any shapes and floating dtypes.
        max_norm: Upper bound of the joint norm; must be positive.

    Returns:
        The scaled gradients, and the norm before scaling as a 0-d tensor. A norm that is infinite
        or NaN makes every gradient NaN, so that a diverged step cannot pass unnoticed.

    Raises:
        ArgumentError: If `max_norm` is not positive.

    Example:
        >>> clipped, norm = fb.optim.clip_by_global_norm([fb.asarray([3.0, 4.0])], 1.0)
        >>> float(norm)
        5.0

    Source: Pascanu, Mikolov, Bengio (2013), "On the difficulty of training recurrent neural
    networks".
    """
    if not max_norm > 0:
        raise fb.ArgumentError(
            f"clip_by_global_norm: max_norm is {max_norm}. It must be a positive number."
        )
    norm = global_norm(grads)
    # the last term is 0 for a finite norm and NaN otherwise
    scale = max_norm / fb.maximum(norm, max_norm) + norm * 0
    return [g * fb.astype(scale, g.dtype) for g in grads], norm


def clip_by_value(grads: Sequence[Any], limit: float) -> list[fb.Tensor]:
    """Limits every element of every gradient to `[-limit, limit]`.

    Args:
        grads: Tensors of any shapes and floating dtypes.
        limit: The largest allowed magnitude; must be positive.

    Raises:
        ArgumentError: If `limit` is not positive.

    Example:
        >>> fb.optim.clip_by_value([fb.asarray([-3.0, 0.5])], 1.0)[0].numpy()
        array([-1. ,  0.5], dtype=float32)
    """
    if not limit > 0:
        raise fb.ArgumentError(f"clip_by_value: limit is {limit}. It must be a positive number.")
    return [fb.clip(g, -limit, limit) for g in grads]
