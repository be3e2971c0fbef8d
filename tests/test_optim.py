"""Optimizers against the formulas of their papers in NumPy; schedules, clipping, state."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import flowbook as fb

SHAPES = [(3, 4), (4,), (), (0, 2), (2, 3, 5)]


def gradients_for(steps: int) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(1)
    return [[np.asarray(rng.normal(size=s)) for s in SHAPES] for _ in range(steps)]


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.asarray(rng.normal(size=s)) for s in SHAPES]


def reference_sgd(p, grads, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Sutskever et al. 2013, in the form of common libraries."""
    velocity = [np.zeros_like(x) for x in p]
    for t, step in enumerate(grads):
        rate = lr(t) if callable(lr) else lr
        for i, g in enumerate(step):
            g = g + weight_decay * p[i]
            velocity[i] = momentum * velocity[i] + g
            p[i] = p[i] - rate * (g + momentum * velocity[i] if nesterov else velocity[i])
    return p


def reference_adam(p, grads, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Kingma, Ba 2014, algorithm 1; decay after Loshchilov, Hutter 2017, algorithm 2."""
    m, v = [np.zeros_like(x) for x in p], [np.zeros_like(x) for x in p]
    for t, step in enumerate(grads, 1):
        rate = lr(t - 1) if callable(lr) else lr
        for i, g in enumerate(step):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
            m_hat, v_hat = m[i] / (1 - beta1**t), v[i] / (1 - beta2**t)
            p[i] = p[i] - rate * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p[i])
    return p


def cosine_reference(t: int) -> float:
    if t < 5:
        return 0.1 * (t + 1) / 5
    return 0.1 * 0.5 * (1 + math.cos(math.pi * (t - 5) / 15))


CASES = [
    (lambda: fb.optim.SGD(0.1), lambda p, g: reference_sgd(p, g, 0.1)),
    (lambda: fb.optim.SGD(0.1, 0.9), lambda p, g: reference_sgd(p, g, 0.1, 0.9)),
    (
        lambda: fb.optim.SGD(0.1, 0.9, nesterov=True, weight_decay=0.01),
        lambda p, g: reference_sgd(p, g, 0.1, 0.9, True, 0.01),
    ),
    (
        lambda: fb.optim.SGD(0.1, weight_decay=0.01),
        lambda p, g: reference_sgd(p, g, 0.1, weight_decay=0.01),
    ),
    (lambda: fb.optim.Adam(0.01), lambda p, g: reference_adam(p, g, 0.01)),
    (
        lambda: fb.optim.Adam(0.01, 0.8, 0.95, 1e-3),
        lambda p, g: reference_adam(p, g, 0.01, 0.8, 0.95, 1e-3),
    ),
    (
        lambda: fb.optim.AdamW(0.01, weight_decay=0.1),
        lambda p, g: reference_adam(p, g, 0.01, weight_decay=0.1),
    ),
    (
        lambda: fb.optim.SGD(fb.optim.cosine(0.1, steps=20, warmup=5), 0.5),
        lambda p, g: reference_sgd(p, g, cosine_reference, 0.5),
    ),
    (
        lambda: fb.optim.Adam(fb.optim.cosine(0.1, steps=20, warmup=5)),
        lambda p, g: reference_adam(p, g, cosine_reference),
    ),
]
NAMES = ["sgd", "momentum", "nesterov", "decay", "adam", "adam2", "adamw", "sgd-cos", "adam-cos"]


@pytest.mark.parametrize(("make", "reference"), CASES, ids=NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_updates_follow_the_paper(make, reference, dtype: str, compiled: bool) -> None:
    params = [fb.Variable(x.astype(dtype), name=f"p{i}") for i, x in enumerate(start())]
    optimizer = make()
    grads = gradients_for(12)
    update = optimizer.update
    if compiled:

        @fb.graph
        def update(params_, grads_):
            del params_
            optimizer.update(params, list(grads_))
            return optimizer.rate()

    for step in grads:
        tensors = tuple(fb.asarray(g.astype(dtype)) for g in step)
        if compiled:
            update(None, tensors)
        else:
            update(params, tensors)
    expected = reference(start(), grads)
    tolerance = (
        {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-6, "atol": 1e-7}
    )  # the rate is float32
    for variable, wanted in zip(params, expected):
        np.testing.assert_allclose(variable.numpy(), wanted, **tolerance)
        assert variable.numpy().dtype == dtype
    assert int(optimizer.step.numpy()) == 12


def test_eager_and_graph_agree_bitwise() -> None:
    results = []
    for compiled in (False, True):
        params = [fb.Variable(x.astype(np.float32)) for x in start()]
        optimizer = fb.optim.AdamW(fb.optim.linear(0.1, steps=30), clip_norm=1.0)
        step = lambda *g: optimizer.update(params, list(g))  # noqa: E731, B023
        step = fb.graph(step) if compiled else step
        for grads in gradients_for(4):
            step(*(fb.asarray(g.astype(np.float32)) for g in grads))
        results.append([p.numpy().tobytes() for p in params])
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_optimizers_find_the_minimum_of_a_quadratic(name: str) -> None:
    target = fb.asarray(np.array([1.0, -2.0, 3.0], np.float32))
    w = fb.Variable(np.zeros(3, np.float32), name="w")
    rate = fb.optim.cosine(0.1 if name == "SGD" else 0.3, steps=200, floor=0.01)
    settings = {"weight_decay": 0.0} if name == "AdamW" else {}
    optimizer = getattr(fb.optim, name)(rate, **settings)

    @fb.graph
    def step():
        loss = fb.sum((w.value - target) ** 2)
        optimizer.update([w], fb.gradients(loss, [w]))
        return loss

    for _ in range(200):
        step()
    np.testing.assert_allclose(w.numpy(), [1, -2, 3], atol=1e-2)


# State


def test_slots_are_named_after_the_parameters() -> None:
    model = fb.nn.Sequential(fb.nn.Dense(3, inputs=2))
    optimizer = fb.optim.Adam()
    optimizer.bind(model)
    assert list(optimizer.named_variables()) == [
        "step",
        "lr",
        "m.layers[0].weight",
        "m.layers[0].bias",
        "v.layers[0].weight",
        "v.layers[0].bias",
    ]
    assert all(not v.trainable for v in optimizer.named_variables().values())


def test_parameters_that_come_later_get_slots_too() -> None:
    optimizer = fb.optim.SGD(1.0, momentum=0.5)
    a, b = (fb.Variable(np.zeros(1, np.float32), name=n) for n in "ab")
    one = fb.asarray([1.0])
    optimizer.update([a], [one])
    optimizer.update([a, b], [one, one])
    np.testing.assert_allclose([a.numpy()[0], b.numpy()[0]], [-2.5, -1.0])


def test_equal_names_stay_apart() -> None:
    params = [fb.Variable(np.zeros(1, np.float32), name="w") for _ in range(2)]
    optimizer = fb.optim.SGD(1.0, momentum=0.5)
    optimizer.bind(params)
    assert len(optimizer.named_variables()) == 4


def test_a_shared_parameter_moves_once() -> None:
    w = fb.Variable(np.zeros(1, np.float32), name="w")
    model = fb.nn.Module()
    model.a, model.b = w, w
    fb.optim.SGD(1.0).update(model, [fb.asarray([1.0])])
    np.testing.assert_allclose(w.numpy(), [-1])


def test_the_rate_can_be_changed_while_training() -> None:
    optimizer = fb.optim.SGD(fb.optim.linear(1.0, steps=10))
    assert float(optimizer.rate()) == 1.0
    optimizer.lr.assign(fb.asarray(np.float32(0.5)))
    assert float(optimizer.rate()) == 0.5
    w = fb.Variable(np.zeros(1, np.float32))
    step = fb.graph(lambda g: optimizer.update([w], [g]))
    step(fb.asarray([1.0]))
    np.testing.assert_allclose(w.numpy(), [-0.5])
    optimizer.lr.assign(fb.asarray(np.float32(0.0)))
    step(fb.asarray([1.0]))
    np.testing.assert_allclose(w.numpy(), [-0.5])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_model_and_optimizer_copy_together(duplicate) -> None:
    model = fb.nn.Dense(3, inputs=2)
    optimizer = fb.optim.Adam(0.1)
    grads = [fb.asarray(np.ones((2, 3), np.float32)), fb.asarray(np.ones(3, np.float32))]
    optimizer.update(model, grads)
    twin, twin_optimizer = duplicate((model, optimizer))
    twin_optimizer.update(twin, grads)
    assert int(optimizer.step.numpy()) == 1
    optimizer.update(model, grads)
    np.testing.assert_array_equal(twin.weight.numpy(), model.weight.numpy())


def test_reset() -> None:
    optimizer = fb.optim.Adam(0.1)
    w = fb.Variable(np.ones(2, np.float32), name="w")
    optimizer.update([w], [fb.asarray([1.0, 2.0])])
    optimizer.reset()
    values = {name: v.numpy() for name, v in optimizer.named_variables().items()}
    assert float(values.pop("lr")) == np.float32(0.1)
    assert all((v == 0).all() for v in values.values())


def test_decay_mask_spares_biases() -> None:
    w, b = fb.Variable(np.ones((2, 2), np.float32)), fb.Variable(np.ones(2, np.float32))
    optimizer = fb.optim.AdamW(0.1, weight_decay=0.5, decay_mask=lambda p: len(p.shape) > 1)
    zeros = [fb.asarray(np.zeros((2, 2), np.float32)), fb.asarray(np.zeros(2, np.float32))]
    optimizer.update([w, b], zeros)
    np.testing.assert_allclose(w.numpy(), 0.95)
    np.testing.assert_allclose(b.numpy(), 1.0)


def test_printing() -> None:
    assert repr(fb.optim.SGD(0.1, 0.9)) == "SGD(0.1, momentum=0.9): step 0"
    text = repr(fb.optim.AdamW(fb.optim.cosine(0.1, 10), clip_norm=1.0))
    assert text.startswith("AdamW(cosine(0.1, steps=10, warmup=0, floor=0), weight_decay=0.01, ")


# Errors


def test_errors_name_the_parameter() -> None:
    w = fb.Variable(np.ones(2, np.float32), name="w")
    optimizer = fb.optim.SGD(0.1)
    with pytest.raises(fb.ShapeError, match=r"gradient of w is f32\[3\].*f32\[2\]"):
        optimizer.update([w], [fb.asarray([1.0, 2.0, 3.0])])
    with pytest.raises(fb.ArgumentError, match="1 parameters but 2 gradients"):
        optimizer.update([w], [fb.asarray([1.0, 2.0])] * 2)
    with pytest.raises(fb.ArgumentError, match="Only Variables"):
        optimizer.update([np.ones(2)], [fb.asarray([1.0, 2.0])])
    with pytest.raises(fb.ArgumentError, match="Only floating"):
        optimizer.bind([fb.Variable(np.ones(2, np.int64), name="n")])
    np.testing.assert_array_equal(w.numpy(), 1)
    assert int(optimizer.step.numpy()) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: fb.optim.SGD(-0.1),
        lambda: fb.optim.SGD(math.nan),
        lambda: fb.optim.SGD(0.1, momentum=1.0),
        lambda: fb.optim.SGD(0.1, nesterov=True),
        lambda: fb.optim.Adam(beta1=1.0),
        lambda: fb.optim.Adam(eps=0.0),
        lambda: fb.optim.AdamW(weight_decay=-1.0),
        lambda: fb.optim.Adam(clip_norm=0.0),
        lambda: fb.optim.cosine(0.1, steps=5, warmup=5),
        lambda: fb.optim.cosine(0.1, steps=5, floor=2.0),
        lambda: fb.optim.exponential(0.1, 0.0),
        lambda: fb.optim.piecewise(0.1, {10: 0.1, 5: 0.2}),
        lambda: fb.optim.inverse_sqrt(0.1, warmup=0),
        lambda: fb.optim.constant(math.inf),
    ],
)
def test_settings_out_of_range(make) -> None:
    with pytest.raises(fb.ArgumentError):
        make()


# Schedules


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [
        (fb.optim.constant(0.1), lambda t: 0.1),
        (fb.optim.cosine(0.1, steps=20, warmup=5), lambda t: cosine_reference(min(t, 20))),
        (fb.optim.linear(0.1, steps=20, floor=0.5), lambda t: 0.1 * (1 - 0.5 * min(t, 20) / 20)),
        (fb.optim.exponential(0.1, 0.5, every=10), lambda t: 0.1 * 0.5 ** (t / 10)),
        (fb.optim.exponential(0.1, 0.5, 10, staircase=True), lambda t: 0.1 * 0.5 ** (t // 10)),
        (
            fb.optim.piecewise(0.1, {7: 0.3, 9: 0.01}),
            lambda t: [0.1, 0.3, 0.01][(t >= 7) + (t >= 9)],
        ),
        (
            fb.optim.inverse_sqrt(0.1, warmup=4),
            lambda t: 0.1 * min((t + 1) / 4, math.sqrt(4 / (t + 1))),
        ),
        (fb.optim.Schedule(0.1, lambda step: 1 / (1 + step)), lambda t: 0.1 / (1 + t)),
    ],
    ids=lambda v: repr(v) if isinstance(v, fb.optim.Schedule) else "",
)
def test_schedules(schedule: fb.optim.Schedule, reference) -> None:
    steps = [0, 1, 3, 4, 5, 6, 7, 9, 10, 19, 20, 21, 100]
    got = [float(schedule(t)) for t in steps]
    np.testing.assert_allclose(got, [reference(t) for t in steps], rtol=1e-5, atol=1e-8)


# Clipping


def test_clip_by_global_norm() -> None:
    grads = [
        fb.asarray(np.array([3.0, 0.0], np.float32)),
        fb.asarray(np.array([[4.0]], np.float32)),
    ]
    clipped, norm = fb.optim.clip_by_global_norm(grads, 1.0)
    assert float(norm) == 5
    np.testing.assert_allclose(clipped[0].numpy(), [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(clipped[1].numpy(), [[0.8]], rtol=1e-6)
    same, _ = fb.optim.clip_by_global_norm(grads, 10.0)
    np.testing.assert_array_equal(same[0].numpy(), [3, 0])
    zero, norm = fb.optim.clip_by_global_norm([fb.asarray([0.0])], 1.0)
    assert (float(norm), zero[0].numpy().tolist()) == (0, [0])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_clipping_never_hides_a_diverged_gradient(bad: float) -> None:
    """1e30 squared overflows float32: the norm is infinite although the gradient is not."""
    clipped, _ = fb.optim.clip_by_global_norm([fb.asarray(np.array([bad, 1.0], np.float32))], 1.0)
    assert np.isnan(clipped[0].numpy()).all()


def test_clip_by_value_and_global_norm_of_nothing() -> None:
    out = fb.optim.clip_by_value([fb.asarray([-3.0, 0.5])], 1.0)[0]
    np.testing.assert_array_equal(out.numpy(), [-1, 0.5])
    assert float(fb.optim.global_norm([])) == 0
    for clip in (fb.optim.clip_by_value, fb.optim.clip_by_global_norm):
        with pytest.raises(fb.ArgumentError, match="positive"):
            clip([fb.asarray([1.0])], 0.0)
