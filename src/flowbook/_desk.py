"""How a run's thread has calls made by the thread that waits for it, and what Ctrl-C means there."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, ClassVar

SLICE = 0.05  # seconds between two looks at signals while a run is waited for


class Call:
    """A call that one thread hands to another."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._function, self._args = function, args
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._refused = False

    def make(self) -> None:
        """Makes the call here; its error goes to the thread that asked."""
        try:
            self._function(*self._args)
        except BaseException as error:
            self._error = error
        self._done.set()

    def refuse(self) -> None:
        """Lets the thread that asked make the call itself."""
        self._refused = True
        self._done.set()

    def finish(self) -> None:
        """Waits until the call is made."""
        self._done.wait()
        if self._refused:
            self._function(*self._args)
        elif self._error is not None:
            raise self._error


class Desk:
    """Takes calls for the thread that serves; where none serves, callers make them themselves.

    Attributes:
        served: Whether a thread serves.
    """

    def __init__(self) -> None:
        self.served = False
        self._lock = threading.Lock()
        self._mail: SimpleQueue[Call | None] = SimpleQueue()

    def ask(self, function: Callable[..., Any], *args: Any) -> None:
        """Has a call made, and waits for it."""
        with self._lock:
            call = Call(function, args) if self.served else None
            if call is not None:
                self._mail.put(call)
        if call is not None:
            call.finish()
        else:
            function(*args)

    def take(self) -> Call | None:
        """The next call, or None after a while; the caller looks at `served` then."""
        try:
            return self._mail.get(timeout=SLICE)
        except Empty:
            return None

    def close(self) -> None:
        """Nobody serves any more; wakes up who did."""
        with self._lock:
            self.served = False
            while True:
                try:
                    call = self._mail.get_nowait()
                except Empty:
                    break
                if call is not None:
                    call.refuse()
        self._mail.put(None)


class Interrupts:
    """Turns the first SIGINT into a request to stop; the second one raises KeyboardInterrupt.

    Where several runs are waited for at once, as by tasks of one event loop, the first interrupt
    stops all of them: who interrupts a cell means the cell, not the run it came to wait for last.

    Args:
        stop: Called at the first one.
        over: Tells whether there is nothing left to stop: then the first one raises.
        wake: Given where an event loop waits, in which nothing may be raised: then the second one
            means what it did before, such as to cancel the task, and the loop is woken to see it.
    """

    # Those at work, of the main thread alone, the last one innermost.
    _at_work: ClassVar[list[Interrupts]] = []

    def __init__(
        self,
        stop: Callable[[], Any],
        over: Callable[[], bool],
        wake: Callable[[], Any] | None = None,
    ) -> None:
        self._stop, self._over, self._wake = stop, over, wake
        self._previous: Any = None
        self._pressed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        going = [each for each in self._at_work if not (each._pressed or each._over())]
        for each in going:
            each._pressed = True
            each._stop()
        if going:
            return
        if self in self._at_work and self._wake is None:
            raise KeyboardInterrupt
        self._previous(number, frame)
        if self._wake:
            self._wake()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._previous = signal.getsignal(signal.SIGINT)
        if callable(self._previous):  # an ignored signal stays ignored
            self._at_work.append(self)
            signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self not in self._at_work:
            return
        self._at_work.remove(self)
        # Tasks may end in another order than they began: handlers go once nothing is above them.
        while True:
            owner = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
            if not isinstance(owner, Interrupts) or owner in self._at_work:
                return
            signal.signal(signal.SIGINT, owner._previous)
