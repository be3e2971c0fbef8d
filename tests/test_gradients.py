"""Gradients: against an independent implementation (`autograd`), and the semantics around them.

The rules of single ops are checked by differences in `ops/test_ops.py`; here whole functions are,
written once over a namespace `xp` that is `autograd.numpy` or flowbook.
"""

from __future__ import annotations

import gc
import warnings

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import elementwise_grad, grad, hessian_vector_product

import flowbook as fb

rng = np.random.default_rng(0)


def mlp(xp, x, w1, b1, w2):
    h = xp.tanh(x @ w1 + b1)
    return xp.sum(xp.square(h @ w2))


def attention(xp, q, k, v):
    s = q @ xp.permute_dims(k, (1, 0)) / 2.0
    e = xp.exp(s - xp.max(s, axis=-1, keepdims=True))
    return xp.sum((e / xp.sum(e, axis=-1, keepdims=True)) @ v)


def norms(xp, x, g):
    m = xp.mean(x, axis=-1, keepdims=True)
    v = xp.var(x, axis=-1, keepdims=True)
    return xp.sum(xp.sin((x - m) / xp.sqrt(v + 1e-3) * g))


def mixed(xp, x, y):
    z = xp.concat([xp.reshape(x, (6,)), y], axis=0)
    z = xp.stack([z, xp.square(z)], axis=1)
    return xp.sum(xp.log(1.0 + xp.exp(z)) * xp.sqrt(xp.abs(z) + 1.0)) + xp.prod(y + 2.0)


def indexed(xp, x, y):
    return xp.sum(x[1:, ::2] * y[0]) + xp.sum(x[::-1, -1] * xp.cumulative_sum(y, axis=0)[:3])


def broadcasts(xp, x, y):
    z = x[:, None, :] * y[None, :, None] + x[0, 0]
    return xp.sum(xp.where(z > 0.0, z * z * z, xp.sin(z)) / (1.0 + xp.square(y[0])))


def powers(xp, x, y):
    return xp.sum(xp.abs(x) ** 1.7 + 2.0**x + xp.arctan2_(x, x * x + 1.0)) + xp.sum(
        xp.logaddexp(y, y[::-1] * 2.0)
    )


def parts(xp, x, y):
    """Slices of one value that overlap, beside a reader of all of it."""
    h = xp.tanh(x)
    rows = [xp.sum(xp.sin(h[i] * y[: h.shape[1]])) for i in range(h.shape[0])]
    cut = xp.sum(xp.square(h[1:3, 1:])) + xp.sum(h[::-2, 0] * h[::2, 1]) + xp.sum(h[:, ::-1] * h)
    return sum(rows[1:], rows[0]) + cut * xp.sum(x[0, 1:]) + xp.sum(x[0])


def stats(xp, x):
    return xp.std(x) * xp.mean(xp.max(x, axis=1)) + xp.sum(
        xp.min(x, axis=0) * xp.maximum(x, x[:, ::-1])
    )


class AutogradNamespace:
    """autograd.numpy under the array API's names."""

    concat = staticmethod(anp.concatenate)
    permute_dims = staticmethod(anp.transpose)
    cumulative_sum = staticmethod(anp.cumsum)
    arctan2_ = staticmethod(anp.arctan2)

    def __getattr__(self, name):
        return getattr(anp, name)


class FlowbookNamespace:
    arctan2_ = staticmethod(fb.atan2)

    def __getattr__(self, name):
        return getattr(fb, name)


AUTOGRAD, FLOWBOOK = AutogradNamespace(), FlowbookNamespace()


def draw(*shapes):
    return [np.random.default_rng(3).normal(size=s) for s in shapes]


FUNCTIONS = [
    (mlp, draw((5, 4), (4, 7), (7,), (7, 3))),
    (attention, draw((4, 3), (5, 3), (5, 2))),
    (norms, draw((4, 6), (6,))),
    (mixed, draw((2, 3), (4,))),
    (indexed, draw((3, 5), (4,))),
    (broadcasts, draw((3, 2), (4,))),
    (parts, draw((4, 3), (5,))),
    (powers, draw((5,), (4,))),
    (stats, draw((4, 3))),
]
each = pytest.mark.parametrize(("f", "args"), FUNCTIONS, ids=[f.__name__ for f, _ in FUNCTIONS])


