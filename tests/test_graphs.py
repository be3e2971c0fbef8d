"""Random programs: a graph gives the bits that the same ops give eagerly, optimised or not, with
their gradients, at other sizes, and with NaNs, infinities and negative zeros among the numbers.

A program is a list of small integers; `run` reads them as ops over what it has computed so far,
so that Hypothesis can shrink a failure to the two or three ops that matter.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from ops.compare import difference, same_bits

import flowbook as fb
from flowbook import _core

NUMBERS = [0.0, 1.0, -1.0, 2.0, 0.5, -0.0, 3, 0, True, 1e30]


def unary(x, k):
    fs = [
        lambda x: -x,
        fb.tanh,
        fb.exp,
        fb.nn.relu,
        fb.abs,
        fb.square,
        fb.nn.sigmoid,
        lambda x: fb.sqrt(fb.abs(x)),
        fb.nn.gelu,
        lambda x: fb.log1p(fb.abs(x)),
        fb.sin,
        fb.nn.softplus,
        fb.floor,
        fb.sign,
        lambda x: fb.clip(x, -1.0, 1.0),
        lambda x: fb.astype(x, fb.float32),
    ]
    return fs[k % len(fs)](x)


def binary(x, y, k):
    fs = [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x / y,
        fb.maximum,
        fb.minimum,
        lambda x, y: fb.where(x > y, x, y * 2.0),
        lambda x, y: fb.where(fb.isnan(x), y, x),
        fb.atan2,
        lambda x, y: fb.astype(x < y, fb.float32),
    ]
    return fs[k % len(fs)](x, y)


def with_number(x, number, k):
    return [lambda: x + number, lambda: number * x, lambda: number - x, lambda: x / number][k % 4]()


def reduction(x, k, axis):
    axis = [None, *range(x.ndim)][axis % (x.ndim + 1)]
    keep = bool(k & 1)
    if x.size == 0:  # extrema of nothing are errors
        k = k % 4
    fs = [
        lambda: fb.sum(x, axis=axis, keepdims=keep),
        lambda: fb.mean(x, axis=axis, keepdims=keep),
        lambda: fb.max(x, axis=axis, keepdims=keep),
        lambda: fb.min(x, axis=axis, keepdims=keep),
        lambda: fb.var(x, axis=axis, keepdims=keep),
        lambda: fb.logsumexp(x, axis=axis, keepdims=keep),
        lambda: fb.astype(fb.any(x > 0.0, axis=axis, keepdims=keep), fb.float32),
    ]
    return fs[k // 2 % len(fs)]()


def rowwise(x, y, k):
    """Rows against what is reduced of them, and their sums over the other axes."""
    if x.ndim == 0 or x.size == 0:
        return x
    last = {"axis": -1, "keepdims": True}
    lead = tuple(range(x.ndim - 1))
    fs = [
        lambda: x - fb.mean(x, **last),
        lambda: x * fb.rsqrt(fb.mean(fb.square(x), **last) + 1e-5),
        lambda: (x - fb.mean(x, **last)) * fb.rsqrt(fb.var(x, **last) + 1e-5),
        lambda: x - fb.expand_dims(fb.max(x, axis=-1), axis=-1),
        lambda: fb.nn.softmax(fb.tanh(x) * 2.0) * fb.sum(x, **last),
        lambda: fb.sum(fb.tanh(x), axis=lead) if lead else fb.tanh(x),
        lambda: fb.mean(fb.logsumexp(x, axis=-1)),
        lambda: fb.nn.log_softmax(x) + x,
        lambda: fb.min(fb.exp(x) * 0.5, axis=-1) * 2.0,
        lambda: fb.sum(fb.square(x) - x) * 0.5,
        lambda: fb.sum(x, axis=lead) + fb.sum(fb.square(x), axis=lead) if lead else x,
        lambda: x - fb.sum(x * y, **last) if x.shape == y.shape else fb.sum(x * x, axis=-1),
    ]
    return fs[k % len(fs)]()


def movement(x, k, n):
    axes = tuple(np.roll(range(x.ndim), n).tolist())
    fs = [
        lambda: fb.permute_dims(x, axes),
        lambda: fb.reshape(x, (-1,)),
        lambda: fb.expand_dims(x, axis=n % (x.ndim + 1)) if x.ndim < 4 else x,
        lambda: fb.flip(x),
        lambda: x[1:] if x.ndim and x.shape[0] > 1 else x,
        lambda: x[..., ::2] if x.ndim else x,
        lambda: x[::-1] if x.ndim else x,
        lambda: fb.concat([x, x], axis=n % x.ndim) if x.ndim and x.size < 200 else x,
        lambda: fb.stack([x, x * 2.0], axis=0) if x.ndim < 3 and x.size < 200 else x,
        lambda: fb.nn.softmax(x, axis=-1) if x.ndim else x,
        lambda: fb.nn.log_softmax(x, axis=0) if x.ndim else x,
        lambda: fb.cumulative_sum(x, axis=-1) if x.ndim else x,
        lambda: fb.broadcast_to(x, (2, *x.shape)) if x.ndim < 3 else x,
    ]
    return fs[k % len(fs)]()


def run(program, *inputs):
    values = list(inputs)
    for step in program:
        try:
            out = result_of(step, values)
        except fb.DTypeError:  # a step that its dtypes do not allow becomes a cast
            out = fb.astype(values[step[1] % len(values)], fb.float32)
        if out.size > 4000:
            out = fb.mean(out, axis=0) if out.ndim else out
        values.append(out)
    return tuple(values[len(inputs) :])


def result_of(step, values):
    kind, i, j, k = step
    x, y = values[i % len(values)], values[j % len(values)]
    if kind == 0:
        out = unary(x, k)
    elif kind == 1:
        try:
            out = binary(x, y, k)
        except fb.ShapeError:
            out = binary(x, fb.sum(y), k)
    elif kind == 2:
        out = with_number(x, NUMBERS[j % len(NUMBERS)], k)
    elif kind == 3:
        out = reduction(x, k, j)
    elif kind == 4:
        out = movement(x, k, j)
    elif kind == 6:
        out = rowwise(x, y, k)
    else:
        a = x if x.ndim == 2 else fb.reshape(x, (1, -1))
        b = a if k % 2 else fb.tanh(a)
        out = fb.matmul(a, fb.permute_dims(b, (1, 0))) if a.size < 2000 else a
    return out


step = st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 9), st.integers(0, 31))
programs = st.lists(step, min_size=1, max_size=14)
shapes = st.sampled_from([(3, 4), (5,), (), (2, 3, 4), (0, 3), (1, 7), (33, 4)])
SPECIALS = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, 3e38], "f4")


def draw(shape, seed, special=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype("f4")
    if special and x.size:
        x = np.where(rng.random(shape) < 0.3, rng.choice(SPECIALS, size=shape), x).astype("f4")
    return x


def numbers(outputs):
    return [np.asarray(t.numpy()) for t in outputs]


def assert_same(a, b, program, exact=True, rtol=1e-5):
    assert len(a) == len(b)
    for i, (x, y) in enumerate(zip(a, b)):
        if exact:
            assert same_bits(x, y), f"value {i} of {program}: {difference(x, y, ulps=0)}"
        else:
            assert x.dtype == y.dtype
            problem = difference(x, y, rtol=rtol)
            assert problem is None, f"value {i} of {program}: {problem}"


@given(programs, shapes, shapes, st.booleans())
@example([(1, 0, 0, 1), (2, 1, 5, 0)], (3, 4), (3, 4), True)  # x - x is not 0, x + -0.0 is x
@example([(2, 0, 0, 1)], (3, 4), (), True)  # 0 * x is not 0
def test_a_graph_gives_the_bits_of_eager(program, shape, other, special):
    inputs = [fb.asarray(draw(shape, 1, special)), fb.asarray(draw(other, 2, special))]
    eager = numbers(run(program, *inputs))
    graph = fb.graph(lambda *xs: run(program, *xs))
    assert_same(numbers(graph(*inputs)), eager, program)
    assert_same(numbers(graph(*inputs)), eager, program)  # the kept plan


DTYPES = ["bool", "u1", "i4", "i8", "f4", "f8"]


@given(programs, shapes, st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_programs_over_mixed_dtypes(program, shape, first, second):
    """Promotion, weak numbers and casts come out alike, and so do the integers' corners."""
    with np.errstate(all="ignore"):
        inputs = [
            fb.asarray((draw(shape, n) * 100).astype(d)) for n, d in ((1, first), (2, second))
        ]
    eager = numbers(run(program, *inputs))
    try:
        graph = fb.graph(lambda *xs: run(program, *xs))(*inputs)
    except fb.MissingKernelError:  # of uint64; known when a graph is compiled, not while it records
        reject()
    assert_same(numbers(graph), eager, program)


