"""Line charts as self-contained SVG, with light and dark colours: the courses of training runs.

Used by `History`, by the list of runs, and for what a finished training view leaves in a saved
notebook.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from flowbook._palette import GRID, LINES, variables
from flowbook._words import image, shorten, text_width

_SHEET = ("bg", "rim", "ink", "soft")
_POINTS = 400  # points of a line at most
_TOGETHER = 2_600  # points of all lines of a view at most, so that a saved notebook stays small
_FRAME = 260  # points that take as many bytes as what is around the lines of a chart
_LEAST = 12  # points of a line, however many there are
_MARKS = 40  # marks of all charts of a view at most
_CHARTS = 6  # charts of a view at most
_TOLD = 8  # lines that a chart's description tells


class Line(NamedTuple):
    """A line of a chart."""

    name: str
    values: Sequence[float]
    at: Sequence[float] | None = None  # where they are on the horizontal axis; 1, 2, 3 ... if None
    faint: bool = (
        False  # drawn in the background and left out of the legend, in the next line's colour
    )


Series = tuple[str, Sequence[float]] | Line


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that divide a range: 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _thin(values: Sequence[float], most: int) -> list[tuple[int, float]]:
    """Pairs of index and value; long series keep the extremes of each stretch."""
    if len(values) <= most:
        return list(enumerate(values))
    out: list[tuple[int, float]] = []
    size = len(values) / (most // 2)
    for k in range(most // 2):
        part = range(int(k * size), max(int(k * size) + 1, int((k + 1) * size)))
        finite = [i for i in part if math.isfinite(values[i])]
        if finite:
            ends = {min(finite, key=lambda i: values[i]), max(finite, key=lambda i: values[i])}
            out += [(i, values[i]) for i in sorted(ends)]
        else:
            out.append((part[0], math.nan))
    return out


def chart(
    title: str,
    series: Sequence[Series],
    *,
    width: int = 380,
    height: int = 210,
    log: bool | None = None,
    unit: str = "epoch",
    marks: Sequence[tuple[float, str]] = (),
    points: int = _POINTS,
) -> str:
    """Draws series of numbers as a chart.

    Args:
        title: What is drawn.
        series: `Line`s, or pairs of name and values; names that begin with `val_` are dashed.
        width: In pixels.
        height: In pixels.
        log: Logarithmic axis; None: where positive values span more than two powers of ten.
        unit: What the horizontal axis counts, from 1.
        marks: Moments to point at, as a number of finished units and a text.
        points: How many points a line has at most.

    Returns:
        An SVG document.
    """
    lines = [Line(*one) for one in series]
    finite = [v for line in lines for v in line.values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if log is None:
        log = low > 0 and high / low > 100
    log = log and low > 0
    scale = math.log10 if log else float
    a, b = scale(low), scale(high)
    margin = (b - a) * 0.05 or abs(b) * 0.05 or 0.5
    a, b = a - margin, b + margin
    ticks = [float(k) for k in range(math.ceil(a), math.floor(b) + 1)] if log else nice_ticks(a, b)
    words = {t: _number(10**t if log else t) for t in ticks}
    left = 16 + max((text_width(w, 10) for w in words.values()), default=20)
    top, right, bottom = 34, 14, 28
    shown = [line for line in lines if not line.faint]
    legend = shown if len(shown) > 1 else []
    last = max((line.at[-1] if line.at else len(line.values) for line in lines if line.values),
               default=1)  # fmt: skip

    def x_of(at: float) -> float:
        return left + (width - left - right) * ((at - 1) / (last - 1) if last > 1 else 0.5)

    def y_of(v: float) -> float:
        return top + (height - top - bottom) * (b - scale(v)) / (b - a)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(describe(title, series))}">'
        f"<style>{_style(len(shown))}</style>"
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="9" class="c"/>'
        f'<text x="12" y="21" class="t">{escape(shorten(title, 40))}</text>'
    ]
    for t in ticks:
        y = top + (height - top - bottom) * (b - t) / (b - a)
        out.append(f'<path d="M{left:.0f} {y:.1f}H{width - right}" class="g"/>')
        out.append(f'<text x="{left - 5:.0f}" y="{y + 3.5:.1f}" class="e">{words[t]}</text>')
    wanted = [t for t in nice_ticks(1, last, 5) if t == int(t) and t >= 1] if last > 1 else [1.0]
    for t in dict.fromkeys([1.0, *wanted]):
        if t != 1.0 and x_of(t) - x_of(1) < 40:
            continue
        x, cls = x_of(t), "m"
        if t != 1.0 and x > width - right - 12:
            x, cls = width - 8.0, "e"
        word = f"{escape(unit)} 1" if t == 1.0 else str(int(t))
        out.append(f'<text x="{x:.1f}" y="{height - 10}" class="{cls}">{word}</text>')
    for at, text in marks[:_MARKS]:
        x = x_of(min(max(at, 1), last))
        out.append(
            f"<g><title>{escape(shorten(text, 80))}</title>"
            f'<path d="M{x:.1f} {top}V{height - bottom}" class="k"/>'
            f'<path d="M{x - 4:.1f} {top}h8l-4 6z" class="kk"/></g>'
        )
    colour = 0
    for line in lines:
        out.append(_line(colour, line, points, x_of, y_of))
        colour += not line.faint
    x = float(width - right)
    for k, line in reversed(list(enumerate(legend))):
        label = shorten(line.name, 24)
        x -= text_width(label, 10.5)
        if x < 60:
            break
        out.append(f'<text x="{x:.1f}" y="21" class="s{k % 8} l">{escape(label)}</text>')
        x -= 16
        dash = " d" if line.name.startswith("val_") else ""
        out.append(f'<path d="M{x:.1f} 17.5h12" class="s{k % 8}{dash}"/>')
        x -= 10
    out.append("</svg>")
    return "".join(out)


def _line(
    k: int,
    line: Line,
    points: int,
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
) -> str:
    values = line.values
    at = line.at or range(1, len(values) + 1)
    parts, pen, alone = [], "M", 0
    for i, v in _thin(values, points):
        if not math.isfinite(v):
            pen = "M"
            continue
        parts.append(f"{pen}{x_of(at[i]):.1f} {y_of(v):.1f}")
        alone += 1
        pen = "L"
    dash = " f" if line.faint else " d" if line.name.startswith("val_") else ""
    path = f'<path d="{"".join(parts)}" class="s{k % 8}{dash}"/>' if parts else ""
    if alone == 1:
        i, v = next((i, v) for i, v in enumerate(values) if math.isfinite(v))
        path += f'<circle cx="{x_of(at[i]):.1f}" cy="{y_of(v):.1f}" r="3" class="s{k % 8} p"/>'
    return path


class Drawn(NamedTuple):
    """What `chart` draws."""

    title: str
    lines: Sequence[Series]
    marks: Sequence[tuple[float, str]] = ()
    unit: str = "epoch"


def pictures(charts: Sequence[Drawn]) -> str:
    """Charts as images, which untrusted and exported notebooks keep.

    However many there are, they take some 40 kB: lines share the points, charts the marks.
    """
    shown = charts[:_CHARTS]
    points = (_TOGETHER - _FRAME * len(shown)) // max(1, sum(len(one.lines) for one in shown))
    points = max(_LEAST, min(_POINTS, points))
    out = []
    for one in shown:
        picture = chart(
            one.title,
            one.lines,
            unit=one.unit,
            marks=one.marks[: _MARKS // len(shown)],
            points=points,
        )
        words = escape(describe(one.title, one.lines))
        out.append(f'<img src="{image(picture)}" alt="{words}" style="margin:4px 8px 4px 0">')
    if len(charts) > len(shown):
        names = shorten(", ".join(one.title for one in charts[len(shown) :]), 200)
        out.append(
            f'<div style="font-size:12px">{len(charts) - len(shown)} more: {escape(names)}</div>'
        )
    return "".join(out)


def _number(v: float) -> str:
    return f"{0.0 if abs(v) < 1e-12 else v:.4g}"


def describe(title: str, series: Sequence[Series]) -> str:
    """A chart in words."""
    parts = []
    for name, values, *more in series:
        finite = [v for v in values if math.isfinite(v)]
        if finite and not (len(more) == 2 and more[1]):
            ends = f"from {_number(finite[0])} to {_number(finite[-1])}"
            parts.append(f"{shorten(name, 40)} {ends}")
    if len(parts) > _TOLD:
        parts[_TOLD:] = [f"and {len(parts) - _TOLD} more"]
    return f"{title}: " + ("; ".join(parts) or "no finite values")


def _style(count: int) -> str:
    used = range(min(count, 8))
    light = "".join(f".s{k}{{--k:{LINES[k][0]}}}" for k in used)
    dark = "".join(f".s{k}{{--k:{LINES[k][1]}}}" for k in used)
    return (
        f":root{{{variables(0, *_SHEET)};--grid:{GRID[0]}}}{light}"
        f"@media(prefers-color-scheme:dark){{:root{{{variables(1, *_SHEET)};--grid:{GRID[1]}}}{dark}}}"
        "text{font:10px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--soft)}"
        ".c{fill:var(--bg);stroke:var(--rim)}.t{font-size:13px;font-weight:600;fill:var(--ink)}"
        ".g{stroke:var(--grid);fill:none}.e{text-anchor:end}.m{text-anchor:middle}"
        "path{fill:none;stroke:var(--k);stroke-width:1.7;stroke-linejoin:round}"
        ".g{stroke-width:1}.d{stroke-dasharray:4 3}.l{font-size:10.5px;fill:var(--ink)}"
        ".f{opacity:.35;stroke-width:1}"
        ".p{fill:var(--k)}.k{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}"
        ".kk{fill:var(--soft);stroke:none}"
    )
