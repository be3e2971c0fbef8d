"""Products with epilogues: a fused program runs on the blocks of the matrix product or convolution
that it reads, with the bits of the separate steps, wherever nobody needs the product earlier."""

import numpy as np
import pytest
from ops.compare import same_bits

import flowbook as fb
from flowbook import _core

rng = np.random.default_rng(0)


def normal(*shape, dtype="f4"):
    return fb.asarray(rng.normal(size=shape).astype(dtype))


def plan(function, *args, **options):
    graph = fb.graph(function).trace(*args)
    feeds = list(graph._examples)
    executable, _ = _core.Program(graph._core).plan(
        feeds, list(graph._examples.values()), list(graph._named.values()), True, **options
    )
    return executable


def attached(executable):
    """The ops of each product with an epilogue."""
    return ["+".join(s["ops"]) for s in executable.steps() if s["op"] and s["fused"]]


def numbers(outputs):
    return [t.numpy() for t in outputs]


def assert_same_bits(got, want):
    for a, b in zip(got, want, strict=True):
        assert same_bits(a, b)


def check(function, *inputs, expect=None, eager=True):
    """With epilogues, without, and one op at a time; on one thread and on two; twice."""
    fused = plan(function, *inputs)
    if expect is not None:
        assert attached(fused) == expect
    apart = plan(function, *inputs, epilogues=False)
    assert attached(apart) == []
    want = numbers(plan(function, *inputs, fuse=False).run(inputs))
    before = fb.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fb.set_num_threads(threads)
            for executable in (fused, apart, fused):
                assert_same_bits(numbers(executable.run(inputs)), want)
    finally:
        fb.set_num_threads(before)
    if eager:
        results = function(*inputs)
        results = results if isinstance(results, (list, tuple)) else [results]
        assert_same_bits(numbers(results), want)
    return fused


# -- what is attached -----------------------------------------------------------------------------


def test_bias_and_activation_follow_the_product():
    check(
        lambda x, w, b: fb.nn.relu(x @ w + b),
        normal(64, 96), normal(96, 80), normal(80), expect=["matmul+add+relu"],
    )  # fmt: skip


def test_the_plan_shows_the_program():
    x, w, b = normal(64, 96), normal(96, 80), normal(80)
    text = plan(lambda x, w, b: fb.nn.relu(x @ w + b), x, w, b).text()
    assert (
        text.split("\n")[0] == "matmul(%0:feed+0, %1:feed+1) then fused(%2:feed+2) -> %5:result+0"
    )
    assert "relu r" in text


def test_a_single_map_follows_too():
    check(lambda x: fb.tanh(x @ x), normal(40, 40), expect=["matmul+tanh"])


def test_residual_and_gate():
    check(
        lambda x, w, r, g: r + fb.nn.sigmoid(g) * (x @ w),
        normal(48, 64), normal(64, 32), normal(48, 32), normal(48, 1),
        expect=["matmul+multiply+add"],
    )  # fmt: skip


def test_gradient_of_an_activation():
    def f(x, w, y):
        return (x @ fb.permute_dims(w, (1, 0))) * (1.0 - y * y)

    check(f, normal(70, 30), normal(90, 30), normal(70, 90),
          expect=["matmul+multiply+subtract+multiply"])  # fmt: skip


def test_softmax_of_whole_rows():
    e = check(lambda x, w: fb.nn.softmax(x @ w), normal(100, 64), normal(64, 48))
    assert len(e.steps()) == 1


def test_residual_and_layer_norm_with_both_results():
    def f(x, w, b, r, g):
        h = x @ w + b + r
        return h, fb.nn.layer_norm(h, g, g)

    e = check(f, normal(100, 64), normal(64, 48), normal(48), normal(100, 48), normal(48))
    assert len(e.steps()) == 1


def test_rows_that_blocks_cut_are_not_reduced_in_them():
    """Blocks of wide products span only some of the columns."""
    x, w = normal(70, 300), normal(300, 5000)
    check(lambda x, w: fb.nn.softmax(x @ w), x, w, expect=[])
    check(lambda x, w: fb.nn.relu(x @ w), x, w, expect=["matmul+relu"])


