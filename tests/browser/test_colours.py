"""What the colours of a drawing say: by kind, time, memory, dtype and device, with their legend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from . import contrast
from .cells import SETUP
from .graphs import box, card, live

PROFILED = """\
%%graph net --profile
h = fb.nn.relu(x @ w1)
half = h.astype("float16")
loss = fb.losses.softmax_cross_entropy(h @ w2, y)
grads = fb.gradients(loss, [w1, w2])"""
# A second device, whose kernels compute nothing, and a graph with work on both.
FAR = """\
import pathlib
from flowbook import _core
found = (pathlib.Path(_core.__file__).resolve().parent / "lib").glob("*null*")
_core.load_plugin(str(next(found)))
far = fb.zeros((32, 784), device="null")"""
DEVICES = """\
%%graph spread --no-run
near = fb.sum(fb.tanh(x))
away = fb.sum(fb.exp(far))"""

# What a box is painted with: its colour, which its bar has, and the tint that a large share gives it.
PAINT = """g => {
  const heat = g.querySelector('.heat'), meter = g.querySelector('.meter');
  const probe = g.getRootNode().appendChild(document.createElement('i'));
  probe.style.color = g.style.getPropertyValue('--c');
  const colour = getComputedStyle(probe).color;
  probe.remove();
  const bar = g.querySelector('.bar');
  if (bar && getComputedStyle(bar).stroke !== colour) throw new Error('the bar has another colour');
  return {
    colour,
    heat: heat ? Number(getComputedStyle(heat).fillOpacity) : 0,
    meter: meter ? meter.getBoundingClientRect().width : 0,
    value: [...g.querySelectorAll('text.sub')].map(t => t.textContent).join(' '),
  };
}"""


@pytest.fixture(scope="module")
def book(module_desk: Any) -> Any:
    opened = module_desk.open([SETUP, PROFILED, FAR, DEVICES])
    for index in range(4):
        assert "Error" not in opened.run(index)
    return opened


@pytest.fixture(autouse=True)
def _check(request: pytest.FixtureRequest, module_desk: Any) -> Iterator[None]:
    yield
    module_desk.check(request)
    for opened in module_desk.books:
        opened.page.mouse.move(5, 5)
        opened.calm()
        for index in (1, 3):
            colour_by(live(opened, index), "kind")


def colour_by(view: Any, mode: str) -> None:
    """Chooses what the colours show, as a reader does."""
    view.get_by_label("Colours show").select_option(mode)


def legend(view: Any) -> dict[str, str]:
    """The keys below a drawing: words to colour."""
    found: dict[str, str] = view.locator("footer").evaluate(
        """footer => Object.fromEntries([...footer.querySelectorAll('.key')].map(key => {
          const swatch = getComputedStyle(key.querySelector('.swatch'));
          return [key.textContent.trim(), swatch.backgroundColor];
        }))"""
    )
    return found


def paint(view: Any, words: str) -> Any:
    return box(view, words).evaluate(PAINT)


def size(text: str) -> float:
    number, unit = re.search(r"([\d.,]+)\s*(\S+)", text).groups()
    units = {"B": 1, "kB": 1e3, "MB": 1e6, "ns": 1e-3, "µs": 1, "ms": 1e3, "s": 1e6}
    return float(number.replace(",", "")) * units[unit]


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_kinds(book: Any, theme: str) -> None:
    book.theme(theme)
    view = live(book, 1)
    keys = legend(view)
    assert paint(view, "matmul")["colour"] == keys["matrix product"]
    assert paint(view, "relu")["colour"] == keys["network"]
    assert len(set(keys.values())) >= len(keys) - 1  # the gradients' key has a tint of its own
    assert {"matrix product", "network", "reduction", "variable", "input"} <= set(keys)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("mode", ["time", "memory"])
def test_time_and_memory(book: Any, shot: Any, mode: str, theme: str) -> None:
    book.theme(theme)
    view = live(book, 1)
    before = paint(view, "matmul")
    colour_by(view, mode)
    shot(view, f"graph-by-{mode}-{theme.split()[1].lower()}")
    contrast.check(view)
    after = paint(view, "matmul")
    assert after["colour"] != before["colour"]
    (most,) = (words for words in legend(view) if words.startswith("0 to "))
    boxes = {
        g.get_attribute("aria-label"): g.evaluate(PAINT)
        for g in view.locator("g.box.is-node").all()
    }
    sizes = {name: size(b["value"]) for name, b in boxes.items() if re.match(r"[\d.]", b["value"])}
    assert len(sizes) >= 4
    # The more, the stronger the tint and the longer the meter; the strongest is the legend's end.
    largest = max(sizes, key=sizes.get)
    assert size(most.removeprefix("0 to ")) == pytest.approx(sizes[largest], rel=0.05)
    order = sorted(sizes, key=sizes.get)
    tints = [boxes[name]["heat"] for name in order]
    assert tints == sorted(tints)
    assert tints[-1] > 3 * tints[0]
    meters = [boxes[name]["meter"] for name in order]
    assert meters[-1] == max(meters) > 50
    # The card tells what the box does.
    name = next(name for name in sizes if name.startswith("cast"))
    told = re.search(rf"{mode}\s+([\d.,]+ \S+)", card(view, name).inner_text())[1]
    assert size(told) == sizes[name]


def test_dtypes(book: Any, shot: Any) -> None:
    view = live(book, 1)
    colour_by(view, "dtype")
    shot(view, "graph-by-dtype")
    keys = legend(view)
    assert {"f32", "f16"} <= set(keys)
    assert len({keys["f32"], keys["f16"]}) == 2
    for words, dtype in (("matmul", "f32"), ("cast", "f16")):
        found = paint(view, words)
        assert found["colour"] == keys[dtype]
        assert found["value"] == dtype
        assert f"{dtype}[" in card(view, words).inner_text()
        book.page.mouse.move(5, 5)
        view.locator(".tip").wait_for(state="hidden")


def test_devices(book: Any, shot: Any) -> None:
    assert legend(live(book, 1))
    colour_by(live(book, 1), "device")
    assert set(legend(live(book, 1))) - {"∂ gradient nodes"} == {"cpu"}
    view = live(book, 3)
    colour_by(view, "device")
    shot(view, "graph-by-device")
    keys = legend(view)
    assert set(keys) == {"cpu", "null"}
    assert keys["cpu"] != keys["null"]
    for words, device in (("tanh", "cpu"), ("exp", "null"), ("capture far", "null")):
        found = paint(view, words)
        assert found["colour"] == keys[device]
        assert found["value"] == device
        assert re.search(rf"device\s+{device}", card(view, words).inner_text())
        book.page.mouse.move(5, 5)
        view.locator(".tip").wait_for(state="hidden")
