"""Statistics of values and the finder of the first NaN, on graphs made for it."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb


def graph_of(**outputs):
    with fb.graph("made") as g:
        g.output(**{name: make() for name, make in outputs.items()})
    return g.graph


def test_statistics_are_those_of_numpy() -> None:
    x = np.random.default_rng(0).normal(size=(37, 53)).astype(np.float32)
    with fb.graph() as g:
        y = fb.asarray(x) * 2.0
        g.output(y=y)
    found = g.inspect()["y"]
    y = x * np.float32(2)
    assert (found.count, found.nan, found.inf, found.zeros) == (37 * 53, 0, 0, 0)
    assert found.min == y.min()
    assert found.max == y.max()
    np.testing.assert_allclose(found.mean, y.mean(dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(found.std, y.std(dtype=np.float64), rtol=1e-6)
    assert list(found.histogram) == np.histogram(y.astype(np.float64), 16)[0].tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[True, False], [True, True]]),
        np.arange(-4, 5, dtype=np.int8),
        np.array([2**63, 1], np.uint64),
        np.array([1.5, -2.5, np.inf], np.float16),
        np.array([3 + 4j, 0], np.complex64),
        np.zeros((0, 3), np.float32),
        np.float64(7.0),
    ],
    ids=lambda a: f"{a.dtype}{list(a.shape)}",
)
def test_every_dtype_has_statistics(array: np.ndarray) -> None:
    with fb.graph() as g:
        x = fb.asarray(array)
        g.output(y=fb.reshape(x, (-1,)))
    stats = g.inspect()["y"]
    values = np.abs(array).astype(np.float64) if array.dtype.kind == "c" else array
    finite = values.astype(np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    assert stats.count == array.size
    assert stats.inf == array.size - finite.size
    assert sum(stats.histogram) == finite.size
    if finite.size:
        assert (stats.min, stats.max) == (finite.min(), finite.max())


def test_views_have_their_own_statistics() -> None:
    with fb.graph() as g:
        x = fb.asarray(np.arange(12.0, dtype=np.float32).reshape(3, 4)) + 0.0
        g.output(column=x[:, 1], turned=x.T[::2])
    found = g.inspect()
    assert (found["column"].min, found["column"].max, found["column"].count) == (1.0, 9.0, 3)
    assert (found["turned"].min, found["turned"].max, found["turned"].count) == (0.0, 10.0, 6)


def test_the_first_nan_is_found_with_its_inputs() -> None:
    x = fb.asarray(np.array([4.0, -1.0, 2.0], np.float32))
    with fb.graph() as g:
        h = fb.log(x)
        g.output(h=h, y=fb.sum(h * 2.0))
    first = g.inspect().first
    assert (first.what, first.count) == ("NaN", 1)
    assert g.nodes[0].graph is g.graph
    assert first.text.startswith("h = log gave 1 NaN of 3")
    assert first.inputs[0][1]  # finite
    assert "min -1, mean 1.667, max 4" in first.text


def test_the_infinity_before_a_nan_is_told() -> None:
    x = fb.asarray(np.array([1.0, 200.0], np.float32))
    with fb.graph() as g:
        big = fb.exp(x)
        g.output(big=big, bad=big - big)
    found = g.inspect()
    assert found.first.text.startswith("bad = subtract gave 1 NaN of 2")
    assert found.first.inputs == [("big", False)] * 2 or not found.first.inputs[0][1]
    assert "Before it, big = exp gave 1 Inf of 2" in found.text_of_first()


def test_a_nan_that_came_in_is_not_the_fault_of_an_op() -> None:
    with fb.graph() as g:
        x = g.input("x", (3,))
        g.output(y=fb.sum(x))
    assert g.inspect(x=np.array([1, np.nan, 2], np.float32)).first.text == (
        "input x holds 1 NaN of 3 already"
    )


def test_overflow_is_reported_where_it_happens() -> None:
    with fb.graph() as g:
        y = fb.exp(fb.asarray(np.array([1000.0], np.float32)))
        g.output(y=y, z=y * 0 + 1)
    found = g.inspect()
    assert found.first.what == "NaN"  # inf * 0
    with fb.graph() as g:
        g.output(y=fb.exp(fb.asarray(np.array([1000.0], np.float32))))
    assert g.inspect().first.what == "Inf"


def test_the_infinities_of_a_mask_are_meant() -> None:
    scores = fb.asarray(np.ones((4, 4), np.float32))
    mask = fb.asarray(np.tril(np.ones((4, 4), bool)))
    with fb.graph() as g:
        masked = fb.where(mask, scores, -float("inf"))
        g.output(masked=masked, p=fb.nn.softmax(masked))
    found = g.inspect()
    assert found.first is None
    assert found["masked"].negative_inf == 6


def test_variables_keep_their_values_and_the_record_has_the_statistics() -> None:
    v = fb.Variable(np.ones(3, np.float32), name="v")
    with fb.graph() as g:
        v.assign(v + 1)
        g.output(y=fb.sqrt(v - 3.0))
    found = g.inspect()
    assert v.numpy().tolist() == [1, 1, 1]
    record = g.record()
    marked = [n for n in record["nodes"] if n.get("alarm")]
    assert [n["op"] for n in marked] == ["sqrt"]
    assert record["nonfinite"]["node"] == marked[0]["id"] == found.first.node
    assert marked[0]["values"]["nan"] == 3
    assert "<-- first NaN" in repr_text(g.graph)


def repr_text(graph: fb.Graph) -> str:
    return graph._repr_mimebundle_()["text/plain"]


def test_memory_stays_what_the_plan_says() -> None:
    x = fb.ones((256, 1024))
    with fb.graph() as g:
        y = x
        for _ in range(30):
            y = fb.tanh(y @ fb.ones((1024, 1024)) * 0.01)
        g.output(y=fb.sum(y))
    g.inspect()
    fb.memory.free_cached()
    before = fb.memory.stats().live
    fb.memory.reset_peak()
    g.inspect()
    assert fb.memory.stats().peak - before < 8 * x.size * 4  # of 30 values of this size


def test_an_error_in_the_run_leaves_what_was_seen() -> None:
    with fb.graph() as g:
        x = fb.asarray(np.arange(4.0, dtype=np.float32)) + 1
        i = g.input("i", (2,), "int64")
        g.output(x=x, y=fb.take(x, i, axis=0))
    with pytest.raises(fb.IndexOutOfRange):
        g.inspect(i=np.array([0, 9]))
    assert g.graph._inspection["x"].max == 4.0


def test_hostile_names_stay_text() -> None:
    with fb.graph("<script>alert(1)</script>") as g:
        x = g.input("<img src=x>", (2,))
        g.output(**{"<b>y": fb.log(x)})
    found = g.inspect(**{"<img src=x>": np.array([-1.0, 1.0], np.float32)})
    html = found._repr_html_() + g.graph._repr_mimebundle_()["text/html"]
    assert "<b>y" not in html
    assert "<script" not in html
    assert "<img src=x" not in html


def test_long_inspections_list_what_is_around_the_finding() -> None:
    def chain(broken: int | None) -> fb.Graph:
        with fb.graph("chain") as g:
            x = fb.ones(3)
            for k in range(100):
                x = fb.log(x - 9.0) if k == broken else fb.tanh(x)
            g.output(x=x)
        return g.graph

    fine = chain(None).inspect()
    assert "more" in repr(fine).splitlines()[-1]
    assert fine._repr_html_().count("<tr>") == 40
    assert "before" not in repr(fine)
    broken = chain(80).inspect()
    lines = repr(broken).splitlines()
    assert "before" in lines[2]
    assert any("log" in line and "3 NaN" in line for line in lines[3:])
    assert "before</div>" in broken._repr_html_()
