"""The graph view: a static drawing that comes alive, and what comes back from it.

view = GraphView(mlp)
view                      # draws it
view.selection            # names of the nodes that were clicked
view.save("mlp.html")     # interactive, stands alone
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from flowbook import ArgumentError, _drawing, _graph_svg, _scene
from flowbook._nodes import ABSENT, Nodes
from flowbook._record import compact, plain

from .. import _cells
from .. import hub as _hub
from . import attached
from .packing import finite, pack_record, pack_scene

__all__ = ["GraphView", "page", "show"]

Record = Mapping[str, Any]


class GraphView:
    """A drawing of a graph in the notebook.

    Built from a graph, or from the plain record of one. The drawing is live where a kernel with
    anywidget runs, and a picture with a table everywhere else.

    Args:
        graph: A `fb.Graph`, or what its `record()` returns.

    Example:
        >>> import flowbook as fb
        >>> with fb.graph() as g:
        ...     y = fb.asarray([1.0, 2.0]) * 2
        ...     g.output(y=y)
        >>> GraphView(g)
        <GraphView 'graph': 3 nodes>
    """

    def __init__(self, graph: Any) -> None:
        if isinstance(graph, Mapping):
            self.record: Record = compact(graph)
        elif hasattr(graph, "_compact_record"):
            self.record = graph._compact_record()
        else:
            raise ArgumentError(
                f"GraphView: got a {type(graph).__name__}. It must be a Graph or a graph's record."
            )
        self.id = _drawing.view_id(self.record)
        self._bundle: dict[str, str] | None = None

    @functools.cached_property
    def _scene(self) -> _scene.Scene:
        """How it is drawn at first, here and in the page."""
        return _scene.build(self.record)

    @property
    def selected(self) -> list[int]:
        """Ids of the selected nodes, as in the record; the same in all views of one graph."""
        return list(_selections.get(self.id, ()))

    @property
    def selection(self) -> list[str]:
        """The selected nodes: their variable names, or `%n` for those without one."""
        nodes = self.record["nodes"]
        places = {i: nodes.position(i) for i in self.selected}
        return [nodes.word("name", at) or f"%{i}" for i, at in places.items() if at >= 0]

    # -- display ------------------------------------------------------------------------------------

    def bundle(self) -> dict[str, Any]:
        """The MIME bundle: text and static HTML."""
        if self._bundle is None:
            self._bundle = _drawing.mimebundle(self.record, self._scene)
        return dict(self._bundle)

    def attach(self) -> None:
        """Makes the drawing live, here and in every copy of it.

        Where outputs share no page, a widget is displayed.
        """
        attached.attach("graph", self.id, self.receive)
        for gone in [view_id for view_id in _selections if attached.hub_of(view_id) is None]:
            _selections.pop(gone, None)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = self.bundle()
        self.attach()
        return bundle

    def __repr__(self) -> str:
        count = len(self.record["nodes"])
        name = self.record.get("name") or "graph"
        return f"<GraphView {name!r}: {count} node{'s' * (count != 1)}>"

    # -- messages -----------------------------------------------------------------------------------

    def receive(self, hub: Any, content: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Answers a message of the page."""
        kind = content.get("kind")
        if kind == "open":
            state, columns = pack_record(_located(self.record))
            state["has_optimised"] = bool(self.record.get("optimised"))
            scene, places = pack_scene(self._scene)
            content = {"kind": "state", "record": state, "scene": scene}
            hub.send(self.id, content, columns + places)
        elif kind == "select":
            nodes = content.get("nodes")
            if isinstance(nodes, list):
                _selections[self.id] = tuple(n for n in nodes if isinstance(n, int))
        elif kind == "optimised":
            self._send_optimised(hub)
        elif kind == "export":
            name = f"{self.record.get('name') or 'graph'}.html"
            hub.send(self.id, {"kind": "file", "name": name, "text": page(self.record)})

    def _send_optimised(self, hub: Any) -> None:
        found = self.record.get("optimised")
        if not found:
            hub.send(self.id, {"kind": "optimised", "text": "The graph has not run yet."})
            return
        runs, groups = _what_runs(self.record)
        state, columns = pack_record(runs)
        hub.send(self.id, {"kind": "optimised", "record": state, "groups": groups}, columns)

    def mark_stale(self, words: str) -> None:
        """Says on the drawing that inputs were bound anew since; empty words take it back."""
        mark_stale(self.id, words)

    # -- files --------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the drawing to a file.

        Args:
            path: Its ending decides the form: `.html` (interactive, stands alone), `.svg`, `.png`.

        Raises:
            ArgumentError: If the ending is another one, or a PNG is asked for without matplotlib.
            OSError: If the file cannot be written.
        """
        from . import picture

        forms: dict[str, Callable[[Record], bytes]] = {
            ".html": lambda record: page(record).encode(),
            ".svg": lambda record: _graph_svg.svg(record).encode(),
            ".png": picture.png,
        }
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending not in forms:
            raise ArgumentError(
                f"save: {os.fspath(path)!r} ends with {ending!r}. It must be one of "
                f"{', '.join(forms)}."
            )
        Path(path).write_bytes(forms[ending](self.record))


_selections: dict[str, tuple[int, ...]] = {}  # ids of nodes, by view


def show(graph: Any) -> dict[str, Any]:
    """The MIME bundle of a graph with its live half attached; the extension's renderer of graphs."""
    return GraphView(graph)._repr_mimebundle_()