@given(programs, st.sampled_from([(40_003,), (300, 257), (7, 33, 190)]))
@settings(max_examples=15)
def test_large_values_shared_among_threads(program, shape):
    """Above the grain of the thread pool, with ragged ends."""
    x = fb.asarray(draw(shape, 1, True))
    y = fb.asarray(draw(shape, 2))

    def f(x, y):
        a = unary(binary(x, y, program[0][3]), program[0][1])
        b = binary(a, unary(y, program[-1][2]), program[-1][3])
        c = rowwise(a, b, program[0][2])
        return (
            a,
            b,
            fb.sum(b, axis=-1),
            fb.mean(b),
            fb.nn.softmax(a, axis=-1),
            c,
            fb.sum(c, axis=-1) if c.ndim else c,
        )

    assert_same(numbers(fb.graph(f)(x, y)), numbers(f(x, y)), program)


@given(programs, shapes, st.integers(0, 40))
def test_one_output_alone(program, shape, which):
    """Fetching a single value lets fusion and memory reuse go further."""
    inputs = [fb.asarray(draw(shape, 1)), fb.asarray(draw(shape, 2))]
    eager = run(program, *inputs)
    i = which % len(eager)
    graph = fb.graph(lambda *xs: run(program, *xs)[i])
    assert_same([graph(*inputs).numpy()], [eager[i].numpy()], program)


