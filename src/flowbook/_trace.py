"""Tracing: running Python code while a graph records, and what becomes of its results."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import _core
from ._tree import flatten, leaves_of
from .errors import ArgumentError, FlowbookError, GraphError, ShapeError

_LIBRARY = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True)
class CellInfo:
    """The notebook cell that is being traced.

    Attributes:
        cell_id: The front end's id of the cell, for links to it.
        execution_count: The n of In [n].
        filename: File name under which the cell's code is compiled.
        first_line: Line of the file at which the cell's text begins.
    """

    cell_id: str
    execution_count: int
    filename: str
    first_line: int = 1


class Trace:
    """Records the ops of a `with` block as a graph.

    Args:
        name: Name of the graph, for messages and drawings.
        cell: The notebook cell, if there is one.
        shapes: Symbolic sizes by variable name, such as `{"x": "batch 784"}`.
        device: Device of the run; None for the inputs' own.
    """

    def __init__(
        self,
        name: str = "",
        cell: CellInfo | None = None,
        shapes: Mapping[str, str] | None = None,
        device: str | None = None,
    ) -> None:
        self.name, self.cell, self.device = name, cell, device
        self.shapes = dict(shapes or {})
        self.graph = _core.Graph(True, name)
        cells = {cell.filename: (cell.cell_id, cell.execution_count)} if cell else {}
        # A run's thread begins in `threading`, which is no place of the user's either.
        self.graph.locate_frames([_LIBRARY, threading.__file__], cells)
        self.seconds = 0.0
        self.examples: dict[int, Any] = {}  # value of a symbolic input -> the tensor it stands for
        self._recorder: Any = None
        self._start = 0.0

    def __enter__(self) -> Trace:
        self._recorder = _core.Recorder(self.graph)
        self._recorder.begin()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.end()

    def symbols(self, namespace: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs with symbolic sizes, for the names in `shapes`, in place of their tensors."""
        found = {}
        for name, dims in self.shapes.items():
            if name not in namespace:
                raise ArgumentError(f"--shapes: there is no variable `{name}`. Define it first.")
            tensor = _as_tensor(namespace[name])
            spec = symbolic_spec(name, tensor, dims)
            symbol = self.graph.input_spec(spec, name)
            self.examples[_core.symbol_id(symbol)] = tensor
            found[name] = symbol
        return found

    def name_captures(self, namespace: Mapping[str, Any]) -> None:
        """Gives captured tensors the names (`x`, `params['w']`) under which the user knows them."""
        captures = set(self.graph.captures)
        for path, leaf in _named_tensors(namespace):
            value = self.graph.find(leaf)
            if value in captures and not self.graph.value_name(value):
                self.graph.set_name(value, path)
        for path, variable in _named_variables(namespace):
            for value in self.graph.values_of(variable):
                if path.endswith(self.graph.value_name(value)):  # `weight` is which weight?
                    self.graph.set_name(value, path)
        taken = {self.graph.value_name(v) for v in captures}
        number = 0
        for value in self.graph.captures:
            if not self.graph.value_name(value):
                while f"capture_{number}" in taken:
                    number += 1
                self.graph.set_name(value, f"capture_{number}")
                number += 1

    def name_symbols(self, outputs: Mapping[str, Any]) -> None:
        """Gives values the names of the variables that they were assigned to."""
        for name, value in outputs.items():
            leaves = leaves_of(value)
            for i, leaf in enumerate(leaves):
                v = symbol_in(self.graph, leaf)
                if v is not None and not self.graph.value_name(v):
                    self.graph.set_name(v, name if len(leaves) == 1 else f"{name}[{i}]")

    def finish(self, outputs: Mapping[str, Any], namespace: Mapping[str, Any] | None = None) -> Any:
        """The finished graph.

        Args:
            outputs: What the traced code has assigned, by name; symbols may be nested in lists,
                tuples and dicts, other objects are bound as they are.
            namespace: Names of the tensors that the code used, for its inputs.
        """
        from ._graph import Graph

        self.name_captures(namespace or {})
        self.name_symbols(outputs)
        graph = Graph(self.graph, dict(outputs), examples=self.examples, cell=self.cell)
        graph.stats["trace_ms"] = self.seconds * 1e3
        return graph

    def abort(self) -> None:
        """Gives the recording up; nothing it recorded takes effect."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.end()

    def partial_record(
        self, failed: BaseException, namespace: Mapping[str, Any] | None = None
    ) -> Any:
        """The record of what was traced before `failed` was raised, with the failing op as a node.

        Args:
            failed: The error.
            namespace: Names of the tensors and symbols that the code knew, for the nodes.
        """
        from ._errors import take_failure
        from ._record import plain, record_of

        self.name_captures(namespace or {})
        self.name_symbols(namespace or {})
        record = plain(record_of(self.graph, self.name))
        nodes = record["nodes"]
        failure = take_failure(self.graph)
        ran = node_of_error(failed)
        if ran is not None and ran < len(nodes):  # recorded well, failed when it ran
            nodes[ran]["failed"] = True
            return record
        graph, value = getattr(failed, "value", (None, -1))
        if graph is not None and graph() is self.graph:  # a symbol was used as if it had a value
            nodes[self.graph.value(value)["node"]]["failed"] = True
            return record
        op, colon, _ = str(failed).partition(":")  # messages begin with the op's name
        if isinstance(failed, FlowbookError) and colon and op.isidentifier():
            own = {"line": _error_line(failed, self.cell), "scope": self.graph.scope}
            if failure is not None and failure.op == op:
                inputs = self._inputs_of_failure(failure, nodes)
            else:
                inputs = _failed_inputs(self.graph, failed, namespace or {})
            nodes.append(self._pseudo(nodes, op, "op", inputs=inputs, failed=True, **own))
        return record

    def _inputs_of_failure(self, failure: Any, nodes: list[dict[str, Any]]) -> list[int]:
        """Nodes of what a refused op was given; what the graph had not met yet is added."""
        inputs = []
        added: dict[tuple[str, str], int] = {}
        for given in failure.inputs:
            if given.value >= 0:
                inputs.append(self.graph.value(given.value)["node"])
                continue
            key = (given.name, given.spec)
            if key not in added:
                kind = "variable" if given.variable else "capture"
                node = self._pseudo(nodes, kind, kind, name=given.name or None, spec=given.spec)
                nodes.append(node)
                added[key] = node["id"]
            inputs.append(added[key])
        return inputs

    def _pseudo(
        self, nodes: list[dict[str, Any]], op: str, kind: str, **more: Any
    ) -> dict[str, Any]:
        """A node that was not recorded, for the drawing only; its number is negative."""
        spec = more.get("spec", "")
        return {
            "id": -1 - len(nodes), "op": op, "family": "", "attrs": {}, "name": None, "inputs": [],
            "spec": spec, "shape": [], "dtype": spec.partition("[")[0], "bytes": 0, "kind": kind,
            "scope": "", "cell": self.cell.cell_id if self.cell else None,
            "exec": self.cell.execution_count if self.cell else None, "line": None,
            "time_us": None, "failed": False, "forward_of": None, **more,
        }  # fmt: skip


def symbol_in(graph: Any, value: Any) -> int | None:
    """The value of `graph` that a symbol stands for; None if it is no symbol of this graph."""
    if isinstance(value, _core.Tensor) and _core.graph_of(value) is graph:
        v: int = _core.symbol_id(value)
        return v
    return None


def symbolic_spec(name: str, tensor: Any, dims: str | Iterable[Any]) -> str:
    """`"f32[batch, 784]"` from a tensor and `"batch 784"`; known sizes must agree."""
    parts = dims.replace(",", " ").split() if isinstance(dims, str) else [str(d) for d in dims]
    shape = tuple(tensor.shape)
    if len(parts) != len(shape):
        raise ShapeError(
            f"shapes: {name} has {len(shape)} axes, {shape}, but `{' '.join(parts)}` names "
            f"{len(parts)}. Name one size per axis."
        )
    for part, size in zip(parts, shape, strict=True):
        if part.isdigit() and int(part) != size:
            raise ShapeError(f"shapes: {name} has shape {shape}, which is not `{' '.join(parts)}`.")
    return f"{_core.describe(tensor).partition('[')[0]}[{', '.join(parts)}]"


def _as_tensor(value: Any) -> Any:
    if isinstance(value, _core.Tensor):
        return value
    import flowbook

    return flowbook.asarray(value)


def _named_tensors(namespace: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Tensors that a namespace holds directly or one container deep, with their names."""
    for name, value in list(namespace.items()):
        if name.startswith("_"):
            continue
        if isinstance(value, _core.Tensor):
            yield name, value
        elif isinstance(value, dict):
            for key, item in list(value.items())[:256]:
                if isinstance(item, _core.Tensor):
                    yield f"{name}[{key!r}]", item
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value[:256]):
                if isinstance(item, _core.Tensor):
                    yield f"{name}[{i}]", item


