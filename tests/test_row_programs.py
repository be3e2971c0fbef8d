"""Fused programs over rows: softmax, norms, their gradients and sums are one pass over memory, with
the bits that the ops have one by one, on any number of threads and for any length of the rows."""

import textwrap

import numpy as np
import pytest
from ops.compare import same_bits

import flowbook as fb
from flowbook import _core

rng = np.random.default_rng(0)


def planned(function, *args, **options):
    graph = fb.graph(function).trace(*args)
    fetches = list(graph._named.values())
    executable, _ = _core.Program(graph._core).plan(
        list(graph._examples), list(graph._examples.values()), fetches, True, **options
    )
    return executable


def steps(function, *args):
    return [s["op"] or s["ops"] for s in planned(function, *args).steps()]


def numbers(outputs):
    return [t.numpy() for t in outputs]


def assert_fused_is_unfused(function, *args):
    """Compiled, with AVX2 too where there is AVX-512, on the tape, and op by op: the same bits."""
    inputs = [fb.asarray(a) for a in args]
    before = _core.jit_mode()
    try:
        _core.set_jit_mode("always")
        compiled = planned(function, *inputs)
        _core.set_jit_mode("narrow")
        narrow = planned(function, *inputs)
        _core.set_jit_mode("off")
        tape = planned(function, *inputs)
    finally:
        _core.set_jit_mode(before)
    single = planned(function, *inputs, fuse=False)
    assert any(s["fused"] for s in tape.steps())
    results = numbers(tape.run(inputs))
    for other in (single, tape, compiled, compiled, narrow):
        for a, b in zip(results, numbers(other.run(inputs)), strict=True):
            assert same_bits(a, b)
    return results


def array(*shape, dtype="f4"):
    return rng.normal(size=shape).astype(dtype)


def layer(x, w, b):
    return fb.nn.layer_norm(fb.nn.softmax(x), w, b)


def rms_norm(x, w):
    return x * fb.rsqrt(fb.mean(fb.square(x), axis=-1, keepdims=True) + 1e-6) * w


@pytest.fixture
def tape():
    """Programs of this test stay on the tape, whose text is shorter, also with FLOWBOOK_JIT=always."""
    before = _core.jit_mode()
    _core.set_jit_mode("off")
    yield
    _core.set_jit_mode(before)


def test_softmax_and_layer_norm_are_one_step(tape):
    x, w = fb.asarray(array(6, 300)), fb.asarray(array(300))
    program = planned(layer, x, w, w).text().split("\n", 1)[1]
    assert textwrap.dedent(program.rsplit("arena", 1)[0]) == textwrap.dedent(
        """\
        [6, 300]
        r5 = max of each row r0
        --
        r7 = sub_exp r0, r5
        r8 = sum of each row r7
        row r9 = reciprocal r8
        --
        r10 = multiply r7, r9
        r11 = sum of each row r10
        row r12 = divide r11, r1
        --
        r13 = subtract r10, r12
        r15 = sum_squares of each row r13
        row r16 = divide r15, r1
        row r17 = add r16, r2
        row r18 = rsqrt r17
        --
        r20 = mul_mul r13, r18, r3
        r21 = add r20, r4
        """
    )