OPTIONS = [{"optimize": a, "fuse": b, "reuse": c} for a in (0, 1) for b in (0, 1) for c in (0, 1)]


def recorded(f):
    """What `f` records, and the numbers of its results."""
    with fb.graph("recorded") as g:
        # A step may hand an input through, which is no value of the graph.
        outputs = [t if _core.graph_of(t) else fb.positive(t) for t in f()]
    core = g.graph._core
    core.verify()
    return core, [_core.symbol_id(t) for t in outputs]


@given(programs, shapes)
def test_every_way_to_compile_gives_the_same_bits(program, shape):
    """With and without simplification, fusion and memory reuse."""
    inputs = [fb.asarray(draw(shape, 1, True)), fb.asarray(draw(shape, 2, True))]
    core, ids = recorded(lambda: run(program, *inputs))
    eager = numbers(run(program, *inputs))
    planner = _core.Program(core)
    for options in OPTIONS:
        flags = {k: bool(v) for k, v in options.items()}
        executable, _ = planner.plan([], [], ids, True, **flags)
        executable.lowered.verify()
        assert_same(numbers(executable.run([])), eager, (program, options))
        assert executable.peak_bytes >= executable.arena_bytes


@given(programs, shapes, st.lists(st.integers(0, 20), min_size=1, max_size=3))
def test_any_inner_value_can_be_fed(program, shape, picks):
    """Feeding a value with what it has anyway changes nothing."""
    inputs = [fb.asarray(draw(shape, 1)), fb.asarray(draw(shape, 2))]
    core, ids = recorded(lambda: run(program, *inputs))
    eager = run(program, *inputs)
    fed = sorted({p % len(ids) for p in picks})
    fed = [i for k, i in enumerate(fed) if ids[i] not in [ids[j] for j in fed[:k]]]
    executable, _ = _core.Program(core).plan([ids[i] for i in fed], [eager[i] for i in fed], ids)
    assert_same(numbers(executable.run([eager[i] for i in fed])), numbers(eager), (program, fed))


