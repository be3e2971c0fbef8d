"""How compiled functions and graphs are called: the short ways give what the long ones give."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb


def test_other_structures_never_take_the_short_way() -> None:
    """A list of two tensors and a flag once looked like two tensors to the compiled call."""
    x, y = fb.asarray([1.0, 2.0]), fb.asarray([3.0, 5.0])

    @fb.graph
    def f(a, b):
        return a[0] - a[1] if isinstance(a, list) else a + b

    assert f([x, y], True).numpy().tolist() == [-2.0, -3.0]
    assert f(x, y).numpy().tolist() == [4.0, 7.0]
    assert f([x, y], True).numpy().tolist() == [-2.0, -3.0]
    assert f(x, 2.0).numpy().tolist() == [3.0, 4.0]


def test_any_number_of_arguments() -> None:
    @fb.graph
    def total(*xs, scale=1.0):
        return sum(xs[1:], xs[0]) * scale

    x, y = fb.asarray([1.0, 2.0]), fb.asarray([3.0, 5.0])
    for _ in range(2):
        assert total(x, y).numpy().tolist() == [4.0, 7.0]
        assert total(x).numpy().tolist() == [1.0, 2.0]
        assert total(x, y, scale=2.0).numpy().tolist() == [8.0, 14.0]


def test_calls_of_a_graph_by_name() -> None:
    """The second call of the same kind goes straight to the plan; others must not."""
    kept = fb.asarray([10.0, 20.0])
    with fb.graph("g") as g:
        x, y = g.input("x", (2,)), g.input("y", (2,))
        z = x - y + kept
        g.output(z=z)
    a, b = fb.asarray([1.0, 2.0]), fb.asarray([3.0, 5.0])
    for _ in range(3):
        assert g(x=a, y=b).z.numpy().tolist() == [8.0, 17.0]
        assert g(y=b, x=a).z.numpy().tolist() == [8.0, 17.0]
        assert g(y=a, x=b).z.numpy().tolist() == [12.0, 23.0]
        assert g(x=[1.0, 2.0], y=b).z.numpy().tolist() == [8.0, 17.0]
        with pytest.raises(fb.errors.FeedError):
            g(x=fb.asarray([1, 2]), y=b)
        assert g.graph.stats["run_ms"] > 0
    g.graph.gradients("z", "x", seeds=[fb.ones(2)])  # the graph has grown
    assert g(x=a, y=b).z.numpy().tolist() == [8.0, 17.0]


def test_inputs_of_a_graph_are_given_by_name() -> None:
    with fb.graph("g") as made:
        x = made.input("x", (2,))
        made.output(y=x + 1)
    for call in (made, made.graph):
        with pytest.raises(
            fb.errors.FeedError, match=r"graph `g`: inputs are .* by name: g\(x=...\)"
        ):
            call(fb.ones(2))
    with fb.graph("none") as made:
        made.output(y=fb.ones(2) + 1)
    with pytest.raises(fb.errors.FeedError, match=r"it takes no inputs: none\(\)"):
        made.graph(1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [2.5, 3, True, -0.0, 2**60 + 1, float("inf"), 1e300])
def test_numbers_beside_tensors(dtype: str, number: float) -> None:
    """Numbers are converted once, straight to the tensor's dtype; a graph does the same."""
    x = fb.asarray([1.0, -2.0, 0.0], dtype=dtype)
    for f in (lambda t: t * number, lambda t: number - t, lambda t: t < number):
        eager, graph = f(x), fb.graph(f)(x)
        assert eager.dtype == graph.dtype
        assert eager.numpy().tobytes() == graph.numpy().tobytes()
        with np.errstate(all="ignore"):
            as_array = f(x.numpy())
        assert eager.numpy().dtype == as_array.dtype
        assert eager.numpy().tobytes() == as_array.tobytes()


def test_python_ints_take_the_short_way() -> None:
    @fb.graph
    def scaled(x, count):
        return x * count

    x = fb.asarray(np.float32([1.0, 2.0]))
    assert scaled(x, 3).numpy().tolist() == [3, 6]
    assert scaled._fast is not None
    assert scaled._fast(x, 5).numpy().tolist() == [5, 10]
    assert scaled._fast(x, 2.5) is NotImplemented  # another dtype
    assert scaled._fast(x, True) is NotImplemented
    assert scaled._fast(x, 2**70) is NotImplemented
    assert scaled(x, 4).dtype == fb.float32
    assert (scaled(x, 2.5).numpy().tolist(), scaled.traces) == ([2.5, 5.0], 2)


MAPS = ["add", "multiply", "divide", "less", "not_equal", "maximum", "logical_and", "remainder"]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 4), (0, 3), (8192,), (8193,), (2, 1, 3)])
def test_small_calls_take_the_short_way(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    """Dense operands of one shape, or one beside a 0-d tensor, are not inferred; others are."""
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 5, shape).astype(dtype) for _ in range(2))
    one = np.asarray(3).astype(dtype)
    op = getattr(fb, name)
    if dtype == "bool" and name in ("divide", "remainder"):
        return
    # The long way: windows on every other column have strides.
    wide = [fb.asarray(np.stack([a, a], -1)) for a in (x, y, one)]
    a, b, c = (w[..., 0] for w in wide)
    for short, long in [((x, y), (a, b)), ((x, one), (a, c)), ((one, y), (c, b))]:
        got, want = op(*map(fb.asarray, short)), op(*long)
        assert got.spec == want.spec
        assert not got._weak
        assert got.numpy().tobytes() == want.numpy().tobytes()


def test_small_calls_that_are_no_short_ones() -> None:
    x = fb.asarray(np.arange(6.0, dtype="f4").reshape(2, 3))
    assert (x + fb.asarray(np.float32([1, 2, 3]))).numpy().tolist() == [[1, 3, 5], [4, 6, 8]]
    assert (x + fb.asarray(np.float32([[1], [2]]))).shape == (2, 3)
    with pytest.raises(fb.errors.ShapeError, match=r"add: .*\[2, 3\].*\[3, 2\]"):
        x + fb.reshape(x, (3, 2))
    with pytest.raises(fb.errors.DTypeError):
        fb.bitwise_and(x, x)
    with fb.tape() as tape:  # recorded, also a map
        y = fb.sum(x * x)
    assert tape.gradients(y, [x])[0].numpy().tolist() == (2 * x).numpy().tolist()
    weak = fb.asarray(np.float32(2.0)) * 3.0
    assert (weak.spec, weak._weak) == ("f32[]", False)


def test_the_objects_of_tensors_are_used_again() -> None:
    import gc
    import sys

    x = fb.ones((4,))
    for _ in range(100):
        x + x
    before = sys.getrefcount(fb.Tensor)
    kept = [x + x for _ in range(200)]
    assert sys.getrefcount(fb.Tensor) >= before + 100
    del kept
    gc.collect()
    assert sys.getrefcount(fb.Tensor) <= before + 64  # those that wait for their next use
