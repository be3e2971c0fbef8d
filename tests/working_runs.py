"""Training runs for tests: short steps, in the background until they are told to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

import flowbook as fb
from flowbook import nn
from flowbook.callbacks import Callback


def data(count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, count, dtype=np.float32)[:, None]
    return x, 3 * x + 1


def start(**settings):
    """A run of four steps an epoch, in the background."""
    fb.random.seed(0)
    model = settings.pop("model", None) or nn.Sequential(nn.Dense(1))
    optimizer = settings.pop("optimizer", None) or fb.optim.SGD(0.1)
    given = {"epochs": 100_000, "batch_size": 16, "progress": False, "wait": False, **settings}
    return fb.fit(model, given.pop("data", None) or data(), fb.losses.mean_squared_error, optimizer,
                  **given)  # fmt: skip


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


class Hold(Callback):
    """Holds a run before its first step."""

    def on_train_begin(self, run):
        run.pause()


class Gate:
    """Data whose batches come one at a time, when the test lets them."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)

    def __iter__(self):
        x, y = data(16)
        while True:
            self.let.acquire()
            yield x, y
