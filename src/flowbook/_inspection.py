"""Looking into a run: statistics of every value, and the first node that made a NaN or infinity.

The numbers are computed natively while the graph runs, each value as soon as it is there: no
intermediate value is kept, and memory stays what the plan says.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from ._palette import ALARM, ALARMED, aside
from ._record import plain
from ._tensor_view import histogram_image
from ._words import shorten

_ROWS = 40  # values that a table lists
_SOURCES = ("input", "capture", "variable", "constant")

# The n of In [n] for the name under which a notebook's cell was compiled, or 0; of the extension.
cell_number: Callable[[str], int] | None = None


@dataclass(frozen=True)
class ValueStats:
    """Statistics of a value; `min` to `std` are those of its finite elements."""

    count: int
    nan: int
    positive_inf: int
    negative_inf: int
    zeros: int
    min: float
    max: float
    mean: float
    std: float
    histogram: tuple[int, ...]

    @property
    def inf(self) -> int:
        """Infinities of both signs."""
        return self.positive_inf + self.negative_inf

    @property
    def finite(self) -> bool:
        """Whether every element is."""
        return not self.nan and not self.inf

    def words(self) -> str:
        """`min -2.1, mean 0.3, max 4, 3 NaN`: what matters in a line."""
        parts = []
        if self.count > self.nan + self.inf:
            if self.count == 1:
                parts.append(f"{self.mean:.4g}")
            else:
                parts.append(f"min {self.min:.4g}, mean {self.mean:.4g}, max {self.max:.4g}")
        parts += [f"{n:,} {word}" for n, word in ((self.nan, "NaN"), (self.inf, "Inf")) if n]
        return ", ".join(parts) or "empty"


@dataclass(frozen=True)
class Culprit:
    """The first node at which something stopped being finite.

    Attributes:
        node: Its number in the record.
        what: "NaN" or "Inf".
        count: How many of its elements.
        text: The finding in a sentence, with the line and the inputs.
        inputs: Names of its inputs and whether each was finite.
        source: What it is if no op made it: "input", "capture", "variable".
    """

    node: int
    what: str
    count: int
    text: str
    inputs: list[tuple[str, bool]]
    source: str | None = None


class Inspection:
    """The values of one run of a graph, as statistics.

    Made by `Graph.inspect` and by `%%graph --inspect`.

    Attributes:
        values: Statistics by number of the value.
        first: The first node that made a NaN (or else an infinity) from finite inputs; None if
            everything is finite. A NaN that came in with an input names that input.
        outputs: Statistics of what a compiled function returns, in order.

    Example:
        >>> with fb.graph() as g:
        ...     x = g.input("x", (3,))
        ...     g.output(y=fb.sum(fb.log(x)))
        >>> g.inspect(x=np.float32([1, -1, 2])).first.text.partition(",")[0]
        'log gave 1 NaN of 3'
    """

    def __init__(
        self,
        core: Any,
        values: Mapping[int, Mapping[str, Any]],
        order: Mapping[int, int],
        record: dict[str, Any],
        *,
        local: bool = False,
        results: Sequence[int] = (),
    ) -> None:
        self.values = {
            v: ValueStats(**{**s, "histogram": tuple(s["histogram"])}) for v, s in values.items()
        }
        self._core = core
        self._order = order
        self.outputs = [self.values[v] for v in results if v in self.values]
        bad = [v for v in results[:1] if v in self.values and not self.values[v].finite]
        self._until = bad[0] if bad else None
        self._local = local  # all nodes come from one place, of which a line number is enough
        self._record = record
        self.first: Culprit | None = None
        self.before: Culprit | None = None
        self._find()

    @classmethod
    def of_run(
        cls,
        core: Any,
        executable: Any,
        seen: Mapping[int, Mapping[str, Any]],
        record: dict[str, Any],
        *,
        local: bool = False,
        results: Sequence[int] = (),
    ) -> Inspection:
        """The statistics that a run has left, by number of the lowered value, in its order."""
        place = {lowered: i for i, lowered in enumerate(seen)}
        known = {v: w for v, w in enumerate(executable.values) if w in seen}
        values = {v: seen[w] for v, w in known.items()}
        order = {v: place[w] for v, w in known.items()}
        return cls(core, values, order, record, local=local, results=results)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the graph with `values` in its nodes."""
        record = {**self._record, "nodes": self._record["nodes"].with_fields(self.node_fields())}
        if self.nonfinite is not None:
            record["nonfinite"] = self.nonfinite
        return plain(record)

    @property
    def nonfinite(self) -> dict[str, Any] | None:
        """The first NaN or infinity as plain data, for records."""
        if self.first is None:
            return None
        return {
            "node": self.first.node, "what": self.first.what, "count": self.first.count,
            "text": self.text_of_first(), "inputs": [list(i) for i in self.first.inputs],
        }  # fmt: skip

    def node_fields(self) -> dict[int, dict[str, Any]]:
        """What the record's nodes say of their values, by node."""
        fields: dict[int, dict[str, Any]] = {
            node: {"values": stats_record(stats)} for node, stats in self._node_stats().items()
        }
        if self.first is not None:
            fields.setdefault(self.first.node, {})["alarm"] = self.first.what
        return fields

    def __getitem__(self, key: Any) -> ValueStats:
        """Statistics of a value, by name (`"h"`), number or node handle."""
        if hasattr(key, "_value"):
            key = key._value
        if isinstance(key, str):
            names = {self._core.value_name(v): v for v in self.values}
            if key not in names:
                from .errors import GraphError

                known = ", ".join(n for n in names if n) or "none"
                raise GraphError(f"inspect: there is no value `{key}`. There are {known}.")
            key = names[key]
        return self.values[key]

    def _node_stats(self) -> dict[int, ValueStats]:
        """Of each node its first output, with the NaNs and infinities of all."""
        found: dict[int, ValueStats] = {}
        for node in self._core.nodes():
            mine = [self.values[v] for v in node["outputs"] if v in self.values]
            if mine:
                found[node["index"]] = replace(
                    mine[0],
                    nan=sum(s.nan for s in mine),
                    positive_inf=sum(s.positive_inf for s in mine),
                    negative_inf=sum(s.negative_inf for s in mine),
                )
        return found

    def _find(self) -> None:
        nodes = self._core.nodes()
        ran = sorted(
            (n for n in nodes if any(v in self.values for v in n["outputs"])),
            key=lambda n: min(self._order[v] for v in n["outputs"] if v in self._order),
        )
        if self._until is not None:  # what follows from a result that is not finite is no cause
            ran = ran[: 1 + next(i for i, n in enumerate(ran) if self._until in n["outputs"])]
        found: dict[str, tuple[Any, list[ValueStats]]] = {}
        for what in ("nan", "inf"):
            for node in ran:
                outputs = [self.values[v] for v in node["outputs"] if v in self.values]
                if not sum(getattr(s, what) for s in outputs):
                    continue
                if what == "inf" and (node["op"] is None or node["op"] in ("full", "where")):
                    continue  # a mask's infinities are meant
                inputs = [self.values[v] for v in node["inputs"] if v in self.values]
                if what == "inf" and any(s.inf or s.nan for s in inputs):
                    continue
                found[what] = (node, outputs)
                break
        if "nan" in found:
            self.first = self._culprit(*found["nan"], "NaN")
            if "inf" in found and found["inf"][0]["index"] != found["nan"][0]["index"]:
                inf = found["inf"][0]
                if any(node["index"] == inf["index"] for node in ran[: ran.index(found["nan"][0])]):
                    self.before = self._culprit(*found["inf"], "Inf")
        elif "inf" in found:
            self.first = self._culprit(*found["inf"], "Inf")

    def _culprit(self, node: dict[str, Any], outputs: list[ValueStats], what: str) -> Culprit:
        count = sum(getattr(s, what.lower()) for s in outputs)
        total = sum(s.count for s in outputs)
        number = node["index"]
        name = self._core.value_name(node["outputs"][0])
        where = self._place(node)
        amount = f"{count:,} {what} of {total:,}"
        if node["op"] is None:
            text = f"{node['source']} {name or f'%{number}'} holds {amount} already"
            return Culprit(number, what, count, text, [], node["source"])
        label = f"{name} = {node['op']}" if name else node["op"]
        inputs, words = [], []
        for v in node["inputs"]:
            stats = self.values.get(v)
            if stats is None:
                continue
            given = self._core.value_name(v) or f"%{self._core.value(v)['node']}"
            inputs.append((given, stats.finite))
            state = "finite" if stats.finite else "not finite"
            words.append(f"{given} is {state} ({stats.words()})")
        told = "; " + ", ".join(dict.fromkeys(words)) if words else ""
        return Culprit(number, what, count, f"{label} gave {amount}{where}{told}", inputs)

    def _place(self, node: dict[str, Any]) -> str:
        """Whose gradient a node belongs to, its layer, and its line."""
        words = ""
        if node["forward"] >= 0:
            line = node["line"]
            node = self._core.node(node["forward"])
            words += f" in the gradient of {node['op'] or node['source']}"
            if self._local:
                node["line"] = line  # of the call for gradients
        if node["scope"]:
            words += f" in {node['scope']}"
        if not node["line"]:
            return words
        if self._local:
            return f"{words}, line {node['line']}"
        number = node["execution"] or (cell_number(node["cell"]) if cell_number else 0)
        file = f"In [{number}]" if number else os.path.basename(node["cell"])
        source = linecache.getline(node["cell"], node["line"]).strip()
        return f"{words}, {file}, line {node['line']}" + (f" `{source}`" if source else "")

    def text_of_first(self) -> str:
        """What went wrong first, in a line or two; empty if everything is finite."""
        if self.first is None:
            return ""
        text = f"first {self.first.what}: {self.first.text}."
        if self.before is not None:
            text += f" Before it, {self.before.text}."
        spread = sum(1 for s in self._node_stats().values() if not s.finite) - 1
        if spread > 0:
            text += f" {spread} other node{'s hold' if spread > 1 else ' holds'} NaN or Inf."
        return text

    def _listed(self) -> tuple[list[tuple[str, str, ValueStats]], str, str]:
        """The rows of a table, and how many there are before and after them.

        They are the first ones, or those around what went wrong first.
        """
        stats = self._node_stats()
        nodes = [
            node
            for node in self._record["nodes"]
            if node["id"] in stats and node.get("kind") != "constant"
        ]
        start = 0
        if self.first is not None:
            at = next((i for i, node in enumerate(nodes) if node["id"] == self.first.node), 0)
            start = at - _ROWS // 2 if at >= _ROWS else 0
        rows = []
        for node in nodes[start : start + _ROWS]:
            label = node["name"] or f"%{node['id']}"
            what = str(node["kind"] if node.get("kind") in _SOURCES else node["op"])
            rows.append((label, what, stats[node["id"]]))
        rest = len(nodes) - start - len(rows)
        return rows, f"{start:,} before" if start else "", f"{rest:,} more" if rest else ""

    def __repr__(self) -> str:
        lines = [f"Inspection of {self._record['name'] or 'graph'}: {len(self.values)} values"]
        if self.first is not None:
            lines.append(self.text_of_first())
        rows, before, after = self._listed()
        width = max((len(shorten(a, 28)) for a, _, _ in rows), default=0)
        wide = max((len(b) for _, b, _ in rows), default=0)
        lines += [f"  ... {before}"] if before else []
        for label, what, stats in rows:
            lines.append(f"  {shorten(label, 28):<{width}}  {what:<{wide}}  {stats.words()}")
        lines += [f"  ... {after}"] if after else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        out = ['<div class="flowbook-view">']
        if self.first is not None:
            out.append(alarm_html(self.text_of_first()))
        cell = "padding:1px 10px 1px 0;text-align:left;border:none"
        rows = []
        listed, before, after = self._listed()
        for label, what, stats in listed:
            red = "" if stats.finite else f";{ALARMED}"
            rows.append(
                f'<tr><td style="{cell}"><code>{escape(label)}</code></td>'
                f'<td style="{cell}">{escape(what)}</td>'
                f'<td style="{cell}">{histogram_image(stats.histogram)}</td>'
                f'<td style="{cell}{red}">{escape(stats.words())}</td></tr>'
            )
        above, below = (
            f'<div style="font-size:12px">… {words}</div>' if words else ""
            for words in (before, after)
        )
        table = f'<table style="font-size:12px"><tbody>{"".join(rows)}</tbody></table>'
        out.append(f"{above}{table}{below}</div>")
        return "".join(out)


def alarm_html(text: str) -> str:
    """A sentence that must not be missed, above a view."""
    return f'<div style="{aside(ALARM)}">{escape(text)}</div>'


def stats_record(stats: ValueStats) -> dict[str, Any]:
    """Statistics as plain data, for records."""
    return {
        "count": stats.count, "nan": stats.nan, "inf": stats.inf, "zeros": stats.zeros,
        "low": stats.min, "high": stats.max, "mean": stats.mean, "std": stats.std,
        "counts": list(stats.histogram),
    }  # fmt: skip