@given(programs, shapes)
def test_captures_and_arguments_agree(program, shape):
    x, y = fb.asarray(draw(shape, 1)), fb.asarray(draw(shape, 2))
    captured = fb.graph(lambda: run(program, x, y))
    passed = fb.graph(lambda *xs: run(program, *xs))
    assert_same(numbers(captured()), numbers(passed(x, y)), program)


def smooth(program):
    """Steps whose derivatives are finite for ordinary numbers."""
    return [
        s
        for s in program
        if not (s[0] == 2 and s[3] % 4 == 3) and not (s[0] == 1 and s[3] % 10 == 3)
    ]


@given(programs, shapes)
def test_gradients_agree_between_tape_and_graph(program, shape):
    program = smooth(program)
    x, y = fb.asarray(draw(shape, 1)), fb.asarray(draw(shape, 2))

    def loss(x, y):
        return sum((fb.sum(fb.tanh(v)) for v in run(program, x, y)), fb.sum(x * y))

    def gradient(x, y):
        return tuple(fb.gradients(loss(x, y), [x, y]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fb.tape():
            eager = numbers(gradient(x, y))
        graph = numbers(fb.graph(gradient)(x, y))
    assert_same(graph, eager, program, exact=False, rtol=2e-4)


@given(programs, st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=25)
def test_another_batch_size(program, n, m):
    """The same function called with another number of rows gives what eager gives."""
    graph = fb.graph(lambda *xs: run(program, *xs))
    for rows in (n, m, n):
        inputs = [fb.asarray(draw((rows, 3), 1)), fb.asarray(draw((rows, 3), 2))]
        assert_same(numbers(graph(*inputs)), numbers(run(program, *inputs)), program)


@given(programs, shapes)
@settings(max_examples=20)
def test_results_do_not_depend_on_the_number_of_threads(program, shape):
    inputs = [fb.asarray(draw(shape, 1)), fb.asarray(draw(shape, 2))]
    graph = fb.graph(lambda *xs: run(program, *xs))
    before = fb.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            fb.set_num_threads(n)
            results.append(numbers(graph(*inputs)))
    finally:
        fb.set_num_threads(before)
    assert_same(results[1], results[0], program)
    assert_same(results[2], results[0], program)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=8
    )
)
def test_variables_in_graphs_follow_the_order_of_statements(steps):
    """Reads see the assignments before them; after the run the last one holds; eager does the
    same."""

    def play(variables, log):
        for target, source, k in steps:
            v = variables[source] * 2.0 if k == 0 else variables[source] + variables[target]
            if k < 3:
                variables[target].assign(v)
            log.append(fb.sum(v))
        return tuple(log)

    start = [[1.0, 2.0], [0.5, -1.0], [3.0, 0.25]]
    eager_v = [fb.Variable(s) for s in start]
    graph_v = [fb.Variable(s) for s in start]
    graph = fb.graph(lambda: play(graph_v, []))
    for _ in range(2):
        want = numbers(play(eager_v, []))
        assert_same(numbers(graph()), want, steps)
        assert_same([v.numpy() for v in graph_v], [v.numpy() for v in eager_v], steps)


