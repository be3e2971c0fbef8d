"""The graph view without a page: bundles, messages, files."""

from __future__ import annotations

import base64
import json
import re
import struct
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jupyter_client.manager
import numpy as np
import pytest
import records
import scenes
from stand_in import FakeWidget

import flowbook as fb
from flowbook import _graph_svg, _scene
from flowbook._nodes import INDEXED, NUMBERS, WORDS
from flowbook_ext import _failures
from flowbook_ext import hub as hub_module
from flowbook_ext.views import attached, picture
from flowbook_ext.views import graph as graph_module
from flowbook_ext.views.graph import GraphView, page
from flowbook_ext.views.packing import finite, pack_nodes

HOSTILE = '</script><img src=x onerror="boom()">'


class FakeHub:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any], Any]] = []

    def send(self, view_id: str, content: dict[str, Any], buffers: Any = ()) -> None:
        self.sent.append((view_id, content, buffers))


def unpack(packed: dict[str, Any], buffers: list[bytes]) -> list[dict[str, Any]]:
    """What the front end's `unpackNodes` does."""
    count, strings = packed["count"], packed["strings"]
    data, about = buffers[0], iter(packed["columns"])

    def column(length: int) -> list[int]:
        nonlocal data
        width, *value = next(about)
        if not width:
            return value * length
        part, data = data[: width * length], data[width * length :]
        found: list[int] = np.frombuffer(part, f"<i{width}").tolist()
        return found

    names = [*WORDS, *INDEXED, *NUMBERS, "failed", "degree", "bytes", "time_us"]
    columns = {name: column(count) for name in names}
    rest = column(sum(columns["degree"]))
    assert not data
    nodes = []
    for i in range(count):
        node: dict[str, Any] = {}
        for name in WORDS:
            node[name] = None if columns[name][i] < 0 else strings[columns[name][i]]
        for name in INDEXED:
            node[name] = None if columns[name][i] < 0 else json.loads(strings[columns[name][i]])
        for name in NUMBERS:
            node[name] = None if columns[name][i] < 0 else columns[name][i]
        degree = columns["degree"][i]
        node["inputs"], rest = rest[:degree], rest[degree:]
        node["failed"] = bool(columns["failed"][i])
        for name in ("bytes", "time_us"):
            node[name] = packed["reals"][columns[name][i]]
        nodes.append({**node, **packed["more"].get(str(i), {})})
    assert not rest
    return nodes


def test_packing_keeps_everything() -> None:
    record = records.tower(4)
    record["nodes"][3]["values"] = {"low": float("-inf"), "counts": (1, 2)}
    record["nodes"][5]["attrs"] = {"axis": -1, "value": float("nan")}
    record["nodes"][6]["failed"] = True
    for node, back in zip(record["nodes"], unpack(*pack_nodes(record["nodes"])), strict=True):
        for key, value in node.items():
            want = finite(value)
            if key == "attrs" and not want:
                want = None
            assert back[key] == want, key
    assert finite(record["nodes"][5]["attrs"]) == {"axis": -1, "value": None}


def test_packing_nothing() -> None:
    packed, buffers = pack_nodes([])
    assert (packed["count"], buffers) == (0, [b""])


def test_columns_are_as_wide_as_their_numbers() -> None:
    record = records.tower(700)
    for k, node in enumerate(record["nodes"]):
        node["line"] = 100_000 * k
        node["bytes"] = float(k % 7)
        node["exec"] = -5 if k == 1 else None  # never seen; it is not known then
    packed, buffers = pack_nodes(record["nodes"])
    found = unpack(packed, buffers)
    assert [node["line"] for node in found] == [node["line"] for node in record["nodes"]]
    assert [node["bytes"] for node in found] == [node["bytes"] for node in record["nodes"]]
    assert found[1]["exec"] is None
    widths = {width for width, *_ in packed["columns"]}
    assert widths == {0, 1, 2, 4}


