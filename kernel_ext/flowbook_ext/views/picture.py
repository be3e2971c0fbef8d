"""A graph's drawing as a PNG, painted by matplotlib: no browser takes part."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from flowbook import ArgumentError, _scene
from flowbook._boxes import SOURCES, Box
from flowbook._graph_svg import Stub, stubs
from flowbook._graph_words import status_line
from flowbook._palette import LOOKS, SHEET
from flowbook._scene import Line, Scene

_LIGHT = {name: pair[0] for name, pair in SHEET.items()}  # a PNG has no dark form
_SCALE = 2.0  # pixels for one of the drawing
_MOST = 12_000  # pixels of a side
_PAD, _HEAD = 24.0, 56.0


def png(record: Mapping[str, Any]) -> bytes:
    """Draws a graph record as a PNG.

    Raises:
        ArgumentError: If matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ArgumentError(
            "save: a PNG needs matplotlib, which is not installed. "
            "`pip install matplotlib`, or save an .svg."
        ) from error
    scene = _scene.build(record)
    width = max(scene.width + 60, 360) + 2 * _PAD
    height = scene.height + _HEAD + 2 * _PAD
    figure = Figure(figsize=(width / 72, height / 72), facecolor=_LIGHT["bg"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-_PAD, width - _PAD)
    axes.set_ylim(height - _PAD - _HEAD, -_PAD - _HEAD)  # down, as in the drawing
    axes.axis("off")
    painter = _Painter(axes, scene)
    painter.text(0, -40, str(record.get("name") or "graph"), 15, weight="bold")
    painter.text(0, -22, status_line(record), 11.5, colour=_LIGHT["soft"])
    painter.paint()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=min(72 * _SCALE, 72 * _MOST / max(width, height)))
    return out.getvalue()


