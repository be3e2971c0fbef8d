"""Tracing: running Python code while a graph records, and what becomes of its results."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from . import _core
from ._cell import CellInfo
from ._creation import asarray
from ._graph import Graph
from ._symbols import symbol_in, symbolic_spec
from ._tree import leaves_of
from .errors import ArgumentError

_LIBRARY = os.path.dirname(os.path.abspath(__file__)) + os.sep


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
                raise ArgumentError(f"shapes: there is no variable `{name}`. Define it first.")
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

    def finish(
        self, outputs: Mapping[str, Any], namespace: Mapping[str, Any] | None = None
    ) -> Graph:
        """The finished graph.

        Args:
            outputs: What the traced code has assigned, by name; symbols may be nested in lists,
                tuples and dicts, other objects are bound as they are.
            namespace: Names of the tensors that the code used, for its inputs.
        """
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
    ) -> dict[str, Any]:
        """The record of what was traced before `failed` was raised, with the failing op as a node.

        Args:
            failed: The error.
            namespace: Names of the tensors and symbols that the code knew, for the nodes.
        """
        from . import _failed_record

        known = namespace or {}
        self.name_captures(known)
        self.name_symbols(known)
        return _failed_record.of_recording(self.graph, self.name, self.cell, failed, known)


def _as_tensor(value: Any) -> Any:
    if isinstance(value, _core.Tensor):
        return value
    return asarray(value)


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