SHAPES = [
    (1, 1), (5, 1), (1, 7), (2, 3), (1000, 3), (128, 10), (7, 16), (33, 96), (16, 128), (3, 255),
    (3, 256), (3, 1023), (2, 1024), (2, 1025), (3, 2048), (2, 2049), (2, 5000), (1, 50_257),
    (3, 65_536), (2, 70_001), (2, 3, 4), (8, 12, 16, 16), (1, 9000), (300, 257),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_programs_of_any_shape_have_the_bits_of_their_ops(shape, dtype):
    x, y, w = array(*shape, dtype=dtype), array(*shape, dtype=dtype), array(shape[-1], dtype=dtype)
    lead = tuple(range(len(shape) - 1))

    def f(x, y, w):
        h = fb.tanh(x) * y + w
        d = fb.nn.softmax(h) * fb.exp(w)
        r = fb.sum(d * y, axis=-1)
        return (
            layer(h, w, w),
            rms_norm(h, w),
            fb.logsumexp(d, axis=-1) * 2.0,
            fb.mean(r * r),
            fb.sum(d, axis=lead) * 0.5,
            fb.max(h * 2.0, axis=lead),
            fb.sum(fb.square(h - y)) / 7.0,
            (h - fb.expand_dims(fb.max(h, axis=-1), axis=-1))
            / fb.sum(fb.abs(h), axis=-1, keepdims=True),
        )

    assert_fused_is_unfused(f, x, y, w)


@pytest.mark.parametrize("shape", [(64, 10), (40, 1024), (3, 3000), (700, 96)], ids=str)
def test_gradients_of_norms_have_the_bits_of_their_ops(shape):
    x, w = array(*shape), array(shape[-1])

    def f(x, w):
        loss = fb.mean(fb.square(layer(x, w, w) + rms_norm(x, w)) * fb.nn.log_softmax(x))
        return loss, *fb.gradients(loss, [x, w])

    assert_fused_is_unfused(f, x, w)


@pytest.mark.parametrize("columns", [3, 16, 1000, 3000, 70_000])
def test_rows_with_nan_and_infinity(columns):
    x = array(6, columns)
    x[0, 1] = np.nan
    x[1, 0] = np.inf
    x[2] = -np.inf
    x[3, :] = 0
    x[4, 0] = -np.inf

    def f(x):
        return fb.nn.softmax(x * 1.0), fb.max(x + 0.0, axis=-1) + 0.0, fb.nn.log_softmax(x)

    p, m, _ = assert_fused_is_unfused(f, x)
    assert np.isnan(p[:3]).all()
    assert np.isfinite(p[3:]).all()
    assert np.isnan(m[0])
    assert m[1] == np.inf
    assert m[2] == -np.inf


def test_no_rows():
    x = fb.asarray(np.zeros((0, 5), "f4"))
    assert fb.graph(lambda x: fb.nn.softmax(x) * 2.0)(x).shape == (0, 5)
    assert fb.graph(lambda x: fb.sum(fb.tanh(x), axis=0))(x).tolist() == [0] * 5


@pytest.mark.parametrize("shape", [(4096, 128), (37, 3000), (5, 70_000), (9000, 7), (1, 300_000)])
def test_results_do_not_depend_on_the_number_of_threads(shape, threads):
    x, w = fb.asarray(array(*shape)), fb.asarray(array(shape[-1]))

    def f(x, w):
        y = fb.tanh(x) * w
        d = fb.nn.layer_norm(y, w, w)
        return d, fb.sum(y, axis=0), fb.sum(y * x, axis=-1), fb.mean(fb.sum(y, axis=1)), fb.sum(y)

    graph = fb.graph(f)
    threads(1)
    one = numbers(graph(x, w))
    threads(2)
    for a, b in zip(one, numbers(graph(x, w))):
        assert same_bits(a, b)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: rms_norm(x, w),
        lambda x, w: fb.var(x, axis=-1),
        lambda x, w: fb.std(x, axis=-1, keepdims=True) * x,
        lambda x, w: fb.logsumexp(x, axis=-1),
        lambda x, w: fb.nn.softmax(x * 0.5 + w),
        lambda x, w: fb.mean(fb.square(x - w)),
        lambda x, w: fb.sum(fb.tanh(x) * w, axis=0),
        lambda x, w: fb.mean(fb.logsumexp(x, axis=-1)),
        lambda x, w: (fb.sum(x, axis=0), fb.sum(fb.square(x), axis=0)),
        lambda x, w: fb.nn.layer_norm(x, w, w),
    ],
)
def test_one_pass(function):
    assert len(steps(function, fb.asarray(array(64, 48)), fb.asarray(array(48)))) == 1


def test_group_norm_by_hand_is_one_pass():
    """Over [N, H*W, C] as [N, groups, the rest], where each group's numbers are neighbours."""

    def f(x):
        g = fb.reshape(x, (4, 8, -1))
        variance = fb.var(g, axis=-1, keepdims=True)
        g = (g - fb.mean(g, axis=-1, keepdims=True)) * fb.rsqrt(variance + 1e-5)
        return fb.reshape(g, x.shape)

    x = array(4, 24, 16)
    (y,) = assert_fused_is_unfused(lambda x: (f(x),), x)
    assert len(steps(f, fb.asarray(x))) == 1
    g = x.astype("f8").reshape(4, 8, -1)
    want = (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, want.reshape(x.shape), rtol=1e-4, atol=1e-5)


def test_the_gradients_of_a_norm_are_one_pass_beside_its_forward_pass():
    """What reads dy joins who reads it already, though the normalised rows are another step's."""

    def f(x, w, b, dy):
        y = fb.nn.layer_norm(x, w, b)
        dy = fb.matmul(y, fb.permute_dims(dy, (1, 0))) @ dy  # later than y
        return y, *fb.gradients(y, [x, w, b], seeds=[dy])

    args = [array(40, 96), array(96), array(96), array(40, 96)]
    ops = [s["ops"] for s in planned(f, *map(fb.asarray, args)).steps()]
    found = [s for s in ops if s not in (["matmul"], ["permute_dims"])]
    assert len(found) == 2
    assert found[1].count("sum") == 4
    assert_fused_is_unfused(f, *args)


def test_maps_of_one_array_are_one_pass():
    def f(x, y, z):
        return x * y, fb.tanh(x) - z

    args = [array(50, 30) for _ in range(3)]
    assert len(steps(f, *map(fb.asarray, args))) == 1
    assert_fused_is_unfused(f, *args)


