"""What an `OutOfMemoryError` says: who holds the memory, what the plan needs, and what would fit.

All of it is worked out on the error path only. A message must never fail: each part is left out
where it cannot be told.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import _core, _holders
from ._words import human_bytes
from .errors import OutOfMemoryError

_SHOWN = 6
_BUDGET = 2.0  # seconds for finding a batch that fits
_MARGIN = 1.02  # kernels take a little scratch memory that the plan does not count


def add_holders(text: str) -> str:
    """The text of an OutOfMemoryError with the largest holders of memory, by name."""
    try:
        return "\n".join([text, *_holder_lines(device_of(text))])
    except Exception:
        return text


def device_of(text: str) -> int:
    """The device whose memory ran out. Plugins name theirs in the text; the CPU's has no name."""
    named = re.search(r"\bon device `([^`]+)`", text)
    names = list(_core.device_names())
    return names.index(named[1]) if named and named[1] in names else 0


def _holder_lines(device: int) -> list[str]:
    roots, hidden = _holders.current_roots()
    rows = _holders.held(roots, hidden, device)
    total = _core.memory_stats(device)["live"]
    large = [r for r in rows if r.bytes >= max(total // 200, 4096)]
    if not large:
        return []
    lines = ["The largest holders:"]
    for row in large[:_SHOWN]:
        behind = "" if row.names else "  (held by the notebook only)"
        lines.append(f"  {human_bytes(row.bytes):>8}  {_holders.names_of(row)}: {row.spec}{behind}")
    free = sum(r.bytes for r in rows if not r.names)
    if free:
        lines.append(
            f"{human_bytes(free)} are held by the notebook only: "
            "`%memory free outputs tracebacks` gives them back."
        )
    return lines


def explain(
    error: OutOfMemoryError,
    program: Any,
    feeds: Sequence[int],
    values: Sequence[Any],
    fetches: Sequence[int],
    effects: bool = True,
) -> OutOfMemoryError:
    """The error of a graph's run with what the plan needed and the largest batch that would fit."""
    head, *rest = str(error).splitlines() or [""]
    lines = [head]
    try:
        needs = _Needs(program, feeds, values, fetches, effects)
        free = available(device_of(head))
        left = "" if free is None else f"; {human_bytes(max(0, free))} are free"
        lines.append(f"The plan needs {human_bytes(needs.peak(None))} beside its inputs{left}.")
        batch = None if free is None else needs.batch()
        if batch is not None and free is not None:
            size, peak = batch
            fits = _largest(peak, size, free)
            if fits:
                lines.append(f"A batch of {fits:,} instead of {size:,} would fit.")
            else:
                lines.append("Not even a batch of 1 would fit beside what is held now.")
    except Exception:  # the plan cannot be made for other sizes: then there is nothing to say
        pass
    told = OutOfMemoryError("\n".join([*lines, *rest]))
    told.__cause__ = error.__cause__
    return told


def available(device: int = 0) -> int | None:
    """Bytes that may still be allocated: up to the limit, or what the system has.

    None for devices other than the CPU: plugins tell what is in use, not how much there is.
    """
    if device:
        return None
    limit = _core.memory_limit()
    system = system_memory()
    if limit:
        left: int = limit - _core.memory_stats(0)["live"]
        return left if system is None else min(left, system)
    return system if system is not None else 1 << 62


def system_memory() -> int | None:
    """Bytes that the system (or the container's limit) has left; None if it does not tell."""
    found = []
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError):
        pass
    limit = container_limit()
    if limit is not None:
        for name in (
            "/sys/fs/cgroup/memory.current",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ):
            try:
                with open(name, encoding="ascii") as file:
                    found.append(limit - int(file.read()))
                    break
            except (OSError, ValueError):
                continue
    return min(found) if found else None


def container_limit() -> int | None:
    """The memory limit of the container that the process runs in; None if there is none."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(name, encoding="ascii") as file:
                limit = int(file.read())
        except (OSError, ValueError):
            continue
        if limit < 1 << 60:
            return limit
    asked = os.environ.get("MEM_LIMIT", "")  # set by JupyterHub and Binder, in bytes
    return int(asked) if asked.isdigit() else None


class _Needs:
    """What a graph needs as a function of its batch size, by planning it for other sizes."""

    def __init__(
        self, program: Any, feeds: Sequence[int], values: Sequence[Any], fetches: Sequence[int],
        effects: bool,
    ) -> None:  # fmt: skip
        self._program, self._fetches, self._effects = program, list(fetches), effects
        core = program.graph
        self._feeds, self._given = list(feeds), set(feeds)
        self._specs = [_parts(v) for v in values]
        for v in core.captures:  # captured tensors may be batches, too
            if v not in self._feeds:
                tensor = core.concrete(v)
                if tensor is not None:
                    self._feeds.append(v)
                    self._specs.append(_parts(tensor))

    def peak(self, sizes: dict[int, int] | None, resize: tuple[int, int] = (0, 0)) -> int:
        """Bytes of a run, with other leading sizes for some inputs, and those inputs' own bytes.

        `resize` also reads a size that the recorded code has fixed, such as that of a mean, anew.
        """
        specs, extra = [], 0
        for v, (dtype, shape, item) in zip(self._feeds, self._specs, strict=True):
            if sizes is not None and v in sizes:
                shape = (sizes[v], *shape[1:])
                extra += item * _product(shape)
            specs.append(f"{dtype}[{', '.join(map(str, shape))}]")
        peak: int = self._program.peak_bytes(
            self._feeds, specs, self._fetches, self._effects, *resize
        )
        return peak + extra

    def batch(self) -> tuple[int, Callable[[int], int]] | None:
        """The batch size, and the bytes that a run needs with another one; None if none is seen.

        A leading size is a batch if the graph can be planned with half of it in every input that
        has it, and needs less then.
        """
        leading: dict[int, list[int]] = {}
        for v, (_, shape, _) in zip(self._feeds, self._specs, strict=True):
            if shape and shape[0] > 1:
                leading.setdefault(shape[0], []).append(v)
        for size, members in leading.items():
            # A weight may have the same leading size by chance: then some of them are the batch.
            fed = [v for v in members if v in self._given]
            for some in (members, fed or members[:2], members[:1]):
                for fixed in (False, True):

                    def at(
                        b: int, some: list[int] = some, size: int = size, fixed: bool = fixed
                    ) -> int:
                        return self.peak(dict.fromkeys(some, b), (size, b) if fixed else (0, 0))

                    try:
                        if at(size // 2) < at(size):
                            return size, at
                    except Exception:
                        continue
        return None


def _largest(peak: Callable[[int], int], size: int, free: int) -> int:
    """The largest batch below `size` that needs at most `free` bytes; 0 if none does.

    Bisection on real plans, begun where a straight line through two of them points.
    """
    deadline = time.monotonic() + _BUDGET
    low, high = 0, size  # `low` fits, `high` does not
    half = max(1, size // 2)
    slope = (peak(size) - peak(half)) / max(1, size - half)
    guess = int(size - (peak(size) * _MARGIN - free) / slope) if slope > 0 else half
    step = max(1, size // 64)
    probes = [guess, guess + step, guess - step]
    while high - low > 1 and time.monotonic() < deadline:
        probe = probes.pop(0) if probes else (low + high) // 2
        if not low < probe < high:
            if probes:
                continue
            probe = (low + high) // 2
        if peak(probe) * _MARGIN <= free:
            low = probe
        else:
            high = probe
    return low


def _parts(value: Any) -> tuple[str, tuple[int, ...], int]:
    from ._record import item_bytes

    dtype = value.spec.partition("[")[0]
    return dtype, tuple(value.shape), item_bytes(dtype)


def _product(shape: Sequence[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n
