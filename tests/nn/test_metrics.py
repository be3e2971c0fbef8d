"""Metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flowbook as fb

from .arrays import arr


def test_accuracy_over_batches_is_weighted_by_examples() -> None:
    metric = fb.metrics.Accuracy()
    assert math.isnan(metric.result())
    metric.update(fb.asarray(np.eye(3, dtype=np.float32)), fb.asarray([0, 1, 0]))
    metric.update(fb.asarray(np.eye(3, dtype=np.float32)[:1]), fb.asarray([0]))
    assert metric.result() == 3 / 4
    metric.reset()
    metric.update(fb.asarray([1, 2]), fb.asarray([1, 0]))
    assert metric.result() == 0.5


def test_top_k_and_binary_accuracy() -> None:
    scores = fb.asarray(np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], np.float32))
    target = fb.asarray([1, 2])
    assert [float(fb.metrics.top_k_accuracy(scores, target, k=k)) for k in (1, 2, 3)] == [0, 0.5, 1]
    metric = fb.metrics.TopKAccuracy(2)
    metric.update(scores, target)
    assert (metric.name, metric.result()) == ("top_2_accuracy", 0.5)
    binary = fb.metrics.BinaryAccuracy(0.5)
    binary.update(fb.asarray([0.2, 0.7]), fb.asarray([0.0, 0.0]))
    assert binary.result() == 0.5


def test_mean_metrics() -> None:
    mean = fb.metrics.Mean("loss")
    mean.add(fb.asarray(2.0), count=3)
    mean.add(fb.asarray([4.0, 6.0]))
    assert mean.result() == pytest.approx(16 / 5)
    error = fb.metrics.MeanSquaredError()
    error.update(fb.asarray([1.0, 2.0]), fb.asarray([1.0, 4.0]))
    assert error.result() == 2.0
    absolute = fb.metrics.MeanAbsoluteError()
    absolute.update(fb.asarray([1.0, 2.0]), fb.asarray([1.0, 4.0]))
    assert absolute.result() == 1.0
    assert repr(absolute) == "MeanAbsoluteError('mean_absolute_error'): 1"


def test_counts_follow_the_batch_size_in_a_graph() -> None:
    """A graph runs again with other sizes; a size in Python would stay that of the first batch."""
    metric = fb.metrics.Accuracy()
    update = fb.graph(lambda p, t: metric.update(p, t))
    eye = np.eye(4, dtype=np.float32)
    update(fb.asarray(eye), fb.asarray([0, 1, 2, 3]))
    update(fb.asarray(eye[:2]), fb.asarray([0, 0]))
    assert metric.result() == 5 / 6


def test_sums_do_not_lose_small_parts() -> None:
    metric = fb.metrics.Mean()
    metric.add(fb.asarray(1.0), count=2**25)
    metric.add(fb.asarray(0.0))
    assert int(metric.count.numpy()) == 2**25 + 1


def test_metric_errors() -> None:
    with pytest.raises(fb.ShapeError, match="scores"):
        fb.metrics.accuracy(fb.asarray(arr(4, 3)), fb.asarray([1, 2]))
    with pytest.raises(fb.DTypeError, match="integer classes"):
        fb.metrics.accuracy(fb.asarray(arr(4, 3)), fb.asarray(np.zeros(4, np.float32)))
    with pytest.raises(fb.ArgumentError, match="no function"):
        fb.metrics.Mean().update(fb.asarray(1.0), fb.asarray(1.0))
