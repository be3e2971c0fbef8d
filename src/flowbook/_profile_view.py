"""Shows a profile as text and HTML: the slowest steps as a table, the first run as a timeline.

Drawn from the plain data of `Profile.to_dict()`. The HTML stands alone: no script, no kernel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from ._palette import PAPER, STEPS, block
from ._words import human_time, image, shorten

Data = Mapping[str, Any]

_ROWS = 40  # of the table: the slowest steps
_BARS = 100  # of the timeline
_NUMBERS = ("share", "median", "min", "spread")
_WIDTH, _LANE = 860.0, 22.0


def _headline(data: Data) -> str:
    graphs: Sequence[str] = data["graphs"]
    if not graphs:
        return "no compiled graph ran"
    runs = f"{data['runs']} run{'s' * (data['runs'] != 1)}"
    if len(graphs) == 1:
        text = f"{graphs[0]}: {human_time(data['seconds'] * 1e6)} a run, median of {runs}"
    else:
        text = f"{len(graphs)} graphs, {runs}, {human_time(data['seconds'] * 1e6)} together"
    text += f", {len(data['steps'])} step{'s' * (len(data['steps']) != 1)}"
    if data["seconds"] > 0:
        text += f", {data['between'] / data['seconds']:.0%} between steps"
    return text


def _sorted(data: Data) -> list[Mapping[str, Any]]:
    return sorted(data["steps"], key=lambda s: (-s["share"], s["graph"], s["step"]))


def _what(step: Mapping[str, Any], limit: int) -> str:
    named = f"{', '.join(step['names'])} = " if step["names"] else ""
    return shorten(named + step["label"], limit)


def _place(step: Mapping[str, Any], graphs: int) -> str:
    words = [step["graph"]] if graphs > 1 else []
    if step["line"]:
        words.append(f"line {step['line']}")
    if step["fused"]:
        words.append(f"{len(step['ops'])} ops fused")
    return ", ".join(words)


def text(data: Data) -> str:
    """Lists the steps, the slowest first.

    Args:
        data: What `Profile.to_dict` gives.
    """
    out = [_headline(data)]
    rows = _sorted(data)
    width = max((len(_what(s, 44)) for s in rows[:_ROWS]), default=0)
    for step in rows[:_ROWS]:
        line = (
            f"  {step['share']:>5.1%}  {_what(step, 44):<{width}}  "
            f"{human_time(step['median_us']):>9}  min {human_time(step['min_us']):>9}"
            f"  ±{human_time(step['spread_us']):>9}"
        )
        if step["runs"] != data["runs"]:
            line += f"  {step['runs']} runs"
        out.append(f"{line}  {_place(step, len(data['graphs']))}".rstrip())
    if len(rows) > _ROWS:
        rest = sum(s["share"] for s in rows[_ROWS:])
        out.append(f"  {rest:>5.1%}  in {len(rows) - _ROWS} more steps")
    return "\n".join(out)


def colours(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A colour for each label; the labels that take most time get the first ones."""
    weight: dict[str, float] = {}
    for step in steps:
        weight[step["label"]] = weight.get(step["label"], 0.0) + step["share"]
    ranked = sorted(weight, key=lambda label: -weight[label])
    return {label: STEPS[min(i, len(STEPS) - 1)] for i, label in enumerate(ranked)}


class _Bar(NamedTuple):
    """A step of the timeline, or steps next to each other that are too short to be told apart."""

    start: float
    end: float
    entries: list[Mapping[str, Any]]


def _first_run(data: Data) -> list[Mapping[str, Any]]:
    """The timeline's entries up to where the second run begins."""
    entries = []
    seen: set[int] = set()
    for entry in data["timeline"]:
        if entry["step"] in seen:
            break
        seen.add(entry["step"])
        entries.append(entry)
    return entries


def _merged(entries: Sequence[Mapping[str, Any]], least: float) -> list[_Bar]:
    """Bars for entries; neighbours shorter than `least` join until they are that long."""
    bars: list[_Bar] = []
    for entry in entries:
        start, end = entry["start_us"], entry["start_us"] + entry["us"]
        last = bars[-1] if bars else None
        if last and max(last.end - last.start, entry["us"], start - last.end) < least:
            last.entries.append(entry)
            bars[-1] = last._replace(end=end)
        else:
            bars.append(_Bar(start, end, [entry]))
    return bars


def _tip(bar: _Bar, steps: Sequence[Mapping[str, Any]]) -> str:
    us = human_time(sum(entry["us"] for entry in bar.entries))
    if len(bar.entries) == 1:
        return f"{_what(steps[bar.entries[0]['step']], 80)}: {us}"
    return f"{len(bar.entries)} steps, mostly {shorten(_main(bar, steps), 40)}: {us}"


def _main(bar: _Bar, steps: Sequence[Mapping[str, Any]]) -> str:
    """The label that takes most of a bar's time."""
    spent: dict[str, float] = {}
    for entry in bar.entries:
        label = steps[entry["step"]]["label"]
        spent[label] = spent.get(label, 0.0) + entry["us"]
    return max(spent, key=lambda label: spent[label])


