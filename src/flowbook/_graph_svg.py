"""Draws a graph record as a self-contained SVG document with its own light and dark colours."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, NamedTuple

from flowbook._boxes import SOURCES, Box, Record
from flowbook._graph_words import describe, status_line
from flowbook._palette import LOOKS, variables
from flowbook._record import compact
from flowbook._scene import Line, Scene, build
from flowbook._words import fitting, shorten, text_width

_SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

_CLASS = {look: f"c{i}" for i, look in enumerate(LOOKS)}
_LEGEND = {
    "input": "input", "capture": "input", "variable": "variable", "linalg": "matrix product",
    "elementwise": "elementwise", "reduce": "reduction", "nn": "network", "shape": "shape",
    "random": "random", "optim": "optimizer",
}  # fmt: skip


def _style(looks: Iterable[str]) -> str:
    """The style sheet inside the SVG; only the colours that the picture uses."""
    looks = [look for look in LOOKS if look in set(looks)]
    light = "".join(f".{_CLASS[k]}{{--c:{LOOKS[k][0]}}}" for k in looks)
    dark = "".join(f".{_CLASS[k]}{{--c:{LOOKS[k][1]}}}" for k in looks)
    return (
        f":root{{{variables(0)}}}"
        f"{light}"
        f"@media(prefers-color-scheme:dark){{:root{{{variables(1)}}}"
        f"{dark}}}"
        f"text{{font:10.5px {_SANS};fill:var(--soft)}}"
        ".t{font-size:12.5px;font-weight:600;fill:var(--ink)}"
        f".m{{font-family:{_MONO}}}"
        f".g{{font:11px {_MONO};fill:var(--c)}}"
        ".h{font-size:15px;font-weight:650;fill:var(--ink)}"
        ".s{font-size:11.5px}"
        ".k{fill:var(--card);stroke:var(--rim)}"
        ".f{fill:var(--frame);stroke:var(--rim);stroke-dasharray:none}"
        ".i{fill:var(--c);fill-opacity:.11;stroke:var(--c);stroke-opacity:.55}"
        ".a{fill:var(--c)}"
        ".o{fill:var(--card);stroke:var(--c);stroke-width:1.6}"
        ".l{fill:none;stroke:var(--line);stroke-width:1.3}"
        ".d{fill:none;stroke:var(--grad);stroke-width:1.2;stroke-dasharray:3 2.5}"
        ".v{fill:var(--gradbg);stroke:var(--grad);stroke-opacity:.6}"
        ".w{fill:var(--grad);font-size:10px;font-weight:600}"
        ".x{fill:var(--badbg);stroke:var(--bad);stroke-width:2}"
        ".y{fill:var(--bad)}"
        ".n{fill:var(--ink);fill-opacity:.08}"
        ".u{font-weight:600;paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}"
        ".p{font-size:10px}.j{stroke:var(--rim);stroke-width:1}"
        "@media(prefers-contrast:more){:root{--soft:var(--ink);--rim:var(--ink);--line:var(--ink)}}"
    )


def _n(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def _path(line: Line, right: bool) -> str:
    """A smooth curve through the points, leaving and arriving along the picture's direction."""
    (x, y), *rest = line.points
    out = [f"M{_n(x)} {_n(y)}"]
    for a, b in rest:
        if (abs(a - x) < 0.6 and not right) or (abs(b - y) < 0.6 and right):
            out.append(f"L{_n(a)} {_n(b)}")
        elif right:
            middle = (x + a) / 2
            out.append(f"C{_n(middle)} {_n(y)} {_n(middle)} {_n(b)} {_n(a)} {_n(b)}")
        else:
            middle = (y + b) / 2
            out.append(f"C{_n(x)} {_n(middle)} {_n(a)} {_n(middle)} {_n(a)} {_n(b)}")
        x, y = a, b
    return "".join(out)


def _text(x: float, y: float, words: str, cls: str = "", anchor: str = "") -> str:
    attributes = f' class="{cls}"' if cls else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{_n(x)}" y="{_n(y)}"{attributes}>{escape(words)}</text>'


def _rect(x: float, y: float, w: float, h: float, r: float, cls: str) -> str:
    place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"'
    return f'<rect {place} rx="{_n(r)}" class="{cls}"/>'


def _marker(name: str, colour: str) -> str:
    """The head of an arrow."""
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" '
        f'markerHeight="6.5" orient="auto"><path d="M0 .8 7.4 4 0 7.2z" '
        f'style="fill:var(--{colour})"/></marker>'
    )


def _badge_width(words: str) -> float:
    return text_width(words, 10.5, bold=True) + 12


def _badge(right_edge: float, y: float, words: str) -> str:
    """A small label whose right end is given, such as "×12"."""
    width = _badge_width(words)
    box = _rect(right_edge - width, y, width, 16, 8, "n")
    return box + _text(right_edge - width / 2, y + 11.8, words, "b", "middle")


