"""The one thread of a kernel that sends what its views have to say, seldom enough.

No view sends more than ten messages a second, whatever happens to it. And each one waits longer where
its messages cost more, up to a second, so that watching a run takes a small share of the processor
however short its steps are. What somebody waits for, such as the answer to a click, does not wait for
that pace.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from . import attached

GAP = 0.1  # seconds between two messages of a view, at least
LONGEST = 1.0  # ... and at most, while it has something to say
SHARE = 0.002  # of the time may go into making the messages of a view
_KEPT = 30  # views that are sent for

Send = Callable[..., None]


class Pace:
    """When a view may send again.

    Attributes:
        sent: When its last message was on its way, in seconds of the monotonic clock.
        interval: Seconds from there to the next message that nobody waits for.
    """

    def __init__(self) -> None:
        self.sent = -math.inf
        self.interval = GAP
        self._process = 0.0  # processor time of all threads at that moment

    def note(self, seconds: float) -> None:
        """Takes in what a message has cost, in seconds of processor time."""
        now, process = time.monotonic(), time.process_time()
        # Of the time that this process gets: on a busy machine that is less than goes by. A process
        # that sleeps most of the time has more to spare than it seems.
        part = min(1.0, max(0.4, (process - self._process) / max(1e-3, now - self.sent)))
        self.sent, self._process = now, process
        wanted = min(LONGEST, max(GAP, seconds / (SHARE * part)))
        self.interval += (wanted - self.interval) / 4  # one slow message is not yet a slow view


class View(Protocol):
    """What a sender needs of a view."""

    id: str

    def receive(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Takes a message of the page; on any thread."""

    def flush(self, send: Send) -> None:
        """Sends what there is to send, in one message at most; on the sender's thread."""


class _Line:
    """A view with what the sender knows of it."""

    def __init__(self, view: View, pace: Pace) -> None:
        self.view, self.pace = view, pace
        self.waits = self.urgent = False

    @property
    def due(self) -> float:
        return self.pace.sent + (GAP if self.urgent else self.pace.interval)

    def flush(self) -> None:
        def send(content: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
            hub = attached.hub_of(self.view.id)
            if hub is not None:
                hub.send(self.view.id, dict(content), buffers)

        with contextlib.suppress(Exception):  # a view that fails must not silence others
            self.view.flush(send)


class Sender:
    """Sends for the views that are attached to it."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._waiting: list[_Line] = []
        self._awake = 0.0  # when the thread looks again by itself
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def __contains__(self, view_id: str) -> bool:
        return view_id in self._lines

    def attach(self, view: View) -> None:
        """Sends for a view from now on; the oldest one is forgotten where there are many.

        Where it is not attached to a hub nothing is sent, but it is asked all the same: it may have
        other ways to show itself.
        """
        before = self._lines.pop(view.id, None)
        self._lines[view.id] = _Line(view, before.pace if before else Pace())
        while len(self._lines) > _KEPT:
            old, _ = self._lines.popitem(last=False)
            attached.detach(old)

    def push(self, view: View, urgent: bool = False) -> None:
        """Says that a view has something to send; from any thread.

        Args:
            view: The view; nothing happens if it is not attached.
            urgent: Somebody waits for it.
        """
        line = self._lines.get(view.id)
        # Mostly, a message is on its way already, and will take along what is new.
        if line is None or (line.waits and (line.urgent or not urgent)):
            return
        with self._wake:
            line.urgent |= urgent
            if not line.waits:
                line.waits = True
                self._waiting.append(line)
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(
                    target=self._work, name="flowbook views", daemon=True
                )
                self._thread.start()
            elif line.due < self._awake:
                self._wake.notify()

    def _work(self) -> None:
        spent = time.thread_time()
        while True:
            with self._wake:
                while not (due := self._take_due()):
                    self._wait()
            for line in due:
                line.flush()
                before, spent = spent, time.thread_time()
                line.pace.note(spent - before)  # with what waking up has cost

    def _wait(self) -> None:
        """Sleeps until the first view is due, or until what may be pushed next would be."""
        now = time.monotonic()
        lines = self._waiting or [line for line in list(self._lines.values()) if line.due > now]
        self._awake = min((line.due for line in lines), default=math.inf)
        left = self._awake - now
        self._wake.wait(None if left == math.inf else max(0.001, left))

    def _take_due(self) -> list[_Line]:
        now = time.monotonic()
        due = [line for line in self._waiting if line.due <= now]
        for line in due:
            self._waiting.remove(line)
            line.waits = line.urgent = False  # before its view looks what there is to send
        return due


sender = Sender()
