"""Who holds memory: from live buffers back to the names under which the user knows them.

Namespaces are walked breadth-first through containers, modules and plain objects, within bounds, so
that each buffer gets its shortest paths (`model.layers[0].weight`). No code of the user's is run.
A notebook adds its own roots: the user's names, and what it keeps behind the user's back.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

from . import _core
from ._frames import local_names, user_frame
from ._tree import Results

Roots = list[tuple[str, Any]]

_VISITS, _DEPTH, _ITEMS = 50_000, 7, 10_000
_OPAQUE = (ModuleType, FunctionType, type, str, bytes, int, float, complex, bool, type(None))

# (the user's names, what is held behind the user's back); set by the notebook extension.
roots_of_notebook: Callable[[], tuple[Roots, Roots]] | None = None


def _children(obj: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What an object holds, with the expression that reaches it. Runs no code of the user's."""
    if isinstance(obj, dict):
        for key, value in list(obj.items())[:_ITEMS]:
            yield f"{path}[{key!r}]" if isinstance(key, (str, int)) else f"{path}[…]", value
    elif isinstance(obj, (list, tuple, deque)):
        fields = getattr(type(obj), "_fields", None)
        for i, value in enumerate(list(obj)[:_ITEMS]):
            yield (f"{path}.{fields[i]}" if fields and i < len(fields) else f"{path}[{i}]"), value
    elif isinstance(obj, Results):
        for name in obj:
            yield f"{path}.{name}", obj[name]
    elif isinstance(obj, (set, frozenset)):
        for value in list(obj)[:_ITEMS]:
            yield f"{path}{{…}}", value
    else:
        attributes = getattr(obj, "__dict__", None)
        if isinstance(attributes, dict):
            for name, value in list(attributes.items()):
                yield f"{path}.{name}", value
        else:
            for kind in type(obj).__mro__:  # classes with slots, such as results
                for name in getattr(kind, "__slots__", ()) if kind.__module__ != "builtins" else ():
                    value = _slot(obj, kind, name)
                    if value is not None:
                        yield f"{path}.{name.lstrip('_')}", value


def _slot(obj: Any, kind: type, name: str) -> Any:
    member = kind.__dict__.get(name)
    if type(member).__name__ != "member_descriptor":
        return None
    try:
        return member.__get__(obj, kind)  # type: ignore[union-attr]
    except AttributeError:
        return None


def walk(roots: Roots) -> Iterator[tuple[str, Any]]:
    """Every tensor and Variable that can be reached, nearest first."""
    queue: deque[tuple[str, Any, int]] = deque((path, obj, 0) for path, obj in roots)
    seen: set[int] = set()
    visits = 0
    while queue and visits < _VISITS:
        path, obj, depth = queue.popleft()
        kind = type(obj)  # not isinstance(), which asks the object
        if issubclass(kind, _OPAQUE):
            continue
        if issubclass(kind, (_core.Tensor, _core.Variable)):
            yield path, obj
            continue
        if id(obj) in seen or depth >= _DEPTH:
            continue
        seen.add(id(obj))
        visits += 1
        try:
            queue.extend((p, child, depth + 1) for p, child in _children(obj, path))
        except Exception:  # an object that cannot be looked into holds nothing we can name
            continue


class Held(NamedTuple):
    """A buffer with everything that is known of who holds it."""

    id: int
    bytes: int
    kind: str
    cell: int
    spec: str
    names: tuple[str, ...]
    holders: tuple[str, ...]  # what holds it behind the user's back


def held(roots: Roots, hidden: Roots = (), device: int = 0) -> list[Held]:  # type: ignore[assignment]
    """The buffers that roots lead to, the largest first.

    Args:
        roots: The user's names.
        hidden: What is held behind the user's back, such as `Out[3]`.
        device: Number of the device.
    """
    names: dict[int, list[str]] = {}
    holders: dict[int, list[str]] = {}
    facts: dict[int, tuple[int, str, int, str]] = {}
    variables: set[int] = set()
    for some, found in ((roots, names), (hidden, holders)):
        for path, obj in walk(list(some)):
            try:
                variable = isinstance(obj, _core.Variable)
                value = obj.stored() if variable else obj
                if variable:
                    _core.set_buffer_kind(value, obj.kind)
                buffer = _core.buffer_of(value)
                if buffer is None or _core.device_of(value) != device:
                    continue
                spec = value.spec
            except Exception:  # freed meanwhile, or of a finished trace
                continue
            key, size, cell, kind = buffer
            paths = found.setdefault(key, [])
            if variable:  # its own name comes before that of a view of it
                paths.insert(sum(1 for _ in paths if key in variables), path)
                variables.add(key)
            else:
                paths.append(path)
            if key not in facts or variable:
                facts[key] = (size, kind, cell, spec)
    rows = [
        Held(
            key, size, kind, cell, spec, tuple(dict.fromkeys(names.get(key, ()))),
            tuple(dict.fromkeys(holders.get(key, ()))),
        )
        for key, (size, kind, cell, spec) in facts.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda r: (-r.bytes, r.names, r.holders))


def roots_of_caller(frame: FrameType | None) -> Roots:
    """Names of the frames of a running program, the innermost first; each name once."""
    roots: dict[str, Any] = {}
    while frame is not None:
        for name, value in local_names(frame).items():
            if not name.startswith("_"):
                roots.setdefault(name, value)
        if frame.f_back is None:
            for name, value in list(frame.f_globals.items()):
                if not name.startswith("_"):
                    roots.setdefault(name, value)
        frame = frame.f_back
    return list(roots.items())


def current_roots() -> tuple[Roots, Roots]:
    """The roots to look from now: the notebook's, else those of the running frames."""
    if roots_of_notebook is not None:
        return roots_of_notebook()
    return roots_of_caller(user_frame() or sys._getframe(1)), []


def names_of(row: Held, limit: int = 3) -> str:
    """`w = model.layers[0].weight`, or who else holds it."""
    paths: Sequence[str] = row.names or row.holders
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return " = ".join(paths[:limit]) + more
