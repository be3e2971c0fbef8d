"""Measures the contrast of what a page shows, as the accessibility guidelines (WCAG 2) define it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_WALK = """root => {
  // Colours come as rgb(), rgba(), color(srgb ...): a canvas turns any of them into numbers.
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  canvas.canvas.width = canvas.canvas.height = 1;
  const parse = text => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const parent = element => element.parentElement || element.getRootNode().host || null;
  // What is painted below a point of an element: its ancestors' backgrounds, shapes of the drawing.
  const below = element => {
    const layers = [];
    for (let e = element; e; e = parent(e)) {
      const style = getComputedStyle(e);
      if (e instanceof SVGElement && !(e instanceof SVGSVGElement)) {
        if (e.tagName === 'g') {
          const {left, right, top, bottom} = element.getBoundingClientRect();
          const [x, y] = [(left + right) / 2, (top + bottom) / 2];
          for (const shape of [...e.querySelectorAll(':scope > rect')].reverse()) {
            const b = shape.getBoundingClientRect();
            if (shape === element || x < b.left || x > b.right || y < b.top || y > b.bottom) continue;
            if (!(shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
            const look = getComputedStyle(shape);
            const fill = parse(look.fill === 'none' ? 'transparent' : look.fill);
            fill[3] *= Number(look.fillOpacity);
            layers.push(fill);
          }
        }
      } else if (style.backgroundColor) layers.push(parse(style.backgroundColor));
      if (layers.length && layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((paper, layer) => over(layer, paper), [255, 255, 255]);
  };
  const found = [];
  const visit = node => {
    for (const child of node.childNodes) {
      if (child.nodeType === 3 && child.textContent.trim()) {
        const element = child.parentElement;
        if (!element || ['STYLE', 'SCRIPT', 'TITLE', 'OPTION'].includes(element.tagName)) continue;
        const box = element.getBoundingClientRect();
        const style = getComputedStyle(element);
        if (!box.width || box.width < 3 || style.visibility === 'hidden') continue;
        const svg = element instanceof SVGElement;
        const ink = parse(svg ? style.fill : style.color);
        let faded = 1;
        for (let e = element; e; e = parent(e)) faded *= Number(getComputedStyle(e).opacity);
        ink[3] *= faded;
        if (svg) ink[3] *= Number(style.fillOpacity);
        const paper = below(element);
        found.push({text: child.textContent.trim().slice(0, 40), ink: over(ink, paper), paper,
          size: parseFloat(style.fontSize), bold: Number(style.fontWeight) >= 600,
          disabled: element.closest('[disabled]') !== null});
      } else if (child.nodeType === 1) {
        visit(child);
        if (child.shadowRoot) visit(child.shadowRoot);
      }
    }
  };
  visit(root);
  if (root.shadowRoot) visit(root.shadowRoot);
  return found;
}"""


@dataclass
class Text:
    """A piece of text with the contrast to what is behind it."""

    text: str
    ratio: float
    size: float
    ink: tuple[int, ...]
    paper: tuple[int, ...]


def _luminance(colour: list[float]) -> float:
    parts = [v / 255 for v in colour]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ratio(a: list[float], b: list[float]) -> float:
    """Contrast of two colours: from 1 (the same) to 21 (black on white)."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def texts(root: Any) -> list[Text]:
    """All visible texts of a view, also in shadow roots, the faintest first."""
    found = [
        Text(
            t["text"], ratio(t["ink"], t["paper"]), t["size"],
            tuple(map(round, t["ink"])), tuple(map(round, t["paper"])),
        )
        for t in root.evaluate(_WALK)
        if not t["disabled"]
    ]  # fmt: skip
    return sorted(found, key=lambda t: t.ratio)


def check(root: Any, least: float = 4.5) -> None:
    """Fails where a text of a view is fainter than the guidelines allow."""
    found = texts(root)
    assert found, "no text in the view"
    faint = [t for t in found if t.ratio < least]
    assert not faint, "\n".join(map(str, faint[:12]))
