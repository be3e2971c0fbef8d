"""`Run`: the handle of a training run, to watch it and to steer it from any thread.

The loop itself (`_loop.py`) runs on a thread of its own; this file knows what a run is, how one
waits for it, and who is told about it. Nothing here imports a notebook.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

import flowbook as fb

from . import _active, _core, _display, _runlog
from ._controls import Controls
from ._course import Course, Points
from ._desk import SLICE, Desk, Interrupts
from ._history import History, Mark
from ._state import named_variables, trainable_variables

_SAMPLES = 1024  # kept of a run; beyond it every second one is dropped


class Sample(NamedTuple):
    """A moment of a run."""

    seconds: float  # since it began
    step: int
    rate: float  # learning rate of the next step
    pace: float  # examples per second
    live: int  # bytes in use on the CPU


class Observer(Protocol):
    """What is told about a run, on the run's thread; errors of it are swallowed.

    Views and the run log are observers. They don't belong to the model's author, unlike callbacks.
    """

    def began(self, run: Run) -> None:
        """Before the first step."""

    def tick(self, run: Run, first: int, losses: np.ndarray) -> None:
        """About ten times a second: the losses of the steps from `first` on, as float64."""

    def epoch(self, run: Run) -> None:
        """After an epoch, complete or cut short; about ten times a second where they are shorter.

        What it measured is in the history, with those that nobody was told of.
        """

    def marked(self, run: Run, mark: Mark) -> None:
        """After a change of the run: learning rate, pause, an alert."""

    def ended(self, run: Run) -> None:
        """At the end, whatever it was."""


# Each is called with a run that begins and returns an observer, or None to pass.
observers: list[Callable[[Run], Observer | None]] = []
# Called in each slice of a blocking wait, on the waiting thread: a notebook's channel may need it.
while_waiting: list[Callable[[], None]] = []

# Each is called, on the thread that calls `fit(progress=True)`, with a run that is about to begin; the
# first observer that is not None shows the run instead of text.
views: list[Callable[[Run], Observer | None]] = []


def _run_hooks() -> None:
    for hook in while_waiting:
        with contextlib.suppress(Exception):  # waiting goes on
            hook()


class Run:
    """A training run: what `fit(..., wait=False)` returns, and what callbacks get.

    It can be watched and steered from any thread and any cell. A request takes effect between two
    steps. While it lasts, the run owns the Variables that it changes: others read them as they are
    between two steps, and changing them raises a GraphError that names the run.

    Attributes:
        name: The run's name in the list of runs.
        label: What the user called it, or "".
        model: The model.
        optimizer: The optimizer.
        history: The `History` so far.
        epochs: Number of epochs asked for.
        epoch: The current epoch, from 0.
        step: Finished steps of the run.
        epoch_step: Finished steps of the current epoch.
        steps_per_epoch: Steps in an epoch, None if the data don't tell.
        examples: Examples seen so far.
        logs: Numbers of the epoch that has just finished.
        loss: Loss of the last step, a 0-d tensor; None before the first.
        course: Loss of every step, in buckets.
        error: What ended the run, or None.

    Example:
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> run = fb.fit(
        ...     fb.nn.Dense(1), (x, 3 * x), fb.losses.mean_squared_error, epochs=3,
        ...     progress=False, wait=False,
        ... )
        >>> run.learning_rate = 0.01
        >>> run.wait().epochs
        3
        >>> run.status
        'finished'
    """

    def __init__(
        self, model: Any, optimizer: Any, epochs: int, *, label: str = "", facts: Any = None
    ) -> None:
        self.name = _new_name()
        self.label = label
        self.model, self.optimizer, self.epochs = model, optimizer, epochs
        self.facts: dict[str, Any] = dict(facts or {})
        self.history = History()
        self.epoch = 0
        self.step = 0
        self.epoch_step = 0
        self.steps_per_epoch: int | None = None
        self.examples = 0
        self.logs: dict[str, float] = {}
        self.loss: Any = None
        self.course = Course()
        self.samples: list[Sample] = []
        self.error: BaseException | None = None
        self.started = time.time()
        self._controls = Controls()
        self._metrics: list[Any] = []
        self._observers: list[Observer] = []
        self._owner = _core.Owner(f"run {self.name}")
        self._cancel = _core.CancelToken()
        self._thread: threading.Thread | None = None
        self._trace: Any = None  # of the error, as the run's thread saw it
        self._ended = False
        self._over = threading.Event()  # ended, and everybody has been told
        self._when_over: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._desk = Desk()  # the thread that waits makes the calls to callbacks
        self._waiting = 0  # threads in wait()
        self._releases = 0  # how often waiting threads were let go
        self._held = False
        self._begin = self._epoch_start = time.perf_counter()
        self._pace = math.nan  # seconds a step, smoothed

    # Watching

    @property
    def status(self) -> str:
        """ "running", "paused", "finished", "stopped" (before its time) or "failed"."""
        if self._ended:
            if self.error is not None:
                return "failed"
            return "stopped" if self.history.stopped else "finished"
        return "paused" if self._held else "running"

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._over.is_set()

    @property
    def steps(self) -> int:
        """Finished steps, under the name that histories and logs use."""
        return self.step

    def points(self) -> Points:
        """The loss of its steps, in buckets."""
        return self.course.points()

    @property
    def attached(self) -> bool:
        """Whether a thread waits for it, which `detach()` would let go."""
        return self._desk.served or self._waiting > 0

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._controls.stop_reason is not None

    @property
    def seconds(self) -> float:
        """Wall time since it began, until its end."""
        return self.history.seconds if self._ended else time.perf_counter() - self._begin

    @property
    def epoch_seconds(self) -> float:
        """Wall time since the epoch began, in seconds."""
        return time.perf_counter() - self._epoch_start

    @property
    def seconds_per_step(self) -> float:
        """Recent time of a step, pauses left out; NaN before the first."""
        return self._pace

    @property
    def seconds_left(self) -> float:
        """Estimate of the rest of the run; NaN where it is not known."""
        if self._ended:
            return 0.0
        if not self.steps_per_epoch:
            return math.nan
        return self._pace * max(0, self.steps_per_epoch * self.epochs - self.step)

    def current(self) -> dict[str, float]:
        """The numbers of the running epoch so far."""
        return {metric.name: metric.result() for metric in self._metrics}

    # Steering

    def stop(self, reason: str = "stop was asked for") -> None:
        """Ends the run after the current step; `reason` is kept in the history."""
        if not self._ended and self._controls.stop(reason):
            self.history.stopped = reason

    def pause(self) -> None:
        """Holds the run after the current step, until `resume()` or `advance()`."""
        self._controls.pause()

    def resume(self) -> None:
        """Lets a paused run go on."""
        self._controls.resume()

    def advance(self, steps: int = 1) -> None:
        """Lets a run take so many more steps and holds it then.

        Args:
            steps: At least 1.

        Raises:
            ArgumentError: If `steps` is less than 1.
        """
        if int(steps) < 1:
            raise fb.ArgumentError(f"Run.advance: steps is {steps}. It must be at least 1.")
        self._controls.advance(int(steps))

    @property
    def learning_rate(self) -> float:
        """The rate of the next step. Setting it takes effect at the next step.

        With a schedule, the next step gets the new rate and the rest of the schedule is scaled
        alike: half the rate now means half the rate later. Where the schedule has come down to
        zero, no rate can be set; the history says so.
        """
        with fb.outside_graph():
            return float(self.optimizer.rate())

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        rate = float(rate)
        if not (math.isfinite(rate) and rate >= 0):
            raise fb.ArgumentError(
                f"Run: learning_rate is {rate}. It must be finite and not negative."
            )
        self._controls.set_rate(rate)

    def detach(self) -> None:
        """Lets whoever waits for the run go on; the run continues in the background.

        A blocking `fit` returns its history, which goes on growing; callbacks are called on the
        run's own thread from then on.
        """
        self._releases += 1
        self._desk.close()

    # Waiting

    def wait(self, timeout: float | None = None) -> History:
        """Waits until the run ends.

        A first interrupt asks the run to stop after its step, as in a blocking `fit`; a second one
        raises KeyboardInterrupt at once. `detach()` ends the waiting alone.

        Args:
            timeout: In seconds; None waits as long as it takes.

        Returns:
            The history.

        Raises:
            TimeoutError: If the run has not ended by then. It goes on.
            Exception: What ended the run, if it failed.
        """
        if threading.current_thread() is self._thread:
            raise fb.GraphError(
                f"run {self.name} cannot wait for itself: this is a callback of it."
            )
        end = None if timeout is None else time.monotonic() + timeout
        released = self._releases
        with self._lock:
            self._waiting += 1
        try:
            with self._interrupts():
                while not self.done and self._releases == released:
                    left = SLICE if end is None else min(SLICE, end - time.monotonic())
                    if left <= 0:
                        raise TimeoutError(f"run {self.name} has not ended: {self._where()}.")
                    self._over.wait(left)
                    _run_hooks()
        except KeyboardInterrupt:  # the second one
            self._abandon("interrupted")
            raise
        finally:
            with self._lock:
                self._waiting -= 1
        return self._result()

    def __await__(self) -> Generator[Any, None, History]:
        """`await run` in a notebook cell: other cells' buttons and displays stay alive meanwhile.

        A first interrupt asks the run to stop after its step, as `wait` does; a second one interrupts
        the cell. Cancelling the waiting task asks the run to stop, as with an asyncio task.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def finish() -> None:
            if not future.done():
                future.set_result(None)

        def over() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(finish)

        def wake() -> None:
            loop.call_soon_threadsafe(lambda: None)

        self._call_when_over(over)
        try:
            with self._interrupts(wake):
                yield from future.__await__()
        except asyncio.CancelledError:
            self.stop("interrupted")
            raise
        return self._result()

    def _result(self) -> History:
        if self.error is not None:
            raise self.error.with_traceback(self._trace)
        return self.history

    # Inside: threads

    @contextlib.contextmanager
    def _claimed(self) -> Iterator[None]:
        """Takes the Variables for this run; gives them back if the run does not get to start."""
        _active.add(self)
        try:
            self._owner.claim(
                [
                    *trainable_variables(self.model).values(),
                    *named_variables(self.optimizer).values(),
                ]
            )
            yield
        except BaseException as error:
            self.error, self._trace = error, error.__traceback__
            self._finish()
            raise

    def _observe(self, log: bool | None) -> None:
        """Adds the observers of all runs, and the log on disk where it is wanted."""
        for make in [*observers, *([_runlog.RunLog] if _runlog.wanted(log) else [])]:
            with contextlib.suppress(Exception):
                self._watch(make(self))

    def _show(self) -> bool:
        """Adds a live view, if there is one for this place."""
        for make in views:
            with contextlib.suppress(Exception):
                if self._watch(make(self)):
                    return True
        return False

    def _start(self, loop: Callable[[], None], wait: bool) -> None:
        """Starts the loop on a thread of its own, which inherits this one's context."""
        self._desk.served = wait
        generator = None if wait else _active.reserve_random_numbers()
        cell = _core.current_cell()
        context = contextvars.copy_context()

        def work() -> None:
            _core.set_current_cell(cell)
            _core.set_thread_cancel_token(self._cancel)
            self._owner.begin()
            if generator is not None:
                _core.set_thread_generator(*generator)
            try:
                context.run(loop)
            except BaseException as error:
                if not (self._cancel.cancelled and isinstance(error, fb.CancelledError)):
                    self.error, self._trace = error, error.__traceback__
            finally:
                if generator is not None:
                    _active.return_random_numbers(generator)
                self._owner.end()
                self._finish()

        self._thread = threading.Thread(target=work, name=f"flowbook {self.name}", daemon=True)
        self._thread.start()

    def _watch(self, observer: Observer | None) -> bool:
        if observer is not None:
            self._observers.append(observer)
        return observer is not None

    def _finish(self) -> None:
        self._owner.release()
        self.history.seconds = time.perf_counter() - self._begin
        _active.remove(self)
        self._ended = True
        self._tell("ended")
        self._over.set()
        self._desk.close()
        with self._lock:
            waiting, self._when_over = self._when_over, []
        for call in waiting:
            call()

    def _call_when_over(self, call: Callable[[], None]) -> None:
        with self._lock:
            if not self.done:
                self._when_over.append(call)
                return
        call()

    def _serve(self) -> History:
        """Waits for the end of the run and makes its calls to callbacks on this thread."""
        try:
            with self._interrupts():
                while self._desk.served:
                    call = self._desk.take()
                    if call is not None:
                        self._owner.begin()
                        try:
                            call.make()
                        finally:
                            self._owner.end()
                    _run_hooks()
        except BaseException:  # a second interrupt: nothing of the running step counts
            self._abandon("interrupted")
            raise
        return self._result()

    def _interrupts(self, wake: Callable[[], Any] | None = None) -> Interrupts:
        return Interrupts(lambda: self.stop("interrupted"), lambda: self.done, wake)

    def _abandon(self, reason: str, seconds: float = 0.5) -> None:
        """Ends the run at once; the running step changes nothing.

        A step gives up within milliseconds. A batch that is being loaded may take longer: then the
        run ends after it.
        """
        self.stop(reason)
        self._cancel.cancel()
        self._desk.close()
        self._over.wait(seconds)

    def _lost(self, reason: str) -> None:
        """This process has no thread of the run any more."""
        self.history.stopped = reason
        self._ended = True
        self._over.set()

    def _ask(self, function: Callable[..., Any], *args: Any) -> None:
        """Calls user code on the thread that waits for the run, or here if none does."""
        self._desk.ask(function, *args)

    # Inside: telling

    def _tell(self, what: str, *args: Any) -> None:
        for observer in self._observers:
            with contextlib.suppress(Exception):  # a view or a full disk must not stop a run
                getattr(observer, what)(self, *args)

    def _mark(self, kind: str, text: str, value: float | None = None) -> None:
        part = self.epoch_step / self.steps_per_epoch if self.steps_per_epoch else 0.0
        mark = Mark(self.step, self.epoch + min(part, 1.0), kind, text, value)
        self.history.marks.append(mark)
        self._tell("marked", mark)

    def _sample(self) -> None:
        seconds = time.perf_counter() - self._begin
        each = self.examples / self.step if self.step else math.nan
        with fb.outside_graph():
            rate = float(self.optimizer.rate())
        live = _core.memory_stats(0)["live"]
        self.samples.append(Sample(seconds, self.step, rate, each / self._pace, live))
        if len(self.samples) > _SAMPLES:
            del self.samples[1::2]

    def _where(self) -> str:
        if not self.step:
            return f"{self.status}, no step yet"
        total = f"/{self.steps_per_epoch}" if self.steps_per_epoch else ""
        return (
            f"{self.status}, epoch {min(self.epoch + 1, self.epochs)}/{self.epochs}, "
            f"step {self.epoch_step}{total}"
        )

    def __repr__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        text = f"Run {self.name}{label}: {self._where()}"
        points = self.course.points()
        if len(points.mean):
            text += f", loss {points.mean[-1]:.4g}"
        if self.history.stopped and self.done:
            text += f", {self.history.stopped}"
        return text + (f", {type(self.error).__name__}: {self.error}" if self.error else "")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from . import _run_view

        return _display.mimebundle("run", self, _run_view.mimebundle)


def one_line(obj: Any) -> str:
    """The first line of a repr, short."""
    try:
        return repr(obj).partition("\n")[0][:120]
    except Exception:  # a user's __repr__ must not stop a run
        return type(obj).__name__


_names = itertools.count()
_last_stamp = ""


def _new_name() -> str:
    """The time, with a number where a process begins several runs in one second."""
    global _last_stamp, _names
    stamp = time.strftime("%Y%m%d-%H%M%S")
    if stamp != _last_stamp:
        _last_stamp, _names = stamp, itertools.count()
    k = next(_names)
    return f"{stamp}-{k}" if k else stamp
