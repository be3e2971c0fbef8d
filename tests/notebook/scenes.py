"""Scenes that the front end must draw as the native layout does: fixtures of its unit tests.

`python tests/notebook/scenes.py` writes them again; `test_layout.py` checks that they are current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import records

from flowbook import _scene

FOLDER = Path(__file__).parents[2] / "kernel_ext" / "frontend" / "test" / "fixtures"


def crowd(count: int = 70) -> dict[str, Any]:
    """Nodes without scopes: repetition, then lines, then runs have to bring order."""
    g = records.Builder("crowd")
    x = g.add("input", name="x", kind="input")
    skip = x
    for k in range(count):
        x = g.add("mul" if k % 3 else "exp", x, line=2 + k // 9, spec=f"f32[{k % 5}, 10]")
        if k % 20 == 19:
            x = g.add("add", x, skip, name=f"h{k}", line=2 + k // 9)
    number = g.add("full", kind="constant", attrs={"value": 0.1 + 0.2}, spec="f32[]")
    x = g.add("mul", x, number, name="a_rather_long_name_of_a_result", line=40)
    g.output("y", x)
    return g.record(assignments=[{"variable": "running.mean", "node": x}])


def knot() -> dict[str, Any]:
    """Scopes that feed each other, a node that failed, names that are no plain words."""
    g = records.Builder("knot")
    x = g.add("input", name='<img src=x onerror="alert(1)">', kind="input")
    a = g.add("add", x, x, scope="left")
    b = g.add("relu", a, scope="right/inner")
    c = g.add("matmul", a, b, scope="left")
    d = g.add("sum", b, c, scope="right/inner", name="d")
    e = g.add("add", d, a, scope="right")
    f = g.add("sub", e, c, scope="left")
    g.add("reshape", f, x, failed=True, spec=None, scope="left", line=7)
    return g.record()


def skips(between: int = 25) -> dict[str, Any]:
    """A chain that does not fold, with values that are read far below: long lines become stubs."""
    g = records.Builder("skips")
    first = x = g.add("exp", g.add("input", name="x", kind="input"), name="start")
    chain = []
    for k in range(between):
        x = g.add("matmul" if k % 2 else "tanh", x, name=f"h{k}", line=2 + k)
        chain.append(x)
    y = g.add("where", x, first, chain[0], name="y", line=40)
    g.output("late", g.add("add", y, first, name="late", line=41))
    return g.record()


def updates() -> dict[str, Any]:
    """Gradients that an optimizer outside their frames reads."""
    g = records.Builder("updates")
    x = g.add("input", name="x", kind="input")
    forward, params = [], []
    for k in range(2):
        scope = f"net/part{k}"
        for _ in range(3):
            w = g.add("variable", name="w", kind="variable", scope=scope)
            x = g.add("matmul", x, w, scope=scope)
            forward.append(x)
            params.append(w)
    loss = g.add("sum", x, name="loss", spec="f32[]")
    g.output("loss", loss)
    last, grads = loss, []
    for f in reversed(forward):
        last = g.add("backward", last, kind="gradient", forward_of=f)
        grads.append(last)
    g.add("adam", *params, *grads, kind="optimizer", scope="optimizer")
    return g.record()


def cases() -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Name, record and the options with which it is arranged."""
    yield "mlp", records.mlp(gradients=True), [{}, {"direction": "down"}, {"fold_gradients": False}]
    yield "failed", records.mlp(fail=True), [{}]
    tower = records.tower(9)
    first = {"model/blocks[0]": True, "model/blocks[0]/up": True}
    yield (
        "tower",
        tower,
        [
            {},
            {"direction": "right", "max_boxes": 12},
            {"expanded": {"model": False}},
            {"expanded": first, "max_boxes": 4, "direction": "down"},
            {"fold_repeats": False},
        ],
    )
    yield "crowd", crowd(), [{}, {"max_boxes": 200, "direction": "down"}]
    yield "skips", skips(), [{"direction": "down"}, {"direction": "right"}]
    yield "updates", updates(), [{"direction": "down", "max_boxes": 100}, {}]
    yield "knot", knot(), [{}, {"direction": "down"}, {"expanded": {"right": False}}]


def fixture(record: dict[str, Any], options: list[dict[str, Any]]) -> str:
    """A record and its scenes as JSON, coordinates to a hundredth of a pixel."""
    scenes = []
    for chosen in options:
        scene = _scene.build(record, **chosen)
        boxes = [
            {k: v for k, v in vars(box).items() if k not in ("heat", "detail")}
            for box in scene.boxes
        ]
        lines = [vars(line) for line in scene.lines]
        scenes.append({"options": chosen, "scene": {**vars(scene), "boxes": boxes, "lines": lines}})
    text = json.dumps({"record": record, "scenes": scenes}, default=list)
    rounded = json.loads(text, parse_float=lambda s: round(float(s), 2))
    rounded["record"] = record  # numbers of the record stay as they are
    return json.dumps(rounded, separators=(",", ":"), ensure_ascii=False, default=list) + "\n"


def fixtures() -> Iterator[tuple[Path, str]]:
    """Path and content of every fixture."""
    for name, record, options in cases():
        yield FOLDER / f"{name}.json", fixture(record, options)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in fixtures():
        path.write_text(content, encoding="utf-8")
