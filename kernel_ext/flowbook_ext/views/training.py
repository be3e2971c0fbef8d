"""TrainingView: a run in the page, live while it runs, a picture afterwards.

A view is an observer of its run (`flowbook._run`): the run's thread drops a few numbers here about ten
times a second, one sender thread per kernel turns them into messages, and what the user does comes
back through the hub as requests to the run. The page keeps a static picture of the same numbers,
which is what a saved notebook shows.

To the page go
    state   {runs: [{name, label, status, epochs, marks, progress, points: n}], controls}
            and for each run a buffer of n x (step, least, greatest, mean) float64
    update  {points: n, epochs: [...], marks: [...], progress}, the same of one run since the last
    ack     {id, text}: the request with this id was taken; text says why if it was refused
and from it come `open`, and `control` {id, action, value} with an action of `ACTIONS`.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flowbook import _run, _run_tables, _run_view
from flowbook._course import Points, buckets
from flowbook.errors import FlowbookError

from .. import _out_of_turn
from ..hub import displayed, hub, shares_page

PERIOD = 0.1  # seconds between two messages of a view
PICTURES = 3.0  # seconds between two static pictures where no page answers
_POINTS = 64  # of a message
_EPOCHS = 2000  # of a state
_KEPT = 30  # views that answer when a page asks for them

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


def _logs(logs: Mapping[str, float]) -> dict[str, float | None]:
    return {str(name): finite(value) for name, value in logs.items()}


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
        "epochs": [_logs(logs) for logs in history.logs[first:]],
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
            sender.push(self)

    def flush(self, send: Callable[..., None]) -> None:
        """Sends what there is to send; on the sender's thread."""
        records = [record(run) for run in self._runs]
        content = {"kind": "state", "controls": False, "runs": [r for r, _ in records]}
        send(content, [data for _, data in records])