def with_sums(x, w):
    h = fb.tanh(x @ w)
    return h, fb.sum(h, axis=0)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (64, 64, 64),  # one block
        (512, 64, 64),  # blocks of many rows, several parts of the sum in each
        (1000, 64, 512),  # the last block is lower
        (500, 512, 40), (4096, 96, 32), (2048, 64, 3),
    ],
)  # fmt: skip
def test_sums_over_the_rows_are_taken_in_the_blocks(m, k, n, dtype):
    """Where blocks end where the parts of the sums do; with the bits of the sum of the whole."""
    x, w = normal(m, k, dtype=dtype), normal(k, n, dtype=dtype)
    own = fb.doctor()["matrix products"] == "own"
    check(with_sums, x, w, expect=["matmul+tanh+sum"] if own else None)


def test_sums_over_the_rows_of_blocks_that_end_anywhere():
    """205 rows are no blocks of 32, and a row too many makes none of 256; or blocks are narrow."""
    check(with_sums, normal(256, 300), normal(300, 600))
    for m in (203, 205, 1111, 2049):
        check(with_sums, normal(m, 200), normal(200, 96))


def test_sums_over_the_rows_of_a_stack():
    """Each matrix is a block or several; of 96 rows, which no part of the sums has."""
    for m in (96, 128, 384):
        check(lambda x, w: (h := fb.tanh(x @ w), fb.sum(h, axis=(0, 1))),
              normal(6, m, 64), normal(6, 64, 80))  # fmt: skip


def test_gradient_of_a_layer_with_bias_and_norm():
    """Slope and bias' sum follow one product, the gradients of the norm the next."""

    def f(x, w1, b1, w2, g):
        loss = fb.sum(fb.nn.gelu(fb.nn.layer_norm(x, g, g) @ w1 + b1) @ w2 * x)
        return fb.gradients(loss, [x, w1, b1, w2, g])

    e = check(f, normal(512, 64), normal(64, 256), normal(256), normal(256, 64), normal(64),
              eager=False)  # fmt: skip
    if fb.doctor()["matrix products"] == "own":
        backward = [s for s in attached(e) if "sum" in s]
        assert len(backward) == 2
        assert backward[0] == "matmul+multiply+sum"


def test_totals_and_maps_of_sums_follow_the_last_block():
    def f(x, w):
        h = x @ w
        rows = fb.sum(h * h, axis=1)
        return fb.nn.softmax(h), fb.mean(h, axis=0), fb.sum(rows) / 7.0

    e = check(f, normal(512, 64), normal(64, 64))
    if fb.doctor()["matrix products"] == "own":
        assert len(e.steps()) == 1


def test_products_whose_sums_share_a_job():
    """Sums are finished after the job that two products share."""
    x, v, w = normal(512, 64), normal(64, 96), normal(64, 80)
    e = check(lambda x, v, w: (*with_sums(x, v), *with_sums(x, w)), x, v, w)
    if fb.doctor()["matrix products"] == "own":
        assert e.waves() == [(0, 2)]


@pytest.mark.parametrize("dtype", ["f8", "i4"])
def test_other_dtypes(dtype):
    x = fb.asarray(rng.integers(-9, 9, (50, 40)).astype(dtype))
    w = fb.asarray(rng.integers(-9, 9, (40, 30)).astype(dtype))
    check(lambda x, w: (x @ w) * 3 - 1, x, w, expect=["matmul+multiply+subtract"])


def test_dtypes_that_programs_do_not_compute():
    x = fb.asarray(rng.integers(-9, 9, (20, 20)).astype("i2"))
    check(lambda x: fb.astype(x @ x, fb.int32), x, expect=[])


def test_a_narrower_result_has_no_room_for_the_blocks():
    x = normal(60, 60)
    check(lambda x: (x @ x) > 0.5, x, expect=[])
    # ... unless the product has memory of its own
    check(lambda x: ((p := x @ x), p > 0.5), x, expect=["matmul+greater"])


def test_a_cast_follows():
    check(lambda x: fb.astype(x @ x, fb.int32), normal(60, 60), expect=["matmul+cast"])


def test_results_that_are_written_before_the_product_is_read_again():
    """The first result must not take the memory of the blocks: the second one reads them."""

    def f(x, w):
        p = x @ w
        a = p * 2.0
        return a, fb.exp(p) - a

    check(f, normal(64, 64), normal(64, 64), expect=["matmul+multiply+exp+subtract"])


