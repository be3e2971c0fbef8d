"""Initialisers, seeds and the dtype policy."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flowbook as fb
from flowbook import nn

from .nets import built


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        (nn.init.GlorotUniform(), math.sqrt(2 / 700)),
        (nn.init.GlorotNormal(), math.sqrt(2 / 700)),
        (nn.init.HeUniform(), math.sqrt(2 / 400)),
        (nn.init.HeNormal(), math.sqrt(2 / 400)),
        (nn.init.LecunUniform(), math.sqrt(1 / 400)),
        (nn.init.LecunNormal(), math.sqrt(1 / 400)),
        (nn.init.Normal(0.3), 0.3),
        (nn.init.Uniform(-1, 1), 1 / math.sqrt(3)),
        (nn.init.TruncatedNormal(1.0), 0.8796),
    ],
    ids=repr,
)
def test_initialisers_have_the_variance_of_their_paper(init, deviation: float) -> None:
    fb.random.seed(0)
    draw = init((400, 300), fb.float32).numpy()
    assert draw.dtype == np.float32
    assert abs(draw.std() / deviation - 1) < 0.02
    assert abs(draw.mean()) < 0.02 * max(deviation, 0.1)


def test_fans_of_convolution_weights() -> None:
    draw = nn.init.HeNormal()((3, 3, 50, 60)).numpy()
    assert abs(draw.std() / math.sqrt(2 / 450) - 1) < 0.05
    with pytest.raises(fb.ShapeError, match="no input and output axes"):
        nn.init.HeNormal()((3,))


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (2, 2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = nn.init.Orthogonal(2.0)(shape).numpy().reshape(-1, shape[-1]) / 2
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)


def test_the_seed_decides_the_model() -> None:
    draws = []
    for _ in range(2):
        fb.random.seed(5)
        draws.append([v.numpy().tobytes() for v in built().variables()])
    assert draws[0] == draws[1]


def test_dtype_policy() -> None:
    nn.set_dtype_policy(fb.float64)
    try:
        assert nn.Dense(2, inputs=2).weight.dtype == fb.float64
        assert fb.data.from_arrays(np.zeros(2, np.float32)).columns.dtype == np.float64
    finally:
        nn.set_dtype_policy(fb.float32)
    with pytest.raises(fb.DTypeError, match="int32 is not a floating dtype"):
        nn.set_dtype_policy(fb.int32)
