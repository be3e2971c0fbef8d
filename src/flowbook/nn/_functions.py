"""Functions of neural networks in lower case: the ops of the native registry under this name.

Their documentation, signatures and rules come from the ops' records. Only `dropout` is written
here, because it draws from the current generator.
"""

from __future__ import annotations

from typing import Any

from .. import _core, _public, random

globals().update(_public.neural())


def dropout(x: Any, rate: float = 0.5) -> Any:
    """Zeroes each entry with probability `rate` and divides the others by `1 - rate`.

    It always drops; the layer `fb.nn.Dropout` does so only while training.

    Args:
        x: A floating tensor of any shape.
        rate: Probability of zero, from 0 to 1.

    Returns:
        A tensor shaped and typed like `x`.

    Raises:
        ArgumentError: If `rate` is not from 0 to 1.

    Example:
        >>> y = fb.nn.dropout(fb.asarray(np.ones(1000, np.float32)), 0.25)
        >>> 0.2 < float(fb.mean(fb.astype(y == 0, fb.float32))) < 0.3
        True

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: a simple way
    to prevent neural networks from overfitting".
    """
    return _core.ops.dropout(random._key(), x, rate=rate)


__all__ = sorted({*_public.neural(), "dropout"})
