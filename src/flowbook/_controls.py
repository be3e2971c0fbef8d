"""`Controls`: what is asked of a training run, from any thread, and read between two steps.

Asking only sets fields under a short lock: it may happen in a signal handler, on the thread of a
notebook's buttons, or in a callback. The loop looks at one field per step.
"""

from __future__ import annotations

import threading
from typing import NamedTuple


class Order(NamedTuple):
    """What the loop does next: stop, change the learning rate, or take a step."""

    stop: bool = False
    rate: float | None = None


class Controls:
    """Requests to a run.

    Attributes:
        asked: Whether there is anything to look at; read by the loop at each step without a lock.
        paused: Whether the run is to hold between two steps.
        stop_reason: Why it is to stop, or None.
    """

    def __init__(self) -> None:
        # A reentrant lock: a signal handler may ask while the main thread asks.
        self._changed = threading.Condition(threading.RLock())
        self.asked = False
        self.paused = False
        self.stop_reason: str | None = None
        self._steps = 0  # that may be taken in spite of the pause
        self._rate: float | None = None

    def stop(self, reason: str) -> bool:
        """Asks to stop before the next step; False if that was asked already."""
        with self._changed:
            if self.stop_reason is not None:
                return False
            self.stop_reason = reason
            self._notify()
            return True

    def pause(self) -> bool:
        """Asks to hold before the next step; False if it holds already."""
        with self._changed:
            fresh = not self.paused
            self.paused, self._steps = True, 0
            self._notify()
            return fresh

    def resume(self) -> bool:
        """Asks to go on; False if nothing holds the run."""
        with self._changed:
            held = self.paused
            self.paused, self._steps = False, 0
            self._notify()
            return held

    def advance(self, steps: int) -> None:
        """Asks for so many more steps, and to hold after them."""
        with self._changed:
            self._steps = self._steps + steps if self.paused else steps
            self.paused = True
            self._notify()

    def set_rate(self, rate: float) -> None:
        """Asks for a learning rate from the next step on; the last request wins."""
        with self._changed:
            self._rate = rate
            self._notify()

    def _notify(self) -> None:
        self.asked = True
        self._changed.notify_all()

    def holds(self) -> bool:
        """Whether the loop would wait now."""
        with self._changed:
            return self._holds()

    def _holds(self) -> bool:
        return self.paused and self._steps == 0 and self._rate is None and self.stop_reason is None

    def next(self, step: bool) -> Order:
        """What to do now; waits while the run is held. `step`: a training step would follow."""
        with self._changed:
            while self._holds():
                self._changed.wait()
            rate, self._rate = self._rate, None
            if rate is not None or self.stop_reason is not None:
                return Order(self.stop_reason is not None, rate)
            if not self.paused:
                self.asked = False
            elif step:
                self._steps -= 1
            return Order()
