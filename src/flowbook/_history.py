"""`History`: what `fit` measured, epoch by epoch; prints as a table and draws itself as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SHOWN = 12  # rows of a printed table


class History:
    """The course of a training run: a mapping from the name of a number to its values per epoch.

    Attributes:
        epochs: Finished epochs.
        steps: Finished steps.
        seconds: Wall time in seconds.
        stopped: Why the run ended early ("interrupted", or a callback's reason), else None.
        logs: One dict per finished epoch.

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
            [str(i + 1), *(_number(logs.get(n, math.nan)) for n in names)]
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
        groups: dict[str, list[str]] = {}
        for name in self.keys():
            groups.setdefault(name.removeprefix("val_"), []).append(name)
        charts = "".join(_chart(title, [(n, self[n]) for n in g]) for title, g in groups.items())
        cell = "padding:1px 10px;text-align:right;border:none"
        rows = "".join(
            "<tr>" + "".join(f'<td style="{cell}">{escape(c)}</td>' for c in row) + "</tr>"
            for row in self._table()
        )
        table = f'<table style="border-collapse:collapse;font-size:90%">{rows}</table>'
        return f"{head}<div>{charts}</div><details><summary>numbers</summary>{table}</details>"


def _number(value: float) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else f"{value:.4g}"


def _chart(title: str, series: Sequence[tuple[str, Sequence[float]]]) -> str:
    """One small line chart as inline SVG, readable on light and dark pages."""
    width, height, left, top, bottom = 280, 150, 48, 22, 18
    finite = [v for _, values in series for v in values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    span = (high - low) or 1.0
    count = max(len(values) for _, values in series)

    def place(i: int, value: float) -> str:
        x = left + (width - left - 8) * (i / max(1, count - 1))
        y = top + (height - top - bottom) * (1 - (value - low) / span)
        return f"{x:.1f},{y:.1f}"

    parts = []
    for k, (name, values) in enumerate(series):
        color = _COLORS[k % len(_COLORS)]
        points = [place(i, v) for i, v in enumerate(values) if math.isfinite(v)]
        dash = ' stroke-dasharray="5 3"' if name.startswith("val_") else ""
        if len(points) == 1:
            x, y = points[0].split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>')
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" '
            f'stroke-width="1.5"{dash}/>'
        )
        parts.append(
            f'<text x="{width - 8}" y="{14 + 12 * k}" text-anchor="end" fill="{color}" '
            f'font-size="10">{escape(name)}</text>'
        )
    last = ", ".join(f"{n} {_number(v[-1])}" for n, v in series if v)
    style = 'fill="currentColor" font-size="10" opacity="0.8"'
    return (
        f'<svg role="img" aria-label="{escape(title)} by epoch: last {escape(last)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'style="margin-right:12px">'
        f'<text x="4" y="14" font-weight="bold" fill="currentColor" font-size="11">'
        f"{escape(title)}</text>"
        f'<path d="M{left} {top} V{height - bottom} H{width - 8}" fill="none" '
        'stroke="currentColor" opacity="0.4"/>'
        f'<text x="{left - 4}" y="{top + 8}" text-anchor="end" {style}>{_number(high)}</text>'
        f'<text x="{left - 4}" y="{height - bottom}" text-anchor="end" {style}>'
        f"{_number(low)}</text>"
        f'<text x="{left}" y="{height - 4}" {style}>1</text>'
        f'<text x="{width - 8}" y="{height - 4}" text-anchor="end" {style}>{count}</text>'
        + "".join(parts)
        + "</svg>"
    )