class TrainingView(View):
    """The view of a run that is at work, with its controls."""

    def __init__(self, run: Any, *, display: Callable[..., Any] | None = None) -> None:
        super().__init__(run.name, [run])
        self._lock = threading.Lock()
        self._opened = False  # a page has asked for the state
        self._answered = False  # ... at any time
        self._fresh: list[tuple[int, list[float]]] = []
        self._acks: list[dict[str, Any]] = []
        self._epochs = self._marks = 0  # how many of them the page has
        self._final: tuple[dict[str, Any], list[bytes]] | None = None
        self._handle: Any = None
        self._pictured = time.monotonic()
        if display is not None:
            self._handle = display(_run_view.mimebundle(run), raw=True, display_id=True)

    # The run's thread

    def began(self, run: Any) -> None:
        sender.push(self)

    def tick(self, run: Any, first: int, losses: list[float]) -> None:
        with self._lock:
            if losses:
                self._fresh.append((first, losses))
        sender.push(self)

    def epoch(self, run: Any) -> None:
        sender.push(self)

    def marked(self, run: Any, mark: Any) -> None:
        sender.push(self)

    def ended(self, run: Any) -> None:
        """Leaves the last picture in the page, and lets the model go."""
        if self._handle is not None:
            self._handle.update(_run_view.mimebundle(run), raw=True)
            self._handle = None
        content, data = record(run)
        with self._lock:
            state = {"kind": "state", "controls": True, "runs": [content]}
            self._final = state, [data]
            self._opened = True  # the picture was replaced: whatever was live there is told anew
            self._fresh.clear()
            self._runs = []
        sender.push(self)

    # The page

    def receive(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        kind = content.get("kind")
        if kind == "open":
            with self._lock:
                self._opened = self._answered = True
        elif kind == "control":
            text = self._control(str(content.get("action")), content.get("value"))
            with self._lock:
                self._acks.append({"kind": "ack", "id": content.get("id"), "text": text})
        else:
            return
        sender.push(self)

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

    def flush(self, send: Callable[..., None]) -> None:
        with self._lock:
            acks, self._acks = self._acks, []
            opened, self._opened = self._opened, False
            fresh, self._fresh = self._fresh, []
            final = self._final
            run = self._runs[0] if self._runs else None
        for ack in acks:
            send(ack)
        if final is not None:
            if opened:
                send(*final)
            return
        if run is None:
            return
        if opened:
            content, data = record(run)
            self._epochs = content["firstEpoch"] - 1 + len(content["epochs"])
            self._marks = len(run.history.marks)
            send({"kind": "state", "controls": True, "runs": [content]}, [data])
        elif self._answered:
            self._send_update(run, fresh, send)
        else:
            self._update_picture(run)

    def _send_update(
        self, run: Any, fresh: list[tuple[int, list[float]]], send: Callable[..., None]
    ) -> None:
        count, data = 0, b""
        if fresh:
            losses = np.concatenate([np.asarray(part) for _, part in fresh])
            count, data = packed(buckets(fresh[0][0], losses, _POINTS))
        epochs = run.history.logs[self._epochs :][-_EPOCHS:]
        marks = run.history.marks[self._marks :]
        content = {
            "kind": "update",
            "points": count,
            "firstEpoch": self._epochs + 1,
            "epochs": [_logs(logs) for logs in epochs],
            "marks": [_mark(mark) for mark in marks],
            "progress": progress(run),
        }
        self._epochs += len(epochs)
        self._marks += len(marks)
        send(content, [data])

    def _update_picture(self, run: Any) -> None:
        """Where no page has asked for the live view, the picture follows the run, slowly."""
        handle = self._handle
        if handle is None or not run.step or time.monotonic() - self._pictured < PICTURES:
            return
        handle.update(_run_view.mimebundle(run), raw=True)
        self._pictured = time.monotonic()


class Sender:
    """The one thread that sends to the page: each view at most every `PERIOD`."""

    def __init__(self) -> None:
        self._waiting: dict[str, View] = {}
        self._sent: dict[str, float] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self.views: OrderedDict[str, View] = OrderedDict()

    def attach(self, view: View, channel: Any = None) -> None:
        """Lets a view answer the page; the oldest one is forgotten where there are many."""
        channel = channel if channel is not None else hub()
        if channel is None:
            return
        view.channel = channel  # type: ignore[attr-defined]
        self.views[view.id] = view
        channel.attach(view.id, view.receive)
        while len(self.views) > _KEPT:
            old, gone = self.views.popitem(last=False)
            gone.channel.detach(old)  # type: ignore[attr-defined]

    def push(self, view: View) -> None:
        """Says that a view has something to send; from any thread."""
        with self._wake:
            idle = not self._waiting
            self._waiting[view.id] = view
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(
                    target=self._work, name="flowbook views", daemon=True
                )
                self._thread.start()
            # While all wait for their time, only a view whose time has come wakes the thread.
            if idle or time.monotonic() - self._sent.get(view.id, 0) >= PERIOD:
                self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not (due := self._due()):
                    soonest = min((self._sent.get(k, 0) for k in self._waiting), default=None)
                    left = None if soonest is None else soonest + PERIOD - time.monotonic()
                    self._wake.wait(left if left is None else max(0.001, left))
            for view in due:
                with contextlib.suppress(Exception):  # a view that fails must not silence others
                    self._flush(view)

    def _due(self) -> list[View]:
        """Takes out the views that may send now."""
        now = time.monotonic()
        due = [v for k, v in self._waiting.items() if now - self._sent.get(k, 0) >= PERIOD]
        for view in due:
            del self._waiting[view.id]
            self._sent[view.id] = now
        return due

    def _flush(self, view: View) -> None:
        channel = getattr(view, "channel", None)

        def send(content: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
            if channel is not None:
                channel.send(view.id, dict(content), buffers)

        view.flush(send)


sender = Sender()


def view_of_new_run(run: Any) -> TrainingView | None:
    """The view of a run that is about to begin, shown under the running cell."""
    shell = _shell()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    view = TrainingView(run, display=display)
    _connect(view)
    return view


def _connect(view: View) -> None:
    if shares_page():
        sender.attach(view)
        return
    own = displayed(view.id, "run", view.receive)
    if own is not None:
        from IPython.display import display

        sender.attach(view, own)
        display(own.widget)


def show(run: Any) -> dict[str, str]:
    """How a run shows when a cell evaluates it: live, if its page allows that."""
    if run.name not in sender.views and getattr(_shell(), "kernel", None) is not None:
        view = View(run.name, [run]) if run.done else TrainingView(run)
        if isinstance(view, TrainingView):
            run._watch(view)
        _connect(view)
    return _run_view.mimebundle(run)


def show_logged(comparison: Any) -> dict[str, str]:
    """How logged runs show, laid over each other."""
    if getattr(_shell(), "kernel", None) is not None:
        _connect(View(comparison.view_id, comparison.runs))
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