def test_results_over_the_product_that_later_arithmetic_looks_through():
    """A compiled loop computes with the product itself where a map reads its negative."""

    def f(x, w):
        n = -(x @ w)
        return n, fb.exp(n * 2.0) + n * 3.0, fb.tanh(n), fb.nn.gelu(n)

    check(f, normal(100, 64), normal(64, 64))


def test_the_product_itself_may_be_a_result():
    check(lambda x: ((p := x @ x), fb.tanh(p)), normal(64, 64), expect=["matmul+tanh"])


def test_the_product_may_be_read_again_later():
    def f(x):
        p = x @ x
        return fb.tanh(p) @ p

    check(f, normal(64, 64), expect=["matmul+tanh"])


def test_an_earlier_reader_needs_the_product_first():
    def f(x):
        p = x @ x
        return fb.tanh(p) + (p @ x)

    e = check(f, normal(64, 64))
    assert attached(e) == ["matmul+tanh+add"]  # the second product
    assert [s["op"] for s in e.steps()] == ["matmul", "matmul"]


def test_of_two_products_the_last_takes_the_program():
    e = check(lambda x, h, w, u: fb.tanh(x @ w + h @ u),
              normal(32, 40), normal(32, 64), normal(40, 64), normal(64, 64),
              expect=["matmul+add+tanh"])  # fmt: skip
    assert [s["op"] for s in e.steps()] == ["matmul", "matmul"]


def test_a_transposed_reader_needs_all_of_the_product():
    check(lambda x: (p := x @ x) + fb.permute_dims(p, (1, 0)), normal(64, 64), expect=[])


def test_a_broadcast_product_is_smaller_than_what_it_makes():
    check(lambda x, y: (x @ x) + y, normal(16, 16), normal(5, 16, 16), expect=[])


def test_a_part_of_the_product_is_not_its_elements():
    check(lambda x: fb.tanh((x @ x)[:32]), normal(64, 64), expect=[])


def test_a_reshaped_product_is():
    check(
        lambda x, b: fb.tanh(fb.reshape(x @ x, (8, 8, 16, 4)) + b),
        normal(64, 64), normal(16, 4), expect=["matmul+add+tanh"],
    )  # fmt: skip


def test_an_operand_that_only_a_kernel_reads_as_it_lies():
    """A map by itself takes any strides; a program would need a copy."""
    x, y = normal(60, 60), normal(60, 60, 3)
    check(lambda x, y: x @ x + y[..., 1], x, y, expect=[])
    check(lambda x, y: fb.tanh(x @ x + y[..., 1]), x, y, expect=["matmul+add+tanh"])


def test_columns_of_wider_rows_are_read_where_they_lie():
    x, y = normal(60, 60), normal(60, 3, 60)
    check(lambda x, y: x @ x + y[:, 1], x, y, expect=["matmul+add"])
    narrow, wide = normal(40, 40), normal(300, 40)  # blocks of some rows and all columns
    check(lambda a, x, y: a @ x + y[:, 40:80], wide, narrow, normal(300, 120))


def test_narrow_blocks_of_wider_rows():
    """A program would take 128 numbers at a time."""
    check(lambda x, w: fb.tanh(x @ w), normal(128, 256), normal(256, 256), expect=[])


def test_products_of_vectors():
    x, v = normal(64, 64), normal(64)
    check(lambda x, v: fb.tanh(x @ v), x, v, expect=[])
    check(lambda x, v: fb.tanh(v @ x), x, v, expect=["matmul+tanh"])


def test_transposed_operands_and_results_of_one_row():
    def f(x, w):
        return fb.nn.relu(fb.permute_dims(x, (1, 0)) @ fb.permute_dims(w, (1, 0)) + 1.0)

    check(f, normal(200, 1), normal(90, 200), expect=["matmul+add+relu"])


def test_operands_that_are_copied_first():
    """A provider reads neither of these as they lie."""

    def f(x, w):
        return fb.nn.softmax(x[:, ::2] @ w[::3, ::2])

    check(f, normal(100, 400), normal(600, 160))


def test_a_product_of_nothing_is_zeros():
    check(lambda x, w, b: x @ w + b, normal(8, 0), normal(0, 6), normal(6), expect=["matmul+add"])


