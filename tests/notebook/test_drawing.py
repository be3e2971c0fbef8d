"""Static views of graph records: SVG, HTML and text without a notebook."""

from __future__ import annotations

import base64
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

core = pytest.importorskip("flowbook._core")
if not hasattr(core, "layout"):
    pytest.skip("the bindings have no layout", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parent))
import records  # noqa: E402
import scenes  # noqa: E402
import test_contrast  # noqa: E402

from flowbook import _drawing, _graph_svg, _graph_words, _scene, _words  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def picture_in(html: str) -> str:
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert found
    return base64.b64decode(found[1]).decode()


# Of what JupyterLab's sanitizer allows, what views use.
STYLES = frozenset(
    "background border border-collapse border-left border-radius border-top color cursor display "
    "font-size font-weight height margin margin-bottom margin-left margin-right margin-top "
    "max-height max-width min-width opacity overflow padding padding-left text-align "
    "vertical-align white-space width".split()
)
TRUSTED = {"forced-color-adjust"}  # of use where it is kept; nothing is lost without it


def kept(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """The elements of a view, all of which an untrusted notebook keeps, with their attributes."""
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    Parser().feed(html)
    assert {tag for tag, _ in seen} <= {
        "div", "img", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "p", "b",
        "code", "span",
    }  # fmt: skip
    known = {"class", "style", "title", "src", "alt", "width", "height", "open", "colspan"}
    for tag, attributes in seen:
        assert set(attributes) <= known, (tag, attributes)
        for part in filter(None, (attributes.get("style") or "").split(";")):
            prop, value = part.split(":", 1)
            assert prop in STYLES | TRUSTED, (tag, part)
            assert not re.search(r"(^|[ ,])[.][0-9]|url\(", value), (
                part
            )  # .5 is dropped, 0.5 is not
    return seen


def test_text_of_a_graph() -> None:
    assert _graph_words.text(records.mlp()) == (
        "mlp: 10 nodes -> h, loss\n"
        "  x: f32[32, 784] (capture)\n"
        "  w1: f32[784, 128] (variable)\n"
        "  %2 = matmul(x, w1) : f32[32, 128]   # line 2\n"
        "  b1: f32[128] (variable)\n"
        "  %4 = add(%2, b1) : f32[32, 128]   # line 2\n"
        "  h = relu(%4) : f32[32, 128]   # line 2\n"
        "  w2: f32[128, 10] (variable)\n"
        "  logits = matmul(h, w2) : f32[32, 10]   # line 3\n"
        "  y: i32[32] (capture)\n"
        "  loss = softmax_cross_entropy(logits, y) : f32[]   # line 4"
    )


def test_text_tells_some_of_many_assignments() -> None:
    changes = [{"variable": f"v{k}", "node": 4} for k in range(50)]
    text = _graph_words.text({**records.mlp(), "assignments": changes})
    assert "  v19 <- %4\n  ... 30 more assignments ..." in text
    assert "v20" not in text


def test_text_of_a_failed_graph_says_where_and_with_what() -> None:
    text = _graph_words.text(records.mlp(fail=True))
    assert "%7 = matmul(h, w2) : ?   <-- failed here" in text
    assert "line 3: logits = h @ w2" in text
    assert "w2: f32[10, 128]" in text


def test_svg_is_well_formed_and_says_everything() -> None:
    svg = _graph_svg.svg(records.mlp(gradients=True))
    root = ET.fromstring(svg)
    words = " ".join("".join(t.itertext()) for t in root.iter(SVG + "text"))
    for word in (
        "mlp",
        "matmul",
        "relu",
        "w1",
        "f32[784, 128]",
        "softmax_cross_entropy",
        "∂ 2",
        "peak 123 kB",
    ):
        assert word in words
    assert "prefers-color-scheme:dark" in svg
    assert (root.get("aria-label") or "").startswith("Graph mlp: 16 nodes. Reads x f32[32, 784]")
    assert not re.search(r"(NaN|nan|inf)\b", re.sub(r"<text.*?</text>", "", svg))


def test_html_survives_a_sanitizer() -> None:
    """What untrusted notebooks keep: no script, style element, inline SVG or data attribute."""
    html = _drawing.html(records.mlp(gradients=True))
    image = next(attributes for tag, attributes in kept(html) if tag == "img")
    assert (image["alt"] or "").startswith("Graph mlp")
    ET.fromstring(picture_in(html))


@pytest.mark.parametrize("name", test_contrast.NAMES)
def test_every_static_view_survives_a_sanitizer(name: str) -> None:
    html = test_contrast.views()[name]
    images = [attributes for tag, attributes in kept(html) if tag == "img"]
    assert all(re.match("data:image/(svg[+]xml|png);base64,", i["src"] or "") for i in images)
    if name != "chart":  # one without a view around it
        assert all(i["alt"] for i in images)
    for svg in test_contrast.pictures(html):
        ET.fromstring(svg)


@pytest.mark.parametrize("where", ["name", "op", "spec", "scope"])
def test_nothing_in_a_record_can_inject_markup(where: str) -> None:
    evil = "<script>alert('&\"1')</script>"
    record = records.mlp(gradients=True)
    record["name"] = evil
    for node in record["nodes"]:
        if node[where] is not None or where == "name":
            node[where] = evil
    record["stats"]["recompiled"] = evil
    record["outputs"][0]["name"] = evil
    record["error"] = {
        "type": evil,
        "message": evil,
        "line": 1,
        "source": evil,
        "names": [(evil, evil)],
    }
    html = _drawing.html(record)
    assert "<script" not in html
    assert "<script" not in picture_in(html)
    ET.fromstring(picture_in(html))


def test_a_failed_node_is_red_and_the_error_is_told() -> None:
    html = _drawing.html(records.mlp(fail=True))
    assert "ShapeError" in html
    assert "logits = h @ w2" in html
    assert 'class="x"' in picture_in(html)


def test_the_legend_leaves_out_what_is_red() -> None:
    record = records.mlp(fail=True)
    assert ">matrix product<" in picture_in(_drawing.html(record))  # of the first one
    for node in record["nodes"]:
        node["failed"] = node["op"] == "matmul"
    picture = picture_in(_drawing.html(record))
    assert ">matrix product<" not in picture
    assert ">elementwise<" in picture


def test_the_same_graph_has_the_same_id_whatever_its_times() -> None:
    one, two = records.mlp(), records.mlp()
    two["stats"]["run_ms"] = 99.0
    two["nodes"][2]["time_us"] = 12.0
    assert _drawing.view_id(one) == _drawing.view_id(two)
    two["nodes"][2]["op"] = "add"
    assert _drawing.view_id(one) != _drawing.view_id(two)


def test_a_deep_model_is_folded_and_small() -> None:
    record = records.tower(24)
    scene = _scene.build(record)
    assert len(scene.boxes) <= 60
    frame = next(b for b in scene.boxes if b.title.startswith("blocks"))
    assert frame.title == "blocks[0…23]"
    assert frame.repeat == 24
    assert len(_drawing.html(record)) < 50_000


def test_parameters_of_modules_are_written_on_their_reader() -> None:
    scene = _scene.build(records.tower(2))
    matmul = next(b for b in scene.boxes if b.title == "matmul")
    assert matmul.rows == [("weight", "f32[32, 10]")]
    assert not any(b.look == "variable" for b in scene.boxes)
    assert -1 not in scene.box_of_node


def test_scopes_open_and_close_as_told() -> None:
    record = records.tower(4)
    closed = _scene.build(record, expanded={"model": False})
    assert any(b.kind == "scope" and b.title == "model" for b in closed.boxes)
    opened = _scene.build(record, fold_repeats=False, max_boxes=200)
    assert sum(b.kind == "frame" and b.title.startswith("blocks") for b in opened.boxes) == 4


def test_a_loop_without_scopes_is_found() -> None:
    g = records.Builder("loop")
    x = g.add("input", name="x", kind="input")
    for _ in range(40):
        w = g.add("input", kind="capture")
        x = g.add("matmul", x, w, line=2)
        x = g.add("relu", x, line=3)
    scene = _scene.build(g.record())
    assert [b.repeat for b in scene.boxes if b.kind != "node"] == [40]


def test_a_crowd_without_any_structure_is_still_a_small_picture() -> None:
    g = records.Builder("crowd")
    x = g.add("input", name="x", kind="input")
    for i in range(1000):
        x = g.add("add" if i * i % 7 < 3 else "relu", x, x, line=i % 13 + i // 100)
    scene = _scene.build(g.record())
    assert len(scene.boxes) <= 60


def test_downwards_and_rightwards_have_the_same_boxes() -> None:
    record = records.mlp(gradients=True)
    down, right = _scene.build(record, direction="down"), _scene.build(record, direction="right")
    assert [b.title for b in down.boxes] == [b.title for b in right.boxes]
    assert down.height > right.height


def test_an_empty_record_is_drawn() -> None:
    record = records.Builder("nothing").record()
    drawn = "".join(ET.fromstring(_graph_svg.svg(record)).itertext())
    hint = "0 nodes: nothing was recorded. Ops on tensors become nodes, such as fb.exp(x) or x * 2"
    assert hint in drawn  # what to do, not just a nought
    assert _graph_words.text(record) == f"nothing: {hint}"
    assert _graph_words.status_line(records.mlp()).startswith("10 nodes")


def test_words() -> None:
    assert [_words.human_bytes(n) for n in (0, 999, 1234, 123456, 5e9)] == [
        "0 B", "999 B", "1.23 kB", "123 kB", "5 GB",
    ]  # fmt: skip
    assert [_words.human_time(t) for t in (0.5, 1234, 2.5e6)] == ["0.5 µs", "1.23 ms", "2.5 s"]
    assert _words.shorten("abcdefghij", 6) == "abc…ij"


@pytest.mark.parametrize("direction", ["down", "right"])
def test_long_lines_are_stubs_with_words_for_their_other_end(direction: str) -> None:
    record = scenes.skips()
    scene = _scene.build(record, direction=direction)
    ends = [
        (scene.boxes[line.source].tag, scene.boxes[line.target].tag)
        for line in scene.lines
        if line.kind == "stub"
    ]
    assert sorted(ends) == [("h0", "y"), ("start", "late"), ("start", "y")]
    root = ET.fromstring(_graph_svg.svg(record, scene))
    words = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "q"]
    assert sorted(str(w) for w in words) == sorted(["→ 2 uses", "→ y", "2 inputs", "start"])
