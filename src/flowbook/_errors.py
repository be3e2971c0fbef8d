"""Names in error messages: which variables of the caller the arguments of a failed op were.

Everything here runs on the error path only; a message must never fail, so each step falls back to
the text that the native core gave.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from . import _core
from ._frames import local_names, source_line, user_frame
from ._memory_needs import add_holders
from .errors import (  # noqa: F401
    ArgumentError,
    AxisError,
    CancelledError,
    DataError,
    DeviceError,
    DTypeError,
    FeedError,
    FlowbookError,
    GradientError,
    GraphError,
    IndexOutOfRange,
    InternalError,
    LoadError,
    MissingKernelError,
    OutOfMemoryError,
    ShapeError,
)


def _names_in(frame: FrameType) -> dict[int, str]:
    """Names of the caller's tensors and arrays by identity; locals first, then globals, attributes."""
    names: dict[int, str] = {}
    kinds = (_core.Tensor, _core.Variable, np.ndarray)
    scopes = [local_names(frame), frame.f_globals]
    for scope in scopes:
        for name, value in list(scope.items()):
            if isinstance(value, kinds) and not name.startswith("_"):
                names.setdefault(id(value), name)
    for name in frame.f_code.co_names:  # self.weight, model.head.bias: one attribute deep
        owner: Any = None
        for scope in scopes:
            owner = scope.get("self") if owner is None else owner
        inner = getattr(owner, "__dict__", {}) if owner is not None else {}
        value = inner.get(name)
        if isinstance(value, kinds):
            names.setdefault(id(value), f"self.{name}")
    return names


def caller_names() -> dict[int, str]:
    """Names of the tensors of the user's innermost frame, by identity."""
    frame = user_frame()
    return {} if frame is None else _names_in(frame)


class FailedInput(NamedTuple):
    """An argument of an op that was refused."""

    name: str
    spec: str
    value: int  # its number in the graph; -1 if the graph does not know it
    variable: bool


class Failure(NamedTuple):
    """The op that was refused last, for the drawing of the part that was recorded."""

    op: str
    graph: weakref.ref[Any] | None  # a program's or a tape's; None where nothing recorded
    inputs: list[FailedInput]


_failure: Failure | None = None


def note_failure(
    op: str, values: Sequence[Any], names: Mapping[int, str], tape: Any = None
) -> None:
    """Remembers what a refused op was given; descriptions only, so that nothing is kept alive.

    Args:
        op: Its name.
        values: Its arguments.
        names: The caller's names of tensors, by identity.
        tape: The graph of the tape that the op is about, if it records no longer.
    """
    global _failure
    from ._state import spec_text  # late: it needs the whole library

    graph = _core.current_program() or tape or _core.current_graph()
    inputs = [
        FailedInput(
            names.get(id(v), ""),
            spec_text(v) if isinstance(v, np.ndarray) else v.spec,
            -1 if graph is None or isinstance(v, np.ndarray) else int(graph.find(v)),
            isinstance(v, _core.Variable),
        )
        for v in values
        if isinstance(v, (_core.Tensor, _core.Variable, np.ndarray))
    ]
    _failure = Failure(op, None if graph is None else weakref.ref(graph), inputs)


def take_failure(graph: Any) -> Failure | None:
    """What `note_failure` has remembered for a graph; forgotten then."""
    failure = _taken()
    known = failure is not None and failure.graph is not None and failure.graph() is graph
    return failure if known else None


def take_eager_failure(op: str) -> tuple[Failure, Any] | None:
    """What `note_failure` has remembered of an eager op, and its tape's graph; forgotten then."""
    failure = _taken()
    if failure is None or failure.op != op or not failure.inputs:
        return None
    graph = failure.graph() if failure.graph is not None else None
    if graph is None:
        unknown = [given._replace(value=-1) for given in failure.inputs]
        return failure._replace(inputs=unknown), None
    return None if graph.symbolic else (failure, graph)


def _taken() -> Failure | None:
    global _failure
    failure, _failure = _failure, None
    return failure


def explain(op: str, text: str, inputs: list[str], values: list[Any]) -> str:
    """The text of an error in `op`, with the caller's names in place of the op's own.

    The native text says `x is f32[2, 3]` with the names of the record; where the caller's frame
    knows the argument as `batch`, it becomes `batch is f32[2, 3]`. A text that shows no spec at all
    gets them at the end of its first sentence.
    """
    frame = user_frame()
    if frame is None:
        return text
    known = _names_in(frame)
    note_failure(op, values, known)
    head, colon, body = text.partition(": ")
    if not colon:
        head, body = "", text
    labels = [_label(inputs, i, len(values)) for i in range(len(values))]
    called = [known.get(id(value)) or _literal(value) for value in values]
    others = {
        label: name for label, name in zip(labels, called) if name and label and label != name
    }
    body = renamed(body, others)
    specs = [
        f"{known.get(id(value), label)} is {value.spec}"
        for label, value in zip(labels, values)
        if isinstance(value, (_core.Tensor, _core.Variable)) and label
    ]
    for i, value in enumerate(values if len(inputs) == 1 and len(values) > 1 else ()):
        if id(value) in known:  # what variadic ops call `tensor 0`
            body = re.sub(rf"\btensor {i}\b", known[id(value)], body)
    about_call = "argument" in body.partition(". ")[0]
    if (
        0 < len(specs) <= 4
        and not about_call
        and not any(s.rpartition(" is ")[2] in body for s in specs)
    ):
        first, dot, rest = body.partition(". ")
        body = f"{first}: {', '.join(dict.fromkeys(specs))}{dot or '.'}{rest}"
    return f"{head}: {body}" if colon else body


_LITERAL = 24  # characters of a number in a message


def _literal(value: Any) -> str:
    """A Python number as it is written; "" for anything else."""
    words = repr(value) if type(value) in (bool, int, float, complex) else ""
    return words if len(words) <= _LITERAL else ""


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A message with other names for what it tells the specs of, as in `x is f32[2, 3]`."""
    if not names:
        return text
    pattern = "|".join(re.escape(k) for k in sorted(names, key=len, reverse=True))
    return re.sub(
        rf"(?<![\w.`\[])(?:`({pattern})`|({pattern})(?=:? (?:is\b|has\b|of\b|[iufbc]+\d+\[)))",
        lambda m: f"`{names[m.group(1)]}`" if m.group(1) else names[m.group(2)],
        text,
    )


def _label(inputs: list[str], i: int, count: int) -> str:
    """What the record calls argument `i` of `count`."""
    if len(inputs) == 1 and count > 1:
        return f"{inputs[0]}[{i}]"
    return inputs[i] if i < len(inputs) else ""


def no_value(x: Any, what: str, instead: str) -> Exception:
    """The GraphError for a symbol used where a value is needed, with the line and the way out.

    Args:
        x: The symbol.
        what: What was asked of it, such as "`if` needs a value".
        instead: What to do.
    """
    frame = user_frame()
    _, line, source = source_line(frame)
    at = f" At line {line}: {source}" if line and source else f" At line {line}." if line else ""
    error = GraphError(
        f"{_core.describe(x)} is a symbol of a graph: {what}, and it has a value only when the graph "
        f"runs. {instead}{at}"
    )
    vars(error)["value"] = (
        weakref.ref(_core.graph_of(x)),
        _core.symbol_id(x),
    )  # where the drawing marks it
    return error


_core.set_error_hook(explain)
_core.set_memory_hook(add_holders)
