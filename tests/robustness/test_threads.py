"""Ops, graphs, recordings and Variables in many threads at once."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import flowbook as fb


def in_threads(n, work):
    errors, results = [], [None] * n

    def run(i):
        try:
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads), "a thread hangs"
    if errors:
        raise errors[0]
    return results


def test_eager_ops_from_many_threads():
    x = np.random.default_rng(0).normal(size=(64, 300)).astype("f4")
    want = (fb.nn.softmax(fb.asarray(x) @ fb.asarray(x.T), axis=-1)).numpy()

    def work(i):
        for _ in range(30):
            t = fb.asarray(x)
            got = fb.nn.softmax(t @ fb.permute_dims(t, (1, 0)), axis=-1).numpy()
            np.testing.assert_allclose(got, want, rtol=1e-6)

    in_threads(6, work)


def test_one_graph_from_many_threads():
    w = fb.asarray(np.random.default_rng(0).normal(size=(40, 40)).astype("f4"))
    f = fb.graph(lambda x: fb.tanh(x @ w) * 2.0 + fb.sum(x))
    inputs = [fb.asarray(np.full((10 + i, 40), i, "f4")) for i in range(6)]
    want = [f(x).numpy() for x in inputs]

    def work(i):
        for _ in range(50):
            np.testing.assert_array_equal(f(inputs[i]).numpy(), want[i])

    in_threads(6, work)


def test_recordings_are_per_thread():
    """One thread traces while another computes: neither sees the other's ops."""
    stop = threading.Event()
    x = fb.asarray([1.0, 2.0])

    def work(i):
        if i == 0:
            for _ in range(30):
                with fb.tape() as t:
                    y = fb.sum(x * x)
                np.testing.assert_array_equal(t.gradients(y, [x])[0].numpy(), [2, 4])
                fb.graph(lambda x: fb.tanh(x) + 1.0)(x)
            stop.set()
        else:
            while not stop.is_set():
                assert float(fb.sum(x * 3.0)) == 9
                with pytest.raises(fb.GradientError):
                    fb.gradients(fb.sum(x), [x])

    in_threads(3, work)


def test_a_variable_updated_from_many_threads_is_never_torn():
    v = fb.Variable(np.zeros(50_000, "f4"))

    def work(i):
        for _ in range(40):
            if i % 2:
                v.assign(fb.full((50_000,), float(i)))
            else:
                seen = v.numpy()
                assert (seen == seen[0]).all()

    in_threads(4, work)


def test_a_symbol_in_another_thread():
    caught = []

    def other(h):
        try:
            caught.append(h + 1.0)
        except fb.FlowbookError as error:
            caught.append(error)

    @fb.graph
    def f(x):
        h = x * 2.0
        t = threading.Thread(target=other, args=(h,))
        t.start()
        t.join()
        return h

    np.testing.assert_array_equal(f(fb.asarray([1.0])).numpy(), [2])
    assert isinstance(caught[0], fb.GraphError)


def test_a_tape_closed_by_another_thread():
    """A generator holds a recording and is closed elsewhere: an error at most."""
    x = fb.asarray([1.0, 2.0])
    opened, closed, results = threading.Event(), threading.Event(), []

    def hold():
        with fb.tape() as t:
            yield t

    held = [hold()]

    def work():
        next(held[0])
        opened.set()
        closed.wait(20)
        gc.collect()
        results.append(float(fb.sum(x * 3.0)))

    t = threading.Thread(target=work)
    t.start()
    opened.wait(20)
    try:
        held[0].close()
    except fb.FlowbookError:
        pass
    held.clear()
    gc.collect()
    closed.set()
    t.join(20)
    assert results == [9.0]
    assert float(fb.sum(x)) == 3
