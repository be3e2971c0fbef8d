"""Who holds memory: from live buffers back to the names of the notebook.

The user's namespace is walked breadth-first through containers, modules and plain objects, within
bounds, so that each buffer gets its shortest paths (`model.layers[0].weight`). What IPython itself
keeps (`Out[3]`, `_`, the frames of the last traceback) is listed apart: nobody sees it, and it can
be freed.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Iterator
from types import FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

import flowbook as fb

_VISITS, _DEPTH, _ITEMS = 50_000, 7, 10_000
_OPAQUE = (ModuleType, FunctionType, type, str, bytes, int, float, complex, bool, type(None))


def _children(obj: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What an object holds, with the expression that reaches it. Runs no code of the user's."""
    if isinstance(obj, dict):
        for key, value in list(obj.items())[:_ITEMS]:
            yield f"{path}[{key!r}]" if isinstance(key, (str, int)) else f"{path}[…]", value
    elif isinstance(obj, (list, tuple, deque)):
        fields = getattr(type(obj), "_fields", None)
        for i, value in enumerate(list(obj)[:_ITEMS]):
            yield (f"{path}.{fields[i]}" if fields and i < len(fields) else f"{path}[{i}]"), value
    elif isinstance(obj, (set, frozenset)):
        for value in list(obj)[:_ITEMS]:
            yield f"{path}{{…}}", value
    else:
        attributes = getattr(obj, "__dict__", None)
        if isinstance(attributes, dict):
            for name, value in list(attributes.items()):
                yield f"{path}.{name}", value