def _box(box: Box, scene: Scene) -> str:
    x, y, w, h = box.x, box.y, box.width, box.height
    parts: list[str] = []
    if box.kind == "frame":
        parts.append(_rect(x, y, w, h, 10, "f"))
    elif box.kind == "scope":
        look = "x" if box.failed else "k"
        parts.append(_rect(x + 4, y + 4, w, h, 7, "k"))
        parts.append(_rect(x, y, w, h, 7, look))
        count = f"×{box.repeat}" if box.repeat > 1 else ""
        room = w - 26 - (_badge_width(count) if count else 0)
        parts.append(_text(x + 14, y + 19, fitting(box.title, room, 12.5), "t"))
        parts.append(_text(x + 14, y + 34, box.sub))
        if count:
            parts.append(_badge(x + w - 8, y + 7, count))
    elif box.look == "constant":
        parts.append(_rect(x, y, w, h, h / 2, "i"))
        parts.append(_text(x + w / 2, y + h / 2 + 3.8, box.title, "m", "middle"))
    elif box.look in SOURCES:
        parts.append(_rect(x, y, w, h, h / 2, "x" if box.failed else "i"))
        parts.append(_text(x + w / 2, y + (17 if box.sub else 24), box.title, "t", "middle"))
        parts.append(_text(x + w / 2, y + 31, box.sub, "m", "middle"))
    else:
        parts.append(_rect(x, y, w, h, 7, "x" if box.failed else "o" if box.output else "k"))
        bar = "y" if box.failed else "a"
        parts.append(f'<path d="M{_n(x + 5.5)} {_n(y + 8)}v{_n(h - 16)}" class="r {bar}"/>')
        parts.append(_text(x + 14, y + 17, box.title, "t"))
        if box.tag:
            parts.append(_text(x + w - 11, y + 17, box.tag, "m" if box.failed else "g", "end"))
        parts.append(_text(x + 14, y + 31, box.sub or ("failed" if box.failed else ""), "m"))
        if box.rows:
            parts.append(f'<path d="M{_n(x + 14)} {_n(y + 38)}h{_n(w - 25)}" class="j"/>')
        for k, (name, spec) in enumerate(box.rows):
            parts.append(_text(x + 14, y + 51 + 13 * k, name, "p"))
            parts.append(_text(x + w - 11, y + 51 + 13 * k, spec, "p m", "end"))
        if box.heat is not None and box.heat >= 0.02:
            width = max(2.0, (w - 14) * box.heat)
            parts.append(_rect(x + 7, y + h - 4.5, width, 2.5, 1.2, "a"))
    if box.failed and box.kind != "frame":
        parts.append(f'<circle cx="{_n(x + w)}" cy="{_n(y)}" r="8" class="y"/>')
        parts.append(_text(x + w, y + 4, "!", "e", "middle"))
    if box.gradients:
        mark_w, mark_h, gap = scene.mark
        if scene.direction == "right":
            gx, gy = x + w / 2 - mark_w / 2, y + h + gap
        else:
            gx, gy = x + w + gap, y + h / 2 - mark_h / 2
        parts.append(_rect(gx, gy, mark_w, mark_h, mark_h / 2, "v"))
        parts.append(
            _text(gx + mark_w / 2, gy + mark_h / 2 + 3.6, f"∂ {box.gradients}", "w", "middle")
        )
    tip = f"<title>{escape(box.detail)}</title>" if box.detail and box.kind == "node" else ""
    cls = _CLASS.get(box.look, "")
    return f"<g{f' class={chr(34)}{cls}{chr(34)}' if cls else ''}>{tip}{''.join(parts)}</g>"


def _frame_title(box: Box) -> str:
    """The head of a frame, drawn over the lines that cross its border."""
    count = f"×{box.repeat}" if box.repeat > 1 else ""
    room = box.width - 24 - (_badge_width(count) if count else 0)
    words = _text(box.x + 12, box.y + 18, fitting(box.title, room, 11.5), "s u")
    return words + (_badge(box.x + box.width - 8, box.y + 6, count) if count else "")


class Stub(NamedTuple):
    """An end of a long line that is not drawn: a short stroke and words about the other end."""

    start: tuple[float, float]
    end: tuple[float, float]
    arrow: bool  # at its end
    words: str
    at: tuple[float, float]
    anchor: str  # "" is the start of the words


def stubs(scene: Scene) -> list[Stub]:
    """Long lines as labelled ends: where the value goes, and where it comes from."""
    out = []
    goes: dict[int, list[int]] = {}
    comes: dict[int, list[int]] = {}
    for line in scene.lines:
        if line.kind == "stub":
            goes.setdefault(line.source, []).append(line.target)
            comes.setdefault(line.target, []).append(line.source)

    def name(i: int) -> str:
        box = scene.boxes[i]
        return shorten(box.tag or box.title, 12)

    right = scene.direction == "right"
    for i, targets in goes.items():
        box = scene.boxes[i]
        words = "→ " + (name(targets[0]) if len(targets) == 1 else f"{len(targets)} uses")
        if right:
            x, y = box.x + box.width, box.y + box.height - 4
            out.append(Stub((x, y), (x + 8, y), False, words, (x + 10, y + 4), ""))
        else:
            x, y = box.x + box.width - 6, box.y + box.height
            out.append(Stub((x, y), (x, y + 8), False, words, (x + 2, y + 16), ""))
    for i, sources in comes.items():
        box = scene.boxes[i]
        words = name(sources[0]) if len(sources) == 1 else f"{len(sources)} inputs"
        x = box.x + (14 if right else 8)
        at, anchor = ((x + 4, box.y - 5), "") if right else ((x - 4, box.y - 4), "end")
        out.append(Stub((x, box.y - 9), (x, box.y - 2), True, words, at, anchor))
    return out