def timeline(data: Data, zoom: int = 1) -> str:
    """The first run as an SVG document: one bar per step, wide as its time.

    Steps that are less than a pixel wide share a bar, and wider ones where bars are many.

    Args:
        data: What `Profile.to_dict` gives.
        zoom: How many times wider the picture may be looked at.
    """
    steps = data["steps"]
    colour = colours(steps)
    entries = _first_run(data)
    end = max((e["start_us"] + e["us"] for e in entries), default=0.0)
    scale = (_WIDTH - 20) / end if end else 0.0
    least = 1 / zoom
    bars = _merged(entries, least / scale if scale else 0.0)
    while len(bars) > _BARS * zoom and least < _WIDTH:
        least *= 1.5
        bars = _merged(entries, least / scale)
    drawn: dict[str, list[str]] = {}  # by colour
    for bar in bars:
        width = (bar.end - bar.start) * scale
        x = 10 + bar.start * scale
        label = _main(bar, steps)
        parts = drawn.setdefault(colour[label], [])
        parts.append(
            f'<rect x="{x:.2f}" y="8" width="{max(width, 0.4):.2f}" height="{_LANE:.0f}">'
            f"<title>{escape(_tip(bar, steps))}</title></rect>"
        )
        if width > 6 * min(len(label), 12) and len(bar.entries) == 1:
            words = escape(shorten(label, max(4, int(width / 6.2))))
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{8 + _LANE / 2 + 3.5:.1f}" class="w" '
                f'text-anchor="middle">{words}</text>'
            )
    groups = "".join(
        f'<g style="--c:{fill}" fill="{fill}">{"".join(parts)}</g>' for fill, parts in drawn.items()
    )
    ticks = "".join(
        f'<text x="{10 + f * (_WIDTH - 20):.1f}" y="{8 + _LANE + 16:.0f}" '
        f'text-anchor="{anchor}">{human_time(f * end)}</text>'
        for f, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:.0f}" height="56" '
        f'viewBox="0 0 {_WIDTH:.0f} 56" role="img"><style>{PAPER}.w{{fill:#fff}}</style>'
        f'<rect x=".5" y=".5" width="{_WIDTH - 1:.0f}" height="55" rx="9" class="c"/>'
        f"{groups}{ticks}</svg>"
    )


def _unbroken(us: float) -> str:
    """A time whose figure and unit stay on one line on narrow pages."""
    return human_time(us).replace(" ", "\N{NO-BREAK SPACE}")


def view_id(data: Data) -> str:
    """A short name of what a profile shows, whatever the times were."""
    kept = [(s["graph"], s["step"], s["label"], s["nodes"]) for s in data["steps"]]
    return hashlib.sha256(repr((data["graphs"], kept)).encode()).hexdigest()[:12]


def html(data: Data, view: str = "", *, root: bool = True, zoom: int = 1) -> str:
    """Shows a profile as HTML that a saved notebook keeps.

    Args:
        data: What `Profile.to_dict` gives.
        view: Id of the live view, if there is one.
        root: With the element that live views look for; without it for use inside of one.
        zoom: How many times wider the timeline may be looked at.
    """
    steps = data["steps"]
    kind = f"flowbook-view flowbook-kind-profile flowbook-id-{view or view_id(data)}"
    names = f' class="{kind}"' if root else ""
    colour = colours(steps)
    cell = "padding:1px 12px 1px 0;border:none;text-align:"
    rows = []
    for step in _sorted(data)[:_ROWS]:
        share = (
            f'<div style="width:{max(1.0, 120 * step["share"]):.0f}px;border-radius:4px;'
            f'{block(colour[step["label"]], 8)}"></div>'
        )
        cells = [
            ("right", f"{step['share']:.1%}"), ("left", share),
            ("left", f"<code>{escape(_what(step, 60))}</code>"),
            ("right", _unbroken(step["median_us"])), ("right", _unbroken(step["min_us"])),
            ("right", "±" + _unbroken(step["spread_us"])),
            ("left", escape(_place(step, len(data["graphs"])))),
        ]  # fmt: skip
        rows.append("<tr>" + "".join(f'<td style="{cell}{a}">{c}</td>' for a, c in cells) + "</tr>")
    head = "".join(
        f'<th style="{cell}{"right" if c in _NUMBERS else "left"}">{c}</th>'
        for c in ("share", "", "step", "median", "min", "spread", "")
    )
    rest = ""
    if len(steps) > _ROWS:
        rest = f'<div style="font-size:12px">the slowest {_ROWS} of {len(steps):,} steps</div>'
    picture = ""
    if data["timeline"]:
        words = escape(text(data).partition("\n")[0])
        picture = (
            f'<div style="overflow:auto"><img src="{image(timeline(data, zoom))}" '
            f'alt="timeline of one run: {words}" style="min-width:700px"></div>'
        )
    return (
        f'<div{names} style="max-width:900px"><div>{escape(_headline(data))}</div>{picture}'
        f'<div style="overflow:auto;max-height:420px"><table style="font-size:12px">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{rest}</div>"
    )


def mimebundle(data: Data) -> dict[str, str]:
    """All static forms of a profile."""
    return {"text/plain": text(data), "text/html": html(data)}