@pytest.mark.parametrize(
    ("left", "right"),
    [((6, 40, 20), (6, 20, 30)), ((2, 3, 40, 20), (20, 30)), ((40, 20), (7, 20, 30)),
     ((2, 1, 20, 16), (1, 3, 16, 100)), ((500, 3, 4), (500, 4, 5)), ((3, 1000, 70), (3, 70, 40))],
)  # fmt: skip
def test_stacks_of_products(left, right):
    shape = np.broadcast_shapes(left[:-2], right[:-2]) + (left[-2], right[-1])
    check(
        lambda x, w, b, m: fb.where(m > 0, fb.tanh(x @ w + b), -1.0),
        normal(*left), normal(*right), normal(right[-1]), normal(*shape[-2:]),
        expect=["matmul+add+tanh+where"],
    )  # fmt: skip


def test_a_long_sum_is_cut_along_its_length():
    check(lambda x, w, b: fb.nn.relu(x @ w + b),
          normal(60, 9000), normal(9000, 50), normal(50), expect=["matmul+add+relu"])  # fmt: skip


def test_products_with_epilogues_share_a_job():
    x, wq, wk, b = normal(64, 128), normal(128, 96), normal(128, 64), normal(96)
    e = check(lambda x, q, k, b: (fb.tanh(x @ q + b), (x @ k) * 0.5), x, wq, wk, b)
    assert e.waves() == [(0, 2)]
    assert len(attached(e)) == 2


def test_few_blocks_do_not_take_threads_from_a_large_program():
    """64 x 1024 of a sum of 8 is one block; the maps alone are four chunks."""
    check(lambda x, w: fb.nn.gelu(x @ w), normal(64, 8), normal(8, 1024), expect=[])


# -- convolutions ---------------------------------------------------------------------------------

