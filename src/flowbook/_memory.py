"""`fb.memory`: what memory is in use, and for what. The counting is done by the native core."""

from __future__ import annotations

import gc
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core
from ._devices import Device, device
from .errors import ArgumentError

if TYPE_CHECKING:
    from ._memory_view import MemoryView


__all__ = [
    "BufferInfo", "MemoryStats", "buffer_of", "buffers", "free_cached", "history", "limit",
    "parse_size", "reset_peak", "set_limit", "snapshot", "stats", "take_snapshot",
]  # fmt: skip


class MemoryStats(NamedTuple):
    """Bytes of one device. `live` is in use, `peak` its highest value since `reset_peak`,
    `reserved` counts what is cached, too."""

    live: int
    peak: int
    reserved: int
    allocations: int
    by_kind: dict[str, int]


class BufferInfo(NamedTuple):
    """A large live buffer: who holds it is not known here, when it was made is."""

    id: int
    bytes: int
    cell: int
    kind: str


def __dir__() -> list[str]:
    """What is meant to be used; completion does not offer what this module imports for itself."""
    return sorted(__all__)


def stats(where: str | Device = "cpu") -> MemoryStats:
    """Memory in use on a device.

    Args:
        where: The device.

    Returns:
        Live, peak and reserved bytes, the number of allocations, and live bytes by kind.

    Example:
        >>> before = fb.memory.stats().live
        >>> x = fb.zeros((1024, 1024))
        >>> fb.memory.stats().live - before
        4194304
    """
    return MemoryStats(**_core.memory_stats(device(where).index))


def reset_peak(where: str | Device = "cpu") -> None:
    """Makes the current use the new peak.

    Args:
        where: The device.

    Raises:
        DeviceError: If there is no such device, or its plugin keeps the peak itself.
    """
    _core.reset_peak_memory(device(where).index)


