"""Steps that share one parallel job, and packed weights that are kept between runs."""

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core


def plan(function, *args, **options):
    graph = fb.graph(function).trace(*args)
    program = _core.Program(graph._core)
    feeds, values = list(graph._examples), list(graph._examples.values())
    executable, _ = program.plan(feeds, values, list(graph._named.values()), True, **options)
    return executable, values


def waves(executable):
    """The ops of each wave."""
    steps = executable.steps()
    return [[steps[i]["op"] for i in range(first, last)] for first, last in executable.waves()]


def normal(*shape, seed=0):
    return fb.asarray(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_independent_products_share_a_job():
    x, wq, wk, wv = normal(64, 128), normal(128, 96, seed=1), normal(128, 64), normal(128, 128)
    e, _ = plan(lambda x, a, b, c: (x @ a, fb.tanh(x), x @ b, x @ c), x, wq, wk, wv)
    assert ["matmul"] * 3 in waves(e)
    assert "together matmul" in e.text()
    assert "and matmul" in e.text()


def test_dependent_products_do_not():
    x = normal(96, 96)
    e, _ = plan(lambda x: (x @ x) @ x, x)
    assert waves(e) == [["matmul"], ["matmul"]]


def test_small_products_run_on_the_calling_thread():
    x = normal(8, 8)
    e, _ = plan(lambda x: (x @ x, x.T @ x), x)
    assert all(len(wave) == 1 for wave in waves(e))


def test_both_gradients_of_a_layer_share_a_job():
    x, w = normal(128, 96), fb.Variable(normal(96, 128))

    def step(x):
        h = fb.tanh(x) @ w
        return fb.gradients(fb.sum(h * h), [x, w])

    e, _ = plan(step, x)
    assert ["matmul", "matmul"] in waves(e)


def test_results_of_a_wave_never_share_memory():
    """Within a wave nothing may be written over what another of its steps still reads."""
    x = normal(64, 64)

    def f(x):
        h = fb.tanh(x)  # ends with the wave that reads it
        return [(h @ x) + 1.0, (h @ h) * 2.0, (x @ h) - 1.0]

    e, values = plan(f, x)
    plain, _ = plan(f, x, fuse=False, reuse=False)
    for got, want in zip(e.run(values), plain.run(values), strict=True):
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


@pytest.mark.parametrize("seed", range(6))
def test_random_wide_graphs(seed):
    """The same bits with and without waves, and on one or two threads."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.choice([64, 96, 100, 160], 4)]
    weights = [
        [normal(a, b, seed=7 * i + j) for j, b in enumerate(sizes)] for i, a in enumerate(sizes)
    ]
    choices = rng.integers(0, 1 << 30, 40)

    def f(*roots):
        live = list(roots)
        for c in choices:
            i = int(c) % len(live)
            k = sizes.index(live[i].shape[1])
            y = live[i] @ weights[k][int(c >> 8) % 4]
            live.append(fb.tanh(y) if c & 64 else y)
        return [fb.sum(v) for v in live[-12:]] + live[-3:]

    roots = [normal(70, n, seed=100 + n) for n in sizes]
    e, values = plan(f, *roots)
    assert any(len(w) > 1 for w in waves(e))
    e.lowered.verify()
    plain, _ = plan(f, *roots, fuse=False)
    before = _core.num_threads()
    want = [np.asarray(v) for v in plain.run(values)]
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            for got, expected in zip(e.run(values), want, strict=True):
                np.testing.assert_array_equal(np.asarray(got), expected)
    finally:
        _core.set_num_threads(before)


def test_an_interrupt_is_noticed_between_the_parts_of_a_wave():
    x = normal(200, 200)

    def f(x):
        branches = [x * (1.0 + i) for i in range(24)]
        return [b @ x for b in branches]

    e, values = plan(f, x)
    assert max(len(w) for w in waves(e)) > 1
    token = _core.CancelToken()
    token.cancel()
    with pytest.raises(fb.errors.CancelledError):
        e.run(values, token)
    assert len(e.run(values)) == 24  # nothing is left behind


def test_profiles_time_every_step_of_a_wave():
    x = normal(96, 96)
    e, values = plan(lambda x: (x @ x, x.T @ x, x @ x.T), x)
    _, seconds = e.profile(values)
    assert len(seconds) == len(e.steps())
    assert all(s > 0 for s in seconds)


# -- packed weights -------------------------------------------------------------------------------

needs_onednn = pytest.mark.skipif(
    not any(f["name"] == "onednn" and f["usable"] for f in _core.provider_facts()),
    reason="only oneDNN packs weights",
)


@needs_onednn
def test_packed_weights_follow_their_variable():
    x, w = normal(1, 14, 14, 16), fb.Variable(normal(3, 3, 16, 32))
    e, values = plan(lambda x: fb.nn.conv2d(x, w), x)
    assert [s["packed"] > 0 for s in e.steps()] == [True]
    for scale in (1.0, 2.0, -3.0):
        w.assign(normal(3, 3, 16, 32) * scale)
        for _ in range(2):
            (got,) = e.run(values)
            want = fb.nn.conv2d(x, w.value)
            np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


@needs_onednn
def test_weights_that_the_run_assigns_are_not_kept():
    x, w = normal(2, 8, 8, 16), fb.Variable(normal(3, 3, 16, 16))

    def step(x):
        y = fb.nn.conv2d(x, w)
        w.assign(w * 0.5)
        return y

    e, values = plan(step, x)
    assert all(s["packed"] == 0 for s in e.steps())
    (first,), (second,) = e.run(values), e.run(values)
    np.testing.assert_allclose(np.asarray(second), np.asarray(first) * 0.5, rtol=1e-6)


@needs_onednn
def test_captured_weights_are_packed_once():
    x, w = normal(1, 9, 9, 16), normal(3, 3, 16, 16)
    e, values = plan(lambda x: fb.nn.conv2d(x, w), x)
    assert e.steps()[0]["packed"] > 0
    np.testing.assert_array_equal(np.asarray(e.run(values)[0]), np.asarray(fb.nn.conv2d(x, w)))
    np.testing.assert_array_equal(np.asarray(e.run(values)[0]), np.asarray(fb.nn.conv2d(x, w)))
