"""What a graph has become after optimisation, told in the names of the recorded graph."""

from __future__ import annotations

from typing import Any

import numpy as np

import flowbook as fb


def optimised(graph: fb.Graph) -> list[dict[str, Any]]:
    """The nodes of what runs."""
    graph()
    nodes: list[dict[str, Any]] = graph.record()["optimised"]["nodes"]
    return nodes


def sources(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """Kinds of the inputs of what runs, by name."""
    kinds = ("input", "capture", "variable")
    return {n["name"]: n["kind"] for n in nodes if n["kind"] in kinds}


def test_inputs_keep_their_names() -> None:
    x, w = fb.ones((4, 8)), fb.ones((8, 3))
    b = fb.Variable(np.zeros(3, np.float32), name="b")
    with fb.graph() as g:
        g.output(y=fb.nn.relu(x @ w + b))
    recorded = sources(g.graph.record()["nodes"])
    assert len(recorded) == 3
    assert recorded["b"] == "variable"
    assert sources(optimised(g.graph)) == recorded


def test_arguments_keep_their_names() -> None:
    @fb.graph
    def scaled(batch, factor):
        return fb.exp(batch) * factor

    traced = scaled.trace(fb.ones(3), fb.ones(3))
    assert sources(optimised(traced)) == {"batch": "input", "factor": "input"}


def test_a_fed_value_keeps_its_name() -> None:
    x = fb.ones(3)
    with fb.graph() as g:
        h = fb.exp(x)
        g.output(h=h, y=h * 2.0)
    graph = g.graph
    fb.Session().run([graph["y"]], {graph["h"]: x})
    assert "h" in {n["name"] for n in graph.record()["optimised"]["nodes"]}


def test_an_input_that_nothing_reads_is_gone() -> None:
    x, unused = fb.ones(3), fb.ones(5)
    with fb.graph() as g:
        fb.exp(unused)
        g.output(y=fb.exp(x))
    assert [n["spec"] for n in optimised(g.graph)] == ["f32[3]", "f32[3]"]


def test_numbers_and_what_was_computed_from_them_are_constants() -> None:
    x = fb.ones((4, 8))
    with fb.graph() as g:
        g.output(y=x * 2.0 + fb.sum(fb.full((3,), 5.0)))
    found = [n for n in optimised(g.graph) if n["kind"] == "constant"]
    assert [(n["op"], n["attrs"].get("value")) for n in found] == [
        ("full", 2.0),
        ("constant", None),
    ]
    from flowbook import _boxes

    assert [_boxes.node_title(n) for n in found] == ["2", "constant"]


def test_roles_stay() -> None:
    x = fb.ones((2, 8))
    w = fb.Variable(np.ones((8, 3), np.float32), name="w")
    with fb.graph() as g:
        loss = fb.sum(fb.tanh(x @ w))
        g.output(loss=loss, dw=fb.gradients(loss, w))
    by_name = {n["name"]: n["kind"] for n in optimised(g.graph)}
    assert (by_name["w"], by_name["dw"], by_name["loss"]) == ("variable", "gradient", "op")


def test_one_of_each_is_told_in_the_singular() -> None:
    x = fb.ones(3)
    with fb.graph() as g:
        g.output(y=fb.exp(x))
    optimised(g.graph)
    assert g.graph.record()["optimised"]["summary"] == "1 op run as 1 step"