def mark_stale(view_id: str, words: str) -> None:
    """Says on all drawings of a graph that inputs were bound anew; empty words take it back."""
    hub = attached.hub_of(view_id)
    if hub is not None:
        hub.send(view_id, {"kind": "stale", "text": words})


def _located(record: Record) -> Record:
    """The record with cells by their ids, also of code that another cell defined."""
    cells = _cells.sources()
    if not cells:
        return record
    nodes: Nodes = record["nodes"]
    words = list(nodes.words)
    cell, execution = nodes.columns["cell"].copy(), nodes.columns["exec"].copy()
    for name, (cell_id, count) in cells.items():
        here = nodes.where("cell", name)
        if here.any():
            cell[here], execution[here] = len(words), ABSENT if count is None else count
            words.append(cell_id)
    return {**record, "nodes": nodes.replaced(words=words, cell=cell, exec=execution)}


# ---- pages that stand alone ------------------------------------------------------------------------


def page(record: Record) -> str:
    """An HTML page with the interactive drawing; it needs no kernel and no network.

    Where scripts are off, or the package was built without the front end, it shows the static
    drawing.
    """
    title = escape(str(record.get("name") or "graph"))
    root = _drawing.html(record)
    script = ""
    if _hub.BUNDLE.exists():
        data = _inert(json.dumps(_state(record), separators=(",", ":"), default=str))
        inside = f'<script type="application/json" class="flowbook-state">{data}</script></div>'
        root = root.removesuffix("</div>") + inside
        script = f'<script type="module">{_code()}</script>'
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta name="color-scheme" content="light dark"><title>{title}</title></head>'
        f'<body style="font-family:system-ui,sans-serif;margin:24px">{root}{script}</body></html>'
    )


def _state(record: Record) -> dict[str, Any]:
    """What the front end is told at the start, and `more` that it may ask for later."""
    shown = {k: v for k, v in record.items() if k != "optimised"}
    optimised = record.get("optimised")
    if not optimised:
        return {"record": finite(plain(shown))}
    runs, groups = _what_runs(record)
    return {
        "record": {**finite(plain(shown)), "has_optimised": True},
        "more": [{"kind": "optimised", "record": finite(plain(runs)), "groups": groups}],
    }


def _what_runs(record: Record) -> tuple[Record, list[Any]]:
    """The optimised form of a record, as a record, and the groups of nodes that run in one pass."""
    whole = {**record, **record["optimised"]}
    return {k: v for k, v in whole.items() if k not in ("groups", "optimised")}, whole["groups"]


def _inert(text: str) -> str:
    """JSON that cannot end its script element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _code() -> str:
    """The bundle; `</script` can only stand in its strings."""
    code = _hub.BUNDLE.read_text(encoding="utf-8")
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