CONVOLUTIONS = {
    "3x3": {"x": (2, 14, 14, 16), "w": (3, 3, 16, 32)},
    "one image in bands": {"x": (1, 40, 40, 32), "w": (3, 3, 32, 32)},
    "pointwise": {"x": (2, 14, 14, 16), "w": (1, 1, 16, 32)},
    "strided": {"x": (5, 15, 15, 8), "w": (3, 3, 8, 24), "strides": 2},
    "one channel": {"x": (32, 28, 28, 1), "w": (5, 5, 1, 8), "padding": "valid"},
    "depthwise": {"x": (2, 14, 14, 16), "w": (3, 3, 1, 16), "groups": 16},
    "groups": {"x": (2, 9, 9, 16), "w": (3, 3, 4, 8), "groups": 4},
    "dilated": {"x": (2, 20, 20, 8), "w": (3, 3, 8, 8), "dilation": 2},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_convolutions_and_gradients(name, dtype):
    options = dict(CONVOLUTIONS[name])
    x, w = normal(*options.pop("x"), dtype=dtype), normal(*options.pop("w"), dtype=dtype)
    b = normal(w.shape[-1], dtype=dtype)

    def forward(x, w, b):
        return fb.nn.relu(fb.nn.conv2d(x, w, **options) + b)

    check(forward, x, w, b, expect=["conv2d+add+relu"])

    def backward(x, w, b):
        """The gradient of tanh follows the convolution's gradient."""
        y = fb.nn.conv2d(fb.tanh(x), w, **options) + b
        return fb.gradients(fb.sum(y * y), [x])[0]

    e = check(backward, x, w, b, eager=False)
    own = fb.doctor()["matrix products"] == "own"
    if own or x.shape[0] > 1:  # a library does images one by one, and one alone in a single call
        assert any(s.startswith("conv2d_input_gradient+") for s in attached(e))


def test_normalised_pixels():
    def f(x, w, g):
        return fb.nn.layer_norm(fb.nn.conv2d(x, w), g, g)

    e = check(f, normal(2, 14, 14, 16), normal(3, 3, 16, 32), normal(32))
    assert len(e.steps()) == 1


# -- variables ------------------------------------------------------------------------------------


def test_updates_in_place_come_after_their_readers():
    """The weights are read by a product with an epilogue, then written over."""
    w0, x, y = normal(32, 32), normal(40, 32), normal(40, 32)

    def train(**options):
        w = fb.Variable(w0)
        optimizer = fb.optim.Adam(1e-2)

        def step(x, y):
            h = fb.tanh(x @ w)
            loss = fb.mean(fb.square(fb.nn.gelu(h @ w) - y))
            optimizer.update([w], fb.gradients(loss, [w]))
            return loss

        e = plan(step, x, y, **options)
        losses = numbers(e.run([x, y])[0] for _ in range(5))
        return e, [*losses, w.value.numpy()]

    e, got = train()
    assert attached(e)
    assert any(s["commit"] for s in e.steps())
    assert_same_bits(got, train(fuse=False)[1])


def test_an_assignment_in_between_shows_its_old_value():
    w, x = fb.Variable(normal(24, 24)), normal(30, 24)
    first = w.value

    def step(x):
        p = x @ w
        w.assign(w * 2.0)
        return fb.tanh(p + 1.0)

    e = plan(step, x)
    assert attached(e) == ["matmul+add+tanh"]
    for _ in range(2):
        want = fb.tanh(x @ w + 1.0).numpy()
        assert same_bits(e.run([x])[0].numpy(), want)
    assert same_bits(w.value.numpy(), (first * 2.0 * 2.0).numpy())


def test_a_variable_takes_the_result_or_the_product():
    v, x = fb.Variable(normal(32, 32)), normal(32, 32)

    def step(x):
        p = v @ x
        v.assign(p)
        return fb.tanh(p)

    e = plan(step, x)
    assert attached(e) == ["matmul+tanh"]
    for _ in range(3):
        p = v.value @ x
        assert same_bits(e.run([x])[0].numpy(), fb.tanh(p).numpy())
        assert same_bits(v.value.numpy(), p.numpy())


# -- memory and views -----------------------------------------------------------------------------


def test_no_memory_is_kept_for_the_product():
    """Two results: without an epilogue the product is a third array."""
    x, w = normal(256, 64), normal(64, 512)

    def f(x, w):
        h = x @ w + 1.0
        return h, fb.exp(h)

    e = check(f, x, w, expect=["matmul+add+exp"])
    assert e.arena_bytes == 0
    assert plan(f, x, w, epilogues=False).arena_bytes == 256 * 512 * 4


def test_a_result_may_lie_over_what_only_the_program_reads():
    x, w, r = normal(64, 64), normal(64, 64), normal(64, 64)

    def f(x, w, r):
        r = fb.tanh(r) * 2.0  # ends with the program
        h = x @ w + r
        return fb.sum(h, axis=-1) @ (fb.exp(h) - 1.0) + fb.sum(h @ x)

    e = check(f, x, w, r)
    assert e.arena_bytes < 4 * 64 * 64 * 4


def test_nothing_lies_over_what_the_product_reads():
    """The residual is also the left operand: other blocks still read it."""

    def f(x, w):
        h = fb.tanh(x)
        a = h + fb.nn.relu(h @ w)
        return a - fb.exp(a @ w)

    check(f, normal(300, 128), normal(128, 128))


def test_inspection_shows_results_and_kept_products():
    x = normal(40, 40)
    e = plan(lambda x: ((p := x @ x), fb.tanh(p + 1.0)), x)
    seen = {}
    p, t = numbers(e.inspect([x], seen))
    for value, array in ((e.values[1], p), (max(e.values), t)):
        assert seen[value]["max"] == pytest.approx(array.max())


def test_the_optimised_record_joins_product_and_program():
    net = fb.graph(lambda x, w: fb.nn.relu(x @ w + 1.0)).trace(normal(40, 40), normal(40, 40))
    net()
    optimised = net.record()["optimised"]
    assert [g["label"] for g in optimised["groups"]] == ["matmul + add + relu"]
    assert optimised["steps"] == 1


# -- random graphs --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed):
    """Products, maps, transposes and reductions in any order."""
    choose = np.random.default_rng(seed)
    n = int(choose.choice([16, 48, 96, 130]))
    steps = choose.integers(0, 1 << 30, 30)

    def f(*roots):
        live = list(roots)
        for c in map(int, steps):
            a, b = live[c % len(live)], live[(c >> 6) % len(live)]
            kind = (c >> 12) % 10
            live.append(
                a @ b * 0.1 if kind < 3
                else fb.tanh(a) if kind == 3
                else a + b if kind == 4
                else a * fb.permute_dims(b, (1, 0)) if kind == 5
                else fb.nn.softmax(a) if kind == 6
                else a - fb.max(b, axis=-1, keepdims=True) if kind == 7
                else fb.nn.relu(a - b) + b if kind == 8
                else a + fb.mean(b, axis=0)
            )  # fmt: skip
        return live[-6:]

    e = check(f, *(normal(n, n) for _ in range(3)))
    e.lowered.verify()
    if n < 64:  # larger products are cut into blocks that are too narrow
        assert attached(e)
