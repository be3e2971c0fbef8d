"""Records of graphs that failed while they were recorded or when they ran: the failing node is marked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import _core
from ._cell import CellInfo
from ._errors import Failure, renamed, take_eager_failure, take_failure
from ._record import plain, record_of
from ._words import shorten
from .errors import FlowbookError


def of_run(graph: Any, name: str, outputs: list[tuple[str, int]], text: str) -> dict[str, Any]:
    """The record of a whole graph, with the node marked at which planning or running has failed.

    Args:
        graph: The native graph.
        name: Its name.
        outputs: Named results, as (name, value number).
        text: The error's message.
    """
    record = plain(record_of(graph, name, outputs))
    failed = _failed_node(record["nodes"], text)
    if failed is not None:
        failed["failed"] = True
    return record


def _failed_node(nodes: list[dict[str, Any]], text: str) -> dict[str, Any] | None:
    """The node that a message of planning or running is about."""
    ran = _ran(text)
    line = re.search(r"\bline (\d+)\)", text)
    op = text.partition(":")[0]
    for node in nodes:
        if ran is not None:
            if node["id"] == ran:
                return node
        elif node["op"] == op and (line is None or node["line"] == int(line[1])):
            return node
    return None


def _ran(text: str) -> int | None:
    """The node that a message of running names."""
    found = re.search(r"\(node (\d+) of the graph\)", text)
    return int(found[1]) if found else None


def named(graph: Any, text: str) -> str:
    """A message of planning with the graph's names in place of the op's own (`x`, `y`)."""
    nodes = plain(record_of(graph))["nodes"]
    node = _failed_node(nodes, text)
    labels: list[str] = []
    if node is not None and hasattr(_core.ops, node["op"]):
        labels = [x["name"] for x in _core.op_record(getattr(_core.ops, node["op"]))["inputs"]]
    by_id = {n["id"]: n["name"] for n in nodes}
    known = {
        label: by_id[i]
        for label, i in zip(labels, node["inputs"] if node else (), strict=False)
        if by_id.get(i) and by_id[i] != label
    }
    return re.sub(r"\. (\((?:In \[\d+\], )?line \d+\))$", r" \1", renamed(text, known))


def of_recording(
    graph: Any,
    name: str,
    cell: CellInfo | None,
    failed: BaseException,
    namespace: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of what was traced before `failed` was raised, with the failing op as a node.

    Args:
        graph: The native graph.
        name: Its name.
        cell: The notebook cell that was traced.
        failed: The error.
        namespace: Names of the tensors and symbols that the code knew.
    """
    record = plain(record_of(graph, name))
    nodes = record["nodes"]
    failure = take_failure(graph)
    ran = _node_of_error(failed)
    if ran is not None and ran < len(nodes):  # recorded well, failed when it ran
        nodes[ran]["failed"] = True
        return record
    owner, value = getattr(failed, "value", (None, -1))
    if owner is not None and owner() is graph:  # a symbol was used as if it had a value
        nodes[graph.value(value)["node"]]["failed"] = True
        return record
    op = _blamed(failed)
    if isinstance(failed, FlowbookError) and op:
        if failure is not None and failure.op == op:
            inputs = _inputs_of_failure(graph, cell, failure, nodes)
        else:
            inputs = _named_inputs(graph, failed, namespace, nodes)
        own = {"line": _error_line(failed, cell), "scope": graph.scope}
        nodes.append(_pseudo(cell, nodes, op, "op", inputs=inputs, failed=True, **own))
    return record


def of_eager(failed: FlowbookError, cell: CellInfo | None) -> dict[str, Any] | None:
    """The record of an eager op that was refused, with what a tape had recorded before it.

    None if the error is not about an op and its tensors.
    """
    found = take_eager_failure(_blamed(failed))
    if found is None:
        return None
    failure, tape = found
    graph = tape if tape is not None else _core.Graph(False, "")
    record = plain(record_of(graph, "tape" if tape is not None else failure.op))
    nodes = record["nodes"]
    inputs = _inputs_of_failure(graph, cell, failure, nodes)
    own = {"line": _error_line(failed, cell), "scope": ""}
    nodes.append(_pseudo(cell, nodes, failure.op, "op", inputs=inputs, failed=True, **own))
    _name_sources(graph, nodes)
    return record


