"""A log of training runs on disk, so that they can be listed and drawn after a restart.

One file per run, one JSON object per line: first what runs, then numbers as they come, at the end how
it ended. Lines are only appended, so a run that was killed keeps what it had. A running writer holds
a lock on its file; that tells its run from one that was killed. `runs.py` reads the logs.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from ._course import Points, buckets

try:
    import fcntl
except ImportError:  # not on Windows: there, a running log looks like an interrupted one
    fcntl = None  # type: ignore[assignment]

_KEPT = 500  # runs; older logs are removed when a new one begins
_FINE = 1000  # a run of fewer steps has each in its log; from then on buckets grow with it
_PERIOD = 1.0  # seconds between two writes of steps and short epochs
_ROWS = 500  # buckets of a line

_encode = json.JSONEncoder(default=str).encode

enabled = False  # whether runs are logged that don't say; the notebook extension sets it


def wanted(choice: bool | None) -> bool:
    """Whether `fit(log=choice)` writes a log."""
    return enabled if choice is None else bool(choice)


def folder() -> Path:
    """Where runs are logged: `runs` in FLOWBOOK_CACHE_DIR, or in the user's cache folder."""
    base = os.environ.get("FLOWBOOK_CACHE_DIR")
    if base:
        return Path(base) / "runs"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "flowbook" / "runs"


class RunLog:
    """Logs a run to disk, as its observer. A log that cannot be written is given up; training goes on.

    Args:
        run: The run; it takes the name of its file.
    """

    def __init__(self, run: Any) -> None:
        self._file: Any = None
        self._steps: list[np.ndarray] = []  # losses that are not written yet
        self._written = 0  # steps that are
        self._epochs = 0  # that are written
        self._due = 0.0
        self._described = False
        try:
            self._file = _create(run.name)
        except OSError:
            return
        run.name = Path(self._file.name).stem

    def began(self, run: Any) -> None:
        """Says what runs."""
        from . import __version__

        head = {
            "run": run.name, "label": run.label, "started": run.started, "epochs": run.epochs,
            "steps_per_epoch": run.steps_per_epoch, "model": type(run.model).__name__,
            "optimizer": _line(run.optimizer), "version": __version__, "pid": os.getpid(),
        }  # fmt: skip
        self._write({**head, **run.facts})
        self._flush()

    def tick(self, run: Any, first: int, losses: np.ndarray) -> None:
        """Takes the losses of some steps."""
        if len(losses):
            self._describe(run)
        self._steps.append(losses)
        self._write_due(run)

    def epoch(self, run: Any) -> None:
        """Looks what is new in the history."""
        self._write_due(run)

    def _describe(self, run: Any) -> None:
        """Says what the model is, once it has made a step: that builds its layers."""
        if not self._described:
            self._described = True
            self._write({"summary": _text(run.model)})

    def marked(self, run: Any, mark: Any) -> None:
        """Appends a change."""
        self._write_epochs(run)  # in order
        value = None if mark.value is None else _number(mark.value)
        self._write({"mark": {**mark._asdict(), "value": value}})

    def ended(self, run: Any) -> None:
        """Says how the run ended, and closes the log."""
        self._write_epochs(run)
        self._write_steps(all_of_them=True)
        error = f"{type(run.error).__name__}: {run.error}"[:500] if run.error else None
        stopped = run.history.stopped
        self._write(
            {"ended": time.time(), "steps": run.step, "seconds": round(run.history.seconds, 3),
             "stopped": stopped, "error": error}
        )  # fmt: skip
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _write_due(self, run: Any) -> None:
        """Appends steps and epochs once a second, and at once what comes more seldom."""
        if time.monotonic() >= self._due:
            self._write_epochs(run)
            self._write_steps(all_of_them=False)
            self._flush()
            self._due = time.monotonic() + _PERIOD

    def _write_epochs(self, run: Any) -> None:
        """A line for all that are new, with a column for each number; several if the names change."""
        fresh = run.history.logs[self._epochs :]
        if fresh:
            self._describe(run)
        for names, group in itertools.groupby(fresh, tuple):
            logs = list(group)
            columns = []
            for name in names:
                values = [epoch[name] for epoch in logs]
                text = _formatted("%.12g", len(logs), values, unknown='"{}"')
                columns.append(f"{_encode(str(name))}: [{text}]")
            self._write_line(
                f'{{"epoch": {self._epochs + 1}, "step": {run.step}, "seconds": {run.seconds:.3f}, '
                f'"logs": {{{", ".join(columns)}}}}}'
            )
            self._epochs += len(logs)

    def _write_steps(self, all_of_them: bool) -> None:
        """Buckets of a size that grows with the run, so that a log of n steps has O(log n) of them.

        The newest step decides: of a fast run, not even the first second takes more rows than are drawn.
        """
        values = np.concatenate([np.empty(0), *self._steps])
        size = 1 << ((self._written + len(values)) // _FINE).bit_length()
        while count := min(len(values) // size, _ROWS):
            self._write_rows(buckets(self._written + 1, values[: count * size], count))
            self._written += count * size
            values = values[count * size :]
        if all_of_them and len(values):
            self._write_rows(buckets(self._written + 1, values, 1))
            self._written += len(values)
            values = values[:0]
        self._steps = [values.copy()]

    def _write_rows(self, points: Points) -> None:
        """A line of buckets."""
        rows = np.column_stack(points).ravel().tolist()
        text = _formatted("[%d, %.6g, %.6g, %.6g]", len(points.step), rows, unknown="null")
        self._write_line('{"course": [' + text + "]}")

    def _write(self, entry: dict[str, Any]) -> None:
        with contextlib.suppress(ValueError):  # a user's object that no JSON can hold
            self._write_line(_encode(entry))

    def _write_line(self, text: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(text + "\n")
        except (OSError, ValueError):
            self._file = None

    def _flush(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except OSError:  # the disk is full
                self._file = None


def _create(name: str) -> Any:
    """Opens a new, locked log of that name, or with a number behind it if another kernel has it."""
    folder().mkdir(parents=True, exist_ok=True)
    _remove_old()
    for k in range(1000):
        path = folder() / f"{name}{f'-{k}' if k else ''}.jsonl"
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError:
            continue
        lock(file)
        return file
    raise OSError("no free name")


def _remove_old() -> None:
    logs = sorted(folder().glob("*.jsonl"), key=_changed)
    for old in logs[:-_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another kernel has just removed it
        return 0.0


def lock(file: Any) -> bool:
    """Locks a log; False if its run still writes to it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _formatted(pattern: str, count: int, values: list[float], unknown: str) -> str:
    """A JSON list without its brackets, in one go: a fast run has thousands of numbers a second.

    Args:
        pattern: How an entry is written.
        count: Number of entries.
        values: The numbers of all of them.
        unknown: Stands for the numbers that JSON has no words for; `{}` in it for their names.
    """
    text = ", ".join([pattern] * count) % tuple(values)
    if "n" in text:  # of nan or inf
        text = re.sub("-?(nan|inf)", lambda found: unknown.format(found[0]), text)
    return text


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else repr(float(value))


def _line(obj: Any) -> str:
    return _text(obj).partition("\n")[0][:120]


def _text(obj: Any) -> str:
    """A repr, bounded."""
    try:
        return repr(obj)[:4000]
    except Exception:  # a user's __repr__ must not stop a run
        return type(obj).__name__
