"""Tensors and Variables as Python objects: life, text, operators, indexing, protocols, signals."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import signal
import threading
import time
import weakref

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core


@pytest.fixture
def x():
    return fb.asarray(np.arange(24, dtype="f4").reshape(2, 3, 4))


# --- objects ----------


def test_tensors_can_be_weakly_referenced_and_subclassed():
    class Named(fb.Tensor):
        pass

    t = Named([1.0, 2.0])
    t.name = "t"
    seen = weakref.ref(t)
    assert t.name == "t"
    assert type(t + 1) is fb.Tensor
    t.me = t  # a cycle: only the collector can end it
    del t
    gc.collect()
    assert seen() is None


def test_memory_is_given_back():
    before = fb.memory.stats().live
    for _ in range(100):
        y = fb.zeros((1000,)) + 1.0
    assert fb.memory.stats().live - before < 10 * y.nbytes
    del y
    gc.collect()
    assert fb.memory.stats().live <= before + 64


def test_hash_is_identity_and_equality_is_elementwise(x):
    assert {x: 1}[x] == 1
    assert len({x, fb.asarray(x.numpy())}) == 2
    assert (x == x).dtype == fb.bool
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    with pytest.raises(fb.ShapeError):
        _ = x == fb.ones(5)


def test_attributes_are_read_only(x):
    for name in ("shape", "dtype", "ndim", "size"):
        with pytest.raises(AttributeError):
            setattr(x, name, 1)
    assert (x.shape, x.ndim, x.size, x.itemsize, x.nbytes) == ((2, 3, 4), 3, 24, 4, 96)
    assert x.device == fb.device("cpu")
    assert x.spec == "f32[2, 3, 4]"


def test_pickles_and_copies():
    for name in ("bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"):
        t = fb.astype(fb.asarray([0, 1, 2]), getattr(fb, name))
        again = pickle.loads(pickle.dumps(t))
        assert again.dtype is t.dtype
        assert again.tolist() == t.tolist()
    t = fb.asarray([1.0])
    assert copy.copy(t) is t
    assert copy.deepcopy(t) is t
    v = fb.Variable([1.0], name="v", trainable=False)
    for w in (pickle.loads(pickle.dumps(v)), copy.deepcopy(v), copy.copy(v)):
        assert w is not v
        assert (w.name, w.trainable, w.numpy().tolist()) == ("v", False, [1.0])
    shared = copy.deepcopy([v, v])
    assert shared[0] is shared[1]


def test_ops_are_objects_too():
    assert pickle.loads(pickle.dumps(fb.sum)) is fb.sum
    assert copy.deepcopy(fb.nn.relu) is fb.nn.relu
    assert list(inspect.signature(fb.sum).parameters) == ["x", "axis", "dtype", "keepdims"]
    assert "Sum" in fb.sum.__doc__
    assert fb.sum.__name__ == "sum"

    class Layer:  # an op in a class is no method
        activation = fb.nn.relu

    assert Layer().activation(fb.asarray([-1.0])).tolist() == [0.0]


# --- text ----------


def test_repr():
    assert repr(fb.asarray([1.0, 2.5])) == "Tensor([1. , 2.5], f32[2])"
    assert repr(fb.asarray(3)) == "Tensor(3, i64[])"
    assert repr(fb.zeros((0, 3))) == "Tensor([], f32[0, 3])"
    assert "..." in repr(fb.zeros(1000))
    assert repr(fb.Variable([1.0], name="w")) == "Variable('w', [1.], f32[1])"
    assert "trainable=False" in repr(fb.Variable(1.0, trainable=False))
    assert repr(fb.astype(fb.asarray([1.0]), fb.bfloat16)) == "Tensor([1.], bf16[1])"


def test_repr_never_records_or_fails():
    t = fb.asarray([1.0])
    g = _core.Graph(True, "g")
    with _core.Recorder(g):
        symbol = t * 2.0
        count = g.node_count()
        assert "f32[1]" in repr(symbol)
        assert "symbolic" in symbol._repr_html_()
        repr(t)
        t._repr_html_()
        assert g.node_count() == count


def test_html_escapes_and_counts():
    html = fb.asarray([np.nan, np.inf, 1.0])._repr_html_()
    assert "NaN" in html
    assert "Inf" in html
    assert "<script" not in fb.Variable([1.0], name="<script>")._repr_html_()


def test_format():
    assert f"{fb.asarray(2.5):.2f}" == "2.50"
    assert f"{fb.asarray([1.0])}" == "[1.]"
    with pytest.raises(TypeError):
        f"{fb.asarray([1.0, 2.0]):.2f}"


# --- numbers ----------


def test_weak_scalars_keep_their_precision():
    t = fb.asarray(np.array([0.0]))
    assert (t + 0.1).item() == 0.1
    assert (t + np.float64(0.1)).item() == 0.1
    assert fb.exp(1.0).dtype == fb.float32
    assert (fb.asarray([2**53], dtype=fb.int64) + (2**53 + 1)).item() == 2**54 + 1


def test_integers_beyond_64_bits_are_refused():
    for f in (
        lambda: fb.ones(1, fb.int64) + 2**70,
        lambda: fb.asarray(2**70),
        lambda: fb.asarray([2**70]),
    ):
        with pytest.raises(fb.ArgumentError):
            f()


def test_divmod_pow_and_reflected():
    t = fb.asarray([7, -7])
    q, r = divmod(t, 2)
    assert (q.tolist(), r.tolist()) == ([3, -4], [1, 1])
    assert (2 ** t[:1]).tolist() == [128]
    assert (1 - t).tolist() == [-6, 8]
    with pytest.raises(TypeError):
        pow(t, 2, 3)


def test_truth_is_asked_of_one_element_only():
    assert bool(fb.asarray([1]))
    assert not fb.asarray(0.0)
    with pytest.raises(fb.ShapeError, match=r"fb\.any"):
        bool(fb.asarray([1, 2]))
    assert 2 in fb.asarray([1, 2])
    assert 3 not in fb.asarray([1, 2])


# --- indexing ----------


@pytest.mark.parametrize(
    "key",
    [
        np.s_[0],
        np.s_[-1, 1],
        np.s_[1, ..., 2],
        np.s_[:, None, ::-2],
        np.s_[..., None],
        np.s_[5:1:-1],
        np.s_[np.int64(1)],
        np.s_[[0, 1, 0]],
        np.s_[:, [0, 2]],
        np.s_[0, [0, 2]],
        np.s_[[0, 1], :, [1, 2]],
        np.s_[:, [0, 2], [1, -1]],
        np.s_[[[0], [1]], [0, 2]],
        np.s_[None, [0, 1], 1:],
        np.s_[1:, [2, 0], ::2],
        np.s_[np.array([True, False])],
        np.s_[:, np.array([True, False, True])],
        np.s_[np.arange(6).reshape(2, 3) % 2 == 0],
    ],
    ids=str,
)
def test_indexing_is_numpys(x, key):
    a = x.numpy()
    want = a[key]
    np.testing.assert_array_equal(x[key].numpy(), want)
    np.testing.assert_array_equal(fb.Variable(x)[key].numpy(), want)
    changed = a.copy()
    changed[key] = 9
    np.testing.assert_array_equal(x.at[key].set(9.0).numpy(), changed)
    np.testing.assert_array_equal(x.at[key].set(np.full(want.shape, 9, "f4")).numpy(), changed)
    summed = a.copy()
    np.add.at(summed, key, 1)
    np.testing.assert_array_equal(x.at[key].add(1.0).numpy(), summed)
    np.testing.assert_array_equal(x.at[key].get().numpy(), want)
    np.testing.assert_array_equal(x.numpy(), a)


@pytest.mark.parametrize(
    "key",
    [
        2,
        (0, 0, 0, 0),
        (0, 3),
        [2],
        np.array([True, False, True]),
        True,
        1.5,
        "a",
        (..., ...),
        object(),
    ],
    ids=str,
)
def test_what_indexing_refuses(x, key):
    with pytest.raises((IndexError, fb.ArgumentError)):
        x[key]
    with pytest.raises((IndexError, fb.ArgumentError)):
        x.at[key].set(0.0)


def test_huge_bounds_are_the_ends(x):
    a = x.numpy()
    for key in (slice(-(2**70), 2**70), slice(2**63 - 1, None), slice(None, None, -(2**62))):
        np.testing.assert_array_equal(x[key].numpy(), a[key])
    with pytest.raises(IndexError):
        x[2**70]
    with pytest.raises(fb.ArgumentError):
        x[::0]


def test_assigning_names_the_way(x):
    with pytest.raises(TypeError, match=r"at\[.*fb\.where"):
        x[0] = 1.0
    with pytest.raises(TypeError, match="assign"):
        fb.Variable(x)[0] = 1.0


def test_indexing_symbols():
    g = _core.Graph(True, "g")
    s = g.input((fb.Dim("batch"), 3), "float32", "s")
    with _core.Recorder(g):
        assert s[:, 0].spec == "f32[batch]"
        assert s[None].spec == "f32[1, batch, 3]"
        assert s[0].spec == s[-1].spec == s[-2].spec == "f32[3]"
        assert s[fb.asarray([0, 1])].spec == "f32[2, 3]"
        with pytest.raises(fb.GraphError, match=r"fb\.where"):
            s[s > 0]
        with pytest.raises(fb.GraphError, match="symbolic"):
            len(s)
        with pytest.raises(fb.GraphError, match=r"line \d+.*if s"):
            if s[0, 0] > 0:
                pass


# --- variables ----------


def test_a_variable_is_a_tensor_to_ops():
    v = fb.Variable([1.0, 2.0])
    same = v
    v += 1.0
    assert v is same
    v *= 2
    assert v.numpy().tolist() == [4, 6]
    assert (v + v).tolist() == [8, 12]
    assert (np.ones(2, "f4") + v).tolist() == [5, 7]
    assert fb.sum(v).item() == 10
    assert v.assign([0.0, 1.0]) is v
    v.value = fb.asarray([5.0, 6.0])
    assert v.sum().item() == 11
    with pytest.raises(fb.DTypeError):
        v.assign(fb.asarray([1.0, 2.0], dtype=fb.float64))
    i = fb.Variable([1, 2])
    with pytest.raises(fb.DTypeError):
        i += 1.5
    assert i.tolist() == [1, 2]


def test_the_old_value_outlives_an_assignment():
    v = fb.Variable([1.0])
    old = v.value
    v.assign([2.0])
    assert old.tolist() == [1.0]


def test_a_variable_keeps_its_identity_through_the_core():
    v = fb.Variable([1.0], name="v")
    g = _core.Graph(True, "g")
    with _core.Recorder(g):
        v + 1.0
    (read,) = g.variable_reads
    assert g.node(g.value(read)["node"])["variable"] is v


# --- NumPy and long work ----------


def test_numpy_functions(x):
    a = x.numpy()
    np.testing.assert_allclose(np.sum(x, axis=1).numpy(), a.sum(1))
    assert isinstance(np.concatenate([x, x]), fb.Tensor)
    assert isinstance(np.sqrt(x), fb.Tensor)
    np.testing.assert_allclose(np.median(x), np.median(a))  # no op of ours: NumPy's own
    np.testing.assert_allclose(np.add.reduce(x, axis=0).numpy(), a.sum(0))
    with pytest.raises(TypeError, match="out="):
        np.add(x, x, out=np.empty_like(a))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_signal_ends_a_long_op():
    """Ctrl-C in a long native loop: the handler's exception comes out, soon."""
    a = fb.ones((1500, 1500), dtype=fb.float64)

    class StopError(Exception):
        pass

    def stop(*_):
        raise StopError

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        start = time.perf_counter()
        with pytest.raises(StopError):
            for _ in range(2000):
                a @ a
        assert time.perf_counter() - start < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert float(fb.sum(fb.ones(3))) == 3


