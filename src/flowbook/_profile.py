"""Where the time of compiled graphs goes, per step and per node, over several runs: `Profile`.

The times come from the executor, step by step. A step may be several nodes of the graph that were
fused into one pass; its time belongs to all of them together, and everything here says so instead
of dividing it up.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from . import _core
from ._optimised import step_label
from .errors import ArgumentError


class StepTime(NamedTuple):
    """One step of a compiled graph: a kernel call, or several nodes in one pass.

    Attributes:
        graph: Name of the graph.
        step: Its place in the run.
        label: Its op, or its ops.
        names: Notebook variables that it computes.
        nodes: Numbers of the recorded nodes that it computes.
        ops: All its ops in order.
        line: Line of the cell or file of its last node, if known.
        seconds: Its time in each run.
    """

    graph: str
    step: int
    label: str
    names: tuple[str, ...]
    nodes: tuple[int, ...]
    ops: tuple[str, ...]
    line: int | None
    seconds: tuple[float, ...]

    @property
    def fused(self) -> bool:
        """Whether it computes several ops."""
        return len(self.ops) > 1

    @property
    def median(self) -> float:
        """Seconds in the middle run."""
        return statistics.median(self.seconds)

    @property
    def min(self) -> float:
        """Seconds in the fastest run."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Seconds between the first and the third quartile of the runs."""
        if len(self.seconds) < 4:
            return max(self.seconds) - min(self.seconds)
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return high - low


class _Call(NamedTuple):
    """One run as the timeline shows it."""

    graph: int  # index into Profile._graphs
    start: float
    end: float
    seconds: Sequence[float]  # by step


