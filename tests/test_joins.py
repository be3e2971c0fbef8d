"""Joins that vanish: what concat, or a reshape that would copy, puts together is written there by
the kernels that compute it, wherever that has the bits and costs no copy elsewhere."""

import numpy as np
import pytest
from ops.compare import same_bits
from test_epilogues import assert_same_bits, check, normal, numbers, plan

import flowbook as fb

attend = fb.nn.scaled_dot_product_attention


def ops(executable):
    """What the steps compute, in order."""
    return [op for step in executable.steps() for op in step["ops"]]


def heads(x, n):
    """[b, t, n * d] as [b, n, t, d]."""
    b, t, d = x.shape
    return fb.permute_dims(fb.reshape(x, (b, t, n, d // n)), (0, 2, 1, 3))


def side_by_side(y):
    """[b, n, t, d] as [b, t, n * d]."""
    b, n, t, d = y.shape
    return fb.reshape(fb.permute_dims(y, (0, 2, 1, 3)), (b, t, n * d))


def self_attention(x, w, causal=True):
    b, t, d = x.shape
    qkv = fb.reshape(x @ w, (b, t, 3, 4, d // 4))
    q, k, v = (fb.permute_dims(a, (0, 2, 1, 3)) for a in fb.unstack(qkv, 2))
    return side_by_side(attend(q, k, v, causal=causal))


# -- what vanishes --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 70])
def test_heads_are_written_side_by_side(length):
    found = check(self_attention, normal(2, length, 32), normal(32, 96))
    assert ops(found) == ["matmul", "attention"]


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_heads_are_written_into_that_of_their_projection(causal):
    def step(x, w, out):
        y = fb.sum((self_attention(x, w, causal) @ out) ** 2)
        return fb.gradients(y, [x, w, out])

    found = check(step, normal(2, 70, 32), normal(32, 96), normal(32, 32), eager=False)
    assert not {"concat", "reshape"} & set(ops(found))
    assert {"attention", "attention_gradient"} <= set(ops(found))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_along_every_axis(axis):
    def both(q, k):
        return fb.concat([attend(q, k, k), attend(k, q, q)], axis=axis)

    found = check(both, normal(2, 3, 20, 8), normal(2, 3, 20, 8))
    assert ops(found) == ["attention", "attention"]


def test_of_unlike_lengths():
    def both(q, k):
        return fb.concat([attend(q, k, k), attend(k, k, k)], axis=2)

    assert "concat" not in ops(check(both, normal(2, 3, 5, 8), normal(2, 3, 70, 8)))


def test_whoever_else_reads_an_operand_reads_it_there():
    def step(q, k, w):
        y = attend(q, k, k)
        return side_by_side(y), y @ w

    found = check(step, normal(2, 3, 20, 8), normal(2, 3, 20, 8), normal(8, 5))
    assert ops(found) == ["attention", "matmul"]


def test_a_second_copy_of_the_same_order_is_a_view_of_the_first():
    def step(q, k, w):
        y = side_by_side(attend(q, k, k))
        return y, fb.reshape(y, (40, 24)) @ w

    found = check(step, normal(2, 3, 20, 8), normal(2, 3, 20, 8), normal(24, 5))
    assert ops(found) == ["attention", "matmul"]


def test_less_memory_is_planned():
    x = normal(2, 70, 32), normal(32, 96)
    y = 2 * 70 * 32 * 4
    assert (
        plan(self_attention, *x).peak_bytes <= plan(self_attention, *x, fuse=False).peak_bytes - y
    )


# -- what stays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda q, k: fb.concat([y := attend(q, k, k), y], axis=1),  # one place is not enough
        lambda q, k: (fb.concat([y := attend(q, k, k), q], axis=1), y),  # q is there already
        lambda q, k: fb.concat([attend(q, k, k)[:, :, 1:], attend(k, q, q)], axis=2),  # a part
        lambda q, k: fb.concat([attend(q, k, k), fb.exp(k)], axis=1),  # programs fill no windows
        lambda q, k: (y := attend(q, k, k), fb.reshape(fb.permute_dims(y, (0, 2, 1, 3)), (40, 24))),
        lambda q, k: (side_by_side(y := attend(q, k, k)), fb.exp(y)),  # programs want it dense
        lambda q, k: (side_by_side(y := attend(q, k, k)), fb.sum(y, axis=-1)),
        lambda q, k: fb.reshape(fb.permute_dims(attend(q, k, k), (0, 3, 1, 2)), (2, -1)),  # columns
    ],
)
def test_where_it_would_not_be_right_or_not_pay_it_stays(function):
    found = check(function, normal(2, 3, 20, 8), normal(2, 3, 20, 8))
    assert {"concat", "reshape"} & set(ops(found))


def test_a_view_that_would_become_a_copy_keeps_the_join():
    """Flat, y is a view of what attention computes, but none of heads side by side."""

    def step(q, k, w):
        y = attend(q, k, k)
        return side_by_side(y), fb.reshape(y, (1, -1)) @ w

    found = check(step, normal(2, 3, 20, 8), normal(2, 3, 20, 8), normal(960, 5))
    assert ops(found) == ["attention", "reshape", "matmul"]


def test_results_and_assigned_values_are_whole():
    v = fb.Variable(fb.zeros((2, 3, 20, 8)))

    @fb.graph
    def step(q, k):
        y = attend(q, k, k)
        v.assign(y)
        return side_by_side(y)

    q, k = normal(2, 3, 20, 8), normal(2, 3, 20, 8)
    y = attend(q, k, k)
    assert same_bits(step(q, k).numpy(), side_by_side(y).numpy())
    assert same_bits(v.numpy(), y.numpy())


# -- around it ------------------------------------------------------------------------------------


def test_an_empty_join():
    check(lambda q, k: side_by_side(attend(q, k, k)), normal(0, 3, 20, 8), normal(0, 3, 20, 8))
    check(lambda q, k: side_by_side(attend(q, k, k)), normal(2, 3, 0, 8), normal(2, 3, 5, 8))


def test_sizes_of_one():
    for shape in [(1, 3, 20, 8), (2, 1, 20, 8), (2, 3, 1, 8), (2, 3, 20, 1)]:
        check(lambda q, k: side_by_side(attend(q, k, k)), normal(*shape), normal(*shape))


def test_inspection_sees_each_value_once_it_is_whole():
    q, k = normal(2, 3, 20, 8), normal(2, 3, 20, 8)
    with fb.graph("joined") as g:
        first, second = attend(q, k, k), attend(k, q, q)
        joined = fb.concat([first, second], axis=1)
        g.output(first=first, second=second, joined=joined, flat=fb.sum(joined))
    found = g.inspect()
    for name, value in [("first", attend(q, k, k)), ("second", attend(k, q, q))]:
        assert found[name].max == value.numpy().max()
    both = fb.concat([attend(q, k, k), attend(k, q, q)], axis=1).numpy()
    assert (found["joined"].min, found["joined"].max) == (both.min(), both.max())
    assert found["joined"].count == both.size


def test_in_a_loop_of_many_runs_nothing_is_left_of_the_last():
    step = plan(self_attention, x := normal(2, 70, 32), w := normal(32, 96))
    want = numbers(step.run([x, w]))
    step.run([normal(2, 70, 32), w])
    assert_same_bits(numbers(step.run([x, w])), want)
    assert np.isfinite(want[0]).all()
