"""What a picture's texts and lines look like: a small reading of SVG and of the style sheets in it.

Enough of CSS for our own pictures: element, class and `:root` selectors, custom properties, and the
media queries for dark pages and for more contrast.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

Colour = tuple[float, float, float, float]  # red, green, blue from 0 to 255, and opacity
Style = dict[str, str]

MEDIA = {
    "light": (),
    "dark": ("prefers-color-scheme:dark",),
    "light, more contrast": ("prefers-contrast:more",),
    "dark, more contrast": ("prefers-color-scheme:dark", "prefers-contrast:more"),
}


def luminance(colour: Colour) -> float:
    parts = [v / 255 for v in colour[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: Colour, b: Colour) -> float:
    """Contrast of two opaque colours as WCAG 2 defines it: 1 (the same) to 21."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def colour(text: str) -> Colour:
    """A colour from `#rgb`, `#rrggbb`, `#rrggbbaa` or `rgba()`."""
    if text.startswith("rgba("):
        r, g, b, a = (float(v) for v in text[5:-1].split(","))
        return r, g, b, a
    digits = text.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    r, g, b, *a = (int(digits[i : i + 2], 16) for i in range(0, len(digits), 2))
    return r, g, b, a[0] / 255 if a else 1.0


def over(top: Colour, below: Colour) -> Colour:
    r, g, b = (t * top[3] + u * (1 - top[3]) for t, u in zip(top[:3], below[:3], strict=True))
    return r, g, b, 1.0


@dataclass
class Rule:
    """A selector's element name, classes, and what it declares."""

    tag: str
    classes: frozenset[str]
    declared: Style

    def fits(self, element: ET.Element, root: bool) -> bool:
        if self.tag == ":root":
            return root
        tag = element.tag.rpartition("}")[2]
        own = set((element.get("class") or "").split())
        return self.tag in ("", tag) and self.classes <= own


def rules(sheet: str, media: tuple[str, ...]) -> list[Rule]:
    """The rules of a style sheet that apply, weakest first."""
    text = re.sub(
        r"@media\(([^)]*)\)\{((?:[^{}]*\{[^{}]*\})*)\}",
        lambda m: m[2] if m[1] in media else "",
        sheet,
    )
    out = []
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
        declared = dict(part.split(":", 1) for part in body.split(";") if ":" in part)
        for selector in selectors.split(","):
            tag, *classes = selector.strip().split(".")
            out.append(Rule(tag, frozenset(classes), declared))
    assert "{" not in re.sub(r"[^{}]+\{[^{}]*\}", "", text), "a style sheet that is not understood"
    return sorted(out, key=lambda rule: (len(rule.classes), bool(rule.tag)))


@dataclass
class Item:
    """A shape or a text with its computed style and its place."""

    element: ET.Element
    style: Style
    x: float
    y: float

    def paint(self, name: str) -> Colour | None:
        """The colour of its `fill` or `stroke`; None if there is none."""
        value = self.style.get(name, "#000" if name == "fill" else "none")
        while found := re.search(r"var\((--\w+)\)", value):
            value = value.replace(found[0], self.style[found[1]])
        if value in ("none", "transparent"):
            return None
        r, g, b, a = colour(value)
        a *= float(self.style.get(f"{name}-opacity", 1)) * float(self.style.get("opacity", 1))
        return r, g, b, a


_INHERITED = ("fill", "stroke", "fill-opacity", "stroke-opacity")


def items(svg: str, media: tuple[str, ...]) -> Iterator[Item]:
    """Everything in a picture, in the order in which it is painted."""
    top = ET.fromstring(svg)
    sheet = "".join(e.text or "" for e in top.iter() if e.tag.endswith("}style"))
    known = rules(sheet, media)

    def walk(element: ET.Element, given: Style, dx: float, dy: float) -> Iterator[Item]:
        style = {k: v for k, v in given.items() if k.startswith("--") or k in _INHERITED}
        style |= {k: element.attrib[k] for k in (*_INHERITED, "opacity") if k in element.attrib}
        for rule in known:
            if rule.fits(element, element is top):
                style |= rule.declared
        parts = (part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
        style |= dict(parts)
        if moved := re.match(r"translate\(([\d.-]+) ([\d.-]+)\)", element.get("transform", "")):
            dx, dy = dx + float(moved[1]), dy + float(moved[2])
        if element.tag.rpartition("}")[2] in ("style", "defs", "title"):
            return
        yield Item(element, style, dx, dy)
        for child in element:
            yield from walk(child, style, dx, dy)

    return walk(top, {}, 0.0, 0.0)


@dataclass
class Mark:
    """A text or a line, its colour, and what it stands on."""

    words: str
    ink: Colour
    paper: Colour

    @property
    def ratio(self) -> float:
        return contrast(over(self.ink, self.paper), self.paper)


def marks(svg: str, media: tuple[str, ...], page: Colour) -> tuple[list[Mark], list[Mark]]:
    """The texts and the lines of a picture that stands on a page of some colour."""
    shapes: list[tuple[float, float, float, float, Colour]] = []
    texts, lines = [], []

    def paper(x: float, y: float) -> Colour:
        found = page
        for left, top, right, bottom, fill in shapes:
            if left <= x <= right and top <= y <= bottom:
                found = over(fill, found)
        return found

    for item in items(svg, media):
        e, tag = item.element, item.element.tag.rpartition("}")[2]
        number = {k: float(v) for k, v in e.attrib.items() if re.fullmatch(r"-?[\d.]+", v)}
        if tag == "rect":
            x, y = number["x"] + item.x, number["y"] + item.y
            if (fill := item.paint("fill")) is not None:
                box = (x, y, x + number["width"], y + number["height"], fill)
                shapes.append(box)
        elif tag == "circle" and (fill := item.paint("fill")) is not None:
            x, y, r = number["cx"] + item.x, number["cy"] + item.y, number["r"]
            shapes.append((x - r, y - r, x + r, y + r, fill))
        elif tag == "text" and (e.text or "").strip():
            anchor = item.style.get("text-anchor", e.get("text-anchor", "start"))
            x = number["x"] + item.x + {"start": 3, "middle": 0, "end": -3}[anchor]
            ink = item.paint("fill")
            assert ink is not None
            texts.append(Mark(str(e.text), ink, paper(x, number["y"] + item.y - 3)))
        elif tag == "path" and (ink := item.paint("stroke")) is not None:
            start = re.match(r"M(-?[\d.]+) (-?[\d.]+)", e.get("d", ""))
            if start:
                x, y = float(start[1]) + item.x, float(start[2]) + item.y
                lines.append(Mark(f"line of class {e.get('class')}", ink, paper(x, y)))
    return texts, lines