def walk(roots: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Every tensor, Variable and array that can be reached, nearest first."""
    queue: deque[tuple[str, Any, int]] = deque((path, obj, 0) for path, obj in roots)
    seen: set[int] = set()
    visits = 0
    while queue and visits < _VISITS:
        path, obj, depth = queue.popleft()
        if isinstance(obj, _OPAQUE):
            continue
        if isinstance(obj, (fb.Tensor, fb.Variable)):
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


def user_roots(shell: Any) -> list[tuple[str, Any]]:
    """The user's own names."""
    hidden = shell.user_ns_hidden
    return [
        (name, value)
        for name, value in list(shell.user_ns.items())
        if name not in hidden and not name.startswith("_")
    ]


def notebook_roots(shell: Any) -> list[tuple[str, Any]]:
    """What the notebook keeps behind the user's back: outputs and tracebacks."""
    names = shell.user_ns
    roots = [(f"Out[{n}]", value) for n, value in dict(names.get("_oh", {})).items()]
    roots += [(name, names[name]) for name in ("_", "__", "___") if name in names]
    for frame, where in _frames(shell):
        roots += [(f"traceback ({where}: {n})", v) for n, v in list(frame.f_locals.items())]
    return roots


def _tracebacks(shell: Any) -> list[TracebackType]:
    found = [
        getattr(sys, "last_traceback", None),
        getattr(getattr(sys, "last_value", None), "__traceback__", None),
        getattr(getattr(sys, "last_exc", None), "__traceback__", None),
        getattr(getattr(shell, "InteractiveTB", None), "tb", None),
    ]
    result = getattr(shell, "last_execution_result", None)
    error = getattr(result, "error_in_exec", None)
    found.append(getattr(error, "__traceback__", None))
    return list({id(t): t for t in found if t is not None}.values())


def _frames(shell: Any) -> list[tuple[FrameType, str]]:
    """The frames of kept tracebacks, but the namespace of the notebook itself."""
    frames: dict[int, tuple[FrameType, str]] = {}
    for trace in _tracebacks(shell):
        entry: TracebackType | None = trace
        while entry is not None:
            frame = entry.tb_frame
            if frame.f_locals is not shell.user_ns and frame.f_code.co_name != "<module>":
                frames[id(frame)] = (frame, frame.f_code.co_name)
            entry = entry.tb_next
    return list(frames.values())


def snapshot(
    shell: Any, device: str = "cpu", before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Memory by variable, kind and cell, as plain data.

    Args:
        shell: The IPython shell.
        device: Which device.
        before: An earlier snapshot, to compare with.
    """
    gc.collect()
    stats = fb.memory.stats(device)
    names: dict[int, list[str]] = {}
    holders: dict[int, list[str]] = {}
    specs: dict[int, str] = {}
    small: dict[int, Any] = {}
    for roots, found in ((user_roots(shell), names), (notebook_roots(shell), holders)):
        for path, obj in walk(roots):
            try:
                buffer = fb.memory.buffer_of(obj)
            except fb.FlowbookError:  # freed, or a symbol of a finished trace
                continue
            if buffer is None:
                continue
            found.setdefault(buffer.id, []).append(path)
            specs.setdefault(buffer.id, _spec(obj))
            small.setdefault(buffer.id, buffer)
    large = {b.id: b for b in fb.memory.buffers(device)}
    rows = []
    unnamed: dict[str, tuple[int, int]] = {}
    for key, buffer in {**small, **large}.items():
        if key not in names and key not in holders:
            count, total = unnamed.get(buffer.kind, (0, 0))
            unnamed[buffer.kind] = (count + 1, total + buffer.bytes)
            continue
        mine = names.get(key, [])
        rows.append({
            "id": key, "names": mine or holders[key][:1], "bytes": buffer.bytes,
            "kind": buffer.kind, "cell": buffer.cell, "spec": specs[key],
            "holders": [] if mine else holders[key],
        })  # fmt: skip
    for kind, (count, total) in unnamed.items():
        label = f"({count} buffer{'s' if count > 1 else ''} inside graphs and runs)"
        rows.append({
            "id": 0, "names": [label], "bytes": total, "kind": kind, "cell": 0, "spec": "",
            "holders": [],
        })  # fmt: skip
    rows.sort(key=lambda row: (-row["bytes"], row["names"]))
    cells: dict[int, int] = {}
    for buffer in large.values():
        if buffer.cell:
            cells[buffer.cell] = cells.get(buffer.cell, 0) + buffer.bytes
    result = {
        "device": device, "live": stats.live, "peak": stats.peak, "reserved": stats.reserved,
        "limit": fb.memory.limit(), "by_kind": dict(stats.by_kind), "rows": rows,
        "cells": [{"cell": c, "bytes": n} for c, n in sorted(cells.items(), key=lambda i: -i[1])],
        "held_by_notebook": sum(r["bytes"] for r in rows if r["holders"]),
    }  # fmt: skip
    if before is not None:
        result["before"] = {"live": before["live"]}
        known = {r["id"] for r in before["rows"]}
        for row in rows:
            row["change"] = None if row["id"] in known else "new"
    return result


def _spec(obj: Any) -> str:
    from .magics.graph import spec_text

    return spec_text(obj)


def free_outputs(shell: Any) -> None:
    """Drops `Out`, `_`, `__`, `___` and the numbered outputs."""
    hook = shell.displayhook
    if hook.do_full_cache:
        hook.flush()
    for name in ("_", "__", "___"):
        setattr(hook, name, "")
        for names in (shell.user_ns, shell.user_ns_hidden):
            if name in names:
                names[name] = ""


def free_tracebacks(shell: Any) -> None:
    """Drops the frames of the last error, with all that their locals hold."""
    import traceback

    for trace in _tracebacks(shell):
        traceback.clear_frames(trace)
    for name in ("last_traceback", "last_value", "last_type", "last_exc"):
        if hasattr(sys, name):
            setattr(sys, name, None)
    if getattr(shell, "InteractiveTB", None) is not None:
        shell.InteractiveTB.tb = None
    result = getattr(shell, "last_execution_result", None)
    error = getattr(result, "error_in_exec", None)
    if error is not None:
        error.__traceback__ = None