def _name_sources(graph: Any, nodes: list[dict[str, Any]]) -> None:
    """Names what a tape met without a name: numbers by their values, the others by their order."""
    for value in range(graph.value_count()):
        node = nodes[graph.value(value)["node"]]
        if node["kind"] == "capture" and not node["name"] and not node["shape"]:
            number = graph.concrete(value)
            node["name"] = None if number is None else shorten(str(number), 14)
    unnamed = [n for n in nodes if n["kind"] in ("capture", "variable") and not n["name"]]
    for i, node in enumerate(unnamed):
        node["name"] = f"input {i}" if len(unnamed) > 1 else "input"


def _blamed(error: BaseException) -> str:
    """What a message says has failed: `matmul: ...`, "Variable `w`: ..."; "" if nothing."""
    begin = re.match(r"([^\W\d]\w*)(?: `[^`]*`)?:", str(error))
    return begin[1] if begin else ""


def _inputs_of_failure(
    graph: Any, cell: CellInfo | None, failure: Failure, nodes: list[dict[str, Any]]
) -> list[int]:
    """Nodes of what a refused op was given; what the graph had not met yet is added."""
    inputs = []
    added: dict[tuple[str, str], int] = {}
    for given in failure.inputs:
        if given.value >= 0:
            inputs.append(graph.value(given.value)["node"])
            if not graph.symbolic and not nodes[inputs[-1]]["name"]:  # a tape knows no names
                nodes[inputs[-1]]["name"] = given.name or None
            continue
        key = (given.name, given.spec)
        if key not in added:
            kind = "variable" if given.variable else "capture"
            node = _pseudo(cell, nodes, kind, kind, name=given.name or None, spec=given.spec)
            nodes.append(node)
            added[key] = node["id"]
        inputs.append(added[key])
    return inputs


def _pseudo(
    cell: CellInfo | None, nodes: list[dict[str, Any]], op: str, kind: str, **more: Any
) -> dict[str, Any]:
    """A node that was not recorded, for the drawing only; its number is negative."""
    spec = more.get("spec", "")
    known = kind == "op" and hasattr(_core.ops, op)
    family = _core.op_record(getattr(_core.ops, op))["family"] if known else ""
    return {
        "id": -1 - len(nodes), "op": op, "family": family, "attrs": {}, "name": None, "inputs": [],
        "spec": spec, "shape": [], "dtype": spec.partition("[")[0], "bytes": 0, "kind": kind,
        "scope": "", "cell": cell.cell_id if cell else None,
        "exec": cell.execution_count if cell else None, "line": None,
        "time_us": None, "failed": False, "forward_of": None, **more,
    }  # fmt: skip


def _node_of_error(error: BaseException) -> int | None:
    """The node at which a run failed; None where recording failed."""
    return _ran(str(error)) if isinstance(error, FlowbookError) else None


def _error_line(error: BaseException, cell: CellInfo | None) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if cell and trace.tb_frame.f_code.co_filename == cell.filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _named_inputs(
    graph: Any,
    error: BaseException,
    namespace: Mapping[str, Any],
    nodes: list[dict[str, Any]],
) -> list[int]:
    """Nodes of the variables that the error's message names, as in `h is f32[2, 4]`.

    Names inside of the library (`x` of a layer) lead nowhere: then a node is meant which nobody has
    read yet and which is the only one that looks like this.
    """
    found = []
    read = {i for node in nodes for i in node["inputs"]}
    for name, spec in dict.fromkeys(re.findall(r"([\w.\[\]']+) is (\w+\[[^\]]*\])", str(error))):
        value = namespace.get(name)
        if isinstance(value, (_core.Tensor, _core.Variable)):
            v = graph.find(value)
            if v >= 0:
                found.append(graph.value(v)["node"])
        else:
            alike = [n["id"] for n in nodes if n["spec"] == spec and n["id"] not in read]
            found += alike if len(alike) == 1 else []
    return found
