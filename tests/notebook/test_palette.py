"""One source of colours: static pictures, painted ones and the front end show the same."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import records
from PIL import Image

from flowbook import _chart, _graph_svg, _memory_view, _palette, _scene
from flowbook_ext.views import picture

FRONT_END = Path(__file__).parents[2] / "kernel_ext" / "frontend" / "src"
VIEWS = [_graph_svg, _chart, _memory_view, picture]
# Names of a sheet's colours in the front end's style sheet, where they differ.
NAMES = {"badbg": "bad-bg"}
ELSEWHERE = {"on", "gradbg"}  # mixed from others there


def source(path: str) -> str:
    if not FRONT_END.is_dir():
        pytest.skip("the front end's sources are not here")
    return (FRONT_END / path).read_text()


def colours(text: str) -> list[str]:
    return re.findall(r"#[0-9a-f]{3,8}\b", text)


def test_the_front_end_has_the_same_kinds() -> None:
    table = re.search(r"LOOKS\b.*?= \{(.*?)\n\};", source("graph/paint.ts"), re.DOTALL)[1]
    rows = re.findall(r'(\w+): \["(#\w+)", "(#\w+)"\]', table)
    assert {name: (light, dark) for name, light, dark in rows} == _palette.LOOKS


def test_the_front_end_has_the_same_lines() -> None:
    text = source("run/chart.ts")
    for side, name in enumerate(("LIGHT", "DARK")):
        found = colours(re.search(rf"const {name} = \[(.*?)\]", text, re.DOTALL)[1])
        assert len(found) >= 7
        assert found == [pair[side] for pair in _palette.LINES[: len(found)]]


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
def test_the_front_end_has_the_same_paper_and_ink(side: int) -> None:
    opening = [r"^:host \{", r'^:host\(\[data-theme="dark"\]\) \{'][side]
    block = re.search(opening + r"(.*?)^\}", source("theme.css"), re.DOTALL | re.MULTILINE)[1]
    found = {
        name: colours(value)[-1]  # the notebook's own colour comes first, ours where it has none
        for name, value in re.findall(r"--([\w-]+): (.*?);", block)
        if colours(value)
    }
    for name, pair in _palette.SHEET.items():
        if name not in ELSEWHERE:
            assert found[NAMES.get(name, name)] == pair[side], name


def test_the_svg_uses_them() -> None:
    record = records.mlp(gradients=True)
    drawn = set(colours(_graph_svg.svg(record, _scene.build(record))))
    looks = {box.look for box in _scene.build(record).boxes if box.kind == "node"}
    for look in looks:
        assert set(_palette.LOOKS[look]) <= drawn
    known = {
        c for table in (_palette.LOOKS, _palette.SHEET) for pair in table.values() for c in pair
    }
    assert drawn <= known


def test_the_png_uses_them() -> None:
    """Bars, rims and words have the palette's light colours to the last bit."""
    pytest.importorskip("matplotlib")
    record = records.mlp(gradients=True)
    pixels = np.asarray(Image.open(io.BytesIO(picture.png(record))).convert("RGB"))
    painted = {tuple(p) for p in np.unique(pixels.reshape(-1, 3), axis=0).tolist()}

    def rgb(colour: str) -> tuple[int, ...]:
        return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))

    looks = {box.look for box in _scene.build(record).boxes if box.kind == "node"}
    assert len(looks) >= 4
    for look in looks - {"constant"}:
        assert rgb(_palette.LOOKS[look][0]) in painted, look
    for name in ("rim", "line", "grad", "ink"):
        assert rgb(_palette.SHEET[name][0]) in painted, name
    assert tuple(pixels[1, 1]) == (255, 255, 255)


@pytest.mark.parametrize("module", VIEWS, ids=lambda m: m.__name__.rpartition(".")[2])
def test_no_view_has_colours_of_its_own(module: object) -> None:
    assert not colours(Path(module.__file__).read_text())