def test_ten_thousand_nodes_travel_in_half_a_megabyte() -> None:
    record = records.tower(700)
    packed, buffers = pack_nodes(record["nodes"])
    assert len(record["nodes"]) > 9000
    assert len(json.dumps(packed)) + sum(map(len, buffers)) < 500_000


def test_text_form_is_stable() -> None:
    view = GraphView(records.mlp())
    assert repr(view) == "<GraphView 'mlp': 10 nodes>"
    assert view.bundle()["text/plain"] == fb._graph_words.text(records.mlp())
    assert view.bundle() == GraphView(records.mlp()).bundle()


def test_html_form_names_the_view_and_stands_alone() -> None:
    view = GraphView(records.mlp())
    html = view.bundle()["text/html"]
    assert html.startswith(f'<div class="flowbook-view flowbook-kind-graph flowbook-id-{view.id}">')
    assert "<script" not in html
    assert set(view.bundle()) == {"text/plain", "text/html"}  # never a widget's
    assert re.findall(r'src="([^"]{20})', html) == ["data:image/svg+xml;b"]


@pytest.mark.parametrize("blocks", [12, 300, 700])
def test_saved_notebooks_grow_by_fifty_kilobytes_at_most(blocks: int) -> None:
    bundle = GraphView(records.tower(blocks)).bundle()
    assert len(json.dumps(bundle)) <= 50_000


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(fb.ArgumentError, match="GraphView: got a list"):
        GraphView([1])


def test_open_is_answered_with_all_state() -> None:
    record = {**records.mlp(), "optimised": {"nodes": [], "groups": []}}
    view, hub = GraphView(record), FakeHub()
    view.receive(hub, {"kind": "open"})
    ((view_id, content, buffers),) = hub.sent
    assert (view_id, content["kind"]) == (view.id, "state")
    assert content["record"]["has_optimised"] is True
    assert "optimised" not in content["record"]
    assert [n["op"] for n in unpack(content["record"]["packed"], buffers)] == [
        n["op"] for n in record["nodes"]
    ]
    json.dumps(content, allow_nan=False)


@pytest.mark.parametrize("record", [records.mlp(), records.tower(40)], ids=["small", "folded"])
def test_the_arrangement_comes_with_the_state(record: dict[str, Any]) -> None:
    view, hub = GraphView(record), FakeHub()
    view.receive(hub, {"kind": "open"})
    _, content, buffers = hub.sent[0]
    scene, built = content["scene"], _scene.build(record)
    assert np.frombuffer(buffers[1], "<i4").tolist() == built.box_of_node
    assert len(scene["boxes"]) == len(built.boxes)
    for sent, box in zip(scene["boxes"], built.boxes, strict=True):
        assert sent.items() <= vars(box).items()
        if box.kind != "node":
            assert scene["scopes"][str(box.ref)] == built.scopes[box.ref]
    for sent, line in zip(scene["lines"], built.lines, strict=True):
        points = [(point["x"], point["y"]) for point in sent["points"]]
        assert {**sent, "points": points} == vars(line)
    assert (scene["width"], scene["height"]) == (built.width, built.height)


def test_unknown_messages_are_ignored() -> None:
    hub = FakeHub()
    GraphView(records.mlp()).receive(hub, {"kind": "dance"})
    assert hub.sent == []


def test_selection_comes_back_by_name() -> None:
    view, hub = GraphView(records.mlp()), FakeHub()
    assert view.selection == []
    view.receive(hub, {"kind": "select", "nodes": [2, 5, "x", 99]})
    assert view.selected == [2, 5, 99]
    assert view.selection == ["%2", "h"]
    assert GraphView(records.mlp()).selection == ["%2", "h"]  # another view of the same graph
    view.receive(hub, {"kind": "select", "nodes": []})
    assert view.selection == []


