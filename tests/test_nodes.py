"""The columns of graph records: native ones, those of plain dicts, and the dicts that they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core, _drawing
from flowbook._nodes import ABSENT, Nodes
from flowbook._record import record_of


def training_step(layers: int = 3) -> fb.Graph:
    """A step with scopes, parameters, gradients, an optimizer, random numbers and constants."""
    model = fb.nn.Sequential(
        *(fb.nn.Dense(8, 8, activation="relu") for _ in range(layers)), fb.nn.Dropout(0.5)
    )
    optimizer = fb.optim.Adam(0.01)
    x = fb.asarray(np.ones((4, 8), np.float32))
    with fb.nn.training(), fb.graph("step") as g:
        h = model(x)
        loss = fb.mean(h * h) + 0.5
        optimizer.update(model, fb.gradients(loss, model.parameters()))
        g.output(h=h, loss=loss)
    graph: fb.Graph = g.graph
    return graph


def as_described(core: Any) -> Iterator[dict[str, Any]]:
    """What a record says of its nodes, from the descriptions of single nodes and values."""
    values = core.values()
    assigned = {value for _, value in core.assignments}
    families = _core.op_families()
    for node in core.nodes():
        outputs = [values[v] for v in node["outputs"]]
        shapes = [[s if isinstance(s, int) else str(s) for s in v["shape"]] for v in outputs]
        known = all(isinstance(s, int) for shape in shapes for s in shape)
        item = {"bool": 1, "f32": 4, "i32": 4, "i64": 8, "f64": 8, "bf16": 2, "c64": 8}
        dtypes = [v["spec"].partition("[")[0] for v in outputs]
        kind = "op"
        if node["op"] is None:
            kind = {"key": "input"}.get(node["source"], node["source"])
        elif node["op"] == "full":
            kind = "constant"
        elif families[node["op"]] == "optim":
            kind = "optimizer"
        elif node["forward"] >= 0:
            kind = "gradient"
        elif assigned & set(node["outputs"]):
            kind = "output"
        yield {
            "id": node["index"], "op": node["op"] or node["source"], "family": node["family"],
            "name": outputs[0]["name"] or None,
            "inputs": [values[v]["node"] for v in node["inputs"]],
            "spec": ", ".join(v["spec"] for v in outputs), "shape": shapes[0], "dtype": dtypes[0],
            "device": _core.device_names()[outputs[0]["device"]],
            "bytes": sum(math.prod(s) * item[d] for s, d in zip(shapes, dtypes, strict=True))
            if known else None,
            "kind": kind, "scope": node["scope"], "cell": node["cell"] or None,
            "exec": node["execution"] or None, "line": node["line"] or None, "time_us": None,
            "failed": False,
            "forward_of": node["forward"] if node["forward"] >= 0 else None,
        }  # fmt: skip


def test_a_record_says_what_its_nodes_are() -> None:
    core = training_step()._core
    found = record_of(core)["nodes"]
    described = list(as_described(core))
    assert len(found) == len(described) > 60
    kinds = {node["kind"] for node in described}
    assert kinds >= {"capture", "variable", "constant", "op", "gradient", "optimizer"}
    for node, want in zip(found, described, strict=True):
        attrs = node.pop("attrs")
        assert node == want
        assert set(attrs) == set(core.node(node["id"])["attrs"])


def test_open_sizes_have_names_and_no_bytes() -> None:
    with fb.graph() as g:
        x = g.input("x", ("batch", 3))
        g.output(y=fb.exp(x), z=fb.sum(x))
    x, y, z = g.record()["nodes"]
    assert (x["shape"], x["bytes"], y["spec"]) == (["batch", 3], None, "f32[batch, 3]")
    assert (z["shape"], z["bytes"]) == ([], 4)


def test_equal_attributes_are_held_once() -> None:
    x = fb.asarray(np.ones((2, 3), np.float32))
    with fb.graph() as g:
        g.output(y=fb.sum(x, axis=0), z=fb.sum(x * 2, axis=0), w=fb.sum(x, axis=1), v=fb.max(x))
    nodes = record_of(g.graph._core)["nodes"]
    sums = [node["attrs"]["axis"] for node in nodes if node["op"] == "sum"]
    assert sums == [0, 0, 1]
    codes = nodes.columns["attrs"][nodes.where("op", "sum")].tolist()
    assert codes[0] == codes[1] != codes[2]


def test_dicts_and_columns_are_the_same() -> None:
    nodes = record_of(training_step()._core)["nodes"]
    again = Nodes.of(list(nodes))
    assert again == nodes
    assert again.words == nodes.words  # also numbered alike: a drawing keeps its id
    for field in ("op", "name", "spec", "kind", "scope", "cell", "inputs", "start", "line"):
        np.testing.assert_array_equal(again.columns[field], nodes.columns[field], field)


def test_records_made_by_hand_may_lack_fields() -> None:
    nodes = Nodes.of([{"id": -1, "op": "f", "inputs": [4, 9]}, {"id": 4, "op": "x", "inputs": []}])
    assert nodes[0]["name"] is None
    assert nodes[-1]["id"] == 4
    assert nodes.sources.tolist() == [1, -1]  # there is no node 9
    assert (nodes.position(4), nodes.position(7), nodes.find(7)) == (1, -1, None)
    with pytest.raises(IndexError):
        nodes[2]
    assert list(Nodes.of([])) == []
    assert Nodes.of([]).positions(np.array([3])).tolist() == [-1]


def test_what_is_taken_keeps_its_inputs_and_fields() -> None:
    rows = [
        {"id": 0, "op": "x", "inputs": []},
        {"id": 1, "op": "f", "inputs": [0, 0]},
        {"id": 2, "op": "g", "inputs": [1, 0, 1], "values": {"nan": 1}},
    ]
    part = Nodes.of(rows).taken(np.array([0, 2]))
    assert [node["inputs"] for node in part] == [[], [1, 0, 1]]
    assert part.sources.tolist() == [-1, 0, -1]
    assert part[1]["values"] == {"nan": 1}
    assert "values" not in part[0]


def test_fields_are_added_to_a_copy() -> None:
    nodes = Nodes.of([{"id": 7, "op": "f", "inputs": []}])
    timed = nodes.with_fields({7: {"time_us": 2.5, "step": 3}, 8: {"time_us": 1.0}})
    assert (timed[0]["time_us"], timed[0]["step"]) == (2.5, 3)
    assert nodes[0]["time_us"] is None
    assert "step" not in nodes[0]
    column = nodes.replaced(origin=np.array([ABSENT], np.int32))
    assert column[0]["origin"] is None


def test_drawing_a_large_graph_makes_few_dicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dict for each node cost more than all the rest: only what is seen may have one."""
    made = 0
    rows = Nodes.rows

    def counted(self: Nodes, positions: Any) -> Iterator[dict[str, Any]]:
        nonlocal made
        for row in rows(self, positions):
            made += 1
            yield row

    small, large = training_step(8), training_step(64)
    for graph in (small, large):
        graph()
    monkeypatch.setattr(Nodes, "rows", counted)
    counts = []
    for graph in (small, large):
        made = 0
        bundle = _drawing.mimebundle(graph._compact_record())
        assert sum(map(len, bundle.values())) < 50_000
        assert "optimised:" in bundle["text/html"]
        counts.append(made)
    assert len(large) > 7 * len(small) > 1000
    assert counts[1] < 400
    assert counts[1] < 1.5 * counts[0]
