"""A log of training runs on disk, so that they can be listed and drawn after a restart.

One file per run, one JSON object per line: first what runs, then the numbers of each epoch, at the
end how it ended. Lines are only appended; a run that was killed keeps its epochs. Nothing is
written unless a `RunLog` is among the callbacks: the notebook extension adds one to every `fit`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .callbacks import Callback

_MOST = 64 << 20  # bytes of a log that are read
_KEPT = 500  # runs; older logs are removed when a new one begins


def folder() -> Path:
    """Where runs are logged: `runs` in FLOWBOOK_CACHE_DIR, or in the user's cache folder."""
    base = os.environ.get("FLOWBOOK_CACHE_DIR")
    if base:
        return Path(base) / "runs"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "flowbook" / "runs"


class RunLog(Callback):
    """Logs a run to disk. A log that cannot be written is given up; training goes on.

    Args:
        path: The file; by default a new one in `folder()`.
        about: More facts for the first line, such as the notebook's name.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self._path = None if path is None else Path(path)
        self._about = dict(about or {})
        self._file: Any = None

    @property
    def name(self) -> str:
        """The run's name in the list of runs."""
        return self._path.stem if self._path is not None else ""

    def on_train_begin(self, run: Any) -> None:
        """Opens the log and says what runs."""
        try:
            if self._path is None:
                self._path = _new_file()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError:
            self._file = None
            return
        facts = {"model": _line(run.model), "optimizer": _line(run.optimizer)}
        head = {"run": self.name, "started": time.time(), "epochs": run.epochs}
        self._write({**head, **facts, **self._about})

    def on_epoch_end(self, run: Any) -> None:
        """Appends the numbers of an epoch."""
        logs = {k: v if math.isfinite(v) else repr(v) for k, v in run.logs.items()}
        self._write({"epoch": run.epoch + 1, "step": run.step, "logs": logs})

    def on_train_end(self, run: Any) -> None:
        """Says how the run ended, and closes the log."""
        history = run.history
        self._write({"ended": time.time(), "steps": run.step, "stopped": history.stopped})
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
        except (OSError, ValueError):
            self._file = None


def _new_file() -> Path:
    for old in sorted(folder().glob("*.jsonl"))[:-_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for k in range(1000):
        path = folder() / f"{stamp}{f'-{k}' if k else ''}.jsonl"
        if not path.exists():
            return path
    raise OSError("no free name")


def _line(obj: Any) -> str:
    """The first line of a repr, short."""
    try:
        return repr(obj).partition("\n")[0][:120]
    except Exception:  # a user's __repr__ must not stop a run
        return type(obj).__name__


class LoggedRun:
    """A run read back from its log.

    Attributes:
        name: Its name in the list.
        started: Unix time.
        about: What ran: model, optimizer, epochs.
        logs: One dict per epoch.
        steps: Finished steps.
        ended: Unix time of the end; None while it runs, or if it was killed.
        stopped: Why it ended early, or None.
    """

    def __init__(self, name: str, entries: Iterator[dict[str, Any]]) -> None:
        self.name = name
        self.started = 0.0
        self.about: dict[str, Any] = {}
        self.logs: list[dict[str, float]] = []
        self.steps = 0
        self.ended: float | None = None
        self.stopped: str | None = None
        for entry in entries:
            if "started" in entry:
                self.started = float(entry["started"])
                self.about = entry
            elif "logs" in entry:
                self.logs.append({str(k): float(v) for k, v in entry["logs"].items()})
                self.steps = int(entry.get("step", 0))
            elif "ended" in entry:
                self.ended = float(entry["ended"])
                self.steps = int(entry.get("steps", self.steps))
                self.stopped = entry.get("stopped")

    def __getitem__(self, name: str) -> list[float]:
        return [logs.get(name, math.nan) for logs in self.logs]

    def __iter__(self) -> Iterator[str]:
        """Names of the numbers, in the order in which they first occurred."""
        return iter(dict.fromkeys(name for logs in self.logs for name in logs))

    def __contains__(self, name: object) -> bool:
        return any(name in logs for logs in self.logs)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """The readable lines of a log; a torn last line is skipped."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file.read(_MOST).splitlines():
            try:
                entry = json.loads(text)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry


def read(name: str) -> LoggedRun:
    """Reads one run by its name.

    Raises:
        FileNotFoundError: If there is no such run.
    """
    if os.sep in name or name.startswith("."):
        raise FileNotFoundError(name)
    return LoggedRun(name, _entries(folder() / f"{name}.jsonl"))


def runs() -> list[LoggedRun]:
    """All logged runs, the newest first; unreadable logs are left out."""
    found = []
    for path in folder().glob("*.jsonl"):
        try:
            found.append(LoggedRun(path.stem, _entries(path)))
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return sorted(found, key=lambda run: run.started, reverse=True)
