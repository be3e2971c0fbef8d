"""TrainingView: a run in the page, live while it runs, a picture afterwards.

A view is an observer of its run (`flowbook._run`): the run's thread drops a few numbers here about ten
times a second, one sender thread per kernel turns them into messages, and what the user does comes
back through the hub as requests to the run. The page keeps a static picture of the same numbers,
which is what a saved notebook shows.

To the page go
    state   {runs: [{name, label, status, epochs, marks, progress, points: n}], controls}
            and for each run a buffer of n x (step, least, greatest, mean) float64;
            epochs are tables {number: [value of an epoch, ...]}, one for all that have the same numbers;
            of a run that has ended also its `picture`, for pages that Jupyter does not give it to
    update  {points: n, epochs: [...], marks: [...], progress}, the same of one run since the last
each with what is to be acknowledged, if anything, as it is alone in
    ack     {acks: [{id, text}]}: the requests with these ids were taken; text says why one was refused
and from it come `open`, and `control` {id, action, value} with an action of `ACTIONS`.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flowbook import _run, _run_tables, _run_view
from flowbook._course import Points, buckets
from flowbook.errors import FlowbookError

from .. import _out_of_turn
from . import attached
from .sender import Send, sender

PICTURES = 3.0  # seconds between two static pictures where no page answers
_POINTS = 64  # of a message
_EPOCHS = 2000  # of a state

ACTIONS: dict[str, Callable[[Any, Any], None]] = {
    "stop": lambda run, value: run.stop("stopped in the view"),
    "pause": lambda run, value: run.pause(),
    "resume": lambda run, value: run.resume(),
    "step": lambda run, value: run.advance(1),
    "detach": lambda run, value: run.detach(),
    "rate": lambda run, value: setattr(run, "learning_rate", float(value)),
}


def finite(value: Any) -> float | None:
    """A number as JSON knows it."""
    value = float(value)
    return value if math.isfinite(value) else None


def _epochs(logs: Iterable[Mapping[str, float]]) -> list[dict[str, list[float | None]]]:
    """Epochs as columns, which cost less than a dict for each; one table where the names are alike."""
    tables = ((names, list(rows)) for names, rows in itertools.groupby(logs, tuple))
    return [{str(n): _column(rows, n) for n in names} for names, rows in tables]


def _column(rows: Sequence[Mapping[str, float]], name: str) -> list[float | None]:
    values = [float(row[name]) for row in rows]
    return values if all(map(math.isfinite, values)) else [finite(value) for value in values]


def _mark(mark: Any) -> dict[str, Any]:
    return {"step": mark.step, "epoch": mark.epoch, "kind": mark.kind, "text": mark.text}


def progress(run: Any) -> dict[str, Any]:
    """Where a run is, as plain data."""
    last = run.samples[-1] if run.samples else None
    return {
        "status": run.status,
        "reason": run.history.stopped or "",
        "error": f"{type(run.error).__name__}: {run.error}"[:500] if run.error else "",
        "step": run.step,
        "epoch": min(run.epoch + 1, run.epochs),
        "epochs": run.epochs,
        "epochStep": run.epoch_step,
        "stepsPerEpoch": run.steps_per_epoch,
        "seconds": finite(run.seconds),
        "secondsPerStep": finite(run.seconds_per_step),
        "secondsLeft": finite(run.seconds_left),
        "rate": finite(last.rate) if last else None,
        "throughput": finite(last.pace) if last else None,
        "memory": last.live if last else None,
        "attached": run.attached,
    }


def packed(at: Points) -> tuple[int, bytes]:
    """Number of points, and rows of (step, least, greatest, mean) as little-endian float64."""
    return len(at.step), np.column_stack(at).astype("<f8").tobytes()


def record(run: Any) -> tuple[dict[str, Any], bytes]:
    """A run, or a logged one, as it goes to the page."""
    count, data = packed(run.points())
    logged = not hasattr(run, "history")
    history = run if logged else run.history
    about = run.about if logged else {}
    if logged:
        now = {
            "status": run.status, "reason": run.stopped or "", "error": run.error or "",
            "step": run.steps, "epoch": len(run.logs), "epochs": about.get("epochs"),
            "epochStep": 0, "stepsPerEpoch": about.get("steps_per_epoch"),
            "seconds": finite(run.seconds), "secondsPerStep": None, "secondsLeft": 0,
            "rate": None, "throughput": None, "memory": None, "attached": False,
        }  # fmt: skip
    else:
        now = progress(run)
    first = max(0, len(history.logs) - _EPOCHS)
    return {
        "name": run.name,
        "label": run.label,
        "firstEpoch": first + 1,
        "epochs": _epochs(history.logs[first:]),
        "marks": [_mark(mark) for mark in history.marks[-200:]],
        "progress": now,
        "points": count,
    }, data


class View:
    """What a page may ask for under one id: some runs, laid over each other."""

    def __init__(self, view_id: str, runs: Sequence[Any]) -> None:
        self.id = view_id
        self._runs = list(runs)

    def receive(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Takes a message of the page; on any thread."""
        if content.get("kind") == "open":
            sender.push(self, urgent=True)

    def flush(self, send: Send) -> None:
        """Sends what there is to send; on the sender's thread."""
        records = [record(run) for run in self._runs]
        content = {"kind": "state", "controls": False, "runs": [r for r, _ in records]}
        send(content, [data for _, data in records])


