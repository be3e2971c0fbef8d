"""Which layer is running: the scope (`Sequential/layers[0]`) that recorded nodes carry.

While a graph records, each module's call pushes its place in the module that called it. Views fold
graphs by these scopes; nothing else depends on them. Eager calls skip all of this.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._state import Stateful, children


class _Callers(threading.local):
    def __init__(self) -> None:
        # For each running module of this thread: its own parts, object id -> place.
        self.parts: list[dict[int, str]] = []


_callers = _Callers()


def _parts(owner: Any) -> dict[int, str]:
    """The modules directly held by a module, also in its lists, tuples and dicts."""
    found: dict[int, str] = {}
    waiting = [("", owner)]
    seen: set[int] = set()
    while waiting:
        path, held = waiting.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        for part, value in children(held):
            if isinstance(value, Stateful):
                found.setdefault(id(value), (path + part).lstrip("."))
            elif isinstance(value, (list, tuple, dict)):
                waiting.append((path + part, value))
    return found


@contextmanager
def entered(program: Any, module: Any) -> Iterator[None]:
    """Marks the nodes that `program` records meanwhile as the module's.

    Args:
        program: The recording native graph.
        module: The module that is called.
    """
    known = _callers.parts[-1] if _callers.parts else {}
    program.push_scope(known.get(id(module)) or type(module).__name__)
    _callers.parts.append(_parts(module))
    try:
        yield
    finally:
        _callers.parts.pop()
        program.pop_scope()