def _named_variables(namespace: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The Variables of a namespace's models and optimizers, with their paths."""
    from ._state import Stateful, named_variables

    for name, value in list(namespace.items()):
        if isinstance(value, Stateful) and not name.startswith("_"):
            for path, variable in named_variables(value).items():
                yield f"{name}.{path}", variable


def node_of_error(error: BaseException) -> int | None:
    """The node at which a run failed; None where recording failed."""
    found = re.search(r"\(node (\d+) of the graph\)", str(error))
    return int(found[1]) if found and isinstance(error, FlowbookError) else None


def _error_line(error: BaseException, cell: CellInfo | None) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if cell and trace.tb_frame.f_code.co_filename == cell.filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _failed_inputs(graph: Any, error: BaseException, namespace: Mapping[str, Any]) -> list[int]:
    """Nodes of the variables that the error's message names, as in `h is f32[2, 4]`."""
    nodes = []
    for name in dict.fromkeys(re.findall(r"([\w.\[\]']+) is \w+\[", str(error))):
        value = namespace.get(name)
        if isinstance(value, (_core.Tensor, _core.Variable)):
            v = graph.find(value)
            if v >= 0:
                nodes.append(graph.value(v)["node"])
    return nodes


def check_escaped(values: Any, what: str) -> None:
    """GraphError if a structure holds a symbol, which has no value outside its graph."""
    leaves: list[Any] = []
    flatten(values, leaves)
    for leaf in leaves:
        if isinstance(leaf, _core.Tensor) and _core.graph_of(leaf) is not None:
            raise GraphError(f"{what}: {_core.describe(leaf)} is symbolic; it has no value here.")
