"""`fb.memory`: what memory is in use, and for what. The counting is done by the native core."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core
from ._devices import Device, device


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
    """Makes the current use the new peak."""
    _core.reset_peak_memory(device(where).index)


def free_cached(where: str | Device = "cpu") -> int:
    """Gives cached memory back to the system.

    Args:
        where: The device.

    Returns:
        How many bytes were freed.
    """
    return int(_core.free_cached_memory(device(where).index))


def set_limit(limit: int | None) -> None:
    """Sets how much host memory tensors may take. Beyond it an `OutOfMemoryError` is raised.

    Args:
        limit: In bytes; None: as much as there is.
    """
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