def test_a_bias_gradient_joins_the_pass_that_makes_its_operand():
    """Also after a matrix product has read it: all it needs is there when the pass runs."""

    def f(x, w, b):
        loss = fb.sum(fb.square(fb.nn.gelu(x @ w + b)))
        return fb.gradients(loss, [w, b])

    names = steps(f, fb.asarray(array(32, 8)), fb.asarray(array(8, 24)), fb.asarray(array(24)))
    assert "sum" not in names
    assert_fused_is_unfused(f, array(32, 8), array(8, 24), array(24))


def gates(z):
    i, f, g, o = fb.split(z, 4, axis=-1)
    c = fb.nn.sigmoid(i) * fb.tanh(g) + fb.nn.sigmoid(f)
    return c, fb.nn.sigmoid(o) * fb.tanh(c)


@pytest.mark.parametrize(
    "shape",
    [(1, 64), (3, 64), (7, 68), (16, 512), (5, 4096), (2, 12_000), (300, 80), (2, 3, 96)],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_columns_of_wider_rows_are_read_where_they_lie(shape, dtype):
    assert_fused_is_unfused(gates, array(*shape, dtype=dtype))
    z = fb.asarray(array(*shape, dtype=dtype))
    assert len(steps(gates, z)) == 1  # no copies


@pytest.mark.parametrize(
    "part",
    [
        lambda z: z[:, 5:50],  # rows of which 45 numbers are read
        lambda z: z[3:17, 8:72],  # from the middle on
        lambda z: fb.reshape(z, (20, 4, 20))[:, 1:3],  # pieces of several axes
        lambda z: fb.reshape(z, (5, 4, 80))[:, 2],  # every fourth row
        lambda z: fb.reshape(z, (5, 4, 80))[:, 1:3, :32],  # two gaps: copied
        lambda z: z[:, 4:12],  # too short: copied
        lambda z: z[::-1, 8:72],  # backwards: copied
        lambda z: fb.permute_dims(z, (1, 0)),  # copied
    ],
)
def test_parts_of_arrays_in_programs(part):
    z = array(20, 80)

    def f(z):
        x = part(z)
        y = fb.nn.softmax(x * 2.0 - 1.0) + x
        return y, fb.sum(x * y, axis=-1), fb.sum(x * x, axis=0), fb.max(x * 0.5)

    assert_fused_is_unfused(f, z)


def test_an_array_is_not_written_over_while_its_parts_are_read():
    def f(x):
        h = fb.tanh(x @ x)  # in memory that ends with the step below
        return h[:, :32] * fb.exp(h[:, 32:]) + h[:, 16:48], h[::2] * fb.exp(h[1::2])

    assert_fused_is_unfused(f, array(64, 64))


def test_values_of_rows_that_lie_apart_are_copied():
    def f(x, y):
        m = fb.max(x, axis=-1) * y[:, 1]
        return fb.exp(x - fb.expand_dims(m, axis=-1)) * fb.expand_dims(y[:, 2], axis=-1)

    assert_fused_is_unfused(f, array(40, 70), array(40, 3))


def test_layer_norm_is_accurate_far_from_zero():
    x = (rng.normal(size=(20, 500)) + 1e4).astype("f4")
    one, zero = fb.asarray(np.ones(500, "f4")), fb.asarray(np.zeros(500, "f4"))
    got = fb.nn.layer_norm(fb.asarray(x), one, zero).numpy()
    t = x.astype("f8")
    want = (t - t.mean(-1, keepdims=True)) / np.sqrt(t.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_softmax_along_other_axes():
    x = array(3, 40, 5)
    e = np.exp(x.astype("f8") - x.max(1, keepdims=True))
    got = fb.nn.softmax(fb.asarray(x), axis=1)
    np.testing.assert_allclose(got.numpy(), e / e.sum(1, keepdims=True), rtol=1e-6)


def test_an_eager_composite_is_planned_once():
    x = fb.asarray(array(50, 40))
    first = fb.nn.softmax(x)
    assert same_bits(first.numpy(), fb.nn.softmax(x).numpy())
    assert same_bits(first.numpy(), fb.graph(lambda x: fb.nn.softmax(x))(x).numpy())


def test_short_programs_are_shared_among_threads(threads):
    def gates(g, c):
        i, f, u, o = (g[:, k * 128 : (k + 1) * 128] for k in range(4))
        c = fb.nn.sigmoid(f) * c + fb.nn.sigmoid(i) * fb.tanh(u)
        return fb.nn.sigmoid(o) * fb.tanh(c), c

    args = fb.asarray(array(32, 512)), fb.asarray(array(32, 128))
    assert "4 chunks" in planned(gates, *args).text()  # functions: a thousand elements each
    cheap = planned(lambda x: x * 2.0 + x, args[0])
    assert "chunks" not in cheap.text()  # less work than handing it over costs
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(numbers(planned(gates, *args).run(args)))
    for other in (*results[1:], numbers(gates(*args))):
        for a, b in zip(results[0], other, strict=True):
            assert same_bits(a, b)