def _stub(stub: Stub) -> str:
    (x, y), (a, b) = stub.start, stub.end
    tip = ' marker-end="url(#p)"' if stub.arrow else ""
    stroke = f'<path d="M{_n(x)} {_n(y)}l{_n(a - x)} {_n(b - y)}" class="l"{tip}/>'
    return stroke + _text(*stub.at, stub.words, "q", stub.anchor)


def svg(record: Record, scene: Scene | None = None, **options: Any) -> str:
    """Draws a graph record as a self-contained SVG document.

    Args:
        record: The graph, as `Graph.record()` describes it.
        scene: Its arrangement, if it was made already.
        **options: Passed on to `flowbook._scene.build`.
    """
    record = compact(record)
    scene = scene or build(record, **options)
    right = scene.direction == "right"
    title, stats = str(record.get("name") or "graph"), status_line(record)
    pad, head = 18.0, 50.0 if stats else 38.0
    looks = list(dict.fromkeys(b.look for b in scene.boxes if b.kind == "node" and b.look in LOOKS))
    # What failed is red, whatever its family: that family's colour is not to be seen.
    seen = {b.look for b in scene.boxes if b.kind == "node" and not b.failed}
    legend = list(dict.fromkeys(_LEGEND[k] for k in looks if k in seen and k in _LEGEND))
    foot = 26.0 if len(legend) > 1 else 4.0
    folded = any(b.gradients for b in scene.boxes)
    keys = [(word, next(k for k in looks if _LEGEND.get(k) == word)) for word in legend]
    key_width = sum(text_width(w, 10.5) + 30 for w, _ in keys) + (80 if folded else 0)
    width = max(
        scene.width,
        text_width(title, 15, bold=True),
        text_width(stats, 11.5),
        min(key_width, 460.0),
    )
    width += 2 * pad
    left = (width - scene.width) / 2 if scene.width < width - 2 * pad else pad
    key_rows, row_width = [[]], 0.0  # type: list[list[tuple[str, str]]], float
    for word, look in [*keys, *([("gradient", "")] if folded else [])]:
        need = text_width(word, 10.5) + 30
        if row_width + need > width - 2 * pad and key_rows[-1]:
            key_rows.append([])
            row_width = 0.0
        key_rows[-1].append((word, look))
        row_width += need
    height = head + scene.height + foot + 16 * len(key_rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" '
        f'aria-label="{escape(describe(record))}">',
        f"<style>{_style(looks)}.r{{fill:none;stroke:var(--c);stroke-width:3;stroke-linecap:round}}"
        ".y.r{stroke:var(--bad)}.q{font-size:9.5px}.b{font-weight:600;fill:var(--ink)}"
        ".e{fill:var(--on);font-weight:700;font-size:11px}</style>",
        f"<defs>{_marker('p', 'line')}{_marker('z', 'grad')}</defs>",
        f'<rect x=".5" y=".5" width="{_n(width - 1)}" height="{_n(height - 1)}" rx="10" '
        'style="fill:var(--bg);stroke:var(--rim)"/>',
        _text(pad, 25, title, "h"),
    ]
    if stats:
        out.append(_text(pad, 42, stats, "s"))
    out.append(f'<g transform="translate({_n(left)} {_n(head + 8)})">')
    out += [_box(b, scene) for b in scene.boxes if b.kind == "frame"]
    for line in scene.lines:
        if line.kind == "line":
            tip = ' marker-end="url(#p)"' if line.arrow else ""
            out.append(f'<path d="{_path(line, right)}" class="l"{tip}/>')
    out += [_frame_title(b) for b in scene.boxes if b.kind == "frame"]
    out += [_box(b, scene) for b in scene.boxes if b.kind != "frame"]
    for line in scene.lines:
        if line.kind == "gradient":
            out.append(f'<path d="{_path(line, right)}" class="d" marker-end="url(#z)"/>')
    out += [_stub(stub) for stub in stubs(scene)]
    out.append("</g>")
    y = head + scene.height + 28
    for row in key_rows if len(legend) > 1 or folded else []:
        x = pad
        for word, look in row:
            cls = f' class="{_CLASS[look]}"' if look else ""
            chip = _rect(x, y - 8, 14, 8, 4, "i" if look in SOURCES else "a" if look else "v")
            out.append(f"<g{cls}>{chip}{_text(x + 20, y, word)}</g>")
            x += text_width(word, 10.5) + 34
        y += 16
    out.append("</svg>")
    return "".join(out)
