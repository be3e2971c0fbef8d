"""The loop of `fit`, on the run's own thread: epochs, steps, validation, callbacks, and what was asked
for between two steps. A step is one native call without the GIL.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import flowbook as fb

from . import _core, _nan, _progress
from ._batches import epoch_of, rows_of, tensors
from ._frames import stack_level
from ._run import Run
from ._steps import Measure, TrainingStep
from .callbacks import Callback

TICK = 0.1  # seconds between two looks at the clock's consequences
_PENDING = 10_000  # losses that may wait for a tick
_SMOOTH = 2.0  # seconds in which what a step took fades


class Loop:
    """One run of the loop; called once.

    Args:
        run: What it works for.
        step: The compiled step, from a batch of tensors and its number of rows to the loss.
        on_nan: What is done about a loss that is not finite: "warn", "stop", "raise", "ignore".
        batches: The training data.
        measure: The compiled measurement, or None.
        held_out: The validation data, or None.
        listeners: Callbacks.

    Attributes:
        shown: A text display, or None.
    """

    def __init__(
        self,
        run: Run,
        step: TrainingStep,
        on_nan: str,
        batches: Any,
        measure: Measure | None,
        held_out: Any,
        listeners: Sequence[Callback],
    ) -> None:
        self._run, self._step, self._on_nan, self._batches = run, step, on_nan, batches
        self._measure, self._held_out = measure, held_out
        self._listeners = listeners
        self.shown: _progress.Progress | None = None
        self._each_step = [c for c in listeners if type(c).on_step_end is not Callback.on_step_end]
        self._losses: list[Any] = []  # of the steps since the last tick, as tensors
        self._ticked = (time.perf_counter(), 0)  # time and step of the last tick
        self._recent = (0.0, 0.0)  # seconds and steps of late, for the time of a step
        self._show_due = 0.0
        self._epoch_due = 0.0  # when observers may be told of the end of an epoch

    def __call__(self) -> None:
        run = self._run
        run._begin = time.perf_counter()
        run._tell("began")
        self._show_due = run._begin + _progress.INTERVAL
        try:
            self._notify("on_train_begin")
            for epoch in range(run.epochs):
                if not self._epoch(epoch):
                    break
            self._notify("on_train_end")
        finally:
            self._tick()
            run.history.seconds = time.perf_counter() - run._begin
            if self.shown is not None:
                run._ask(self.shown.close, run)

    def _notify(self, moment: str) -> None:
        for listener in self._listeners:
            self._run._ask(getattr(listener, moment), self._run)

    def _epoch(self, epoch: int) -> bool:
        """One epoch with its validation; False if it was the last."""
        run = self._run
        run.epoch, run.epoch_step, run._epoch_start = epoch, 0, time.perf_counter()
        for metric in run._metrics:
            metric.reset()
        self._notify("on_epoch_begin")
        self._train(epoch_of(self._batches, epoch))
        run.history.seconds = time.perf_counter() - run._begin
        if run.epoch_step == 0:
            if not run.stopping:
                raise fb.DataError(
                    f"fit: epoch {epoch + 1} has no batches. Give data that can be "
                    "iterated again for each epoch (a list or a Dataset, not a generator)."
                )
            return False
        self._tick(force=False)
        run.logs = run.current()
        cut_short = run.stopping
        if self._measure is not None and not cut_short:
            measured = time.perf_counter()
            numbers = self._measure(self._until_stopped(epoch_of(self._held_out, 0)))
            cut_short = run.stopping
            if not cut_short:
                run.logs.update({f"val_{name}": x for name, x in numbers.items()})
            # Validation is not part of a step: the clock of steps goes on from here.
            self._ticked = (self._ticked[0] + time.perf_counter() - measured, self._ticked[1])
        run.history.add(run.logs)
        if (now := time.perf_counter()) >= self._epoch_due:
            run._tell("epoch")
            self._epoch_due = now + TICK
        if not cut_short:
            self._notify("on_epoch_end")
        if self.shown is not None:
            run._ask(self.shown.epoch, run)
        return not run.stopping

    def _train(self, batches: Iterator[Any]) -> None:
        run, step, losses = self._run, self._step, self._losses
        controls, clock = run._controls, time.perf_counter
        due = clock() + TICK
        for batch in batches:
            if controls.asked and not self._attend(step=True):
                return
            batch = tensors(batch)
            rows = rows_of(batch)
            try:
                loss = step(batch, rows)
            except fb.NonFiniteError:
                if not self._accept(batch, rows):
                    return
                loss = step(batch, rows)
            run.loss = loss
            losses.append(loss)
            run.step += 1
            run.epoch_step += 1
            run.examples += rows
            run.history.steps = run.step
            for listener in self._each_step:
                run._ask(listener.on_step_end, run)
            now = clock()
            if now >= due:
                self._tick()
                if self.shown is not None and now >= self._show_due:
                    run._ask(self.shown.step, run)
                    self._show_due = clock() + _progress.INTERVAL
                due = clock() + TICK
        if controls.asked:
            self._attend(step=False)

    def _until_stopped(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            if self._run._controls.asked and not self._attend(step=False):
                return
            yield batch

    def _accept(self, batch: Any, rows: int) -> bool:
        """Whether a step whose loss is not finite is taken all the same; it has changed nothing yet.

        Raises:
            NonFiniteError: If that is what was asked for.
        """
        run = self._run
        text = _nan.explain(self._step, batch, rows, run.step + 1)
        self._tick()  # the losses so far come before the mark
        run._mark("alert", text, float(run.step + 1))
        if self._on_nan == "raise":
            raise fb.NonFiniteError(f"fit: {text}")
        if self._on_nan == "stop":
            run.stop(text.partition(";")[0])
            self._attend(step=False)
            return False
        self._step.accept_all()
        run._ask(_warn, f"fit: {text}")
        return True

    # Between two steps

    def _attend(self, step: bool) -> bool:
        """Does what was asked for, and holds the run while that was asked; False: stop."""
        run, controls = self._run, self._run._controls
        while True:
            if controls.holds():
                self._tick()
                if not run._held:
                    run._held = True
                    run._mark("pause", "paused")
            order = controls.next(step)
            self._ticked = (time.perf_counter(), run.step)
            if run._held and not controls.paused:
                run._held = False
                run._mark("resume", "resumed")
            if order.rate is not None:
                self._change_rate(order.rate)
            if order.stop:
                run._held = False
                return False
            if order.rate is None:
                return True

    def _change_rate(self, rate: float) -> None:
        run, optimizer = self._run, self._run.optimizer
        with fb.outside_graph():
            before = float(optimizer.rate())
            factor = 1.0
            if optimizer.schedule is not None:
                factor = float(optimizer.schedule.factor(optimizer.step.value))
            if not (math.isfinite(factor) and factor > 1e-9):
                text = f"learning rate kept at {before:g}: the schedule has come down to zero"
                run._mark("learning rate", text, before)
                return
            optimizer.lr.assign(fb.asarray(np.float32(rate / factor)))
        run._mark("learning rate", f"learning rate {before:.3g} to {rate:.3g}", rate)
        self._tick()

    def _tick(self, force: bool = True) -> None:
        """Puts the last losses into the course and tells the observers; on the run's thread.

        Where epochs are short, not every end of one is worth it: then `force` is false.
        """
        run = self._run
        now, step = time.perf_counter(), run.step
        before, first = self._ticked
        if not force and now - before < TICK and len(self._losses) < _PENDING:
            return
        if step > first:
            # Time and steps fade alike, so that one slow step, as the first is, counts as one.
            fade = math.exp((before - now) / _SMOOTH)
            self._recent = (
                self._recent[0] * fade + now - before,
                self._recent[1] * fade + step - first,
            )
            run._pace = self._recent[0] / self._recent[1]
        self._ticked = (now, step)
        fresh = _core.numbers(self._losses)
        self._losses.clear()
        run.course.extend(fresh)
        if step:
            run._sample()
        run._tell("tick", step - len(fresh) + 1, fresh)


def _warn(text: str) -> None:
    """Warns at the line of the user's that waits for the run."""
    warnings.warn(text, RuntimeWarning, stacklevel=stack_level())