def test_the_optimised_form_is_sent_when_asked_for() -> None:
    plain, hub = GraphView(records.mlp()), FakeHub()
    plain.receive(hub, {"kind": "optimised"})
    assert hub.sent[-1][1] == {"kind": "optimised", "text": "The graph has not run yet."}
    g = records.Builder()
    x = g.add("input", kind="input")
    g.add("fused", x)
    groups = [{"id": 1, "members": [2, 4], "label": "one loop"}]
    view = GraphView({**records.mlp(), "optimised": {"nodes": g.nodes, "groups": groups}})
    view.receive(hub, {"kind": "optimised"})
    _, content, buffers = hub.sent[-1]
    assert [n["op"] for n in unpack(content["record"]["packed"], buffers)] == ["input", "fused"]
    assert content["groups"] == groups


def test_only_so_many_views_stay_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    class Widget:
        comm = None

        def on_msg(self, callback: Any) -> None: ...

    hub = hub_module.Hub(Widget())
    monkeypatch.setattr(hub_module, "hub", lambda: hub)
    monkeypatch.setattr(attached, "_views", {})
    views = [GraphView({**records.mlp(), "name": f"g{i}"}) for i in range(80)]
    for view in views:
        view._repr_mimebundle_()
        hub._receive(None, {"protocol": 1, "view": view.id, "kind": "select", "nodes": [2]}, [])
    assert [hub.attached(view.id) for view in views] == [False] * 16 + [True] * 64
    assert [len(view.selected) for view in views] == [0] * 16 + [1] * 64


def test_where_outputs_share_no_page_a_widget_is_displayed_beside_the_picture(
    monkeypatch: pytest.MonkeyPatch, displayed: list[FakeWidget]
) -> None:
    monkeypatch.setattr(attached, "_views", {})
    view = GraphView(records.mlp())
    assert set(view._repr_mimebundle_()) == {"text/plain", "text/html"}  # never a widget's
    (own,) = displayed
    own.get(view.id, "open")
    view.mark_stale("x was bound anew")
    assert [content["kind"] for content, _ in own.sent] == ["state", "stale"]
    assert own.sent[1][0]["text"] == "x was bound anew"

    again = GraphView(records.mlp())  # the same graph: both copies hear what happens to it
    again._repr_mimebundle_()
    assert displayed == [own, own]
    again.mark_stale("")
    assert own.sent[-1][0]["text"] == ""


def test_code_of_other_cells_leads_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module._cells, "sources", lambda: {"/tmp/k/1.py": ("c9", 4)})
    record = records.mlp()
    record["nodes"][2]["cell"] = "/tmp/k/1.py"
    hub = FakeHub()
    GraphView(record).receive(hub, {"kind": "open"})
    _, content, buffers = hub.sent[0]
    nodes = unpack(content["record"]["packed"], buffers)
    assert [(n["cell"], n["exec"]) for n in nodes[1:4]] == [("c1", 3), ("c9", 4), ("c1", 3)]
    assert record["nodes"][2]["cell"] == "/tmp/k/1.py"


# ---- files -----------------------------------------------------------------------------------------


def test_saved_svg_and_png(tmp_path: Path) -> None:
    view = GraphView(records.tower(5))
    view.save(tmp_path / "a.svg")
    root = ElementTree.fromstring((tmp_path / "a.svg").read_text())
    assert root.tag.endswith("svg")
    pytest.importorskip("matplotlib")
    view.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width > 500
    assert height > 500


