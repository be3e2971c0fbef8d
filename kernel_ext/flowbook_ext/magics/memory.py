"""`%memory`: what memory is used for, by which variable, since which cell; and how to free it."""

from __future__ import annotations

import gc
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

import flowbook as fb
from flowbook import _memory_view
from flowbook._words import human_bytes

from .. import _holders
from ._arguments import parse

_WHAT = ("outputs", "tracebacks", "cache", "all")


class MemoryView:
    """A memory snapshot that shows itself."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.snapshot = snapshot

    def __repr__(self) -> str:
        return _memory_view.text(self.snapshot)

    def _repr_html_(self) -> str:
        return _memory_view.html(self.snapshot)


@magics_class
class MemoryMagics(Magics):  # type: ignore[misc]
    """The `%memory` magic."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.last: dict[str, dict[str, Any]] = {}

    @magic_arguments()  # type: ignore[untyped-decorator]
    @argument(
        "action",
        nargs="?",
        choices=("show", "diff", "free", "reset"),
        default="show",
        help="`diff`: what is new since the last look. `free`: give memory back. "
        "`reset`: make the present use the new peak.",
    )
    @argument("what", nargs="*", metavar="WHAT", help=f"For `free`: {', '.join(_WHAT)}.")
    @argument("--device", "-d", default="cpu", help="Which device's memory.")
    @line_magic
    def memory(self, line: str) -> Any:
        """Show memory by kind, variable and cell, and what the notebook itself holds.

        `%memory free outputs` drops Out[n] and _, `tracebacks` the frames of the last error,
        `cache` returns unused blocks to the system; `%memory free` does all three.
        """
        options = parse(self.memory, line)
        if options.what and options.action != "free":
            self._usage(f"%memory {options.action} takes no {options.what[0]!r}.")
        if options.action == "free":
            return self._free(options.what or ["all"], options.device)
        if options.action == "reset":
            fb.memory.reset_peak(options.device)
            return None
        before = self.last.get(options.device) if options.action == "diff" else None
        snapshot = _holders.snapshot(self.shell, options.device, before)
        self.last[options.device] = snapshot
        return MemoryView(snapshot)

    def _free(self, what: list[str], device: str) -> None:
        for word in what:
            if word not in _WHAT:
                self._usage(f"%memory free: {word!r} is none of {', '.join(_WHAT)}.")
        everything = "all" in what
        before = fb.memory.stats(device)
        if everything or "outputs" in what:
            _holders.free_outputs(self.shell)
        if everything or "tracebacks" in what:
            _holders.free_tracebacks(self.shell)
        gc.collect()
        freed = before.live - fb.memory.stats(device).live
        returned = fb.memory.free_cached(device) if everything or "cache" in what else 0
        text = f"freed {human_bytes(max(0, freed))}"
        if returned:
            text += f", gave {human_bytes(returned)} back to the system"
        print(text)

    def _usage(self, text: str) -> None:
        from IPython.core.error import UsageError

        raise UsageError(text)