def test_a_long_chain_compiles_and_runs():
    """1,000 nodes, as one group or as many."""

    def chain(x):
        for i in range(500):
            x = fb.tanh(x * 1.01 + i * 1e-3)
        return x

    x = fb.asarray(draw((1000,), 0))
    assert_same([fb.graph(chain)(x).numpy()], [chain(x).numpy()], "chain")


def test_wide_fan_out_and_in():
    x = fb.asarray(draw((64,), 0))

    def f(x):
        parts = [fb.tanh(x * float(i)) for i in range(300)]
        total = parts[0]
        for p in parts[1:]:
            total = total + p
        return total

    assert_same([fb.graph(f)(x).numpy()], [f(x).numpy()], "fan")


@pytest.mark.parametrize("n", [0, 1, 2, 7, 15, 16, 17, 1023, 1024, 1025, 4096, 4097, 100_003])
def test_fused_programs_at_every_edge_of_a_block(n):
    x, y = fb.asarray(draw((n,), 1, True)), fb.asarray(draw((n,), 2, True))

    def f(x, y):
        t = fb.tanh(x * 1.5 + 0.25) * y + fb.nn.relu(x)
        return t, fb.exp(t) / (x - y), fb.where(t > y, x, 0.0)

    assert_same(numbers(fb.graph(f)(x, y)), numbers(f(x, y)), f"n = {n}")


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 4097), (4097, 1), (3, 1000), (129, 33), (0, 5), (5, 0)]
)
def test_fused_rows_at_every_edge(shape):
    x = fb.asarray(draw(shape, 1))
    g = fb.asarray(draw(shape[-1:], 2))

    def f(x, g):
        s = fb.nn.softmax(x, axis=-1)
        n = fb.nn.layer_norm(s, g, g)
        return s, n, fb.sum(n * x, axis=0), fb.sum(x * x)

    assert_same(numbers(fb.graph(f)(x, g)), numbers(f(x, g)), shape)


# --- values are immutable, whatever a run updates in place ----------


def test_a_run_never_writes_what_somebody_else_holds():
    """Variables change in place only where nobody can see the old value."""
    start = fb.asarray(np.arange(5000, dtype="f4"))
    v = fb.Variable(start)
    w = fb.Variable(v)
    step = fb.graph(lambda: v.assign(v * 2.0 + 1.0))
    held = [v.value, v.numpy(), np.asarray(v), v.value[10:20], w.value]
    before = [np.array(h.numpy() if isinstance(h, fb.Tensor) else h) for h in held]
    view = memoryview(v.numpy())
    for _ in range(4):
        step()
    for h, b in zip(held, before):
        np.testing.assert_array_equal(h.numpy() if isinstance(h, fb.Tensor) else h, b)
    np.testing.assert_array_equal(start.numpy(), np.arange(5000))
    assert view[7] == 7
    assert v.numpy()[1] == 31  # 1 -> 3 -> 7 -> 15 -> 31
    after = v.value
    step()
    assert float(after[1]) == 31


def test_two_variables_may_start_from_one_tensor_and_swap():
    t = fb.asarray(np.arange(3000, dtype="f4"))
    a, b = fb.Variable(t), fb.Variable(t * 2.0)

    @fb.graph
    def swap():
        x, y = a.value, b.value
        a.assign(y)
        b.assign(x)

    for _ in range(3):
        swap()
    np.testing.assert_array_equal(a.numpy(), t.numpy() * 2)
    np.testing.assert_array_equal(b.numpy(), t.numpy())

    @fb.graph
    def same():
        c = a.value + 1.0
        a.assign(c)
        b.assign(c)
        return c

    c = same()
    same()
    np.testing.assert_array_equal(c.numpy(), t.numpy() * 2 + 1)
    np.testing.assert_array_equal(b.numpy(), t.numpy() * 2 + 2)


