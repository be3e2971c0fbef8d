"""`%runs`: the training runs of this and of earlier kernels, listed, drawn and compared."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from flowbook import _runlog
from flowbook._chart import chart, describe
from flowbook._words import image

from ._arguments import parse

_SHOWN = 20


class RunList:
    """A table of runs."""

    def __init__(self, runs: list[_runlog.LoggedRun]) -> None:
        self.runs = runs

    def _rows(self) -> list[list[str]]:
        rows = [["run", "started", "epochs", "steps", "last", "state", "model"]]
        for run in self.runs[:_SHOWN]:
            last = run.logs[-1] if run.logs else {}
            numbers = "  ".join(f"{k} {v:.4g}" for k, v in last.items())
            state = run.stopped or ("finished" if run.ended else "unfinished")
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
            planned = run.about.get("epochs")
            rows.append([
                run.name, started, f"{len(run.logs)}/{planned}", f"{run.steps:,}", numbers, state,
                str(run.about.get("model", ""))[:40],
            ])  # fmt: skip
        return rows

    def __repr__(self) -> str:
        if not self.runs:
            return "no runs are logged yet: fb.fit makes one"
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
        return (
            '<div class="flowbook-view flowbook-runs"><table style="font-size:12px"><thead><tr>'
            f"{top}</tr></thead><tbody>{body}</tbody></table></div>"
        )


class RunComparison:
    """The courses of some runs, one chart per number."""

    def __init__(self, runs: list[_runlog.LoggedRun]) -> None:
        self.runs = runs

    def _charts(self) -> list[tuple[str, list[tuple[str, list[float]]]]]:
        names = list(dict.fromkeys(n for run in self.runs for n in run))
        if len(self.runs) == 1:
            run = self.runs[0]
            groups: dict[str, list[str]] = {}
            for name in names:
                groups.setdefault(name.removeprefix("val_"), []).append(name)
            return [(title, [(n, run[n]) for n in own]) for title, own in groups.items()]
        return [(n, [(r.name, r[n]) for r in self.runs if n in r]) for n in names]

    def __repr__(self) -> str:
        return "\n".join(describe(title, series) for title, series in self._charts())

    def _repr_html_(self) -> str:
        pictures = "".join(
            f'<img src="{image(chart(title, series))}" alt="{escape(describe(title, series))}" '
            'style="margin:4px 8px 4px 0">'
            for title, series in self._charts()
        )
        return f'<div class="flowbook-view flowbook-runs">{pictures}</div>'


@magics_class
class RunMagics(Magics):  # type: ignore[misc]
    """The `%runs` magic."""

    @magic_arguments()  # type: ignore[untyped-decorator]
    @argument(
        "names",
        nargs="*",
        metavar="RUN",
        help="Runs to draw: names, or numbers from the end (-1 is the newest). None: list all.",
    )
    @line_magic
    def runs(self, line: str) -> Any:
        """List the training runs on this machine, or draw and compare some of them."""
        options = parse(self.runs, line)
        if not options.names:
            return RunList(_runlog.runs())
        return RunComparison([self._find(name) for name in options.names])

    def _find(self, name: str) -> _runlog.LoggedRun:
        if name.startswith("-") and name[1:].isdigit():
            every, k = _runlog.runs(), int(name[1:])
            if not 1 <= k <= len(every):
                raise UsageError(f"%runs: there are {len(every)} runs, so {name} is none of them.")
            return every[k - 1]
        try:
            return _runlog.read(name)
        except OSError:
            raise UsageError(f"%runs: there is no run {name!r}. `%runs` lists them.") from None