def free_cached(where: str | Device = "cpu") -> int:
    """Gives cached memory back to the system, that of finished graph runs included.

    Args:
        where: The device.

    Returns:
        How many bytes were freed.
    """
    return int(_core.free_cached_memory(device(where).index))


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_size(text: str) -> int:
    """Bytes from a text such as `1.5 GB`, `800M` or `2 GiB`.

    Args:
        text: A number with an optional unit.

    Raises:
        ArgumentError: If it is something else.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", text, re.I)
    if not found:
        raise ArgumentError(f"memory: {text!r} is no size. Write bytes, or such as '1.5 GB'.")
    return int(float(found[1]) * _UNITS[(found[2] or "").lower()])


def set_limit(limit: int | str | None) -> None:
    """Sets how much host memory tensors may take. Beyond it an `OutOfMemoryError` is raised.

    Where a container has a limit of its own (Binder, JupyterHub), going beyond it kills the kernel
    without a word. A limit below it turns that into an error. The environment variable
    FLOWBOOK_MEMORY_LIMIT sets one from the start.

    Args:
        limit: Bytes, or a text such as "1.5 GB"; "auto" for nine tenths of the container's limit,
            if there is one; None for no limit.

    Raises:
        ArgumentError: If it is not positive, or no size.

    Example:
        >>> fb.memory.set_limit("2 GB")
        >>> fb.memory.limit()
        2000000000
        >>> fb.memory.set_limit(None)
    """
    if isinstance(limit, str):
        if limit.strip().lower() == "auto":
            from ._memory_needs import container_limit

            found = container_limit()
            limit = None if found is None else found * 9 // 10
        else:
            limit = parse_size(limit)
    if limit is not None and limit <= 0:
        raise ArgumentError(
            f"memory.set_limit: {limit} bytes. Give a positive number, or None for no limit."
        )
    _core.set_memory_limit(limit or 0)


def limit() -> int | None:
    """The limit set by `set_limit`, in bytes, or None."""
    return int(_core.memory_limit()) or None


def buffers(where: str | Device = "cpu") -> list[BufferInfo]:
    """The large live buffers, the largest first.

    Args:
        where: The device.

    Returns:
        Identity, bytes, the notebook cell they were made in (0: none) and what they are for.
    """
    found = [BufferInfo(*b) for b in _core.list_buffers(device(where).index)]
    return sorted(found, key=lambda b: -b.bytes)


def buffer_of(x: Any) -> BufferInfo | None:
    """The buffer behind a tensor or Variable; views share one. None for a symbol."""
    found = _core.buffer_of(x.stored() if isinstance(x, _core.Variable) else x)
    return BufferInfo(*found) if found else None


def history(where: str | Device = "cpu") -> list[tuple[float, int, int]]:
    """A device's memory over time: (seconds, live bytes from then on, peak of the interval).

    Args:
        where: The device.

    Returns:
        One entry for each interval in which something changed, oldest first; the last is now.
        Seconds count on one clock for all devices.

    Raises:
        DeviceError: If there is no such device.

    Example:
        >>> x = fb.zeros((1024, 1024))
        >>> fb.memory.history()[-1][1] >= 4194304
        True
    """
    found: list[tuple[float, int, int]] = _core.memory_history(device(where).index)
    return found


def snapshot(where: str | Device = "cpu") -> MemoryView:
    """Who holds the memory of a device: by variable, by kind, by cell, and over time.

    Args:
        where: The device.

    Returns:
        A `MemoryView`, which prints as a table and shows as one in notebooks; `.snapshot` is the
        plain data.

    Example:
        >>> weights = fb.zeros((1024, 1024))
        >>> rows = fb.memory.snapshot().snapshot["rows"]
        >>> [row["bytes"] for row in rows if "weights" in row["names"]]
        [4194304]
    """
    from ._memory_view import MemoryView

    return MemoryView(take_snapshot(where))


def take_snapshot(
    where: str | Device = "cpu",
    *,
    cells: Sequence[Mapping[str, Any]] = (),
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Memory by variable, kind, cell and over time, as plain data for the views.

    Args:
        where: The device.
        cells: What the notebook's cells have allocated, as its books say.
        before: An earlier snapshot, to compare with.
    """
    from . import _holders

    gc.collect()
    index = device(where).index
    roots, hidden = _holders.current_roots()
    rows: list[dict[str, Any]] = []
    named: set[int] = set()
    for held in _holders.held(roots, hidden, index):
        named.add(held.id)
        rows.append({
            "id": held.id, "names": list(held.names or held.holders[:1]), "bytes": held.bytes,
            "kind": held.kind, "cell": held.cell, "spec": held.spec,
            "holders": [] if held.names else list(held.holders),
        })  # fmt: skip
    del roots, hidden
    counts = stats(where)  # after the walk: it learns what Variables are for
    unnamed: dict[str, list[int]] = {}
    for buffer in buffers(where):
        if buffer.id not in named:
            unnamed.setdefault(buffer.kind, []).append(buffer.bytes)
    for kind, sizes in unnamed.items():
        many = f"{len(sizes)} buffer{'s' if len(sizes) > 1 else ''}"
        rows.append({
            "id": 0, "names": [f"({many} inside graphs and runs)"], "bytes": sum(sizes),
            "kind": kind, "cell": 0, "spec": "", "holders": [],
        })  # fmt: skip
    rows.sort(key=lambda row: (-row["bytes"], row["names"]))
    shot: dict[str, Any] = {
        "device": str(device(where)), "live": counts.live, "peak": counts.peak,
        "reserved": counts.reserved, "limit": limit() if index == 0 else None,
        "by_kind": {k: v for k, v in counts.by_kind.items() if v > 0}, "rows": rows,
        "cells": [dict(cell) for cell in cells], "history": history(where),
        "held_by_notebook": sum(r["bytes"] for r in rows if r["holders"]),
    }  # fmt: skip
    if before is not None:
        _compare(shot, before)
    return shot


def _compare(shot: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Marks what is new, and lists what is gone, since an earlier snapshot."""
    known = {row["id"]: row for row in before["rows"] if row["id"]}
    live = {row["id"] for row in shot["rows"] if row["id"]}
    for row in shot["rows"]:
        row["change"] = None if row["id"] in known or not row["id"] else "new"
    shot["before"] = {"live": before["live"]}
    shot["gone"] = [
        {"names": list(row["names"]), "bytes": row["bytes"], "spec": row["spec"]}
        for key, row in known.items()
        if key not in live
    ]


def _limit_from_environment() -> None:
    asked = os.environ.get("FLOWBOOK_MEMORY_LIMIT", "").strip()
    if not asked:
        return
    try:
        set_limit(asked)
    except ArgumentError as error:  # a bad setting must not keep the library from loading
        warnings.warn(f"FLOWBOOK_MEMORY_LIMIT: {error}", stacklevel=2)


_limit_from_environment()
