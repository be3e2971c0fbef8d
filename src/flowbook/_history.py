"""`History`: what `fit` measured, epoch by epoch; prints as a table and draws itself as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from ._chart import Drawn, pictures
from ._run_tables import grouped

_SHOWN = 12  # rows of a printed table


class Mark(NamedTuple):
    """Something that happened to a run: a new learning rate, a pause, a loss that is not finite."""

    step: int  # finished steps when it happened
    epoch: float  # the same in epochs: 2.5 is the middle of the third
    kind: str  # "learning rate", "pause", "resume", "alert"
    text: str
    value: float | None = None  # the new learning rate, or the first step of an alert

    def __repr__(self) -> str:
        value = "" if self.value is None else f", value={self.value:.6g}"
        return (
            f"Mark(step={self.step}, epoch={round(self.epoch, 2)}, kind={self.kind!r}, "
            f"text={self.text!r}{value})"
        )


class History:
    """The course of a training run: a mapping from the name of a number to its values per epoch.

    Attributes:
        epochs: Finished epochs.
        steps: Finished steps.
        seconds: Wall time in seconds.
        stopped: Why the run ended early ("interrupted", or a callback's reason), else None.
        logs: One dict per finished epoch.
        marks: What was changed while it ran, in order.

    Example:
        >>> history = fb.History()
        >>> history.add({"loss": 0.5})
        >>> history.add({"loss": 0.25})
        >>> history["loss"], history.last("loss"), history.best("loss")
        ([0.5, 0.25], 0.25, (1, 0.25))
    """

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []
        self.steps = 0
        self.seconds = 0.0
        self.stopped: str | None = None
        self.marks: list[Mark] = []

    @property
    def epochs(self) -> int:
        return len(self.logs)

    def add(self, logs: dict[str, float]) -> None:
        """Appends the numbers of one epoch.

        Example:
            >>> history = fb.History()
            >>> history.add({"loss": 0.5})
            >>> history.epochs
            1
        """
        self.logs.append(dict(logs))

    def keys(self) -> list[str]:
        """The names of the numbers, in the order in which they first occurred."""
        return list(dict.fromkeys(name for logs in self.logs for name in logs))

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.keys():
            known = ", ".join(map(repr, self.keys())) or "none yet"
            raise KeyError(f"History: no {name!r}. There are: {known}.")
        return [logs.get(name, math.nan) for logs in self.logs]

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.logs)

    def last(self, name: str) -> float:
        """The number's value in the last epoch."""
        return self[name][-1]

    def best(self, name: str, mode: str = "min") -> tuple[int, float]:
        """The epoch (from 0) at which a number was smallest (or largest: mode "max"), and it."""
        values = [(v, i) for i, v in enumerate(self[name]) if not math.isnan(v)]
        if not values:
            return -1, math.nan
        value, epoch = min(values) if mode == "min" else max(values, key=lambda p: (p[0], -p[1]))
        return epoch, value

    def frame(self) -> Any:
        """The numbers as a pandas DataFrame with one row per epoch (needs pandas)."""
        import pandas

        frame = pandas.DataFrame(self.logs)
        frame.index.name = "epoch"
        return frame

    def _headline(self) -> str:
        text = f"{self.epochs} epoch{'s' * (self.epochs != 1)}, {self.steps:,} steps, "
        text += f"{self.seconds:.3g} s"
        return text + (f", stopped: {self.stopped}" if self.stopped else "")

    def _table(self) -> list[list[str]]:
        """Header and rows as texts; long histories keep their ends."""
        names = self.keys()
        rows = [
            [str(i + 1), *(f"{logs[n]:.4g}" if n in logs else "" for n in names)]
            for i, logs in enumerate(self.logs)
        ]
        if len(rows) > _SHOWN:
            rows = [*rows[: _SHOWN // 2], ["..."] * (len(names) + 1), *rows[-_SHOWN // 2 :]]
        return [["epoch", *names], *rows]

    def __repr__(self) -> str:
        head = f"History: {self._headline()}"
        if not self.logs:
            return head
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in table]
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        """A chart and a table that need no script and no kernel."""
        head = f"<div><b>History</b>: {escape(self._headline())}</div>"
        if not self.logs:
            return head
        marks = [(mark.epoch, mark.text) for mark in self.marks]
        charts = pictures([Drawn(title, lines, marks) for title, lines in grouped(self)])
        cell = "padding:1px 10px;text-align:right;border:none"
        rows = "".join(
            "<tr>" + "".join(f'<td style="{cell}">{escape(c)}</td>' for c in row) + "</tr>"
            for row in self._table()
        )
        table = f'<table style="border-collapse:collapse;font-size:90%">{rows}</table>'
        return f"{head}<div>{charts}</div><details><summary>numbers</summary>{table}</details>"
