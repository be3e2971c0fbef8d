"""Losses."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flowbook as fb

from .arrays import arr


def np_log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_softmax_cross_entropy_reference() -> None:
    x, y = arr(6, 4).astype(np.float64), np.array([0, 1, 2, 3, 0, 1])
    rows = -np_log_softmax(x)[np.arange(6), y]
    loss = fb.losses.softmax_cross_entropy
    t, labels = fb.asarray(x.astype(np.float32)), fb.asarray(y)
    np.testing.assert_allclose(float(loss(t, labels)), rows.mean(), rtol=1e-5)
    np.testing.assert_allclose(loss(t, labels, reduction="none").numpy(), rows, rtol=1e-5)
    np.testing.assert_allclose(float(loss(t, labels, reduction="sum")), rows.sum(), rtol=1e-5)
    w = np.array([1, 0, 2, 0, 1, 0.5])
    np.testing.assert_allclose(
        float(loss(t, labels, weights=fb.asarray(w))), (rows * w).sum() / w.sum(), rtol=1e-5
    )
    smooth = rows * 0.9 + 0.1 * -np_log_softmax(x).mean(-1)
    np.testing.assert_allclose(
        float(loss(t, labels, label_smoothing=0.1)), smooth.mean(), rtol=1e-5
    )


@pytest.mark.parametrize("classes", [1, 3, 8, 10, 96, 128, 129, 500])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_row_has_the_same_loss_in_any_batch(classes: int, axis: int, dtype: str) -> None:
    """Rows are taken 16 at a time: to the last bit as if alone, whatever their neighbours hold."""
    x = (arr(100, classes) * 9).astype(dtype)
    x[3], x[17, 0], x[40] = np.nan, np.inf, -np.inf
    x[50, -1], x[60] = 1e30, 3e-42
    y = np.random.default_rng(1).integers(0, classes, 100)
    d = arr(100, seed=2).astype(dtype)

    def results(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        logits = fb.asarray(np.ascontiguousarray(x[rows] if axis else x[rows].T))
        labels, weights = fb.asarray(y[rows]), fb.asarray(d[rows])

        def step(x: fb.Tensor) -> tuple[fb.Tensor, fb.Tensor]:
            loss = fb.nn.softmax_cross_entropy(x, labels, axis=axis)
            return loss, fb.gradients(fb.sum(loss * weights), [x])[0]

        loss, gradient = fb.graph(step)(logits)
        dx = gradient.numpy()
        return loss.numpy(), dx if axis else dx.T

    loss, dx = results(slice(0, 100))
    for first, end in ((0, 1), (3, 4), (17, 18), (5, 38), (40, 41), (50, 51), (60, 100)):
        part, dpart = results(slice(first, end))
        assert np.array_equal(part, loss[first:end], equal_nan=True)
        assert np.array_equal(dpart, dx[first:end], equal_nan=True)
    assert not np.isfinite(loss[[3, 40]]).any()
    assert np.isfinite(loss[[4, 16, 18, 39, 41]]).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_squared_error", lambda p, t: (p - t) ** 2),
        ("mean_absolute_error", lambda p, t: np.abs(p - t)),
        ("huber", lambda p, t: np.where(abs(p - t) <= 1, (p - t) ** 2 / 2, abs(p - t) - 0.5)),
        ("hinge", lambda p, t: np.maximum(0, 1 - t * p)),
        ("poisson", lambda p, t: np.exp(p) - t * p),
    ],
)
def test_elementwise_losses(name: str, expected) -> None:
    p, t = arr(5, 3) * 2, arr(5, 3, seed=1)
    loss = getattr(fb.losses, name)
    values = expected(p.astype(np.float64), t.astype(np.float64))
    got = loss(fb.asarray(p), fb.asarray(t), reduction="none").numpy()
    np.testing.assert_allclose(got, values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(float(loss(fb.asarray(p), fb.asarray(t))), values.mean(), rtol=1e-4)
    with pytest.raises(fb.ShapeError, match=r"prediction is f32\[5, 3\], target is f32\[5\]"):
        loss(fb.asarray(p), fb.asarray(t[:, 0]))
    assert loss(fb.asarray(p), fb.asarray(t[:, :1]), broadcast=True).shape == ()
    with pytest.raises(fb.ArgumentError, match="'avg'"):
        loss(fb.asarray(p), fb.asarray(t), reduction="avg")


def test_sigmoid_cross_entropy_is_stable() -> None:
    x, y = np.array([-500.0, 0.0, 500.0], np.float32), np.array([0.0, 1.0, 1.0], np.float32)
    loss = fb.losses.sigmoid_cross_entropy(fb.asarray(x), fb.asarray(y), reduction="none")
    np.testing.assert_allclose(loss.numpy(), [0, math.log(2), 0], atol=1e-6)


def test_kl_divergence_and_cosine_distance() -> None:
    x, t = arr(4, 3), np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.5, 0.5], [1 / 3] * 3], np.float32)
    terms = np.where(t > 0, t * (np.log(np.where(t > 0, t, 1)) - np_log_softmax(x)), 0)
    got = fb.losses.kl_divergence(fb.asarray(x), fb.asarray(t), reduction="none")
    np.testing.assert_allclose(got.numpy(), terms.sum(-1), rtol=1e-4, atol=1e-6)
    y = arr(4, 3, seed=2)
    cosine = (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
    got = fb.losses.cosine_distance(fb.asarray(x), fb.asarray(y), reduction="none")
    np.testing.assert_allclose(got.numpy(), 1 - cosine, rtol=1e-4, atol=1e-5)


def test_loss_errors_say_what_would_be_right() -> None:
    x = fb.asarray(arr(4, 3))
    loss = fb.losses.softmax_cross_entropy
    with pytest.raises(fb.ShapeError, match=r"would be \[4\]"):
        loss(x, fb.asarray([[0], [1], [2], [0]]))
    with pytest.raises(fb.DTypeError, match="integer classes"):
        loss(x, fb.asarray(np.zeros(4, np.float32)))
    with pytest.raises(fb.ShapeError, match="weights"):
        loss(x, fb.asarray([0, 1, 2, 0]), weights=fb.asarray([1.0]))
    with pytest.raises(fb.DTypeError, match="must be floating"):
        fb.losses.mean_squared_error(fb.asarray([1]), fb.asarray([1]))
