"""The memory books of cells: what each has left behind, and how high the use rose while it ran."""

from __future__ import annotations

from collections import deque
from typing import Any

import flowbook as fb
from flowbook import _core

_KEPT = 200


class Books:
    """One entry for each execution of a cell, the newest last."""

    def __init__(self) -> None:
        self.entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._open: dict[str, Any] | None = None

    def begin(self, execution: int, cell_id: str | None, raw: str) -> None:
        """A cell begins: from now on allocations are its own."""
        lines = (line.strip() for line in raw.splitlines())
        first = next((line for line in lines if line and not line.startswith("#")), "")
        _core.set_current_cell(execution)
        _core.begin_memory_window()
        self._open = {
            "exec": execution, "cell": cell_id, "source": first[:80],
            "before": fb.memory.stats().live, "began": _now(),
        }  # fmt: skip

    def end(self) -> None:
        """The cell has ended."""
        entry = self._open
        self._open = None
        if entry is not None:
            live = fb.memory.stats().live
            entry["change"] = live - entry["before"]
            entry["peak"] = max(0, _core.memory_window_peak() - entry["before"])
            entry["at"] = entry.pop("began"), _now()
            self.entries.append(entry)
        _core.set_current_cell(0)


def _now() -> float:
    """The present moment on the clock of `fb.memory.history()`."""
    return fb.memory.history()[-1][0]
