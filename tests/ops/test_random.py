"""Random ops: the bits are Philox's, the numbers follow their distributions, and a seed fixes all
of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import flowbook as fb

from .samples.random import KNOWN, philox

N = 40_000


def test_the_reference_gives_the_published_answers():
    for counter, key, want in KNOWN:
        assert philox(counter, key) == want


def test_the_same_seed_gives_the_same_numbers():
    fb.random.seed(3)
    a, b = fb.random.normal((100,)).numpy(), fb.random.normal((100,)).numpy()
    fb.random.seed(3)
    np.testing.assert_array_equal(fb.random.normal((100,)).numpy(), a)
    np.testing.assert_array_equal(fb.random.normal((100,)).numpy(), b)
    assert not np.array_equal(a, b)
    fb.random.seed(4)
    assert not np.array_equal(fb.random.normal((100,)).numpy(), a)


def test_seed_none_takes_entropy():
    fb.random.seed(None)
    a = fb.random.uniform((8,)).numpy()
    fb.random.seed(None)
    assert not np.array_equal(fb.random.uniform((8,)).numpy(), a)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype):
    x = fb.random.uniform((N,), dtype=getattr(fb, dtype)).numpy()
    assert x.dtype == dtype
    assert x.min() >= 0
    assert x.max() < 1
    assert stats.kstest(x, "uniform").pvalue > 1e-3
    y = fb.random.uniform((N,), low=-3.0, high=5.0, dtype=getattr(fb, dtype)).numpy()
    assert y.min() >= -3
    assert y.max() <= 5
    assert stats.kstest((y + 3) / 8, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype):
    x = fb.random.normal((N,), mean=2.0, std=3.0, dtype=getattr(fb, dtype)).numpy()
    assert x.dtype == dtype
    assert np.isfinite(x).all()
    assert stats.kstest((x - 2) / 3, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(x[::2], x[1::2])[0, 1]) < 0.03  # the two of a pair


def test_randint():
    x = fb.random.randint(-3, 7, shape=(N,)).numpy()
    assert x.dtype == np.int64
    assert set(np.unique(x)) == set(range(-3, 7))
    assert stats.chisquare(np.bincount(x + 3)).pvalue > 1e-3
    wide = fb.random.randint(-(2**62), 2**62, shape=(1000,)).numpy()
    assert len(np.unique(wide)) == 1000
    whole = fb.random.randint(-(2**63), 2**63 - 1, shape=(1000,)).numpy()
    assert (whole < 0).any()
    assert (whole > 0).any()
    for low, high in ((3, 3), (4, 3)):
        with pytest.raises((fb.ArgumentError, ValueError)):
            fb.random.randint(low, high, shape=(2,))
    with pytest.raises((fb.FlowbookError, OverflowError)):
        fb.random.randint(0, 2**70, shape=(2,))


def test_permutation():
    p = fb.random.permutation(1000).numpy()
    np.testing.assert_array_equal(np.sort(p), np.arange(1000))
    assert not np.array_equal(p, np.arange(1000))
    assert fb.random.permutation(0).shape == (0,)
    assert fb.random.permutation(1).numpy().tolist() == [0]
    counts = np.zeros((4, 4))
    for _ in range(400):
        counts[np.arange(4), fb.random.permutation(4).numpy()] += 1
    assert counts.min() > 50


def test_dropout():
    x = fb.ones((200, 200))
    y = fb.nn.dropout(x, 0.3).numpy()
    assert set(np.unique(y.round(4))) == {0, np.float32(1 / 0.7).round(4)}
    assert abs((y == 0).mean() - 0.3) < 0.02
    np.testing.assert_array_equal(fb.nn.dropout(x, 0.0).numpy(), x.numpy())
    assert (fb.nn.dropout(x, 1.0).numpy() == 0).all()
    for bad in (-0.1, 1.5, float("nan")):
        with pytest.raises(fb.ArgumentError):
            fb.nn.dropout(x, bad)


def test_the_gradient_of_dropout_uses_the_same_mask():
    x = fb.ones((50, 50))
    with fb.tape() as t:
        y = fb.nn.dropout(x, 0.4)
        s = fb.sum(y)
    np.testing.assert_array_equal(t.gradients(s, [x])[0].numpy(), y.numpy())


def test_graphs_draw_anew_each_run_and_two_nodes_differ():
    f = fb.graph(lambda: (fb.random.normal((50,)), fb.random.normal((50,))))
    a, b = (t.numpy() for t in f())
    c, d = (t.numpy() for t in f())
    assert len({a.tobytes(), b.tobytes(), c.tobytes(), d.tobytes()}) == 4
    fb.random.seed(0)
    first = f()[0].numpy()
    fb.random.seed(0)
    np.testing.assert_array_equal(f()[0].numpy(), first)


def test_a_failed_run_consumes_no_randomness():
    f = fb.graph(
        lambda i: (
            (fb.take(fb.ones(3), i), fb.random.normal((4,)))[1] + fb.sum(fb.take(fb.ones(3), i))
        )
    )
    good, bad = fb.asarray([0]), fb.asarray([9])
    fb.random.seed(1)
    f(good)
    want = f(good).numpy()
    fb.random.seed(1)
    f(good)
    with pytest.raises(fb.IndexOutOfRange):
        f(bad)
    np.testing.assert_array_equal(f(good).numpy(), want)


def test_results_do_not_depend_on_the_number_of_threads():
    before = fb.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            fb.set_num_threads(n)
            fb.random.seed(9)
            results.append(
                np.concatenate(
                    [fb.random.normal((100_003,)).numpy(), fb.random.uniform((77_777,)).numpy()]
                )
            )
    finally:
        fb.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_prefix_does_not_depend_on_the_length():
    """Element i is a function of the key, the stream and i: shapes may grow."""
    fb.random.seed(2)
    short = fb.random.uniform((10,)).numpy()
    fb.random.seed(2)
    np.testing.assert_array_equal(fb.random.uniform((1003,)).numpy()[:10], short)


def test_generators_are_independent():
    g, h = fb.random.Generator(1), fb.random.Generator(1)
    a = g.uniform((5,)).numpy()
    fb.random.uniform((5,))
    np.testing.assert_array_equal(h.uniform((5,)).numpy(), a)
