"""Training runs: those that run now, and the logs of earlier ones, also from other kernels.

fb.runs.active()             the runs of this process that have not ended
fb.runs.all()                the logs on this machine, the newest first
fb.runs.get(-1)              one of them, by name, label or place in the list
fb.runs.compare("a", "b")    their courses, laid over each other
"""

from __future__ import annotations

import builtins
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _active, _hints, _runlog
from ._course import Points
from ._history import Mark
from ._run import Run
from ._run_tables import Comparison, RunList
from .errors import ArgumentError

__all__ = ["LoggedRun", "active", "all", "compare", "delete", "get"]

_MOST = 64 << 20  # characters of a log that are read
_NAMES = 64  # numbers of an epoch
_POINTS = 200_000  # buckets of steps

# Which number tells best how good a run was, and whether more of it is better.
_TELLING = [("val_accuracy", True), ("val_loss", False), ("accuracy", True), ("loss", False)]


class LoggedRun:
    """A run read back from its log.

    Attributes:
        name: Its name in the list.
        label: What its author called it, or "".
        started: Unix time.
        about: What ran: model, optimizer, data, epochs.
        summary: The model as text.
        logs: One dict per epoch.
        marks: What was changed while it ran.
        steps: Finished steps.
        seconds: Wall time.
        ended: Unix time of the end; None while it runs, or if it was killed.
        stopped: Why it ended early, or None.
        error: What ended it, or None.
    """

    def __init__(
        self, name: str, entries: Iterator[Mapping[str, Any]], running: bool = False
    ) -> None:
        self.name = name
        self.label = ""
        self.started = 0.0
        self.about: dict[str, Any] = {}
        self.summary = ""
        self.logs: list[dict[str, float]] = []
        self.marks: list[Mark] = []
        self.steps = 0
        self.seconds = 0.0
        self.ended: float | None = None
        self.stopped: str | None = None
        self.error: str | None = None
        self._course: list[list[float]] = []
        self._running = running
        for entry in entries:
            try:
                self._take(entry)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
                continue  # not a line of ours

    def _take(self, entry: Mapping[str, Any]) -> None:
        if "started" in entry:
            self.started = float(entry["started"])
            self.label = str(entry.get("label") or "")[:100]
            self.about = {str(k)[:100]: v for k, v in builtins.list(entry.items())[:_NAMES]}
        elif "logs" in entry:  # of some epochs, as columns
            items = builtins.list(entry["logs"].items())[:_NAMES]
            columns = {str(k)[:100]: [float(v) for v in values] for k, values in items}
            rows = builtins.list(zip(*columns.values(), strict=True))
            self.steps, self.seconds = int(entry["step"]), float(entry["seconds"])
            self.logs += [dict(zip(columns, row, strict=True)) for row in rows]
        elif "course" in entry:
            for row in entry["course"]:
                if len(self._course) < _POINTS:
                    step, *values = row[:4]
                    self._course.append(
                        [float(step), *(math.nan if v is None else float(v) for v in values)]
                    )
        elif "mark" in entry:
            m = entry["mark"]
            value = None if m.get("value") is None else float(m["value"])
            text = str(m["text"])[:200]
            if len(self.marks) < 10_000:
                self.marks.append(
                    Mark(int(m["step"]), float(m["epoch"]), str(m["kind"])[:40], text, value)
                )
        elif "summary" in entry:
            self.summary = str(entry["summary"])[:4000]
            self.about["model"] = self.summary.partition("\n")[0]
        elif "ended" in entry:
            self.ended = float(entry["ended"])
            self.steps = int(entry.get("steps", self.steps))
            self.seconds = float(entry.get("seconds", self.seconds))
            self.stopped = None if entry.get("stopped") is None else str(entry["stopped"])[:200]
            self.error = None if entry.get("error") is None else str(entry["error"])[:500]

    @property
    def status(self) -> str:
        """ "running", "finished", "stopped", "failed", or "killed": its process ended before it."""
        if self.ended is None:
            return "running" if self._running else "killed"
        return "failed" if self.error else "stopped" if self.stopped else "finished"

    @property
    def title(self) -> str:
        """Its label if it has one, else its name."""
        return self.label or self.name

    def points(self) -> Points:
        """The loss of its steps, in buckets."""
        rows = [row for row in self._course if len(row) == 4]
        table = np.asarray(sorted(rows, key=lambda row: row[0])) if rows else np.empty((0, 4))
        return Points(*table.T)

    def best(self) -> tuple[str, float] | None:
        """The most telling number at its best: accuracy before loss, validation before training."""
        for name, larger in _TELLING:
            values = [v for v in self[name] if math.isfinite(v)]
            if values:
                return name, max(values) if larger else min(values)
        return None

    def __getitem__(self, name: str) -> list[float]:
        return [logs.get(name, math.nan) for logs in self.logs]

    def __iter__(self) -> Iterator[str]:
        """Names of the numbers, in the order in which they first occurred."""
        return iter(dict.fromkeys(name for logs in self.logs for name in logs))

    def __contains__(self, name: object) -> bool:
        return any(name in logs for logs in self.logs)

    def __repr__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        return f"LoggedRun {self.name}{label}: {self.status}, {self.steps:,} steps"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {**Comparison([self])._repr_mimebundle_(), "text/plain": repr(self)}


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """The readable lines of a log; a torn last line is skipped."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file.read(_MOST).splitlines():
            try:
                entry = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict):
                yield entry


def _open(path: Path) -> LoggedRun:
    with path.open("rb") as file:
        running = not _runlog.lock(file)
    return LoggedRun(path.stem, _entries(path), running)


def active() -> Sequence[Run]:
    """The runs of this process that have not ended, the oldest first.

    Example:
        >>> fb.runs.active()
        []
    """
    return _active.active()


def all(limit: int | None = None) -> RunList:
    """The logged runs, the newest first; unreadable logs are left out.

    Args:
        limit: At most so many.
    """
    found: builtins.list[LoggedRun] = []
    for path in sorted(_runlog.folder().glob("*.jsonl"), key=lambda p: p.name, reverse=True):
        if limit is not None and len(found) >= limit:
            break
        try:
            run = _open(path)
        except (OSError, ValueError):
            continue
        if run.started:
            found.append(run)
    return RunList(sorted(found, key=lambda run: (run.started, run.name), reverse=True))


def get(name: str | int) -> LoggedRun:
    """One logged run.

    Args:
        name: Its name, its label (of several runs with one label the newest), or its place in the
            list: 1 is the newest, and so is -1, as one counts from the end in Python.

    Raises:
        KeyError: If there is no such run.
    """
    name = str(name)
    path = _path(name)
    if path is not None:
        return _open(path)
    every = all()
    for run in every:
        if run.label == name:
            return run
    if re.fullmatch(r"-?\d{1,4}", name):
        place = abs(int(name))
        if not 1 <= place <= len(every):
            count = f"are {len(every)} runs" if len(every) != 1 else "is 1 run"
            raise KeyError(f"there {count}, so {name} is none of them")
        return every[place - 1]
    raise KeyError(f"there is no run {name!r}")


def _path(name: str) -> Path | None:
    """The log of that name; never one outside the folder."""
    if not name or os.sep in name or "/" in name or name.startswith("."):
        return None
    path = _runlog.folder() / f"{name}.jsonl"
    return path if path.is_file() else None


def delete(*names: str | int) -> builtins.list[str]:
    """Removes logs. A run that still runs is refused.

    Args:
        *names: As for `get`.

    Returns:
        The names of the removed runs.

    Raises:
        KeyError: If there is no such run. Nothing is removed then.
        ArgumentError: If one of them still runs. Nothing is removed then.
    """
    chosen = [get(name) for name in names]
    for run in chosen:
        if run.status == "running":
            raise ArgumentError(f"runs.delete: {run.name} still runs. Stop it first.")
    for run in chosen:
        (_runlog.folder() / f"{run.name}.jsonl").unlink(missing_ok=True)
    return [run.name for run in chosen]


def compare(*runs: str | int | LoggedRun) -> Comparison:
    """The courses of several runs, laid over each other: one chart per number.

    Args:
        *runs: Runs, or what `get` takes.

    Raises:
        KeyError: If there is no such run.
        ArgumentError: If no run is named.
    """
    if not runs:
        raise ArgumentError("runs.compare: no runs. Name at least one; fb.runs.all() lists them.")
    return Comparison([run if isinstance(run, LoggedRun) else get(run) for run in runs])


if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
