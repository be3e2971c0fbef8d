"""Callbacks: code that `fit` calls while it trains.

A callback is a function of the run, called after each epoch, or a `Callback` with methods for
other moments. Each gets the `Run`, which knows model, optimizer, epoch, step and numbers, and can
be asked to stop: `run.stop("reason")`. A blocking `fit` calls them on the thread that called it,
`fit(..., wait=False)` on the run's own; the run stands still meanwhile.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import flowbook as fb

from . import _hints
from ._state import named_variables

__all__ = ["CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "StopOnNaN"]


class Callback:
    """Base class of callbacks; every method may be left out.

    Example:
        >>> class Cheer(fb.callbacks.Callback):
        ...     def on_epoch_end(self, run):
        ...         print(f"{run.epoch + 1} done")
    """

    def on_train_begin(self, run: Any) -> None:
        """Before the first epoch; `run.model` may not be built yet."""

    def on_epoch_begin(self, run: Any) -> None:
        """Before each epoch."""

    def on_step_end(self, run: Any) -> None:
        """After each step; `run.loss` is its loss as a 0-d tensor. Costs time: use it sparingly."""

    def on_epoch_end(self, run: Any) -> None:
        """After each complete epoch and its validation; `run.logs` holds the numbers."""

    def on_train_end(self, run: Any) -> None:
        """After the last epoch, also after an interrupt; not after an error."""


class FunctionCallback(Callback):
    """A function of the run, called after each epoch."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def on_epoch_end(self, run: Any) -> None:
        self._function(run)


def _mode(monitor: str, mode: str) -> str:
    if mode == "auto":
        return "max" if "acc" in monitor else "min"
    if mode not in ("min", "max"):
        raise fb.ArgumentError(f"mode is {mode!r}. It is 'min', 'max' or 'auto'.")
    return mode


def _monitored(run: Any, monitor: str) -> float:
    if monitor not in run.logs:
        hint = " Give fit a validation set." if monitor.startswith("val_") else ""
        raise fb.ArgumentError(
            f"callback: no {monitor!r} to watch. There are {', '.join(run.logs)}.{hint}"
        )
    return float(run.logs[monitor])


class EarlyStopping(Callback):
    """Stops when a number has not improved for some epochs, and goes back to the best epoch.

    Args:
        monitor: Name of the number, as in the history.
        patience: Epochs without improvement before the run stops.
        min_delta: Smallest change that counts as an improvement.
        mode: "min", "max", or "auto": larger is better for names that contain "acc".
        restore: Give the model the values it had after the best epoch.

    Raises:
        ArgumentError: If there is no such number, at the end of the first epoch.

    Example:
        >>> stop = fb.callbacks.EarlyStopping("val_loss", patience=3)

    Source: Prechelt (1998), "Early stopping - but when?".
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        *,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore: bool = True,
    ) -> None:
        self.monitor, self.patience, self.min_delta = monitor, int(patience), abs(float(min_delta))
        self.mode, self.restore = _mode(monitor, mode), bool(restore)
        self._forget()

    def _forget(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.best_epoch = -1
        self._waited = 0
        self._kept: list[tuple[Any, Any]] = []

    def on_train_begin(self, run: Any) -> None:
        self._forget()

    def on_epoch_end(self, run: Any) -> None:
        value = _monitored(run, self.monitor)
        change = self.best - value if self.mode == "min" else value - self.best
        if change > self.min_delta:
            self.best, self.best_epoch, self._waited = value, run.epoch, 0
            if self.restore:  # values are immutable, so keeping them copies nothing
                self._kept = [(v, v.value) for v in named_variables(run.model).values()]
            return
        self._waited += 1
        if self._waited >= self.patience:
            run.stop(f"no better {self.monitor} for {self._waited} epochs")

    def on_train_end(self, run: Any) -> None:
        for variable, value in self._kept:
            variable.assign(value)
        self._kept = []


class Checkpoint(Callback):
    """Saves model and optimizer after epochs, as safetensors.

    Args:
        path: File name; `{epoch}` (from 1) and the names of numbers are filled in.
        monitor: Save only when this number is the best so far; None saves every time.
        mode: "min", "max", or "auto": larger is better for names that contain "acc".
        every: Save after every so many epochs.

    Example:
        >>> keep = fb.callbacks.Checkpoint("model-{epoch:03d}.safetensors", every=10)
        >>> best = fb.callbacks.Checkpoint("best.safetensors", monitor="val_loss")
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        monitor: str | None = None,
        mode: str = "auto",
        every: int = 1,
    ) -> None:
        self.path, self.monitor, self.every = os.fspath(path), monitor, max(1, int(every))
        self.mode = _mode(monitor or "", mode)
        self.best = math.inf if self.mode == "min" else -math.inf

    def on_epoch_end(self, run: Any) -> None:
        if (run.epoch + 1) % self.every:
            return
        if self.monitor is not None:
            value = _monitored(run, self.monitor)
            if not (value < self.best if self.mode == "min" else value > self.best):
                return
            self.best = value
        path = self.path.format(epoch=run.epoch + 1, **run.logs)
        fb.save(
            path,
            {"model": run.model, "optimizer": run.optimizer},
            metadata={"epoch": str(run.epoch + 1), "step": str(run.step)},
        )


class StopOnNaN(Callback):
    """Stops after an epoch whose loss is not finite.

    `fit(on_nan="stop")` stops at the step, and before the model has taken it in.

    Example:
        >>> guard = fb.callbacks.StopOnNaN()
    """

    def on_epoch_end(self, run: Any) -> None:
        if not math.isfinite(run.logs.get("loss", 0.0)):
            run.stop(f"the loss is {run.logs['loss']} in epoch {run.epoch + 1}")


class CSVLogger(Callback):
    """Writes one line of numbers per epoch to a CSV file.

    Args:
        path: The file; it is written anew by each run.

    Example:
        >>> log = fb.callbacks.CSVLogger("training.csv")
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._names: list[str] = []

    def on_train_begin(self, run: Any) -> None:
        self._names = []

    def on_epoch_end(self, run: Any) -> None:
        fresh = not self._names
        self._names = self._names or list(run.logs)
        with open(self.path, "w" if fresh else "a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["epoch", *self._names])
            writer.writerow([run.epoch + 1, *(run.logs.get(n, "") for n in self._names)])


if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
