"""Modules: their paths, copies, text; and the training switch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import flowbook as fb
from flowbook import nn

from .arrays import arr
from .nets import built

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


def test_functions_between_layers_are_listed() -> None:
    """The tree went from layers[0] to layers[2], as if something were lost."""
    model = nn.Sequential(nn.Dense(2, inputs=2), nn.relu, nn.Dropout(0.5), nn.relu, lambda x: x)
    lines = repr(model).splitlines()[1:]
    shown = [line.split(maxsplit=2)[1:] for line in lines if "layers[" in line]
    assert shown[1::2] == [["layers[1]", "relu"], ["layers[3]", "relu"]]
    assert shown[4] == ["layers[4]", "<lambda>"]
    html = model._repr_html_()
    assert "<code>layers[3]</code> relu" in html
    assert "<code>layers[4]</code> &lt;lambda&gt;" in html


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
