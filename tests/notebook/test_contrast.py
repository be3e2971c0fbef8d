"""Static views can be read on light and dark pages: 4.5:1 for text, 3:1 for what is drawn."""

from __future__ import annotations

import base64
import re
from functools import cache

import numpy as np
import paint
import pytest
import records

import flowbook as fb
from flowbook import _chart, _drawing, _memory_view, _palette, nn

PAGES = {
    "white": "#fff",
    "JupyterLab, dark": "#111",
    "GitHub, dark": "#0d1117",
    "VS Code, dark": "#1e1e1e",
}
TEXT, GRAPHIC = 4.5, 3.0
# Outlines and grids carry nothing that is not told otherwise.
DECORATION = {"g", "j", "f", "k"}


WORDS_ONLY = {"module"}  # views without a picture


@cache
def views() -> dict[str, str]:
    """The HTML of every kind of static view, in states that use all colours."""
    x = fb.asarray(np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32))
    y = fb.asarray(np.arange(8) % 4)
    model = nn.Sequential(nn.Dense(32, activation=nn.relu), nn.Dense(4))
    with fb.graph("net") as g:
        loss = fb.losses.softmax_cross_entropy(model(fb.nn.dropout(x, 0.5)), y)
        grads = fb.gradients(loss, model.parameters())
        g.output(loss=loss, mean=fb.mean(fb.concat([x, x]) * 2.0), grads=grads)
    g.graph()
    profile = g.graph.profile(runs=2)
    with fb.graph("bad") as bad:
        bad.output(y=fb.sqrt(x))
    inspected = bad.graph.inspect()
    stale = {**records.mlp(gradients=True), "stale": "stale: x is bound anew"}
    run = fb.fit(model, (x, y), fb.losses.softmax_cross_entropy, fb.optim.SGD(0.1), epochs=3,
                 validation=(x, y), progress=False, wait=False)  # fmt: skip
    history = run.wait()
    snapshot = fb.memory.take_snapshot()
    snapshot["rows"] = [{**row, "holders": ["Out[3]"]} for row in snapshot["rows"]]
    snapshot.update(held_by_notebook=1000, limit=2 * snapshot["peak"], by_kind={
        kind: 1000 * (i + 1) for i, kind in enumerate(_palette.KINDS)
    })  # fmt: skip
    bundles = {
        "graph": g.graph._repr_mimebundle_()["text/html"],
        "graph with NaN": bad.graph._repr_mimebundle_()["text/html"],
        "failed graph": _drawing.html(records.mlp(fail=True)),
        "stale graph": _drawing.html(stale),
        "repeated blocks": _drawing.html(records.tower(30)),
        "inspection": inspected._repr_html_(),
        "profile": profile._repr_mimebundle_()["text/html"],
        "memory": _memory_view.html(snapshot),
        "history": history._repr_html_(),
        "run": run._repr_mimebundle_()["text/html"],
        "module": model._repr_html_(),
        "tensor": fb.asarray(np.array([1.0, np.nan, np.inf] * 30))._repr_html_(),
    }
    lines = [(f"line {k}", [1.0, 2.0 + k]) for k in range(8)]
    chart = _chart.chart("all colours", lines, width=900, marks=[(1.5, "here")])
    data = base64.b64encode(chart.encode()).decode()
    bundles["chart"] = f'<img src="data:image/svg+xml;base64,{data}">'
    return bundles


NAMES = (
    "graph", "graph with NaN", "failed graph", "stale graph", "repeated blocks", "inspection",
    "profile", "memory", "history", "run", "module", "tensor", "chart",
)  # fmt: skip


def pictures(html: str) -> list[str]:
    """The SVG documents in a view."""
    found = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)
    return [base64.b64decode(data).decode() for data in found]


@pytest.mark.parametrize("media", paint.MEDIA)
@pytest.mark.parametrize("name", NAMES)
def test_pictures_can_be_read_on_any_page(name: str, media: str) -> None:
    """A dark page need not come with a reader who prefers dark: both meet all pages."""
    assert set(NAMES) == set(views())
    faint, found = set(), pictures(views()[name])
    assert bool(found) == (name not in WORDS_ONLY)
    for svg in found:
        for page in PAGES.values():
            texts, lines = paint.marks(svg, paint.MEDIA[media], paint.colour(page))
            faint |= {(f"{t.ratio:.2f}", t.words, t.ink, t.paper) for t in texts if t.ratio < TEXT}
            faint |= {
                (f"{t.ratio:.2f}", t.words, t.ink, t.paper)
                for t in lines
                if t.ratio < GRAPHIC and not DECORATION & set(t.words.split())
            }
    assert not faint, "\n".join(map(str, sorted(faint, key=str)[:20]))


def declared(html: str) -> list[tuple[str, str]]:
    """Property and value of every inline style outside of pictures."""
    found = []
    for style in re.findall(r'style="([^"]*)"', html):
        found += [tuple(part.split(":", 1)) for part in style.split(";") if ":" in part]
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("name", NAMES)
def test_text_beside_pictures_has_the_pages_own_colour(name: str) -> None:
    for prop, value in declared(views()[name]):
        if prop == "color":
            assert value in ("inherit", "var(--bad,inherit)"), value
        if prop == "opacity":  # of black on white, and of white on black
            assert float(value) >= 0.6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("page", PAGES)
def test_bars_and_marks_stand_out_from_any_page(name: str, page: str) -> None:
    paper = paint.colour(PAGES[page])
    for prop, value in declared(views()[name]):
        if prop.startswith(("background", "border")):
            for word in re.findall(r"#[0-9a-f]{3,8}\b", value):
                assert paint.contrast(paint.colour(word), paper) >= GRAPHIC, (prop, value)


def test_every_colour_of_the_palette_stands_out_from_any_page() -> None:
    own = [_palette.ALARM, _palette.NOTICE, _palette.FIGURE]
    for word in [*own, *_palette.KINDS.values(), *_palette.STEPS]:
        for page in PAGES.values():
            assert paint.contrast(paint.colour(word), paint.colour(page)) >= GRAPHIC, (word, page)
    for word in _palette.STEPS:  # white words stand on them
        assert paint.contrast(paint.colour(word), paint.colour("#fff")) >= TEXT, word


def test_the_measure_measures() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg"><style>.a{fill:var(--x)}:root{--x:#fff}'
        "@media(prefers-color-scheme:dark){:root{--x:#000}}</style>"
        '<g transform="translate(10 0)"><rect x="0" y="0" width="50" height="20" fill="#777"/>'
        '<text x="5" y="12" class="a">in</text></g><text x="90" y="12" class="a">out</text></svg>'
    )
    white, black = paint.colour("#fff"), paint.colour("#000")
    (inside, outside), _ = paint.marks(svg, (), white)
    assert (inside.ratio, outside.ratio) == (pytest.approx(4.48, abs=0.01), 1.0)
    (inside, outside), _ = paint.marks(svg, paint.MEDIA["dark"], white)
    assert (inside.ratio, outside.ratio) == (pytest.approx(4.69, abs=0.01), 21.0)
    assert paint.over((0, 0, 0, 0.5), white) == (127.5, 127.5, 127.5, 1.0)
    assert paint.contrast(black, black) == 1.0
