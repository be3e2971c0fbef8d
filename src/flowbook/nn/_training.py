"""The one training switch.

Layers that behave differently while a model learns (Dropout) ask `is_training()`; `fit` turns the
switch on, `model(x, training=True)` and `with fb.nn.training():` do it by hand. Compiled graphs
take its state into their trace key, so both variants live side by side.
"""

from __future__ import annotations

from contextvars import Token
from types import TracebackType

from .._switch import training_switch as _switch


def is_training() -> bool:
    """Tells whether the training switch is on for the running code.

    Returns:
        True inside `with fb.nn.training():`, inside `model(x, training=True)` and inside the steps
        of `fb.fit`; False elsewhere.

    Example:
        >>> fb.nn.is_training()
        False
        >>> with fb.nn.training():
        ...     fb.nn.is_training()
        True
    """
    return _switch.get()


class training:
    """Context manager that turns the training switch on (or off) for the code inside.

    Args:
        mode: The state inside the block.

    Example:
        >>> drop = fb.nn.Dropout(1.0)
        >>> with fb.nn.training():
        ...     print(drop(fb.asarray([1.0, 2.0])).numpy())
        [0. 0.]
        >>> print(drop(fb.asarray([1.0, 2.0])).numpy())
        [1. 2.]
    """

    def __init__(self, mode: bool = True) -> None:
        self._mode = bool(mode)
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(_switch.set(self._mode))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _switch.reset(self._tokens.pop())
