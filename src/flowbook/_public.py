"""Which ops are public functions, and where: the families of nn in `fb.nn`, the rest in `fb`.

All ops, also the helpers that gradients are made of, are in `fb.ops`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _core

_HELPERS = ("_gradient", "_slope", "_gate", "_share", "_no_nan", "_pick")
# Reached by indexing, by other functions' arguments, or by namespaces of their own.
_INNER = frozenset(
    "place narrow iota dim slice set_slice add_slice add_along_axis copy cast attention"
    " gelu_erf gelu_tanh".split()
)
_NEURAL = frozenset(("nn", "conv"))
_ELSEWHERE = _NEURAL | {"random", "optim", "control"}


def in_family(wanted: Callable[[str], bool]) -> dict[str, Any]:
    """The public ops of the families for which `wanted` is true, by name."""
    return {
        name: getattr(_core.ops, name)
        for name, family in _core.op_families().items()
        if wanted(family) and not name.endswith(_HELPERS) and name not in _INNER
    }


def top_level() -> dict[str, Any]:
    """The ops that are functions of `flowbook` itself."""
    return in_family(lambda family: family not in _ELSEWHERE)


def neural() -> dict[str, Any]:
    """The ops that are functions of `flowbook.nn`."""
    return in_family(lambda family: family in _NEURAL)
