"""Which graphs no longer match the notebook: an input's name means another object now.

After each cell the names that a graph has read are looked up again. A Variable that was assigned is
no change, since a run reads it anew; a name that was bound to something else is one.
"""

from __future__ import annotations

import ast
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import flowbook as fb
from flowbook import _drawing, _record_notes

from . import _cells, _names
from .views import graph as views

_PLAIN = (int, float, complex, str, bool, type(None))


def _tell_view(graph: Any) -> None:
    """Marks the live drawings of a graph, or takes the mark back."""
    words = _record_notes.stale_words(graph.stale) if graph.stale else ""
    views.mark_stale(_drawing.view_id(graph._compact_record()), words)


def watch(shell: Any, graph: Any, reads: dict[str, Any]) -> None:
    """From now on `graph.stale` names the inputs that mean something else.

    Args:
        shell: The IPython shell.
        graph: The graph of a cell.
        reads: What the cell has read, by the expression that names it.
    """
    tests = {}
    for path, value in reads.items():
        test = _test(graph, value)
        if test is not None:
            tests[path] = (ast.parse(path, mode="eval").body, test)
    if not tests:
        return
    callbacks = _cells.after_cells(shell)
    alive = weakref.ref(graph)

    def look(execution: int) -> None:
        found = alive()
        if found is None:
            callbacks.remove(look)
            return
        stale = {
            path: found.stale.get(path, execution)
            for path, (expression, same) in tests.items()
            if not _holds(shell, expression, same)
        }
        if stale != found.stale:
            found.stale = stale
            _tell_view(found)

    callbacks.append(look)


def _holds(shell: Any, expression: ast.AST, same: Callable[[Any], bool]) -> bool:
    try:
        return same(_names.lookup(expression, [shell.user_ns]))
    except LookupError:
        return False


def _test(graph: Any, value: Any) -> Callable[[Any], bool] | None:
    """A test whether an object is the one that the graph has read; keeps nothing large alive."""
    core = graph._core
    if isinstance(value, (fb.Tensor, fb.Variable)):
        if core.find(value) < 0:
            return None  # the graph has not used it
        number = core.find(value)
        kind = type(value)
        return lambda now: isinstance(now, kind) and core.find(now) == number
    if isinstance(value, _PLAIN):
        return lambda now: type(now) is type(value) and now == value
    if (
        isinstance(value, (type, ModuleType))
        or type(value).__name__ == "builtin_function_or_method"
    ):
        return None
    if isinstance(value, (list, tuple, dict)):
        return None  # their tensors are watched under their own paths
    # A bound method is made anew at each look.
    method = getattr(value, "__func__", None)
    try:
        kept = weakref.ref(value if method is None else value.__self__)
    except TypeError:
        return None
    if method is None:
        return lambda now: now is kept()
    return lambda now: (
        getattr(now, "__func__", None) is method and getattr(now, "__self__", None) is kept()
    )
