"""The compiler's passes, by their text before and after; and what a run promises."""

import textwrap

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core


def compiled(function, *args, **options):
    """The executable of a function, and the graph it was recorded as."""
    graph = fb.graph(function).trace(*args)
    program = _core.Program(graph._core)
    feeds = list(graph._examples)
    fetches = list(graph._named.values())
    executable, _ = program.plan(feeds, list(graph._examples.values()), fetches, True, **options)
    return executable, graph


def lowered(function, *args, **options):
    return compiled(function, *args, **options)[0].lowered_text()


def text(s):
    return textwrap.dedent(s).lstrip("\n")


x32 = fb.asarray(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))


def test_constants_are_folded():
    assert lowered(lambda x: x * fb.exp(fb.full((), 0.0, dtype=fb.float32) * 2.0), x32) == text(
        """
        %0: f32[3, 4] = input
        """
    )


def test_dead_nodes_are_dropped():
    def f(x):
        fb.exp(x)
        return fb.tanh(x)

    assert lowered(f, x32) == text(
        """
        %0: f32[3, 4] = input
        %1: f32[3, 4] = tanh %0
        """
    )


def test_equal_nodes_are_merged():
    assert lowered(lambda x: fb.tanh(x) + fb.tanh(x), x32) == text(
        """
        %0: f32[3, 4] = input
        %1: f32[3, 4] = tanh %0
        %2: f32[3, 4] = add %1 %1
        """
    )


def test_random_ops_are_never_merged():
    def f(x):
        return fb.random.uniform((3, 4)) - fb.random.uniform((3, 4)) + x

    assert lowered(f, x32).count("uniform") == 2


@pytest.mark.parametrize(
    "identity",
    [
        lambda x: x * 1.0,
        lambda x: x / 1.0,
        lambda x: x - 0.0,
        lambda x: +x,
        lambda x: fb.negative(-x),
        lambda x: fb.stop_gradient(x),
        lambda x: fb.reshape(fb.reshape(x, (12,)), (3, 4)),
        lambda x: fb.astype(x, fb.float32),
    ],
)
def test_identities_vanish(identity):
    assert lowered(identity, x32) == "%0: f32[3, 4] = input\n"


def test_adding_zero_stays_because_of_minus_zero():
    x = fb.asarray(np.array([-0.0, 1.0], np.float32))
    assert "add" in lowered(lambda x: x + 0.0, x)
    assert not np.signbit(fb.graph(lambda x: x + 0.0)(x).numpy()[0])


def test_elementwise_neighbours_are_one_step():
    executable, _ = compiled(lambda x, b: fb.nn.relu(fb.tanh(x) * 2.0 + b), x32, x32[0])
    steps = executable.steps()
    assert len(steps) == 1
    assert steps[0]["fused"]
    assert steps[0]["ops"] == ["tanh", "multiply", "add", "relu"]


def test_a_reader_in_between_ends_a_group():
    def f(x):
        y = fb.tanh(x)
        return fb.exp(y - fb.sum(y))  # the sum needs all of y before the exp begins

    # Few elements are one row of a program; many are two passes, on all threads.
    assert [s["ops"] for s in compiled(f, x32)[0].steps()] == [["tanh", "sum", "subtract", "exp"]]
    many = fb.asarray(np.ones((100, 100), np.float32))
    assert [s["ops"] for s in compiled(f, many)[0].steps()] == [
        ["tanh", "sum"],
        ["subtract", "exp"],
    ]


def test_fusion_can_be_switched_off():
    executable, _ = compiled(lambda x: fb.exp(fb.tanh(x)), x32, fuse=False)
    assert [s["fused"] for s in executable.steps()] == [False, False]


def test_reshapes_and_transposes_cost_no_step():
    executable, _ = compiled(lambda x: fb.matmul(fb.matrix_transpose(x), x), x32)
    assert [s["op"] for s in executable.steps()] == ["matmul"]


