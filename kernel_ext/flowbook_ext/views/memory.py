"""The live memory view of `%memory live`: a snapshot that keeps up.

Between cells it gets whole snapshots; while a cell runs, a thread looks at the counters four times a
second and sends what has changed. Names are looked up on the main thread only, when a cell has ended.

To the page goes `state {html, course}`, again whenever something has changed; from it come `open` and
`free {what}`, which is done when no cell runs.
"""

from __future__ import annotations

import gc
import math
import secrets
import threading
import time
import weakref
from typing import Any

import flowbook as fb
from flowbook import _memory_view

from .. import _cells, _notebook
from . import attached
from .sender import GAP

PERIOD = 0.25  # seconds between two looks at the counters
_STATIC = 64  # points of the course that the saved notebook keeps


def take(shell: Any, device: str = "cpu", before: dict[str, Any] | None = None) -> dict[str, Any]:
    """A snapshot with the names of the notebook and the books of its cells."""
    books = _cells.books_of(shell)
    cells = list(books.entries) if books is not None else []
    if fb.device(device).index:  # the books count the CPU's bytes; when a cell ran holds for all
        cells = [{**cell, "change": 0, "peak": 0} for cell in cells]
    return fb.memory.take_snapshot(device, cells=cells, before=before)


class LiveMemory:
    """A memory view that keeps up with the kernel.

    Attributes:
        snapshot: The last whole snapshot.
        view_id: Its id in the page; a new one for each view, since what it shows is of the moment.
    """

    def __init__(self, shell: Any, snapshot: dict[str, Any]) -> None:
        self._shell = weakref.ref(shell)  # not a way by which the notebook's tensors are held
        self.snapshot = snapshot
        self.view_id = secrets.token_hex(6)
        self._last = snapshot["live"], snapshot["peak"], snapshot["reserved"]
        self._sent = -math.inf  # when, by the monotonic clock
        self._late = False  # something waits to be sent

    @property
    def shell(self) -> Any:
        return self._shell()

    def __repr__(self) -> str:
        return _memory_view.text(self.snapshot)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        static = {**self.snapshot, "history": self.snapshot["history"][-_STATIC:]}
        bundle = {
            "text/plain": _memory_view.text(static),
            "text/html": _memory_view.html(static, self.view_id),
        }
        answer = attached.answering(self.view_id, self.state, self.listen)
        attached.attach("memory", self.view_id, answer)
        _follow(self)
        return bundle

    def state(self) -> dict[str, Any]:
        """What `open` is answered with."""
        return {
            "html": _memory_view.html(self.snapshot, live=True),
            "course": _memory_view.live_course(self.snapshot),
        }

    def listen(self, content: Any) -> None:
        """Takes a request of the page; it is done on the main thread when no cell runs."""
        if content.get("kind") != "free" or content.get("what") not in _FREE:
            return
        loop = getattr(getattr(self.shell, "kernel", None), "io_loop", None)
        if loop is not None:
            loop.add_callback(self.free, content["what"])

    def free(self, what: str) -> None:
        """Frees `outputs`, `tracebacks` or `caches`, and shows what is left."""
        _FREE[what](self.shell, self.snapshot["device"])
        gc.collect()
        self.refresh()

    def refresh(self) -> None:
        """Takes a new snapshot and sends it. On the main thread."""
        self.snapshot = take(self.shell, self.snapshot["device"])
        self._send()

    def tick(self) -> None:
        """Sends what has changed in the counters; from any thread."""
        stats = fb.memory.stats(self.snapshot["device"])
        now = stats.live, stats.peak, stats.reserved
        if now == self._last:
            if self._late:
                self._send()
            return
        self._last = now
        self.snapshot = {
            **self.snapshot, "live": stats.live, "peak": stats.peak, "reserved": stats.reserved,
            "by_kind": {k: v for k, v in stats.by_kind.items() if v > 0},
            "history": fb.memory.history(self.snapshot["device"]),
        }  # fmt: skip
        self._send()

    def _send(self) -> None:
        """Sends the state, or leaves that to the next look where cells follow each other fast."""
        self._late = time.monotonic() - self._sent < GAP
        if self._late:
            return
        hub = attached.hub_of(self.view_id)
        if hub is not None:
            hub.send(self.view_id, {"kind": "state", **self.state()})
            self._sent = time.monotonic()  # now, not before: sending may take its time


_FREE: dict[str, Any] = {
    "outputs": lambda shell, device: _notebook.free_outputs(shell),
    "tracebacks": lambda shell, device: _notebook.free_tracebacks(shell),
    "caches": lambda shell, device: fb.memory.free_cached(device),
}


def live(shell: Any, snapshot: dict[str, Any]) -> LiveMemory:
    """A view that keeps up; where nothing can be live it is an ordinary one."""
    return LiveMemory(shell, snapshot)


# ---- following -------------------------------------------------------------------------------------

_followed: weakref.WeakSet[LiveMemory] = weakref.WeakSet()
_stop: threading.Event | None = None


def _follow(view: LiveMemory) -> None:
    """Keeps a view current until it is gone or the extension is unloaded."""
    if view in _followed or attached.hub_of(view.view_id) is None:
        return
    _followed.add(view)
    alive = weakref.ref(view)
    callbacks = _cells.after_cells(view.shell)

    def after(execution: int) -> None:
        found = alive()
        if found is None:
            callbacks.remove(after)
        else:
            found.refresh()

    callbacks.append(after)
    _start()


def _start() -> None:
    global _stop
    if _stop is not None:
        return
    stop = _stop = threading.Event()

    def look() -> None:
        while not stop.wait(PERIOD):
            for view in list(_followed):
                view.tick()

    threading.Thread(target=look, name="flowbook memory view", daemon=True).start()


def close() -> None:
    """Ends the following of all views."""
    global _stop
    if _stop is not None:
        _stop.set()
        _stop = None
    _followed.clear()