class _Painter:
    """Puts a scene on axes whose units are points."""

    def __init__(self, axes: Any, scene: Scene) -> None:
        self.axes, self.scene = axes, scene

    def paint(self) -> None:
        for box in self.scene.boxes:
            if box.kind == "frame":
                self.rect(box, 10, face=_LIGHT["frame"], edge=_LIGHT["rim"], z=1)
                title = f"{box.title}  ×{box.repeat}" if box.repeat > 1 else box.title
                self.text(box.x + 12, box.y + 18, title, 11.5, colour=_LIGHT["soft"], weight="bold")
        for line in self.scene.lines:
            if line.kind != "stub":
                self.line(line)
        for box in self.scene.boxes:
            if box.kind != "frame":
                self.box(box)
        for stub in stubs(self.scene):
            self.stub(stub)

    def text(
        self, x: float, y: float, words: str, size: float, *, colour: str = _LIGHT["ink"],
        align: str = "left", weight: str = "normal", mono: bool = False,
    ) -> None:  # fmt: skip
        self.axes.text(
            x, y, words, fontsize=size * 0.93, color=colour, ha=align, va="baseline",
            weight=weight, family="monospace" if mono else "sans-serif", zorder=6,
            parse_math=False,
        )  # fmt: skip

    def rect(
        self, box: Box, radius: float, *, face: str, edge: str, z: float, shift: float = 0
    ) -> None:
        from matplotlib.patches import FancyBboxPatch

        self.axes.add_patch(
            FancyBboxPatch(
                (box.x + shift, box.y + shift),
                box.width,
                box.height,
                boxstyle=f"round,pad=0,rounding_size={radius}",
                facecolor=face,
                edgecolor=edge,
                linewidth=1.0,
                zorder=z,
            )
        )

    def line(self, line: Line) -> None:
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        (x, y), *rest = line.points
        right = self.scene.direction == "right"
        points, codes = [(x, y)], [Path.MOVETO]
        for a, b in rest:
            bend = (
                [((x + a) / 2, y), ((x + a) / 2, b)]
                if right
                else [(x, (y + b) / 2), (a, (y + b) / 2)]
            )
            points += [*bend, (a, b)]
            codes += [Path.CURVE4] * 3
            x, y = a, b
        gradient = line.kind == "gradient"
        self.axes.add_patch(
            FancyArrowPatch(
                path=Path(points, codes),
                edgecolor=_LIGHT["grad"] if gradient else _LIGHT["line"],
                linewidth=1.2,
                arrowstyle="-|>" if line.arrow else "-",
                mutation_scale=8,
                zorder=2,
                shrinkA=0,
                shrinkB=0,
                fill=True,
                facecolor=_LIGHT["grad"] if gradient else _LIGHT["line"],
                linestyle=(0, (3, 2.5)) if gradient else "-",
            )
        )

    def stub(self, stub: Stub) -> None:
        """The labelled end of a line that is too long to be drawn."""
        from matplotlib.patches import FancyArrowPatch

        self.axes.add_patch(
            FancyArrowPatch(
                stub.start,
                stub.end,
                arrowstyle="-|>" if stub.arrow else "-",
                mutation_scale=6,
                color=_LIGHT["line"],
                linewidth=1.2,
                zorder=5,
                shrinkA=0,
                shrinkB=0,
            )
        )
        align = "right" if stub.anchor == "end" else "left"
        self.text(*stub.at, stub.words, 9.5, colour=_LIGHT["soft"], align=align)

    def box(self, box: Box) -> None:
        x, y, w, h = box.x, box.y, box.width, box.height
        colour = LOOKS.get(box.look, LOOKS["shape"])[0]
        source = box.look in SOURCES
        edge = _LIGHT["bad"] if box.failed else colour if box.output or source else _LIGHT["rim"]
        face = _LIGHT["badbg"] if box.failed else f"{colour}1c" if source else _LIGHT["card"]
        if box.kind == "scope":
            self.rect(box, 7, face=_LIGHT["card"], edge=_LIGHT["rim"], z=3, shift=4)
        if source:
            self.rect(box, h / 2, face=_LIGHT["card"], edge="none", z=3)  # lines end below it
        self.rect(box, h / 2 if source else 7, face=face, edge=edge, z=4)
        if box.kind == "scope":
            self.text(x + 14, y + 19, box.title, 12.5, weight="bold")
            self.text(x + 14, y + 34, box.sub, 10.5, colour=_LIGHT["soft"])
            if box.repeat > 1:
                self.text(x + w - 10, y + 19, f"×{box.repeat}", 10.5, align="right", weight="bold")
        elif box.look == "constant":
            self.text(x + w / 2, y + h / 2 + 4, box.title, 11, align="center", mono=True)
        elif source:
            self.text(
                x + w / 2,
                y + (17 if box.sub else 24),
                box.title,
                12.5,
                align="center",
                weight="bold",
            )
            self.text(
                x + w / 2, y + 31, box.sub, 10, align="center", colour=_LIGHT["soft"], mono=True
            )
        else:
            self.axes.plot(
                [x + 5.5] * 2,
                [y + 8, y + h - 8],
                color=colour,
                linewidth=3,
                zorder=5,
                solid_capstyle="round",
            )
            self.text(x + 14, y + 17, box.title, 12.5, weight="bold")
            self.text(x + w - 11, y + 17, box.tag, 10.5, align="right", colour=colour, mono=True)
            self.text(x + 14, y + 31, box.sub, 10, colour=_LIGHT["soft"], mono=True)
            for k, (name, spec) in enumerate(box.rows):
                self.text(x + 14, y + 51 + 13 * k, name, 10, colour=_LIGHT["soft"])
                self.text(
                    x + w - 11,
                    y + 51 + 13 * k,
                    spec,
                    9.5,
                    align="right",
                    colour=_LIGHT["soft"],
                    mono=True,
                )
        if box.gradients:
            self.mark(box)

    def mark(self, box: Box) -> None:
        """The mark of the gradient nodes that belong to a box."""
        width, height, gap = self.scene.mark
        if self.scene.direction == "right":
            x, y = box.x + box.width / 2 - width / 2, box.y + box.height + gap
        else:
            x, y = box.x + box.width + gap, box.y + box.height / 2 - height / 2
        place = Box("node", 0, -1, x, y, width, height, "")
        self.rect(place, height / 2, face=_LIGHT["gradbg"], edge=_LIGHT["grad"], z=4)
        words = f"∂ {box.gradients}"
        self.text(
            x + width / 2,
            y + height / 2 + 3.6,
            words,
            10,
            align="center",
            colour=_LIGHT["grad"],
            weight="bold",
        )