def test_memory_of_a_chain_is_reused():
    def chain(x):
        for _ in range(20):
            x = fb.cumulative_sum(x, axis=1) * 0.5
        return x

    x = fb.asarray(np.ones((64, 64), np.float32))
    reused, kept = compiled(chain, x)[0], compiled(chain, x, reuse=False)[0]
    assert reused.arena_bytes <= 3 * 64 * 64 * 4
    assert kept.arena_bytes >= 19 * 64 * 64 * 4


def test_the_peak_is_known_before_the_run():
    x = fb.asarray(np.ones((256, 256), np.float32))
    executable, _ = compiled(lambda x: fb.sum(fb.tanh(x @ x) @ x), x)
    fb.memory.reset_peak()
    before = fb.memory.stats().live
    result = executable.run([x])
    assert executable.peak_bytes >= 2 * 256 * 256 * 4
    assert fb.memory.stats().peak - before <= executable.peak_bytes + 4096
    assert result[0].shape == ()


def test_optimizer_updates_are_written_in_place_at_the_end():
    w = fb.Variable(np.ones((4, 2), np.float32), name="w")
    optimizer = fb.optim.Adam(0.1)

    def step(x):
        loss = fb.mean((x @ w) ** 2)
        optimizer.update([w], [fb.gradients(loss, w)]) if hasattr(optimizer, "update") else None
        return loss

    executable, _ = compiled(step, x32)
    commits = [s["op"] for s in executable.steps() if s["commit"]]
    assert "adam" in commits or "adamw" in commits
    assert [s["commit"] for s in executable.steps()] == sorted(
        s["commit"] for s in executable.steps()
    )


def test_an_old_value_that_is_held_stays_as_it_was():
    w = fb.Variable(np.ones(3, np.float32))
    before = w.value

    @fb.graph
    def step(x):
        w.assign(w + x)
        return w.value

    assert step(fb.asarray(np.float32(1))).tolist() == [2, 2, 2]
    assert before.tolist() == [1, 1, 1]
    assert w.value.tolist() == [2, 2, 2]


def test_assignments_take_effect_together():
    a, b = fb.Variable(np.float32(1)), fb.Variable(np.float32(2))

    @fb.graph
    def swap():
        old = a.value
        a.assign(b.value)
        b.assign(old)

    swap()
    assert (float(a.value), float(b.value)) == (2, 1)


def test_a_failed_run_changes_nothing():
    count = fb.Variable(np.float32(0))
    seed = _core.generator_state()

    @fb.graph
    def f(x, i):
        count.assign(count + 1.0)
        return fb.take(x, i) + fb.random.uniform((1,))

    x = fb.asarray(np.arange(3, dtype=np.float32))
    with pytest.raises(fb.IndexOutOfRange, match="take"):
        f(x, fb.asarray([7]))
    assert float(count.value) == 0
    assert _core.generator_state() == seed
    f(x, fb.asarray([1]))
    assert float(count.value) == 1


def test_shapes_beyond_the_trace_make_a_new_plan_and_say_why():
    graph = fb.graph(shapes={"x": "n 4"})(lambda x: fb.sum(x, axis=1)).trace(x32)
    graph(x=x32)
    assert graph.stats["recompiled"] is None
    assert graph(x=np.ones((5, 4), np.float32)).result.tolist() == [4] * 5
    assert graph.stats["recompiled"] == "x changed from f32[3, 4] to f32[5, 4]"


def test_checkpoint_recomputes():
    def block(x):
        return fb.tanh(fb.exp(x))

    def gradient(f):
        def both(x):
            y = f(x)
            return y, fb.gradients(fb.sum(y), x)

        return both

    plain, kept = lowered(gradient(block), x32), lowered(gradient(fb.checkpoint(block)), x32)
    assert plain.count("exp") == 1
    assert kept.count("exp") == 2
    a = fb.graph(gradient(block))(x32)[1].numpy()
    b = fb.graph(gradient(fb.checkpoint(block)))(x32)[1].numpy()
    assert np.array_equal(a, b)
