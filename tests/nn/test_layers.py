"""Layers and activations."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flowbook as fb
from flowbook import nn

from .arrays import arr


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 5, 3), (0, 3)])
def test_dense_is_an_affine_map(shape: tuple[int, ...]) -> None:
    layer, x = nn.Dense(4, inputs=3, bias_init=nn.init.Ones()), arr(*shape)
    expected = x @ layer.weight.numpy() + 1
    np.testing.assert_allclose(layer(fb.asarray(x)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_dense_casts_floats_and_takes_arrays() -> None:
    layer = nn.Dense(4, inputs=3)
    assert layer(arr(2, 3).astype(np.float64)).dtype == fb.float32
    assert layer(np.ones((2, 3), np.int64)).shape == (2, 4)


def test_dense_without_bias_and_with_activation() -> None:
    layer = nn.Dense(4, inputs=3, bias=False, activation=nn.relu)
    assert layer.bias is None
    assert (layer(fb.asarray(arr(9, 3))).numpy() >= 0).all()


def test_dense_errors() -> None:
    with pytest.raises(fb.ShapeError, match=r"f32\[2, 5\].*last axis of 3"):
        nn.Dense(4, inputs=3)(fb.asarray(arr(2, 5)))
    for units in (0, -1, 2.5, "3"):
        with pytest.raises(fb.ArgumentError, match="positive integer"):
            nn.Dense(units)


def test_embedding_looks_up_rows() -> None:
    layer = nn.Embedding(7, 3)
    tokens = np.array([[1, 6], [0, 1]])
    np.testing.assert_array_equal(layer(fb.asarray(tokens)).numpy(), layer.weight.numpy()[tokens])
    with pytest.raises(fb.IndexOutOfRange):
        layer(fb.asarray([7]))


def test_layer_norm_normalises_rows() -> None:
    layer, x = nn.LayerNorm(), arr(5, 8) * 3 + 2
    y = layer(fb.asarray(x)).numpy()
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    bare = nn.LayerNorm(8, scale=False, bias=False)
    assert bare.variables() == []
    np.testing.assert_allclose(bare(fb.asarray(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_flatten() -> None:
    assert nn.Flatten()(fb.asarray(arr(2, 3, 4))).shape == (2, 12)
    assert nn.Flatten()(fb.asarray(arr(3))).shape == (3, 1)
    assert nn.Flatten()(fb.asarray(arr(0, 3, 4))).shape == (0, 12)


def test_sequential_takes_functions_and_lists() -> None:
    model = nn.Sequential([lambda x: x + 1, nn.Identity()])
    assert float(model(fb.asarray(1.0))) == 2
    assert len(model) == 2
    assert model[1] is list(model)[1]
    with pytest.raises(fb.ArgumentError, match="layer 0 is 3"):
        nn.Sequential(3)
    with pytest.raises(fb.ArgumentError, match="layer 0"):
        nn.Sequential(nn.ReLU)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Softplus(), lambda x: np.log1p(np.exp(x))),
        (nn.Tanh(), np.tanh),
        (nn.GELU(), lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
        (
            nn.GELU(approximate=True),
            lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
        (nn.ELU(2.0), lambda x: np.where(x > 0, x, 2 * (np.exp(x) - 1))),
        (nn.Softmax(), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    ],
    ids=lambda v: v.describe() if isinstance(v, nn.Module) else "",
)
def test_activations(layer: nn.Module, expected) -> None:
    x = arr(4, 5)
    wanted = expected(x.astype(np.float64))
    np.testing.assert_allclose(layer(fb.asarray(x)).numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_activations_may_be_named():
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    named, given = (fb.nn.Dense(4, inputs=3, activation=a) for a in ("relu", fb.nn.relu))
    named.weight.assign(given.weight.value)
    assert np.array_equal(named(x).numpy(), given(x).numpy())
    with pytest.raises(fb.ArgumentError, match=r'activation is .rleu.*"relu"'):
        fb.nn.Dense(4, activation="rleu")
