"""The native layout: boxes don't overlap, lines run forward, folding keeps pictures small."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

core = pytest.importorskip("flowbook._core")
if not hasattr(core, "layout"):
    pytest.skip("the bindings have no layout", allow_module_level=True)

NODE, SCOPE, FRAME = 0, 1, 2
LINE, STUB, GRADIENT = 0, 1, 2


def run(nodes: int, edges: list[tuple[int, int]], **more: Any) -> dict[str, Any]:
    parent = more.pop("parent", [])
    given_ = {
        "width": np.full(nodes, 100.0),
        "height": np.full(nodes, 40.0),
        "scope": [-1] * nodes,
        "beside": [-1] * nodes,
        "signature": [0] * nodes,
        "from": [a for a, _ in edges],
        "to": [b for _, b in edges],
        "parent": parent,
        "state": [-1] * len(parent),
        "scope_width": [120.0] * len(parent),
        "scope_height": [44.0] * len(parent),
    }
    return dict(core.layout(**{**given_, **more}))


def overlaps(picture: dict[str, Any]) -> list[tuple[int, int]]:
    """Pairs of sibling boxes that share area."""
    kinds, places = picture["boxes"], picture["places"]
    found = []
    for i in range(len(kinds)):
        for j in range(i):
            if kinds[i][2] != kinds[j][2]:
                continue
            (x, y, w, h), (a, b, c, d) = places[i], places[j]
            if x + w > a + 0.01 and a + c > x + 0.01 and y + h > b + 0.01 and b + d > y + 0.01:
                found.append((j, i))
    return found


def test_a_chain_is_a_straight_column() -> None:
    picture = run(5, [(i, i + 1) for i in range(4)])
    places = picture["places"]
    assert len(set(places[:, 0].round(6))) == 1
    assert (np.diff(places[:, 1]) > 40).all()
    assert picture["layers"] == 5


def test_a_source_stands_right_above_its_reader() -> None:
    picture = run(6, [(0, 1), (1, 2), (2, 3), (3, 4), (5, 4)])
    places = picture["places"]
    assert places[5][1] == places[3][1]


def test_a_diamond_has_no_crossings_and_is_symmetric() -> None:
    places = run(4, [(0, 1), (0, 2), (1, 3), (2, 3)])["places"]
    assert places[1][0] < places[2][0]
    assert places[0][0] == pytest.approx(places[3][0], abs=1)


def test_long_edges_become_stubs() -> None:
    edges = [(i, i + 1) for i in range(30)] + [(0, 30)]
    segments = run(31, edges)["segments"]
    assert [row[0] for row in segments] == [LINE] * 30 + [STUB]
    assert (run(31, edges, long_edge=40)["segments"][:, 0] == LINE).all()


def test_closed_scopes_hide_their_nodes() -> None:
    picture = run(
        6, [(i, i + 1) for i in range(5)], scope=[-1, 0, 0, 0, 0, -1], parent=[-1], state=[0]
    )
    assert [tuple(row[:2]) for row in picture["boxes"]] == [(NODE, 0), (SCOPE, 0), (NODE, 5)]
    assert list(picture["box_of_node"]) == [0, 1, 1, 1, 1, 2]
    assert picture["boxes"][1][4] == 4


def test_open_scopes_are_frames_around_their_nodes() -> None:
    picture = run(
        6, [(i, i + 1) for i in range(5)], scope=[-1, 0, 0, 0, 0, -1], parent=[-1], state=[1]
    )
    kinds, places = picture["boxes"], picture["places"]
    frame = int(np.flatnonzero(kinds[:, 0] == FRAME)[0])
    x, y, w, h = places[frame]
    for row, (a, b, c, d) in zip(kinds, places, strict=True):
        if row[2] == frame:
            assert x < a
            assert a + c < x + w
            assert y < b
            assert b + d < y + h
    # The lines over the border meet in one point.
    points, segments = picture["points"], picture["segments"]
    into = [s for s in segments if s[1] == 0]
    assert len(into) == 2
    outer, inner = (points[s[6] : s[6] + s[7]] for s in into)
    assert outer[-1] == pytest.approx(inner[0])


def test_repeated_scopes_fold_into_one() -> None:
    nodes = 5 * 4 + 2
    edges = [(i, i + 1) for i in range(nodes - 1)]
    scope = [-1, *[i // 4 for i in range(20)], -1]
    signature = [9, *[i % 4 for i in range(20)], 8]
    picture = run(nodes, edges, scope=scope, parent=[-1] * 5, signature=signature)
    frames = [row for row in picture["boxes"] if row[0] == FRAME]
    assert [row[3] for row in frames] == [5]
    assert len(picture["boxes"]) == 1 + 4 + 2
    assert (picture["box_of_node"] >= 0).all()
    unfolded = run(
        nodes, edges, scope=scope, parent=[-1] * 5, signature=signature, fold_repeats=False
    )
    assert len(unfolded["boxes"]) == 5 + nodes


def test_different_scopes_do_not_fold() -> None:
    edges = [(i, i + 1) for i in range(8)]
    picture = run(
        9, edges, scope=[i // 3 for i in range(9)], parent=[-1] * 3, signature=list(range(9))
    )
    assert [row[3] for row in picture["boxes"]] == [1] * 12


def test_gradients_become_marks_beside_their_forward_node() -> None:
    # 0 -> 1 -> 2 forward; 3, 4, 5 backward.
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    picture = run(6, edges, beside=[-1, -1, -1, 2, 1, 1])
    assert len(picture["boxes"]) == 3
    assert list(picture["boxes"][:, 5]) == [0, 2, 1]
    assert [row[0] for row in picture["segments"]] == [LINE, LINE, GRADIENT]


def test_the_picture_stays_within_its_number_of_boxes() -> None:
    scopes, per = 40, 10
    nodes = scopes * per
    picture = run(
        nodes,
        [(i, i + 1) for i in range(nodes - 1)],
        scope=[i // per for i in range(nodes)],
        parent=[-1] * scopes,
        signature=list(range(nodes)),
    )
    assert 40 <= len(picture["boxes"]) <= 60


def test_scopes_that_feed_each_other_are_drawn() -> None:
    picture = run(4, [(0, 1), (1, 2), (2, 3)], scope=[0, 1, 0, 1], parent=[-1, -1], state=[0, 0])
    assert len(picture["segments"]) == 2
    assert np.isfinite(picture["points"]).all()


def test_an_empty_graph_is_an_empty_picture() -> None:
    picture = run(0, [])
    assert picture["size"] == (0.0, 0.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"scope": [0, 7]},
        {"from": [0], "to": [9]},
        {"from": [0], "to": []},
        {"beside": [1, -1]},
        {"width": [1.0]},
        {"width": [float("nan"), 1.0]},
        {"parent": [0]},
    ],
)
def test_bad_arrays_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="layout: "):
        run(2, [(0, 1)], **bad)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_graph_is_drawn_without_overlaps(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 40))
    pairs = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    edges = [(min(p), max(p)) for p in data.draw(st.lists(pairs, max_size=80)) if p[0] != p[1]]
    scopes = data.draw(st.integers(0, 5))
    parent = [data.draw(st.integers(-1, i - 1)) for i in range(scopes)]
    scope = [data.draw(st.integers(-1, scopes - 1)) for _ in range(nodes)]
    beside = [data.draw(st.integers(-1, i - 1)) if i % 3 == 0 else -1 for i in range(nodes)]
    signature = [data.draw(st.integers(0, 2)) for _ in range(nodes)]
    state = [data.draw(st.integers(-1, 1)) for _ in range(scopes)]
    picture = run(
        nodes, edges, parent=parent, scope=scope, beside=beside, signature=signature, state=state
    )
    assert not overlaps(picture)
    assert np.isfinite(picture["points"]).all()
    assert np.isfinite(picture["places"]).all()
    assert (picture["places"][:, :2] >= -0.01).all()
    again = run(
        nodes, edges, parent=parent, scope=scope, beside=beside, signature=signature, state=state
    )
    assert (again["places"] == picture["places"]).all()


def test_ten_thousand_nodes_are_arranged_at_once() -> None:
    nodes, per = 10_000, 100
    edges = [(i, i + 1) for i in range(nodes - 1)] + [(i, i + 7) for i in range(0, nodes - 7, 7)]
    scope = [i // per for i in range(nodes)]
    signature = [i % per for i in range(nodes)]
    best = 1e9
    for _ in range(3):
        start = time.perf_counter()
        run(nodes, edges, scope=scope, parent=[-1] * (nodes // per), signature=signature)
        best = min(best, time.perf_counter() - start)
    assert best < 0.1  # about 3 ms on a quiet machine
