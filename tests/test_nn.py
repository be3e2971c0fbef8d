"""Modules, layers, initialisers, losses and metrics."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import flowbook as fb
from flowbook import nn


def arr(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Net(nn.Module):
    def __init__(self) -> None:
        self.embed = nn.Embedding(11, 4)
        self.blocks = [nn.Dense(4, inputs=4) for _ in range(2)]
        self.heads = {"a": nn.Dense(3), "b": nn.LayerNorm()}
        self.scale = fb.Variable(np.ones((), np.float32), name="scale")
        self.running = fb.Variable(np.zeros(4, np.float32), name="running", trainable=False)
        self.tied = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.heads["b"](self.heads["a"](x)) * self.scale


PATHS = [
    "embed.weight",
    "blocks[0].weight",
    "blocks[0].bias",
    "blocks[1].weight",
    "blocks[1].bias",
    "heads['a'].weight",
    "heads['a'].bias",
    "heads['b'].scale",
    "heads['b'].bias",
    "scale",
    "running",
]


def built() -> Net:
    net = Net()
    net(fb.asarray([1, 2, 3]))
    return net


# Module


def test_state_paths_and_sharing() -> None:
    net = built()
    assert list(net.named_variables()) == PATHS
    assert list(net.named_parameters()) == PATHS[:-1]
    assert len(net.variables()) == 11
    assert net.count == 44 + 40 + 15 + 6 + 1


def test_lazy_layers_have_no_variables_before_the_first_call() -> None:
    layer = nn.Dense(3)
    assert layer.variables() == []
    layer(fb.asarray(arr(2, 5)))
    assert layer.weight.shape == (5, 3)
    first = layer.weight
    layer(fb.asarray(arr(7, 5)))
    assert layer.weight is first


def test_deepcopy_is_independent_and_keeps_sharing() -> None:
    net = built()
    twin = copy.deepcopy(net)
    assert twin.tied is twin.embed.weight
    assert twin.embed.weight is not net.embed.weight
    before = twin.embed.weight.numpy().copy()
    net.embed.weight.assign(net.embed.weight.value * 2)
    np.testing.assert_array_equal(twin.embed.weight.numpy(), before)
    tokens = fb.asarray([3, 4])
    net.embed.weight.assign(fb.asarray(before))
    np.testing.assert_array_equal(twin(tokens).numpy(), net(tokens).numpy())


def test_pickle_round_trip() -> None:
    net = built()
    net.running.assign(fb.asarray(arr(4)))
    twin = pickle.loads(
        pickle.dumps(nn.Sequential(net.heads["a"], net.heads["b"], nn.Dropout(0.3)))
    )
    x = fb.asarray(arr(2, 4))
    expected = net.heads["b"](net.heads["a"](x))
    np.testing.assert_array_equal(twin(x).numpy(), expected.numpy())
    assert [v.name for v in twin.variables()] == ["weight", "bias", "scale", "bias"]


def test_freeze() -> None:
    net = built()
    net.embed.freeze()
    assert "embed.weight" not in net.named_parameters()
    assert "embed.weight" in net.named_variables()
    net.embed.unfreeze()
    assert "embed.weight" in net.named_parameters()


def test_modules_lists_each_once() -> None:
    layer = nn.ReLU()
    model = nn.Sequential(layer, nn.Sequential(layer), layer)
    assert [path for path, _ in model.modules()] == ["", "layers[0]", "layers[1]"]


def test_cycles_end() -> None:
    net = nn.Sequential(nn.Dense(2, inputs=2))
    net.layers.append(net)
    assert len(net.variables()) == 2
    assert "shared with the top" in repr(net)


def test_text_form() -> None:
    model = nn.Sequential(nn.Dense(4, inputs=3, activation=nn.relu), nn.Dropout(0.5), nn.Dense(2))
    text = repr(model)
    assert (
        text.splitlines()[0]
        == "Sequential: 16 parameters, 64 B; some layers build on the first call"
    )
    assert "├─ layers[0]" in text
    assert "Dense(3 -> 4, relu)" in text
    assert "Dense(? -> 2)" in text
    model(fb.asarray(arr(1, 3)))
    assert "f32[4, 2]" in repr(model)
    model.layers[0].freeze()
    assert "(10 trainable)" in repr(model)


def test_html_form_is_self_contained_and_escaped() -> None:
    class Sneaky(nn.Module):
        def describe(self) -> str:
            return "<script>alert(1)</script>"

    html = nn.Sequential(Sneaky(), nn.Dense(2, inputs=2))._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "http" not in html


def test_forward_is_required() -> None:
    with pytest.raises(NotImplementedError, match="def forward"):
        nn.Module()(1)


def test_failed_build_can_be_repeated() -> None:
    layer = nn.Dense(3)
    with pytest.raises(fb.ShapeError, match="scalar"):
        layer(fb.asarray(1.0))
    assert layer(fb.asarray(arr(2, 4))).shape == (2, 3)


# Training switch


def test_switch_as_context_and_argument() -> None:
    drop = nn.Dropout(0.5)
    x = fb.asarray(np.ones(200, np.float32))
    np.testing.assert_array_equal(drop(x).numpy(), 1)
    assert 0 in drop(x, training=True).numpy()
    with nn.training():
        assert nn.is_training()
        assert 0 in drop(x).numpy()
        assert 0 not in drop(x, training=False).numpy()
        with nn.training(False):
            assert not nn.is_training()
        assert nn.is_training()
    assert not nn.is_training()


def test_graphs_take_the_switch_into_their_key() -> None:
    drop = nn.Dropout(0.5)
    step = fb.graph(lambda x: drop(x))
    x = fb.asarray(np.ones(200, np.float32))
    for _ in range(2):
        assert 0 not in step(x).numpy()
        with nn.training():
            assert 0 in step(x).numpy()


def test_switch_resets_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), nn.training():
        1 / 0
    assert not nn.is_training()


def test_dropout_keeps_the_mean_and_varies() -> None:
    fb.random.seed(1)
    drop, x = nn.Dropout(0.25), fb.asarray(np.ones((100, 100), np.float32))
    first, second = (drop(x, training=True).numpy() for _ in range(2))
    assert abs(first.mean() - 1) < 0.05
    np.testing.assert_allclose(first[first != 0], 1 / 0.75, rtol=1e-6)
    assert (first != second).any()
    with pytest.raises(fb.ArgumentError, match=r"rate is 1\.5"):
        nn.Dropout(1.5)


# Layers


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


# Images


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


# Initialisers


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


# Losses


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


# Metrics


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


def test_activations_may_be_named():
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    named, given = (fb.nn.Dense(4, inputs=3, activation=a) for a in ("relu", fb.nn.relu))
    named.weight.assign(given.weight.value)
    assert np.array_equal(named(x).numpy(), given(x).numpy())
    with pytest.raises(fb.ArgumentError, match=r'activation is .rleu.*"relu"'):
        fb.nn.Dense(4, activation="rleu")
