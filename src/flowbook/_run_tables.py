"""How lists and comparisons of runs show: text, and HTML that needs no script and no kernel."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from . import _display
from ._chart import Drawn, Series, describe, pictures
from ._progress import duration
from ._words import first_words

_SHOWN = 20  # runs of a list
_COMPARED = 8  # runs of a comparison: as many as charts have colours
_TOLD = 6  # numbers that its text tells


class RunList(Sequence[Any]):
    """Runs as a table, the newest first."""

    def __init__(self, runs: Sequence[Any]) -> None:
        self.runs = list(runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, k: Any) -> Any:
        return RunList(self.runs[k]) if isinstance(k, slice) else self.runs[k]

    def _rows(self) -> list[list[str]]:
        rows = [["#", "run", "label", "started", "status", "epochs", "best", "duration", "model"]]
        for place, run in enumerate(self.runs[:_SHOWN], 1):
            best = run.best()
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
            rows.append([
                str(place), run.name, first_words(run.label, 30), started, run.status,
                f"{len(run.logs)}/{run.about.get('epochs', '?')}",
                f"{best[0]} {best[1]:.4g}" if best else "", duration(run.seconds),
                first_words(str(run.about.get("model", "")), 40),
            ])  # fmt: skip
        if not any(row[2] for row in rows[1:]):
            rows = [row[:2] + row[3:] for row in rows]
        return rows

    def __repr__(self) -> str:
        if not self.runs:
            return "no runs are logged yet: fb.fit in a notebook makes one"
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths)).rstrip() for row in rows]
        more = len(self.runs) - _SHOWN
        return "\n".join(lines + ([f"and {more} more"] if more > 0 else []))

    def _repr_html_(self) -> str:
        if not self.runs:
            return f"<div>{escape(repr(self))}</div>"
        head, *rows = self._rows()
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(c)}</td>' for c in row) + "</tr>"
            for row in rows
        )
        top = "".join(f'<th style="text-align:left">{c}</th>' for c in head)
        more = len(self.runs) - _SHOWN
        rest = f"<div>and {more} more</div>" if more > 0 else ""
        return (
            '<div class="flowbook-view flowbook-runs"><table style="font-size:12px"><thead><tr>'
            f"{top}</tr></thead><tbody>{body}</tbody></table>{rest}</div>"
        )


class Comparison:
    """The courses of some runs, one chart per number."""

    def __init__(self, runs: Sequence[Any]) -> None:
        self.runs = list(runs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.runs)

    @property
    def view_id(self) -> str:
        """The id under which a notebook's front end asks for it."""
        names = "\n".join(run.name for run in self.runs)
        return f"runs-{hashlib.sha256(names.encode()).hexdigest()[:12]}"

    def charts(self) -> list[Drawn]:
        """One chart for each number of the runs."""
        if len(self.runs) == 1:
            run = self.runs[0]
            marks = [(mark.epoch, mark.text) for mark in run.marks]
            return [Drawn(title, lines, marks) for title, lines in grouped(run)]
        shown = self.runs[:_COMPARED]
        names = list(dict.fromkeys(n for run in shown for n in run))
        titles = distinct([run.title for run in shown])
        return [
            Drawn(n, [(t, r[n]) for t, r in zip(titles, shown, strict=True) if n in r])
            for n in names
        ]

    def __repr__(self) -> str:
        lines = [f"{run.title}: {self._facts(run)}" for run in self.runs[:_COMPARED]]
        lines += [self._more] if self._more else []
        charts = self.charts()
        lines += [describe(one.title, one.lines) for one in charts[:_TOLD]]
        lines += [f"and {len(charts) - _TOLD} more numbers"] if len(charts) > _TOLD else []
        return "\n".join(lines)

    @property
    def _more(self) -> str:
        """How many runs are not shown."""
        more = len(self.runs) - _COMPARED
        return f"and {more} more run{'s' * (more != 1)}" if more > 0 else ""

    def _facts(self, run: Any) -> str:
        """How a run went, in a line."""
        count = len(run.logs)
        words = [run.status, f"{count} epoch{'s' * (count != 1)}", f"{run.steps:,} steps"]
        best = run.best()
        return ", ".join(
            [*words, duration(run.seconds), *([f"best {best[0]} {best[1]:.4g}"] if best else [])]
        )

    def _repr_html_(self) -> str:
        more = f"<div>{self._more}</div>" if self._more else ""
        return (
            f'<div class="flowbook-view flowbook-kind-run flowbook-id-{self.view_id}">'
            f"{pictures(self.charts())}{more}{self._table()}</div>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return _display.mimebundle("runs", self, mimebundle)

    def _table(self) -> str:
        """What the runs were, side by side."""
        runs = self.runs[:_COMPARED]
        facts = ["optimizer", "data", "epochs", "model"]
        head = "".join(
            f'<th style="text-align:left">{escape(first_words(run.title, 40))}</th>' for run in runs
        )
        rows = [("status", [run.status for run in runs])]
        rows += [(fact, [str(run.about.get(fact, "")) for run in runs]) for fact in facts]
        rows.append(("duration", [duration(run.seconds) for run in runs]))
        body = "".join(
            f'<tr><th style="text-align:left">{name}</th>'
            + "".join(
                f'<td style="text-align:left">{escape(first_words(v, 80))}</td>' for v in values
            )
            + "</tr>"
            for name, values in rows
        )
        return (
            "<details><summary>what ran</summary>"
            f'<table style="font-size:12px"><tr><th></th>{head}</tr>{body}</table></details>'
        )


def mimebundle(comparison: Comparison) -> dict[str, str]:
    """Text and HTML of a comparison."""
    return {"text/plain": repr(comparison), "text/html": comparison._repr_html_()}


def grouped(numbers: Any) -> list[tuple[str, list[Series]]]:
    """The numbers of a history or run by chart: training and validation in one."""
    groups: dict[str, list[str]] = {}
    for name in numbers:
        groups.setdefault(name.removeprefix("val_"), []).append(name)
    return [(title, [(n, numbers[n]) for n in own]) for title, own in groups.items()]


def distinct(names: Sequence[str]) -> list[str]:
    """Names with numbers behind those that occur twice."""
    counts: dict[str, int] = {}
    out = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        out.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return out
