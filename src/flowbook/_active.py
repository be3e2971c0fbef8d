"""The runs of this process that have not ended: no two train the same objects, none outlives the
interpreter, and a forked child has none. And the random numbers of those in the background.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Any

from . import _core
from .errors import GraphError

GRACE = 3.0  # seconds that runs get to end when the interpreter does

_runs: set[Any] = set()
_lock = threading.Lock()


def active() -> list[Any]:
    """The runs that have not ended, the oldest first."""
    with _lock:
        return sorted(_runs, key=lambda run: run.started)


def add(run: Any) -> None:
    """Enters a run.

    Raises:
        GraphError: If another one trains its model or uses its optimizer.
    """
    with _lock:
        for other in _runs:  # their Variables need not exist yet
            if other.model is run.model or other.optimizer is run.optimizer:
                raise GraphError(
                    f"fit: run {other.name} trains this model or uses this optimizer already. "
                    "Wait for it, or stop it first."
                )
        _runs.add(run)


def remove(run: Any) -> None:
    """Forgets a run that has ended."""
    with _lock:
        _runs.discard(run)


@atexit.register
def _end_all() -> None:
    """The interpreter ends: runs stop at once and close their logs."""
    runs = active()
    for run in runs:
        run._abandon("the interpreter ended", 0.0)
    end = time.monotonic() + GRACE
    for run in runs:
        run._over.wait(max(0.0, end - time.monotonic()))


def _forget_all() -> None:
    """A forked child has no thread that would go on with its parent's runs."""
    global _lock
    _lock = threading.Lock()
    for run in _runs:
        run._lost("it went on in the parent process")
    _runs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


# A background run draws random numbers from where the process's generator stands, as a blocking one
# would; everybody else goes on far behind, so that the two don't disturb each other. If nobody has
# drawn meanwhile, the process ends up where a blocking run leaves it.
_FAR = 1 << 40

Reserved = tuple[int, int]


def reserve_random_numbers() -> Reserved:
    """Sets the numbers of a background run apart."""
    seed, counter = _core.generator_state()
    _core.set_generator_state(seed, counter + _FAR)
    return seed, counter


def return_random_numbers(taken: Reserved) -> None:
    """Ends the generator of this thread, which is a run's."""
    own = _core.generator_state()
    _core.clear_thread_generator()
    if _core.generator_state() == (taken[0], taken[1] + _FAR):
        _core.set_generator_state(*own)
