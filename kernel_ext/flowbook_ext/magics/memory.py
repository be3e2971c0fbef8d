"""`%memory`: what memory is used for, by which variable, since which cell; and how to free it."""

from __future__ import annotations

import gc
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

import flowbook as fb
from flowbook import _holders
from flowbook._memory_view import MemoryView
from flowbook._words import human_bytes

from .. import _notebook
from ..views.memory import live, take
from ._arguments import parse

ACTIONS = ("show", "diff", "free", "live", "limit", "reset")
_WHAT = ("outputs", "tracebacks", "caches", "all")


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
        choices=ACTIONS,
        default="show",
        help="`diff`: what is new or gone since the last look. `free`: give memory back. "
        "`live`: a view that keeps up. `limit`: set or show the limit. "
        "`reset`: make the present use the new peak.",
    )
    @argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help=f"For `free`: {', '.join(_WHAT)}, or names of variables. For `limit`: bytes such as "
        "1.5GB, `auto` (the container's) or `none`.",
    )
    @argument("--device", "-d", default="cpu", help="Which device's memory.")
    @line_magic
    def memory(self, line: str) -> Any:
        """Show memory by kind, variable and cell, over time, and what the notebook itself holds.

        `%memory free outputs` drops Out[n] and _, `tracebacks` the frames of the last error,
        `caches` returns unused blocks to the system, a name deletes that variable and the outputs
        that show it; `%memory free` does the first three.
        """
        options = parse(self.memory, line)
        try:
            device = str(fb.device(options.device))
        except (fb.DeviceError, fb.ArgumentError) as error:
            raise UsageError(f"--device: {error}") from None
        if options.action == "free":
            return self._free(options.what or ["all"], device)
        if options.action == "limit":
            return self._limit(options.what)
        if options.what:
            raise UsageError(f"%memory {options.action} takes no {options.what[0]!r}.")
        if options.action == "reset":
            try:
                fb.memory.reset_peak(device)
            except fb.DeviceError as error:
                raise UsageError(f"%memory reset: {error}") from None
            return None
        before = self.last.get(device) if options.action == "diff" else None
        if options.action == "diff" and before is None:
            print("this is the first look; the next `%memory diff` compares with it")
        snapshot = take(self.shell, device, before)
        self.last[device] = snapshot
        if options.action == "live":
            return live(self.shell, snapshot)
        return MemoryView(snapshot)

    @staticmethod
    def memory_values(shell: Any, given: list[str]) -> list[str]:
        """What may stand at this place: devices, what can be freed, variables that hold tensors."""
        if given and given[-1] in ("--device", "-d"):
            return [str(d) for d in fb.devices()]
        if given[:1] == ["free"]:
            names = {
                path.partition(".")[0].partition("[")[0]
                for path, _ in _holders.walk(_notebook.user_roots(shell))
            }
            return [w for w in (*_WHAT, *sorted(names)) if w not in given]
        if given[:1] == ["limit"]:
            return [] if given[1:] else ["auto", "none"]
        return [] if given else list(ACTIONS)

    def _limit(self, what: list[str]) -> None:
        if what:
            text = " ".join(what)
            try:
                fb.memory.set_limit(None if text.lower() in ("none", "off") else text)
            except fb.ArgumentError as error:
                raise UsageError(f"%memory limit: {str(error).removeprefix('memory: ')}") from None
        limit, used = fb.memory.limit(), fb.memory.stats().live
        print(f"limit {human_bytes(limit)}" if limit else "no limit")
        if limit and limit <= used:
            print(f"{human_bytes(used)} are in use already: nothing more can be made")

    def _free(self, what: list[str], device: str) -> None:
        names = self.shell.user_ns
        for word in what:
            if word not in (*_WHAT, "cache") and word not in names:
                raise UsageError(
                    f"%memory free: {word!r} is no variable and none of {', '.join(_WHAT)}."
                )
        everything = "all" in what
        before = fb.memory.stats(device)
        kept: dict[str, int] = {}
        for word in what:
            if word in names and word not in _WHAT:
                buffer = _buffer(names[word])
                if buffer is not None:
                    kept[word] = buffer.id
                _notebook.free_name(self.shell, word)
        if everything or "outputs" in what:
            _notebook.free_outputs(self.shell)
        if everything or "tracebacks" in what:
            _notebook.free_tracebacks(self.shell)
        gc.collect()
        returned = 0
        if everything or "caches" in what or "cache" in what:
            returned = fb.memory.free_cached(device)
        freed = before.live - fb.memory.stats(device).live
        text = f"freed {human_bytes(max(0, freed))}"
        if returned:
            text += f", gave {human_bytes(returned)} back to the system"
        print(text)
        if kept:
            rows = {r["id"]: r for r in take(self.shell, device)["rows"] if r["id"]}
            for name, key in kept.items():
                if key in rows:
                    print(
                        f"{name}: its memory is still held by {', '.join(rows[key]['names'][:4])}"
                    )


def _buffer(value: Any) -> Any:
    return (
        fb.memory.buffer_of(value)
        if isinstance(value, (fb.Tensor, fb.Variable)) and not getattr(value, "symbolic", False)
        else None
    )