class Profile:
    """Times of compiled graphs; prints as a table, shows as a table and a timeline.

    Attributes:
        steps: One `StepTime` for each step of each graph, in the order in which they run.
        runs: Number of runs that were timed.

    Example:
        >>> x = fb.ones((64, 64))
        >>> with fb.graph("product") as g:
        ...     g.output(y=fb.sum(x @ x))
        >>> profile = fb.profile(g.graph, runs=3)
        >>> profile.runs, [s.label for s in profile.steps][-1]
        (3, 'sum')
        >>> list(profile.trace())  # save("trace.json") writes it for ui.perfetto.dev
        ['traceEvents', 'displayTimeUnit']
    """

    def __init__(
        self, runs: Sequence[tuple[Any, float, float, Sequence[float]]], dropped: int = 0,
        graph: Any = None,
    ) -> None:  # fmt: skip
        executables: dict[int, int] = {}
        self._graphs: list[str] = []
        self._calls: list[_Call] = []
        times: list[list[Sequence[float]]] = []
        kept: list[Any] = []
        for executable, start, end, seconds in runs:
            index = executables.setdefault(id(executable), len(executables))
            if index == len(kept):
                kept.append(executable)
                times.append([])
                self._graphs.append(executable.lowered.name or "graph")
            times[index].append(seconds)
            self._calls.append(_Call(index, start, end, seconds))
        self.runs = len(self._calls) + dropped
        self.dropped = dropped
        self.steps: list[StepTime] = []
        self._first_step: list[int] = []
        for name, executable, samples in zip(self._graphs, kept, times, strict=True):
            self._first_step.append(len(self.steps))
            self.steps += _step_times(name, executable, samples, graph)

    # -- numbers ------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Median seconds of a run if one graph was run; else the sum over all runs."""
        spans = [call.end - call.start for call in self._calls]
        if not spans:
            return 0.0
        return statistics.median(spans) if len(self._graphs) == 1 else sum(spans)

    @property
    def between(self) -> float:
        """The part of `seconds` that no step takes: results, feeds, bookkeeping."""
        rest = [call.end - call.start - sum(call.seconds) for call in self._calls]
        if not rest:
            return 0.0
        return max(0.0, statistics.median(rest) if len(self._graphs) == 1 else sum(rest))

    def node_times(self) -> dict[int, dict[str, Any]]:
        """For drawings of a single graph: the time of each node's step, and whom it is shared with.

        A node that several steps compute (a composite) gets their sum.
        """
        found: dict[int, dict[str, Any]] = {}
        for step in self.steps:
            for node in step.nodes:
                old = found.setdefault(node, {"time_us": 0.0, "time_min_us": 0.0, "fused_with": 0})
                old["time_us"] += step.median * 1e6
                old["time_min_us"] += step.min * 1e6
                old["fused_with"] = max(old["fused_with"], len(step.nodes) - 1)
                old["step"] = step.step
        return found

    # -- forms --------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the steps with their times, and the first runs for the timeline."""
        total = sum(s.median * len(s.seconds) for s in self.steps) or 1.0
        return {
            "graphs": list(self._graphs), "runs": self.runs, "seconds": self.seconds,
            "between": self.between,
            "steps": [
                {
                    "graph": s.graph, "step": s.step, "label": s.label, "names": list(s.names),
                    "nodes": list(s.nodes), "ops": list(s.ops), "line": s.line, "fused": s.fused,
                    "median_us": s.median * 1e6, "min_us": s.min * 1e6,
                    "spread_us": s.spread * 1e6, "runs": len(s.seconds),
                    "share": s.median * len(s.seconds) / total,
                }
                for s in self.steps
            ],
            "timeline": self._timeline(),
        }  # fmt: skip

    def _timeline(self, calls: int = 8, entries: int = 2000) -> list[dict[str, Any]]:
        """Steps of the first runs: `step` (index into `steps`), `start_us` and `us`."""
        out: list[dict[str, Any]] = []
        zero = self._calls[0].start if self._calls else 0.0
        for call in self._calls[:calls]:
            at = call.start - zero
            for i, seconds in enumerate(call.seconds):
                if len(out) >= entries:
                    return out
                out.append({
                    "step": self._first_step[call.graph] + i, "start_us": at * 1e6,
                    "us": seconds * 1e6,
                })  # fmt: skip
                at += seconds
        return out

    def trace(self) -> dict[str, Any]:
        """The runs in Chrome's trace event format, for chrome://tracing and ui.perfetto.dev."""
        events: list[dict[str, Any]] = [
            {"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": "flowbook"}},
            {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "graphs"}},
        ]
        zero = self._calls[0].start if self._calls else 0.0
        for call in self._calls:
            first = self._first_step[call.graph]
            events.append({
                "ph": "X", "pid": 1, "tid": 1, "cat": "run", "name": self._graphs[call.graph],
                "ts": (call.start - zero) * 1e6, "dur": (call.end - call.start) * 1e6,
            })  # fmt: skip
            at = call.start - zero
            for i, seconds in enumerate(call.seconds):
                step = self.steps[first + i]
                events.append({
                    "ph": "X", "pid": 1, "tid": 1, "cat": "fused" if step.fused else "op",
                    "name": step.label, "ts": at * 1e6, "dur": seconds * 1e6,
                    "args": {
                        "step": step.step, "ops": ", ".join(step.ops),
                        "names": ", ".join(step.names),
                        **({"line": step.line} if step.line else {}),
                    },
                })  # fmt: skip
                at += seconds
        return {"traceEvents": events, "displayTimeUnit": "ns"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the runs in Chrome's trace event format.

        Args:
            path: A `.json` file; chrome://tracing and ui.perfetto.dev open it.

        Raises:
            ArgumentError: If the name does not end with `.json`.
            OSError: If the file cannot be written.
        """
        if os.path.splitext(os.fspath(path))[1].lower() != ".json":
            raise ArgumentError(f"profile: {os.fspath(path)!r} must end with .json.")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.trace(), file)

    def __repr__(self) -> str:
        from . import _profile_view

        return _profile_view.text(self.to_dict())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from . import _display, _profile_view

        return _display.mimebundle(
            "profile", self, lambda profile: _profile_view.mimebundle(profile.to_dict())
        )


def _step_times(
    name: str, executable: Any, samples: Sequence[Sequence[float]], graph: Any
) -> list[StepTime]:
    recorded = {n["index"]: n for n in graph.nodes()} if graph is not None else {}
    steps = []
    for i, (step, seconds) in enumerate(
        zip(executable.steps(), zip(*samples, strict=True), strict=True)
    ):
        nodes = tuple(dict.fromkeys(n for n in step["nodes"] if n >= 0))
        names, line = [], None
        for n in nodes:
            node = recorded.get(n)
            if node is None:
                continue
            line = node["line"] or line
            names += [w for v in node["outputs"] if (w := graph.value_name(v))]
        ops = tuple(step["ops"]) or (step["op"] or "copy",)
        steps.append(
            StepTime(name, i, step_label(ops), tuple(names), nodes, ops, line, tuple(seconds))
        )
    return steps


def take(run: Callable[[], Any], runs: int, graph: Any) -> Profile:
    """Calls `run` once to warm up and `runs` times with the clock."""
    if runs < 1:
        raise ArgumentError(f"profile: runs is {runs}. It must be 1 or more.")
    run()
    _core.begin_profile()
    try:
        for _ in range(runs):
            run()
    finally:
        log, dropped = _core.end_profile()
    return Profile(log, dropped, graph)


def totals(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, int]]:
    """(op label, microseconds of a run, number of steps) by label, the slowest first."""
    found: dict[str, list[float]] = {}
    for step in steps:
        found.setdefault(step["label"], []).append(step["median_us"])
    rows = [(label, sum(times), len(times)) for label, times in found.items()]
    return sorted(rows, key=lambda row: -row[1])
