"""Layers of images."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook import nn

from .arrays import arr


def conv_reference(x: np.ndarray, w: np.ndarray, strides: int, padding: str) -> np.ndarray:
    """Convolution by windows in float64; padding "same" puts the odd zero behind."""
    rows, columns = w.shape[:2]
    if padding == "same":
        pads = []
        for size, k in zip(x.shape[1:3], (rows, columns)):
            total = max((-(-size // strides) - 1) * strides + k - size, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(1, 2))
    return np.einsum("nhwcij,ijco->nhwo", windows[:, ::strides, ::strides], w)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("strides", "window"), [(1, 3), (2, 3), (1, 1), (2, 2)])
def test_conv2d_is_a_convolution(padding: str, strides: int, window: int) -> None:
    layer = nn.Conv2D(5, window, strides=strides, padding=padding, bias_init=nn.init.Ones())
    x = arr(2, 7, 8, 3)
    y = layer(fb.asarray(x))
    expected = conv_reference(x.astype("f8"), layer.weight.numpy(), strides, padding) + 1
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert layer.weight.shape == (window, window, 3, 5)


def test_conv2d_groups_and_text() -> None:
    layer = nn.Conv2D(4, 3, 2, groups=2, strides=2, padding="same", activation=nn.relu, bias=False)
    assert layer.weight.shape == (3, 3, 1, 4)
    assert layer.describe() == "Conv2D(2 -> 4, 3x3, strides 2x2, same, groups 2, relu, no bias)"
    x = arr(1, 4, 4, 2)
    halves = [
        conv_reference(x[..., i : i + 1], layer.weight.numpy()[..., 2 * i : 2 * i + 2], 2, "same")
        for i in range(2)
    ]
    expected = np.maximum(np.concatenate(halves, -1), 0)
    np.testing.assert_allclose(layer(fb.asarray(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_pooling_layers() -> None:
    x = arr(2, 6, 4, 3)
    blocks = x.reshape(2, 3, 2, 2, 2, 3)
    np.testing.assert_array_equal(nn.MaxPool2D()(fb.asarray(x)).numpy(), blocks.max((2, 4)))
    average = nn.AvgPool2D()(fb.asarray(x)).numpy()
    np.testing.assert_allclose(average, blocks.mean((2, 4)), rtol=1e-4, atol=1e-6)
    overall = nn.GlobalAvgPool()(fb.asarray(x)).numpy()
    np.testing.assert_allclose(overall, x.mean((1, 2)), rtol=1e-4, atol=1e-6)
    assert nn.MaxPool2D(3, 2, "same").describe() == "MaxPool2D(3x3, strides 2x2, same)"


@pytest.mark.parametrize("compiled", [False, True])
def test_batch_norm_keeps_running_statistics(compiled: bool) -> None:
    layer = nn.BatchNorm(3, momentum=0.5)
    train = (
        fb.graph(lambda x: layer(x, training=True))
        if compiled
        else (lambda x: layer(x, training=True))
    )
    mean, variance = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = arr(4, 5, 3, seed=seed) * 2 + 1
        y = train(fb.asarray(x)).numpy()
        m, v = x.mean((0, 1)), x.var((0, 1))
        np.testing.assert_allclose(y, (x - m) / np.sqrt(v + 1e-5), rtol=1e-3, atol=1e-4)
        mean, variance = (mean + m) / 2, (variance + v) / 2
    np.testing.assert_allclose(layer.mean.numpy(), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.variance.numpy(), variance, rtol=1e-4)
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(layer(fb.asarray(x)).numpy(), expected, rtol=1e-3, atol=1e-4)
    assert len(layer.parameters()) == 2
    assert len(layer.variables()) == 4


def test_image_layers_learn() -> None:
    """Horizontal against vertical bars: needs the convolution, its gradient and running statistics."""
    rng = np.random.default_rng(0)
    y = np.arange(64) % 2
    x = rng.normal(size=(64, 6, 6, 1)).astype(np.float32) * 0.1
    for image, label in zip(x, y):
        at = rng.integers(6)
        image[at if label else slice(None), slice(None) if label else at] += 1
    fb.random.seed(0)
    model = nn.Sequential(
        nn.Conv2D(4, 3, bias=False), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2D(), nn.Flatten(),
        nn.Dense(2),
    )  # fmt: skip
    loss = fb.losses.softmax_cross_entropy
    fb.fit(model, (x, y), loss, fb.optim.Adam(0.02), epochs=30, batch_size=16, progress=False)
    assert fb.evaluate(model, (x, y), metrics=[fb.metrics.Accuracy()])["accuracy"] > 0.95


def test_image_layers_refuse_what_they_cannot_use() -> None:
    with pytest.raises(fb.ShapeError, match=r"must be \[batch, height, width, channels\]"):
        nn.Conv2D(2)(fb.asarray(arr(4, 4, 1)))
    with pytest.raises(fb.ShapeError, match=r"width, 3\]"):
        nn.Conv2D(2, 3, 3)(fb.asarray(arr(1, 4, 4, 1)))
    for make in (
        lambda: nn.Conv2D(0),
        lambda: nn.Conv2D(2, (3, 3, 3)),
        lambda: nn.Conv2D(2, padding="full"),
        lambda: nn.Conv2D(3, groups=2),
        lambda: nn.Conv2D(4, channels=3, groups=2),
        lambda: nn.MaxPool2D(0),
        lambda: nn.BatchNorm(momentum=2),
    ):
        with pytest.raises(fb.ArgumentError):
            make()
