"""Progress of `fit`: a bar in a terminal, one updated line in a notebook, a line per epoch in logs.

At most two updates a second, whatever the speed of the steps. Where the notebook extension shows a
live view instead (`_run.views`), none of this is used; this file only knows text.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

INTERVAL = 0.5  # seconds between updates


class Progress(Protocol):
    """What `fit` tells about a run; `run` is a `flowbook.Run`."""

    def step(self, run: Any) -> None:
        """Called at most twice a second, after a step."""

    def epoch(self, run: Any) -> None:
        """Called after each epoch, with `run.logs` complete."""

    def close(self, run: Any) -> None:
        """Called once at the end, also after an error."""


def make(run: Any, choice: Any) -> Progress | None:
    """The display for `fit(progress=choice)`."""
    if choice is False or choice is None:
        return None
    if callable(getattr(choice, "step", None)) and callable(getattr(choice, "epoch", None)):
        return choice  # type: ignore[no-any-return]
    if choice == "tqdm":
        return TqdmBar()
    if choice == "text":
        return TextLines()
    display = _notebook_display()
    if display is not None:
        return NotebookLine(display)
    if sys.stderr is not None and sys.stderr.isatty():
        try:
            return TqdmBar()
        except ImportError:
            return TerminalBar()
    return TextLines()


def _notebook_display() -> Callable[..., Any] | None:
    """IPython's `display` if this runs in a kernel; never imports IPython itself."""
    shell = sys.modules.get("IPython.core.interactiveshell")
    display = sys.modules.get("IPython.display") or sys.modules.get(
        "IPython.core.display_functions"
    )
    if shell is None or display is None or not shell.InteractiveShell.initialized():
        return None
    if getattr(shell.InteractiveShell.instance(), "kernel", None) is None:
        return None
    return display.display  # type: ignore[no-any-return]


def numbers(logs: dict[str, float]) -> str:
    """`loss 0.1234  accuracy 0.97`."""
    return "  ".join(f"{name} {value:.4g}" for name, value in logs.items())


def duration(seconds: float) -> str:
    """Seconds as `850 ms`, `12 s`, `3 min 20 s` or `2 h 5 min`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def bar(run: Any, width: int = 24) -> str:
    """`epoch 3/10 [######......] 120/400  loss 0.1234  1.2 ms/step, 3 s left`."""
    total = run.steps_per_epoch
    text = f"epoch {run.epoch + 1}/{run.epochs}"
    if total:
        done = min(width, width * run.epoch_step // total)
        text += f" [{'#' * done}{'.' * (width - done)}] {run.epoch_step}/{total}"
    else:
        text += f" {run.epoch_step} steps"
    text += f"  {numbers(run.current())}" if run.epoch_step else ""
    if run.epoch_step:
        pace = run.epoch_seconds / run.epoch_step
        text += f"  {_pace(pace)}/step"
        if total:
            left = pace * (total - run.epoch_step + total * (run.epochs - run.epoch - 1))
            text += f", {duration(left)} left"
    return text


def line(run: Any) -> str:
    """One finished epoch as a line."""
    return f"epoch {run.epoch + 1}/{run.epochs}  {numbers(run.logs)}  {duration(run.epoch_seconds)}"


def _pace(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


class TextLines:
    """For logs and pipes: one line per epoch on stdout, at most two a second."""

    def __init__(self) -> None:
        self._last = -math.inf
        self._pending: str | None = None

    def step(self, run: Any) -> None:
        pass

    def epoch(self, run: Any) -> None:
        now = time.monotonic()
        self._pending = line(run)
        if now - self._last >= INTERVAL or run.epoch == 0:
            self._flush()
            self._last = now

    def _flush(self) -> None:
        if self._pending is not None:
            print(self._pending, flush=True)
            self._pending = None

    def close(self, run: Any) -> None:
        self._flush()  # the last epoch always shows
        if run.history.stopped:
            print(f"stopped: {run.history.stopped}", flush=True)


class TerminalBar:
    """One line on stderr that is rewritten, for a terminal without tqdm."""

    def __init__(self) -> None:
        self._width = 0

    def _write(self, text: str, end: str = "") -> None:
        sys.stderr.write("\r" + text.ljust(self._width) + end)
        sys.stderr.flush()
        self._width = len(text)

    def step(self, run: Any) -> None:
        self._write(bar(run))

    def epoch(self, run: Any) -> None:
        self._write(line(run), "\n")

    def close(self, run: Any) -> None:
        if run.history.stopped:
            self._write(f"stopped: {run.history.stopped}", "\n")


class TqdmBar:
    """tqdm's bar, one per run, counting epochs; needs the package tqdm."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

        self._tqdm = tqdm
        self._bar: Any = None

    def _open(self, run: Any) -> Any:
        if self._bar is None:
            total = run.steps_per_epoch * run.epochs if run.steps_per_epoch else None
            self._bar = self._tqdm(total=total, unit="step", mininterval=INTERVAL)
        return self._bar

    def _move(self, run: Any, logs: dict[str, float]) -> None:
        shown = self._open(run)
        shown.set_postfix({n: f"{v:.4g}" for n, v in logs.items()}, refresh=False)
        shown.set_description(f"epoch {run.epoch + 1}/{run.epochs}", refresh=False)
        shown.update(run.step - shown.n)

    def step(self, run: Any) -> None:
        self._move(run, run.current())

    def epoch(self, run: Any) -> None:
        self._move(run, run.logs)

    def close(self, run: Any) -> None:
        if self._bar is not None:
            self._bar.close()


class NotebookLine:
    """One output in a notebook that is updated in place; its last state is saved with the cell."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._handle: Any = None
        self._last = -math.inf
        self._done = ""

    def _show(self, text: str) -> None:
        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
        self._last = time.monotonic()

    def step(self, run: Any) -> None:
        self._show(bar(run))

    def epoch(self, run: Any) -> None:
        self._done = line(run)
        if time.monotonic() - self._last >= INTERVAL:
            self._show(self._done)

    def close(self, run: Any) -> None:
        text = self._done
        if run.history.stopped:
            text += f"{chr(10) if text else ''}stopped: {run.history.stopped}"
        if text:
            self._show(text)
