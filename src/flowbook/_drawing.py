"""Shows the record of a graph as HTML with a picture, and as text, for notebooks and for files.

All stands alone: no script, no network, no kernel. The HTML shows the SVG as an image, because that is
what an untrusted or exported notebook keeps, with a table behind it for screen readers and for
copying. Every word from the record is escaped.
"""

from __future__ import annotations

import hashlib
from html import escape
from typing import Any

import numpy as np

from flowbook import _record_notes
from flowbook._boxes import Record
from flowbook._graph_svg import svg
from flowbook._graph_words import ROWS, describe, label_of, text, time_of
from flowbook._nodes import Nodes
from flowbook._palette import ALARM, ALARMED, LEFT, aside
from flowbook._record import compact
from flowbook._scene import Scene, build
from flowbook._tensor_view import histogram_image
from flowbook._words import human_bytes, image, shorten


def view_id(record: Record) -> str:
    """A short name of what a record shows; figures that change from run to run don't count."""
    nodes = Nodes.of(record["nodes"])
    digest = hashlib.sha256(repr((record.get("name"), record.get("outputs"))).encode())
    digest.update("\0".join(nodes.words).encode())
    for field in _SHOWN:
        digest.update(nodes.columns[field].tobytes())
    return digest.hexdigest()[:12]


_VALUED_ROWS = 30  # nodes that are listed where each has a histogram

_SHOWN = (
    "id", "op", "name", "start", "inputs", "spec", "kind", "scope", "line", "failed", "forward_of",
)  # fmt: skip


def _table(record: Record) -> str:
    """The nodes as rows, for reading without the picture."""
    nodes = Nodes.of(record["nodes"])
    timed = bool(np.any(nodes.columns["time_us"] > 0))
    seen = any(fields.get("values") for fields in nodes.more.values())
    named = ["op", "name", "inputs", "spec"]
    counted = ["memory", "line", *(["time"] if timed else [])]
    rows, most = [], _VALUED_ROWS if seen else ROWS
    for node in nodes[:most]:
        inputs = ", ".join(label_of(nodes, j) for j in node["inputs"])
        number = f"%{node['id']}" if node["id"] >= 0 else ""
        words = [node["op"], node.get("name") or "", shorten(inputs, 40)]
        words.append(shorten(node.get("spec") or "", 80))
        numbers = ["" if node.get("bytes") is None else human_bytes(node["bytes"])]
        numbers.append(str(node.get("line") or ""))
        if timed:
            numbers.append(time_of(node))
        shown = f"<td>{number}</td>"
        shown += "".join(f"<td{LEFT}>{escape(c)}</td>" if c else "<td></td>" for c in words)
        shown += "".join(f"<td>{escape(c)}</td>" for c in numbers)
        rows.append(f"<tr>{shown}{_values(node) if seen else ''}</tr>")
    head = "<th></th>" + "".join(f"<th{LEFT}>{c}</th>" for c in named)
    head += "".join(f"<th>{c}</th>" for c in counted)
    head += f"<th{LEFT}>values</th>" if seen else ""
    more = f"<p>and {len(nodes) - most:,} more</p>" if len(nodes) > most else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<table style="font-size:12px">{body}</table>{more}'


def _values(node: Record) -> str:
    """The cell of a table that tells a value's statistics."""
    stats = node.get("values")
    if not stats or "counts" not in stats:
        return "<td></td>"
    words = []
    if stats["count"] > stats["nan"] + stats["inf"]:
        words.append(f"{stats['low']:.4g} … {stats['high']:.4g}, mean {stats['mean']:.4g}")
    words += [f"{stats[k]:,} {w}" for k, w in (("nan", "NaN"), ("inf", "Inf")) if stats[k]]
    red = f' style="{ALARMED}"' if stats["nan"] or stats["inf"] else ""
    return f"<td{red}>{histogram_image(stats['counts'])} {escape(', '.join(words))}</td>"


def html(record: Record, scene: Scene | None = None, **options: Any) -> str:
    """Draws a graph record as HTML that a saved, untrusted or exported notebook still shows.

    Args:
        record: The graph, as `Graph.record()` describes it.
        scene: Its arrangement, if it was made already.
        **options: Passed on to `flowbook._scene.build`.
    """
    record = compact(record)
    scene = scene or build(record, **options)
    picture = image(svg(record, scene))
    count = len(record["nodes"])
    outputs = len(record.get("outputs", ()))
    summary = (
        f"{count:,} node{'s' * (count != 1)}, {outputs} output{'s' * (outputs != 1)} as a table"
    )
    wide = scene.width > 1100
    fit = "" if wide else "max-width:100%;"
    return (
        f'<div class="flowbook-view flowbook-kind-graph flowbook-id-{view_id(record)}">'
        f"{_error(record)}{_record_notes.above(record)}"
        f'<div style="overflow:auto;max-height:760px"><img src="{picture}" '
        f'alt="{escape(describe(record))}" style="{fit}height:auto"></div>'
        f'<details style="margin-top:4px"><summary style="cursor:pointer;font-size:12px">'
        f"{summary}</summary>"
        f'<div style="overflow:auto;max-height:420px">{_table(record)}</div></details>'
        f"{_record_notes.below(record)}</div>"
    )


def _error(record: Record) -> str:
    """What went wrong, where, and with which variables, above the partial graph."""
    error = record.get("error")
    if not error:
        return ""
    out = [f'<div style="{aside(ALARM)}">']
    out.append(f"<div><b>{escape(str(error['type']))}</b> {escape(str(error['message']))}</div>")
    if error.get("source"):
        where = f"line {error['line']}: " if error.get("line") else ""
        out.append(f"<div>{where}<code>{escape(str(error['source']))}</code></div>")
    if error.get("names"):
        rows = "".join(
            f"<tr><td><code>{escape(n)}</code></td><td><code>{escape(s)}</code></td></tr>"
            for n, s in error["names"]
        )
        out.append(f'<table style="font-size:12px;margin:4px 0"><tbody>{rows}</tbody></table>')
    out.append("</div>")
    return "".join(out)


def mimebundle(record: Record, scene: Scene | None = None, **options: Any) -> dict[str, str]:
    """All static forms of a graph record, for `_repr_mimebundle_`; arguments as those of `html`."""
    record = compact(record)
    return {"text/plain": text(record), "text/html": html(record, scene, **options)}


def page(record: Record, **options: Any) -> str:
    """Draws a graph record as an HTML page of its own.

    Args:
        record: The graph, as `Graph.record()` describes it.
        **options: Passed on to `flowbook._scene.build`.
    """
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" '
        f'content="light dark"><title>{escape(str(record.get("name") or "graph"))}</title></head>'
        '<body style="font-family:system-ui,sans-serif;margin:24px">'
        f"{html(record, **options)}</body></html>"
    )