class TrainingView(View):
    """The view of a run that is at work, with its controls."""

    def __init__(self, run: Any) -> None:
        super().__init__(run.name, [run])
        self._lock = threading.Lock()
        self._opened = False  # a page has asked for the state
        self._answered = False  # ... at any time
        self._fresh: list[tuple[int, np.ndarray]] = []
        self._acks: list[dict[str, Any]] = []
        self._epochs = self._marks = 0  # how many of them the page has
        self._seen: tuple[Any, ...] = ()  # where the run was at the last message
        self._final: tuple[dict[str, Any], list[bytes]] | None = None
        self._handle: Any = None
        self._pictured = time.monotonic()

    def show(self, display: Callable[..., Any]) -> None:
        """Puts the picture into the page, where it follows the run until its end."""
        self._handle = display(_run_view.mimebundle(self._runs[0]), raw=True, display_id=True)

    # The run's thread

    def began(self, run: Any) -> None:
        sender.push(self)

    def tick(self, run: Any, first: int, losses: np.ndarray) -> None:
        with self._lock:
            if len(losses):
                self._fresh.append((first, losses))
        sender.push(self)

    def epoch(self, run: Any) -> None:
        sender.push(self)

    def marked(self, run: Any, mark: Any) -> None:
        sender.push(self, urgent=True)

    def ended(self, run: Any) -> None:
        """Leaves the last picture in the page, and lets the model go."""
        picture = _run_view.mimebundle(run)
        if self._handle is not None:
            self._handle.update(picture, raw=True)
            self._handle = None
        content, data = record(run)
        with self._lock:
            state = {"kind": "state", "controls": True, "runs": [content], "picture": picture}
            self._final = state, [data]
            self._opened = True  # the picture was replaced: whatever was live there is told anew
            self._fresh.clear()
            self._runs = []
        sender.push(self, urgent=True)

    # The page

    def receive(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        kind = content.get("kind")
        if kind == "open":
            with self._lock:
                self._opened = self._answered = True
        elif kind == "control":
            text = self._control(str(content.get("action")), content.get("value"))
            with self._lock:
                self._acks.append({"id": content.get("id"), "text": text})
        else:
            return
        sender.push(self, urgent=True)

    def _control(self, action: str, value: Any) -> str:
        """Asks the run; what it refused in words, or nothing."""
        run = self._runs[0] if self._runs else None
        if run is None:
            return "the run has ended"
        if action not in ACTIONS:
            return f"unknown action {action!r}"
        try:
            ACTIONS[action](run, value)
        except (FlowbookError, TypeError, ValueError) as error:
            return str(error)
        return ""

    # The sender's thread

    def flush(self, send: Send) -> None:
        with self._lock:
            acks, self._acks = self._acks, []
            opened, self._opened = self._opened, False
            fresh, self._fresh = self._fresh, []
            final = self._final
            run = self._runs[0] if self._runs else None
        more = {"acks": acks} if acks else {}
        if opened and final is not None:
            content, data = final
            send({**content, **more}, data)
        elif opened and run is not None:
            part, data = record(run)
            lengths = [len(column) for table in part["epochs"] for column in [*table.values()][:1]]
            self._epochs = part["firstEpoch"] - 1 + sum(lengths)
            self._marks = len(run.history.marks)
            send({"kind": "state", "controls": True, "runs": [part], **more}, [data])
            self._look_again(run)
        elif self._answered and run is not None:
            if self._look_again(run) or fresh or acks:
                content, data = self._update(run, fresh)
                send({**content, **more}, [data])
        else:
            if acks:
                send({"kind": "ack", **more})
            if run is not None:
                self._update_picture(run)

    def _look_again(self, run: Any) -> bool:
        """Whether the run has gone on; then it is looked at once more.

        The run tells of its steps about ten times a second, at the end of one. If a batch takes long
        after quick steps, nothing is told of these for as long.
        """
        seen = (run.step, run.status, len(run.history.logs), len(run.history.marks))
        moved, self._seen = seen != self._seen, seen
        if moved:
            sender.push(self)
        return moved

    def _update(
        self, run: Any, fresh: list[tuple[int, np.ndarray]]
    ) -> tuple[dict[str, Any], bytes]:
        """What has happened since the last message, as an `update` with its points."""
        count, data = 0, b""
        if fresh:
            losses = np.concatenate([part for _, part in fresh])
            count, data = packed(buckets(fresh[0][0], losses, _POINTS))
        end = len(run.history.logs)
        self._epochs = max(self._epochs, end - _EPOCHS)  # the page hears where it goes on
        epochs = run.history.logs[self._epochs : end]
        marks = run.history.marks[self._marks :]
        content = {
            "kind": "update",
            "points": count,
            "firstEpoch": self._epochs + 1,
            "epochs": _epochs(epochs),
            "marks": [_mark(mark) for mark in marks],
            "progress": progress(run),
        }
        self._epochs += len(epochs)
        self._marks += len(marks)
        return content, data

    def _update_picture(self, run: Any) -> None:
        """Where no page has asked for the live view, the picture follows the run, slowly."""
        handle = self._handle
        if handle is None or not run.step or time.monotonic() - self._pictured < PICTURES:
            return
        handle.update(_run_view.mimebundle(run), raw=True)
        self._pictured = time.monotonic()


def view_of_new_run(run: Any) -> TrainingView | None:
    """The view of a run that is about to begin, shown under the running cell."""
    shell = _shell()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    view = TrainingView(run)
    connect(view)  # first: a page asks as soon as it sees the picture
    view.show(display)
    return view


def connect(view: View) -> None:
    """Attaches a view; first to the sender, as a page asks as soon as it sees it."""
    sender.attach(view)
    attached.attach("run", view.id, lambda hub, *message: view.receive(*message))


def show(run: Any) -> dict[str, str]:
    """How a run shows when a cell evaluates it: live, if its page allows that."""
    if run.name not in sender and getattr(_shell(), "kernel", None) is not None:
        view = View(run.name, [run]) if run.done else TrainingView(run)
        if isinstance(view, TrainingView):
            run._watch(view)
        connect(view)
    return _run_view.mimebundle(run)


def show_logged(comparison: Any) -> dict[str, str]:
    """How logged runs show, laid over each other."""
    if getattr(_shell(), "kernel", None) is not None:
        connect(View(comparison.view_id, comparison.runs))
    return _run_tables.mimebundle(comparison)


def _shell() -> Any:
    import IPython

    return IPython.get_ipython()


def attach() -> None:
    """Lets runs show live from now on."""
    if view_of_new_run not in _run.views:
        _run.views.append(view_of_new_run)
        _out_of_turn.attach()


def detach() -> None:
    """Ends that; views in the page keep what they show."""
    if view_of_new_run in _run.views:
        _run.views.remove(view_of_new_run)
    _out_of_turn.detach()