def test_a_variable_assigned_a_view_of_itself():
    v = fb.Variable(np.arange(4096, dtype="f4").reshape(64, 64))
    want = v.numpy().copy()
    step = fb.graph(lambda: v.assign(fb.permute_dims(v.value, (1, 0))))
    flip = fb.graph(lambda: v.assign(v.value[::-1] + v.value))
    step()
    np.testing.assert_array_equal(v.numpy(), want.T)
    flip()
    np.testing.assert_array_equal(v.numpy(), want.T[::-1] + want.T)


def test_results_are_fresh_in_each_run():
    x = fb.asarray(np.arange(2000, dtype="f4"))
    f = fb.graph(lambda x: (x, x * 2.0, fb.reshape(x * 2.0, (40, 50)), x[::2]))
    first = f(x)
    kept = numbers(first)
    f(x + 1.0)
    assert_same(numbers(first), kept, "results")


def test_large_integers_stay_exact():
    big = 2**60 + 1
    x = fb.asarray([1, 2])
    f = lambda x: (x + big, x * 1 + (big + 1), fb.where(x > 1, x, big))  # noqa: E731
    assert_same(numbers(fb.graph(f)(x)), numbers(f(x)), "integers")
    v = fb.Variable(fb.asarray(0))
    v.assign(big)
    assert int(v.value) == big


def test_constants_keep_their_bits():
    """0.1 as float64, -0.0, NaN, infinities and subnormals reach the kernels as they are."""
    x = fb.asarray(np.array([1.0, -0.0, 3.0]), dtype=fb.float64)
    f = lambda x: (  # noqa: E731
        x * 0.1,
        x + -0.0,
        x - 0.0,
        x * -1.0,
        x / 1.0,
        x + float("nan"),
        x * float("inf"),
        x * 5e-324,
        fb.maximum(x, -0.0),
        0.0 - x,
        -x,
        x * 0.0,
        x**2,
        x**0.5,
        x**1,
        x**0,
    )
    with np.errstate(all="ignore"):
        assert_same(numbers(fb.graph(f)(x)), numbers(f(x)), "constants")


def test_a_run_never_writes_into_an_arrays_memory():
    """A variable that took over shared NumPy memory may be its last holder among tensors."""
    a = np.arange(3000, dtype="f4")
    v = fb.Variable(np.zeros(3000, "f4"))
    v.assign(fb.asarray(a, copy=False))
    step = fb.graph(lambda: v.assign(v * 2.0))
    for _ in range(3):
        step()
    np.testing.assert_array_equal(a, np.arange(3000))
    np.testing.assert_array_equal(v.numpy(), a * 8)


def test_indices_and_masks_that_are_known_are_constants_of_a_graph() -> None:
    # Their range was looked at by an op of the graph being recorded.
    rows, cols = fb.asarray([0, -1]), fb.asarray([1, 0])
    mask, first = fb.asarray([[True, False, True], [False, True, True]]), fb.asarray([True, False])
    x = np.arange(6.0).reshape(2, 3)

    @fb.graph
    def f(x: fb.Tensor) -> tuple[fb.Tensor, ...]:
        return x[rows], x[:, cols], x[rows, cols], x[mask], x[first]

    want = x[[0, -1]], x[:, [1, 0]], x[[0, -1], [1, 0]], x[mask.numpy()], x[[True, False]]
    for got, value in zip(f(fb.asarray(x)), want, strict=True):
        assert np.array_equal(got.numpy(), value)
    with pytest.raises(fb.IndexOutOfRange, match="index 5 is out of range for axis 1"):
        fb.graph(lambda x: x[:, fb.asarray([5])])(fb.asarray(x))
    none, small = (
        fb.asarray(np.array([i], "u1")) for i in (0, 7)
    )  # of another type than the flat index
    with pytest.raises(fb.IndexOutOfRange, match="index 7 is out of range for axis 1"):
        fb.graph(lambda x: x[none, small])(fb.asarray(np.zeros((3, 4))))