def tape_gradients(f, args):
    tensors = [fb.asarray(a) for a in args]
    with fb.tape() as t:
        y = f(FLOWBOOK, *tensors)
    return float(y), [g.numpy() for g in t.gradients(y, tensors)]


@each
def test_first_order_agrees_with_autograd(f, args):
    value, got = tape_gradients(f, args)
    assert np.isclose(value, f(AUTOGRAD, *args), rtol=1e-12)
    for i, g in enumerate(got):
        want = grad(lambda *a: f(AUTOGRAD, *a), i)(*args)
        np.testing.assert_allclose(g, want, rtol=1e-9, atol=1e-10)


@each
def test_graph_gradients_agree_with_autograd(f, args):
    @fb.graph
    def step(*xs):
        y = f(FLOWBOOK, *xs)
        return (y, *fb.gradients(y, list(xs)))

    outputs = step(*[fb.asarray(a) for a in args])
    for i, g in enumerate(outputs[1:]):
        want = grad(lambda *a: f(AUTOGRAD, *a), i)(*args)
        np.testing.assert_allclose(g.numpy(), want, rtol=1e-9, atol=1e-10)


@each
def test_second_order_agrees_with_autograd(f, args):
    along = draw(args[0].shape)[0] + 0.3
    want = hessian_vector_product(lambda x, *rest: f(AUTOGRAD, x, *rest))(*args, along)

    def hvp(x, *rest):
        (g,) = fb.gradients(f(FLOWBOOK, x, *rest), [x])
        return fb.gradients(fb.sum(g * fb.asarray(along)), [x])[0]

    tensors = [fb.asarray(a) for a in args]
    with fb.tape():
        eager = hvp(*tensors).numpy()
    np.testing.assert_allclose(eager, want, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(fb.graph(hvp)(*tensors).numpy(), want, rtol=1e-8, atol=1e-9)


def test_third_order():
    x = fb.asarray(np.array([0.3, -0.7, 1.1]))
    with fb.tape():
        y = x
        for _ in range(3):
            y = fb.sum(fb.sin(x)) if y is x else fb.sum(fb.gradients(y, [x])[0])
        (third,) = fb.gradients(y, [x])
    want = elementwise_grad(elementwise_grad(elementwise_grad(anp.sin)))(x.numpy())
    np.testing.assert_allclose(third.numpy(), want, rtol=1e-12)


# --- the ways to ask ----------


def test_grad_and_value_and_grad():
    def f(x, y):
        return fb.sum(x * x * y)

    x, y = fb.asarray([1.0, 2.0]), fb.asarray([3.0, 4.0])
    np.testing.assert_array_equal(fb.grad(f)(x, y).numpy(), [6, 16])
    value, g = fb.value_and_grad(f)(x, y)
    assert float(value) == 19
    np.testing.assert_array_equal(g.numpy(), [6, 16])


def test_value_and_grad_keeps_the_tree():
    params = {"w": fb.asarray([1.0, 2.0]), "inner": [fb.asarray(3.0), (fb.asarray(4.0),)]}
    value, g = fb.value_and_grad(lambda p: fb.sum(p["w"]) * p["inner"][0] * p["inner"][1][0])(
        params
    )
    assert float(value) == 36
    np.testing.assert_array_equal(g["w"].numpy(), [12, 12])
    assert float(g["inner"][0]) == 12
    assert float(g["inner"][1][0]) == 9


def test_variables_as_wrt():
    w, b = fb.Variable([1.0, 2.0]), fb.Variable(3.0)
    value, (gw, gb) = fb.value_and_grad(lambda: fb.sum(w * w) * b, wrt=[w, b])()
    assert float(value) == 15
    np.testing.assert_array_equal(gw.numpy(), [6, 12])
    assert float(gb) == 5


def test_the_tape_answers_after_its_exit_and_again():
    x = fb.asarray([1.0, 2.0])
    with fb.tape() as t:
        y = fb.sum(x * x)
        z = fb.sum(x * 3.0)
    np.testing.assert_array_equal(t.gradients(y, [x])[0].numpy(), [2, 4])
    np.testing.assert_array_equal(t.gradients(z, [x])[0].numpy(), [3, 3])
    np.testing.assert_array_equal(t.gradients([y, z], [x])[0].numpy(), [5, 7])  # several add up


def test_the_gradient_of_an_intermediate():
    x = fb.asarray([1.0, 2.0])
    with fb.tape() as t:
        h = fb.exp(x)
        y = fb.sum(h * h)
    np.testing.assert_allclose(t.gradients(y, [h])[0].numpy(), 2 * np.exp([1, 2]), rtol=1e-6)


def test_seeds():
    x = fb.asarray([1.0, 2.0])
    with fb.tape() as t:
        y = x * x
    with pytest.raises(fb.GradientError, match="seeds"):
        t.gradients(y, [x])
    got = t.gradients(y, [x], seeds=[fb.asarray([1.0, 10.0])])[0]
    np.testing.assert_array_equal(got.numpy(), [2, 40])
    with pytest.raises(fb.FlowbookError):
        t.gradients(y, [x], seeds=[fb.asarray([1.0, 10.0, 3.0])])


def test_without_a_recording():
    x = fb.asarray([1.0])
    with pytest.raises(fb.GradientError, match="tape"):
        fb.gradients(fb.sum(x), [x])


def test_unconnected_inputs_give_zeros_and_a_warning():
    x, other = fb.asarray([1.0, 2.0]), fb.asarray([3.0, 4.0])
    with fb.tape() as t:
        y = fb.sum(x * x)
        _ = other + 1.0
    with pytest.warns(UserWarning, match="zero"):
        g = t.gradients(y, [other])[0]
    np.testing.assert_array_equal(g.numpy(), [0, 0])


def _warning(f):
    with pytest.warns(UserWarning, match="^gradients: ") as caught:
        g = f()
    (warning,) = caught
    assert warning.filename == __file__
    return g, str(warning.message)


def test_a_zero_gradient_behind_a_step_names_the_step():
    """It was "does not depend on x" that was said of functions whose only way leads through floor."""
    x = fb.asarray([1.5, 2.5])
    g, words = _warning(lambda: fb.grad(lambda a: fb.sum(fb.floor(a * 2.0)))(x))
    np.testing.assert_array_equal(g.numpy(), [0, 0])
    assert "y depends on `a` through floor only, which has no gradient (slopes" in words
    _, words = _warning(lambda: fb.grad(lambda a: fb.sum(fb.sign(a) + fb.round(a)))(x))
    assert "through round and sign only, which have no gradient (slopes of steps" in words
    _, words = _warning(lambda: fb.grad(lambda a: fb.sum(a.astype(fb.int32) * 1.0))(x))
    assert "through cast only, which has no gradient; the gradient of `a` is zero." in words
    _, words = _warning(lambda: fb.grad(lambda a: fb.sum(fb.stop_gradient(a)))(x))
    assert "through stop_gradient only" in words


def test_a_gradient_beside_a_step_is_not_warned_about():
    x = fb.asarray([1.5, 2.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g = fb.grad(lambda a: fb.sum(fb.floor(a) * a))(x)
    np.testing.assert_array_equal(g.numpy(), [1, 2])


def test_an_input_that_nothing_reads_is_named():
    x, other = fb.asarray([1.0]), fb.asarray([2.0])
    with fb.tape() as t:
        y = fb.sum(x * x)
    _, words = _warning(lambda: t.gradients(y, [x, other]))
    assert "y does not depend on `other`" in words


def test_integer_inputs_are_refused():
    x = fb.asarray([1, 2])
    with fb.tape() as t:
        y = fb.sum(x * 1.5)
    with pytest.raises((fb.GradientError, fb.DTypeError), match=r"i64|int"):
        t.gradients(y, [x])


def test_ties_and_kinks():
    """relu'(0) = abs'(0) = 0; tied maxima share equally."""
    zero = fb.asarray([0.0, -0.0])
    for f in (fb.nn.relu, fb.abs):
        assert (fb.grad(lambda x, f=f: fb.sum(f(x)))(zero).numpy() == 0).all()
    x = fb.asarray([3.0, 1.0, 3.0, 3.0])
    np.testing.assert_allclose(fb.grad(fb.max)(x).numpy(), [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(
        fb.grad(lambda x: fb.sum(fb.maximum(x, 3.0)))(x).numpy(), [0.5, 0, 0.5, 0.5]
    )


def test_where_cuts_nans_off():
    x = fb.asarray([-1.0, 0.0, 4.0])
    g = fb.grad(lambda x: fb.sum(fb.where(x > 0.0, fb.sqrt(fb.where(x > 0.0, x, 1.0)), 0.0)))(x)
    np.testing.assert_array_equal(g.numpy(), [0, 0, 0.25])


def test_broadcast_gradients_have_the_input_shape():
    a, b, c = fb.asarray(2.0), fb.asarray(np.ones((3, 1), "f4")), fb.asarray(np.ones((1, 4), "f4"))
    with fb.tape() as t:
        y = fb.sum(a * b + c * b)
    ga, gb, gc = t.gradients(y, [a, b, c])
    assert (ga.shape, gb.shape, gc.shape) == ((), (3, 1), (1, 4))
    assert float(ga) == 12
    np.testing.assert_array_equal(gb.numpy(), np.full((3, 1), 12))
    np.testing.assert_array_equal(gc.numpy(), np.full((1, 4), 3))


def test_gradients_through_promotion_keep_each_dtype():
    a, b = fb.asarray([1.0], dtype=fb.float32), fb.asarray([2.0], dtype=fb.float64)
    with fb.tape() as t:
        y = fb.sum(a * b)
    ga, gb = t.gradients(y, [a, b])
    assert (ga.dtype, gb.dtype) == (fb.float32, fb.float64)


def test_a_variable_sums_all_its_reads():
    v = fb.Variable([1.0, 2.0])
    with fb.tape() as t:
        y = fb.sum(v * 2.0) + fb.sum(v.value * v)
    np.testing.assert_array_equal(t.gradients(y, [v])[0].numpy(), [4, 6])


def test_slices_of_one_value_add_into_one_gradient():
    """An unrolled loop over n steps costs n slices, not n gradients as large as the whole."""
    x = fb.asarray(np.random.default_rng(1).normal(size=(6, 4)).astype("float32"))
    i = fb.asarray([[1], [0], [3], [2], [1], [1]])
    with fb.graph("steps") as g:
        h = g.input("h", x.shape)
        total = sum(fb.sum(fb.exp(h[t])) for t in range(6))
        total = total + fb.sum(fb.take(h, fb.asarray([2, 2, 5]), axis=0) ** 2)
        total = total + fb.sum(fb.take_along_axis(h, i, axis=1))
        g.output(dh=fb.gradients(total, h))
    nodes = g.graph.record()["nodes"]
    ops = [n["op"] for n in nodes]
    assert ops.count("place") + ops.count("add_slice") == 6
    assert ops.count("place") <= 1
    assert ops.count("scatter_add") == ops.count("add_along_axis") == 1
    assert not [n for n in nodes if n["op"] == "add" and n["shape"] == [6, 4]]
    want = np.exp(x.numpy())
    np.add.at(want, [2, 2, 5], 2 * x.numpy()[[2, 2, 5]])
    want[np.arange(6), i.numpy()[:, 0]] += 1
    np.testing.assert_allclose(g.graph(h=x).dh.numpy(), want, rtol=1e-6)


def test_a_variable_assigned_in_between():
    v = fb.Variable([1.0, 2.0])
    with fb.tape() as t:
        y = fb.sum(v * v)
        v.assign([10.0, 20.0])
        z = fb.sum(v * 3.0)
    np.testing.assert_array_equal(t.gradients(y, [v])[0].numpy(), [2, 4])
    assert float(z) == 90


def test_stop_gradient():
    x = fb.asarray([2.0])
    g = fb.grad(lambda x: fb.sum(x * fb.stop_gradient(x)))(x)
    np.testing.assert_array_equal(g.numpy(), [2])


def test_custom_gradient():
    @fb.custom_gradient
    def clipped(x):
        return x * 2.0, lambda dy: fb.clip(dy, -1.0, 1.0)

    x = fb.asarray([1.0, 2.0])
    g = fb.grad(lambda x: fb.sum(clipped(x) * 10.0))(x)
    np.testing.assert_array_equal(g.numpy(), [1, 1])
    np.testing.assert_array_equal(clipped(x).numpy(), [2, 4])
    got = fb.graph(lambda x: fb.gradients(fb.sum(clipped(x) * 10.0), [x])[0])(x)
    np.testing.assert_array_equal(got.numpy(), [1, 1])


def test_checkpoint_gives_the_same_gradient_also_through_dropout():
    w = fb.asarray(rng.normal(size=(4, 4)).astype("f4"))
    x = fb.asarray(rng.normal(size=(8, 4)).astype("f4"))

    def block(w, x):
        return fb.nn.dropout(fb.tanh(x @ w), 0.5)

    results = []
    for f in (block, fb.checkpoint(block)):
        fb.random.seed(5)
        with fb.tape() as t:
            y = fb.sum(fb.square(f(w, x)))
        results.append((float(y), t.gradients(y, [w])[0].numpy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6)


def test_nested_tapes():
    x = fb.asarray([3.0])
    with fb.tape() as outer:
        with fb.tape() as inner:
            y = fb.sum(x * x * x)
        (g,) = inner.gradients(y, [x])
        s = fb.sum(g)
    np.testing.assert_array_equal(g.numpy(), [27])
    np.testing.assert_array_equal(outer.gradients(s, [x])[0].numpy(), [18])


def test_a_tape_that_raises_leaves_no_recording():
    x = fb.asarray([1.0])
    with pytest.raises(ZeroDivisionError), fb.tape():
        1 / 0
    with pytest.raises(fb.GradientError):
        fb.gradients(fb.sum(x), [x])


def test_tapes_end_out_of_order():
    """A generator that holds a tape can outlive the one around it: an error, never a crash."""
    x = fb.asarray([1.0])

    def holds():
        with fb.tape() as t:
            yield t

    held = [holds()]
    try:
        with fb.tape():
            next(held[0])
            fb.sum(x)
    except fb.GraphError:
        pass
    try:
        held[0].close()
    except fb.GraphError:
        pass
    held.clear()
    gc.collect()
    assert float(fb.sum(x)) == 1


def test_a_tape_does_not_keep_what_no_rule_reads():
    """Sums need no values: taping them must not hold the inputs' memory."""
    before = fb.memory.stats().live
    x = fb.asarray(np.ones(1000, "f4"))
    with fb.tape() as t:
        y = fb.sum(fb.asarray(np.ones(1_000_000, "f4")) + 1.0) + fb.sum(x)
        gc.collect()
        held = fb.memory.stats().live - before
    assert held < 2_000_000, held
    assert t.gradients(y, [x])[0].shape == (1000,)


def test_deep_chains_do_not_overflow_the_stack():
    x = fb.asarray([1.0])
    with fb.tape() as t:
        y = x
        for _ in range(20_000):
            y = y + 1.0
        y = fb.sum(y)
    np.testing.assert_array_equal(t.gradients(y, [x])[0].numpy(), [1])
    del t, y
    gc.collect()


def test_nans_pass_through():
    x = fb.asarray([np.nan, 1.0, np.inf])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g = fb.grad(lambda x: fb.sum(x * x))(x).numpy()
    assert np.isnan(g[0])
    assert g[1] == 2
    assert np.isinf(g[2])