def test_a_handler_that_raises_nothing_lets_the_op_finish():
    calls = []
    before = signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        a = fb.ones((700, 700), dtype=fb.float64)
        for _ in range(200):
            y = a @ a
            if calls:
                break
        assert calls
        assert float(y[0, 0]) == 700
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_threads_run_while_an_op_works():
    a = fb.ones((1000, 1000), dtype=fb.float64)
    ticks = []
    done = threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        for _ in range(10):
            a @ a
    finally:
        done.set()
        thread.join()
    assert len(ticks) > 3


def test_ops_on_many_threads():
    x = fb.asarray(np.arange(1000, dtype="f4"))
    results = []

    def work():
        results.extend(float(fb.sum(x * 2.0 + 1.0)) for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(results) == {float((np.arange(1000, dtype="f4") * 2 + 1).sum())}


def test_t_reverses_the_axes_of_tensors_variables_and_symbols():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    t, v = fb.asarray(x), fb.Variable(x)
    for got in (t.T, v.T, fb.graph(lambda x: x.T)(t), fb.graph(lambda: v.T)()):
        assert np.array_equal(got.numpy(), x.T)
    assert fb.asarray(3.0).T.shape == ()
    assert fb.asarray(t.T, copy=True).numpy().flags.c_contiguous
    assert "reversed" in fb.Tensor.T.__doc__
    with pytest.raises(AttributeError):
        t.T = x


def test_asarray_copies_as_it_is_told():
    x = np.ones(3, np.float32)
    shared, copied = fb.asarray(x, copy=False), fb.asarray(x, copy=True)
    x[0] = 5
    assert shared.numpy()[0] == 5
    assert copied.numpy()[0] == 1
    assert fb.asarray(copied) is copied or np.array_equal(fb.asarray(copied), copied)
    assert fb.asarray(copied, dtype="int64").dtype == fb.int64
    with pytest.raises(ValueError, match="truth value"):
        fb.asarray(x, copy=np.ones(2))
