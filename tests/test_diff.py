"""What the comparison of two versions of a graph reports, and what it must not."""

from __future__ import annotations

import numpy as np

import flowbook as fb
from flowbook._diff import difference

X = fb.asarray(np.ones((4, 3), np.float32))
W = fb.asarray(np.ones((3, 5), np.float32))
B = fb.asarray(np.ones(5, np.float32))


def record(build, x=X):
    with fb.graph("net") as g:
        g.output(**build())
    core = g.graph._core
    for tensor, name in ((x, "x"), (W, "w"), (B, "b")):
        if core.find(tensor) >= 0:
            core.set_name(core.find(tensor), name)
    return g.graph.record()


def base():
    h = X @ W + B
    return {"h": h, "loss": fb.sum(fb.tanh(h))}


def ops(rec, ids):
    by_id = {n["id"]: n for n in rec["nodes"]}
    return sorted(by_id[i]["op"] for i in ids)


def test_the_same_graph_has_no_difference() -> None:
    assert difference(record(base), record(base))["summary"] == ""


def test_an_inserted_op_is_the_only_addition() -> None:
    def more():
        h = X @ W + B
        return {"h": h, "loss": fb.sum(fb.tanh(fb.exp(h)))}

    old, new = record(base), record(more)
    diff = difference(old, new)
    assert ops(new, diff["added"]) == ["exp"]
    assert diff["removed"] == []
    assert ops(new, [c["id"] for c in diff["changed"]]) == ["tanh"]  # it reads another value now
    back = difference(new, old)
    assert back["added"] == []
    assert [n["op"] for n in back["removed"]] == ["exp"]


def test_an_unrelated_line_above_changes_nothing_below() -> None:
    def more():
        extra = fb.cos(X)
        return {**base(), "extra": extra}

    old, new = record(base), record(more)
    diff = difference(old, new)
    assert ops(new, diff["added"]) == ["cos"]
    assert diff["changed"] == []
    assert diff["removed"] == []


def test_another_op_under_the_same_name_is_a_change() -> None:
    def other():
        h = X @ W - B
        return {"h": h, "loss": fb.sum(fb.tanh(h))}

    old, new = record(base), record(other)
    diff = difference(old, new)
    assert diff["added"] == []
    assert diff["removed"] == []
    (change,) = diff["changed"]
    assert ops(new, [change["id"]]) == ["subtract"]
    assert change["was"].startswith("add(")
    assert "f32[4, 5]" in change["was"]


def test_another_attribute_is_a_change() -> None:
    def summed(axis):
        return lambda: {"y": fb.sum(X, axis=axis)}

    diff = difference(record(summed(0)), record(summed(1)))
    assert len(diff["changed"]) == 1


def test_another_shape_of_an_input_is_a_change_of_every_spec() -> None:
    def build(x):
        return lambda: {"y": fb.tanh(x)}

    other = fb.asarray(np.ones((8, 3), np.float32))
    diff = difference(record(build(X)), record(build(other), other))
    assert not diff["added"]
    assert not diff["removed"]
    assert any("f32[4, 3]" in c["was"] for c in diff["changed"])


def test_a_repeated_block_that_grew_adds_one_block() -> None:
    def tower(n):
        def build():
            y = X
            for _ in range(n):
                y = fb.tanh(y) + 1.0
            return {"y": y}

        return build

    new = record(tower(6))
    diff = difference(record(tower(5)), new)
    assert len(diff["added"]) <= 3
    assert "tanh" in ops(new, diff["added"])
    assert not diff["removed"]


def test_a_large_graph_is_compared_quickly() -> None:
    import time

    def tower(n, f):
        def build():
            y = X
            for _ in range(n):
                y = f(y) * 2.0 + 1.0
            return {"y": y}

        return build

    old, new = record(tower(700, fb.tanh)), record(tower(700, fb.sin))
    start = time.perf_counter()
    diff = difference(old, new)
    assert time.perf_counter() - start < 1.0
    assert len(diff["changed"]) >= 700