def test_png_has_the_ends_of_long_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a saved .svg says of lines that are not drawn, a .png says, too."""
    axes = pytest.importorskip("matplotlib.axes")
    g = records.Builder("skip")
    first = x = g.add("relu", g.add("input", name="x", kind="input"), name="first")
    for k in range(24):
        x = g.add(("exp", "mul", "sub")[k % 3], x, line=k + 2, name=f"h{k}")
    g.output("y", g.add("add", g.add("add", x, first), first))
    record = g.record()
    words = [stub.words for stub in _graph_svg.stubs(_scene.build(record))]
    assert words == ["→ 2 uses", "first", "first"]
    painted: list[str] = []
    text, add_patch = axes.Axes.text, axes.Axes.add_patch
    strokes: list[Any] = []

    def tell(self: Any, x: float, y: float, s: str, **more: Any) -> Any:
        painted.append(s)
        return text(self, x, y, s, **more)

    def note(self: Any, patch: Any) -> Any:
        strokes.append(patch)
        return add_patch(self, patch)

    monkeypatch.setattr(axes.Axes, "text", tell)
    monkeypatch.setattr(axes.Axes, "add_patch", note)
    picture.png(record)
    svg = _graph_svg.svg(record)
    for each in words:
        assert each in painted
        assert f">{each}</text>" in svg
    lines = sum(line.kind != "stub" for line in _scene.build(record).lines)
    arrows = [p for p in strokes if type(p).__name__ == "FancyArrowPatch"]
    assert len(arrows) == lines + len(words)


@pytest.mark.parametrize("name", [r"$\frac$ $x$", "a_b^{c", "100%"])
def test_png_takes_names_as_they_are(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    g = records.Builder(name)
    x = g.add("input", name=name, kind="input")
    g.output(name, g.add("relu", x, name=name))
    GraphView(g.record()).save(tmp_path / "a.png")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(fb.ArgumentError, match=r"'.*a.gif' ends with '.gif'"):
        GraphView(records.mlp()).save(tmp_path / "a.gif")


def test_the_page_stands_alone_and_holds_the_record(tmp_path: Path) -> None:
    if not hub_module.BUNDLE.exists():
        pytest.skip("the package was built without the front end")
    record = records.mlp()
    record["nodes"][0]["values"] = {"low": float("nan")}
    GraphView(record).save(tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:)', html.partition("<script")[0]) == []
    state = re.search(r'class="flowbook-state">(.*?)</script>', html)
    assert state is not None
    assert [n["op"] for n in json.loads(state[1])["record"]["nodes"]] == [
        n["op"] for n in record["nodes"]
    ]


def test_the_page_holds_the_optimised_form_too() -> None:
    if not hub_module.BUNDLE.exists():
        pytest.skip("the package was built without the front end")
    x = fb.ones(3)
    with fb.graph() as g:
        g.output(y=fb.exp(x) * 2.0 + 1.0)
    g.graph()
    html = page(g.graph._compact_record())
    state = re.search(r'class="flowbook-state">(.*?)</script>', html)
    assert state is not None
    told = json.loads(state[1])
    assert told["record"]["has_optimised"] is True
    (optimised,) = told["more"]
    assert optimised["kind"] == "optimised"
    assert [group["label"] for group in optimised["groups"]] == ["exp + multiply + add"]
    assert optimised["record"]["summary"] in html


def test_nothing_from_a_record_becomes_markup() -> None:
    g = records.Builder(HOSTILE)
    x = g.add(HOSTILE, name=HOSTILE, kind="input", scope=HOSTILE, cell=HOSTILE)
    g.output(HOSTILE, g.add(HOSTILE, x, name=HOSTILE, spec=HOSTILE, attrs={HOSTILE: HOSTILE}))
    record = g.record(stale=HOSTILE)
    html = page(record)
    assert html.count("<script") == (2 if hub_module.BUNDLE.exists() else 0)
    assert "<img src=x" not in html
    (picture,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    tags = {
        e.tag.rpartition("}")[2] for e in ElementTree.fromstring(base64.b64decode(picture)).iter()
    }
    assert "img" not in tags


# ---- the front end's fixtures ----------------------------------------------------------------------


def test_the_front_end_is_tested_against_current_scenes() -> None:
    """Otherwise: python tests/notebook/scenes.py"""
    if not scenes.FOLDER.parent.exists():
        pytest.skip("runs in a checkout")
    kept = {path.name for path in scenes.FOLDER.glob("*.json")}
    made = dict(scenes.fixtures())
    assert kept == {path.name for path in made}
    for path, content in made.items():
        assert path.read_text(encoding="utf-8") == content, path.name


# ---- a real kernel, and a page played by the test ----------------------------------------------------

CELL = """
%load_ext flowbook
import flowbook as fb
with fb.graph() as g:
    x = fb.asarray([1.0, 2.0])
    g.output(y=fb.exp(x * 2))
