"""Names in error messages: which variables of the caller the arguments of a failed op were.

Everything here runs on the error path only; a message must never fail, so each step falls back to
the text that the native core gave.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
from types import CodeType, FrameType
from typing import Any

from . import _core
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

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_PLAIN = re.compile(r"\b(?:bool|[iu](?:8|16|32|64)|b?f16|f32|f64|c64|c128)\[[^\]]*\]")


def user_frame() -> FrameType | None:
    """The innermost frame outside the library."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def _names_in(frame: FrameType) -> dict[int, str]:
    """Names of the caller's tensors by identity: locals first, then globals, then attributes."""
    names: dict[int, str] = {}
    kinds = (_core.Tensor, _core.Variable)
    scopes = [frame.f_locals]
    if frame.f_globals is not frame.f_locals:
        scopes.append(frame.f_globals)
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


def _spec(value: Any) -> str | None:
    if isinstance(value, (_core.Tensor, _core.Variable)):
        return str(value.spec)
    return None


def explain(op: str, text: str, inputs: list[str], values: list[Any]) -> str:
    """The text of an error in `op`, with the caller's names in place of the op's own.

    The native text says `x is f32[2, 3]` with the names of the record; where the caller's frame
    knows the argument as `batch`, it becomes `batch is f32[2, 3]`. Arguments that the text does not
    name, but whose names are known, are added at the end of the first sentence.
    """
    frame = user_frame()
    if frame is None:
        return text
    known = _names_in(frame)
    where = ""
    head, colon, body = text.partition(": ")
    if not colon:
        head, body = "", text
    renamed: dict[str, str] = {}
    for i, value in enumerate(values):
        name = known.get(id(value))
        if name is None or _spec(value) is None:
            continue
        label = inputs[i] if (i < len(inputs) and len(inputs) > 1) or len(values) == 1 else None
        if len(inputs) == 1 and len(values) > 1:
            label = f"{inputs[0]}[{i}]"
        elif i < len(inputs):
            label = inputs[i]
        if label:
            renamed[label] = name
    if renamed:
        pattern = "|".join(re.escape(k) for k in sorted(renamed, key=len, reverse=True))
        body = re.sub(
            rf"(?<![\w.`])(?:`({pattern})`|({pattern})(?= (?:is|has|of|at|and)\b))",
            lambda m: f"`{renamed[m.group(1)]}`" if m.group(1) else renamed[m.group(2)],
            body,
        )
        missing = [
            f"{known[id(v)]} is {_spec(v)}"
            for v in values
            if id(v) in known and f"{known[id(v)]} is {_spec(v)}" not in body and _spec(v)
        ]
        if missing and not any(n in body for n in renamed.values()):
            first, dot, rest = body.partition(". ")
            body = f"{first} ({', '.join(dict.fromkeys(missing))}){dot or ''}{rest}"
    return f"{head}: {body}{where}" if colon else body


def source_line(frame: FrameType | None) -> tuple[str, int, str]:
    """File, line number and stripped text of the line a frame is at."""
    if frame is None:
        return "", 0, ""
    code: CodeType = frame.f_code
    return (
        code.co_filename,
        frame.f_lineno,
        linecache.getline(code.co_filename, frame.f_lineno).strip(),
    )


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
    return GraphError(
        f"{_core.describe(x)} is a symbol of a graph: {what}, and it has a value only when the graph "
        f"runs. {instead}{at}"
    )


_core.set_error_hook(explain)
