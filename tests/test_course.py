"""The course of a run's loss: buckets in bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from working_runs import start

import flowbook as fb
from flowbook import _core
from flowbook._course import Course
from flowbook.callbacks import Callback

pytestmark = pytest.mark.usefixtures("no_run_is_left")


def test_courses_keep_extremes_in_bounded_memory() -> None:
    course = Course(limit=64)
    values = np.ones(10_001)
    values[777], values[778] = 50, -50
    for part in np.array_split(values, 137):
        course.extend(part.tolist())
    points = course.points()
    assert course.steps == 10_001
    assert 32 <= len(points.step) <= 65
    assert points.step[-1] == 10_001
    assert (points.high.max(), points.low.min()) == (50, -50)
    assert np.average(points.mean[:-1]) == pytest.approx(1, abs=0.01)


def test_courses_leave_out_what_is_not_finite() -> None:
    course = Course(limit=4)
    course.extend([math.nan, 1.0, math.inf, 3.0, math.nan, math.nan, 5.0, 7.0])
    points = course.points()
    assert points.step.tolist() == [2, 4, 6, 8]
    np.testing.assert_array_equal(points.mean, [1, 3, math.nan, 6])


def test_a_course_of_every_step() -> None:
    losses: list[float] = []

    class Note(Callback):
        def on_step_end(self, run):
            losses.append(float(run.loss))

    run = start(epochs=6, callbacks=[Note()])
    run.wait(10)
    assert run.points().mean.tolist() == losses


def test_losses_are_read_in_one_go() -> None:
    """float32 scalars without a Python object for each; whatever float() takes as well."""
    values = [fb.asarray(v, dtype) for v in (1.5, -2.0) for dtype in (fb.float32, fb.float64)]
    values += [fb.asarray([3.0]), fb.asarray(7), 2, math.nan, fb.asarray(-math.inf)]
    found = _core.numbers(values)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1.5, 1.5, -2, -2, 3, 7, 2, math.nan, -math.inf])
    assert _core.numbers([]).shape == (0,)
    with pytest.raises(TypeError):
        _core.numbers(["no number"])
    with pytest.raises(fb.FlowbookError):
        _core.numbers([fb.asarray([1.0, 2.0])])


def test_buckets_keep_least_greatest_and_mean() -> None:
    values = np.array([1.0, 3.0, math.nan, math.inf, 5.0])
    low, high, mean = _core.summary(values, 2)
    np.testing.assert_array_equal(low, [1, math.nan, 5])
    np.testing.assert_array_equal(high, [3, math.nan, 5])
    np.testing.assert_array_equal(mean, [2, math.nan, 5])
    assert _core.summary(values[:0], 4).shape == (3, 0)
    with pytest.raises(ValueError, match="at least one"):
        _core.summary(values, 0)
