"""How a run shows without a script: its state in a line, charts of its numbers, a table.

The live view of the notebook extension is built from the same record, and leaves this behind in the
saved notebook.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from ._chart import Drawn, Line, pictures
from ._course import Points
from ._progress import duration, numbers
from ._run_tables import grouped
from ._words import human_bytes

_CHARTS = 4  # at most, so that a saved view stays small


def smooth(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Exponential moving average over about a fiftieth of the steps, without the bias of its start.

    A value stands for all steps since the one before it; what is not finite is skipped.

    Example:
        >>> smooth(np.array([10, 20, 80]), np.array([1.0, 1.0, 1.0])).tolist()
        [1.0, 1.0, 1.0]
    """
    out = np.empty(len(values))
    mean = total = before = 0.0
    for k, (step, value) in enumerate(zip(steps.tolist(), values.tolist())):
        if math.isfinite(value):
            kept = math.exp(50 * (before - step) / steps[-1])
            mean, total = kept * mean + (1 - kept) * value, kept * total + (1 - kept)
            before = step
        out[k] = mean / total if total else math.nan
    return out


def charts(run: Any) -> list[Drawn]:
    """The charts of a run or logged run.

    The loss is drawn by step, its validation where the epochs end; other numbers by epoch.
    """
    points: Points = run.points()
    out: list[Drawn] = []
    numbers_of = run.history if hasattr(run, "history") else run
    per_epoch = _steps_per_epoch(run)
    for title, series in grouped(numbers_of):
        lines = [Line(*one) for one in series]
        if title == "loss" and len(points.mean) > 2 * len(lines[0].values):
            out.append(_by_step(points, lines, per_epoch, _marks(run, by_step=True)))
        else:
            out.append(Drawn(title, lines, _marks(run, by_step=False)))
    if not out and len(points.mean):
        out.append(_by_step(points, [], per_epoch, _marks(run, by_step=True)))
    return out[:_CHARTS]


def _by_step(
    points: Points, lines: Sequence[Line], per_epoch: int, marks: list[tuple[float, str]]
) -> Drawn:
    at = points.step.tolist()
    average = smooth(points.step, points.mean)
    drawn = [
        Line("loss", points.mean.tolist(), at, faint=True),
        Line("loss", average.tolist(), at),
    ]
    for line in lines:
        if line.name.startswith("val_"):
            ends = [per_epoch * (k + 1) for k in range(len(line.values))]
            drawn.append(Line(line.name, line.values, ends))
    return Drawn("loss", drawn, marks, "step")


def _marks(run: Any, by_step: bool) -> list[tuple[float, str]]:
    marks = run.history.marks if hasattr(run, "history") else run.marks
    return [(m.step if by_step else m.epoch, m.text) for m in marks]


def _steps_per_epoch(run: Any) -> int:
    known = run.steps_per_epoch if hasattr(run, "steps_per_epoch") else None
    known = known or (run.about.get("steps_per_epoch") if hasattr(run, "about") else None)
    epochs = len(run.history.logs) if hasattr(run, "history") else len(run.logs)
    return (
        int(known) if isinstance(known, int) and known > 0 else max(1, run.steps // (epochs or 1))
    )


def headline(run: Any) -> str:
    """A run in a line: `finished: 10 epochs, 4,000 steps, 12 s; loss 0.01  val_loss 0.02`."""
    logs = run.history.logs if hasattr(run, "history") else run.logs
    text = f"{run.status}: {len(logs)} epoch{'s' * (len(logs) != 1)}, {run.steps:,} steps, "
    text += duration(run.seconds)
    reason = run.history.stopped if hasattr(run, "history") else run.stopped
    if reason and run.status == "stopped":
        text += f" ({reason})"
    if run.error:
        what = (
            run.error if isinstance(run.error, str) else f"{type(run.error).__name__}: {run.error}"
        )
        text += f" ({what.partition(chr(10))[0][:200]})"
    return text + (f"; {numbers(logs[-1])}" if logs else "")


def details(run: Any) -> list[tuple[str, str]]:
    """What a reader may want to know beside the charts, by name."""
    rows = []
    about = run.about if hasattr(run, "about") else run.facts
    rows += [(k, str(v)) for k, v in about.items() if k in ("model", "optimizer", "data") and v]
    samples = getattr(run, "samples", None)
    if samples:
        last = samples[-1]
        rows.append(("learning rate", f"{last.rate:.4g}"))
        if math.isfinite(last.pace):
            rows.append(("throughput", f"{last.pace:,.0f} examples/s"))
        rows.append(("memory", human_bytes(last.live)))
    marks = run.history.marks if hasattr(run, "history") else run.marks
    rows += [(f"step {mark.step:,}", mark.text) for mark in marks[-30:]]
    return rows


def html(run: Any) -> str:
    """A run as HTML that an untrusted, saved notebook shows."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(k)}</th>'
        f'<td style="text-align:left">{escape(v)}</td></tr>'
        for k, v in details(run)
    )
    label = f"{escape(run.label)} " if run.label else ""
    return (
        f'<div class="flowbook-view flowbook-kind-run flowbook-id-{escape(run.name)}">'
        f"<div><b>Run {label}{escape(run.name)}</b> {escape(headline(run))}</div>"
        f"<div>{pictures(charts(run))}</div>"
        f'<details><summary>details</summary><table style="font-size:12px">{rows}</table></details>'
        "</div>"
    )


def mimebundle(run: Any) -> dict[str, str]:
    """Text and HTML of a run."""
    return {"text/plain": repr(run), "text/html": html(run)}