g
"""


class Page:
    """Speaks the protocol with a kernel as the front end does."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.comm = ""
        self.outputs: list[dict[str, Any]] = []
        self.messages: list[tuple[dict[str, Any], list[Any]]] = []

    def run(self, code: str) -> None:
        self.client.execute(code)
        self.until(
            lambda m: m["msg_type"] == "status" and m["content"]["execution_state"] == "idle"
        )

    def until(self, done: Any) -> None:
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            content = message["content"]
            if message["msg_type"] == "comm_open":
                state = content["data"].get("state", {})
                if "_flowbook_view" in state:
                    self.comm = content["comm_id"]
            elif message["msg_type"] == "comm_msg" and content["comm_id"] == self.comm:
                if content["data"].get("method") == "custom":
                    self.messages.append((content["data"]["content"], message["buffers"]))
            elif message["msg_type"] in ("display_data", "execute_result"):
                self.outputs.append(content["data"])
            elif message["msg_type"] == "error":
                pytest.fail("\n".join(content["traceback"]))
            if done(message):
                return

    def send(self, **content: Any) -> None:
        data = {"method": "custom", "content": {"protocol": 1, **content}}
        message = self.client.session.msg("comm_msg", {"comm_id": self.comm, "data": data})
        self.client.shell_channel.send(message)
        self.until(
            lambda m: m["msg_type"] == "status" and m["content"]["execution_state"] == "idle"
        )


def test_a_kernel_answers_the_page() -> None:
    if hub_module._widget_class() is None:
        pytest.skip("the package was built without the front end")
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    try:
        page = Page(client)
        page.run(CELL)
        html = page.outputs[-1]["text/html"]
        assert set(page.outputs[-1]) == {"text/plain", "text/html"}
        found = re.search(r"flowbook-id-(\w+)", html)
        assert found is not None
        page.send(kind="code")
        assert "flowbook-view" in page.messages[-1][0]["text"]  # the front end
        page.send(view=found[1], kind="open")
        (content, buffers) = page.messages[-1]
        assert content["kind"] == "state"
        nodes = unpack(content["record"]["packed"], [bytes(b) for b in buffers])
        assert "exp" in [n["op"] for n in nodes]
        exp = next(n["id"] for n in nodes if n["op"] == "exp")
        page.send(view=found[1], kind="select", nodes=[exp])
        page.run("from flowbook_ext.views.graph import GraphView\nprint\nGraphView(g).selection")
        assert page.outputs[-1]["text/plain"] == "['y']"
        page.send(view="another", kind="open")
        assert page.messages[-1][0]["kind"] == "state"  # nothing came since
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_the_extension_shows_live_graphs_and_takes_that_back() -> None:
    from IPython.testing.globalipapp import get_ipython

    from flowbook import _display

    shell = get_ipython()
    assert "graph" not in _display._live
    shell.run_line_magic("load_ext", "flowbook")
    try:
        assert _display._live["graph"] is graph_module.show
    finally:
        shell.run_line_magic("unload_ext", "flowbook")
    assert not _display._live
    assert "flowbook_ext" in sys.modules


def test_an_error_tells_its_line_once() -> None:
    error = fb.GraphError("a is a symbol of a graph. Use fb.where. At line 3: if a > 0:")
    told = _failures.told(error, 3, "    if a > 0:")
    assert told["message"] == "a is a symbol of a graph. Use fb.where."
    assert told["line"] == 3
    assert _failures.told(error, 3)["message"].endswith("At line 3: if a > 0:")
