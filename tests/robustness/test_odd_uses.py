"""Copies, subclasses, uninitialised objects, finalisers, deep graphs, random calls."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import flowbook as fb


def test_copy_and_pickle():
    import copy
    import pickle

    x = fb.asarray(np.arange(6, dtype="f4").reshape(2, 3))
    for y in (
        copy.copy(x),
        copy.deepcopy(x),
        pickle.loads(pickle.dumps(x)),
        pickle.loads(pickle.dumps(x[:, ::2])),
    ):
        assert isinstance(y, fb.Tensor)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(x[:, ::2])).numpy(), x.numpy()[:, ::2])
    v = fb.Variable(x, name="v")
    w = copy.deepcopy(v)
    w.assign(w * 2.0)
    np.testing.assert_array_equal(v.numpy(), x.numpy())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(w)).numpy(), x.numpy() * 2)


def test_subclasses_and_slots():
    class Named(fb.Tensor):
        pass

    try:
        n = Named(fb.asarray([1.0, 2.0]))
    except TypeError:
        return
    n.label = n  # a cycle
    ref = weakref.ref(n)
    assert isinstance(n + n, fb.Tensor)
    del n
    gc.collect()
    assert ref() is None


def test_uninitialised_objects():
    """`Tensor.__new__` without `__init__` must not hand out a null pointer."""
    for cls in (fb.Tensor, fb.Variable):
        try:
            t = cls.__new__(cls)
        except TypeError:
            continue
        for use in (
            repr,
            lambda t: t.shape,
            lambda t: t + t,
            lambda t: t.numpy(),
            fb.sum,
            lambda t: t.dtype,
            hash,
        ):
            try:
                use(t)
            except Exception:
                pass


def test_reentrance_from_finalisers():
    """A garbage collection in the middle of an op may run Python that runs ops."""

    class Runs:
        def __del__(self):
            fb.sum(fb.ones(10) * 2.0)

    for _ in range(50):
        loop = [Runs()]
        loop.append(loop)
    del loop
    x = fb.ones(100)
    old = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(100):
            fb.graph(lambda x: fb.tanh(x) + 1.0)(x)
            cycle = [Runs()]
            cycle.append(cycle)
    finally:
        gc.set_threshold(*old)


def test_deep_graphs_are_freed_without_recursion():
    x = fb.asarray([1.0])

    def body(x):
        for _ in range(50_000):
            x = x + 1.0
        return x

    f = fb.graph(body)
    assert float(f(x)[0]) == 50_001
    del f
    gc.collect()


@pytest.mark.parametrize("seconds", [3])
def test_random_ops_with_random_arguments_do_not_crash(seconds):
    """A short run of the fuzzer; CI runs it longer under the sanitizers."""
    path = os.path.join(os.path.dirname(__file__), os.pardir, "fuzz_ops.py")
    done = subprocess.run(
        [sys.executable, path, "--seconds", str(seconds), "--seed", "0"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_texts_of_sizes_cannot_exhaust_the_stack():
    from flowbook import _core

    for text in (
        "(" * 300_000,
        "f32[" + "(" * 300_000 + "a" + ")" * 300_000 + "]",
        "f32[a",
        "f32[-1]",
    ):
        with pytest.raises(fb.FlowbookError):
            _core.testing.infer("exp", [text])
