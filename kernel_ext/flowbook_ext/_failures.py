"""What is shown below a failed cell: the graph up to the failing node, and who holds the memory."""

from __future__ import annotations

from typing import Any

from IPython.display import display

import flowbook as fb
from flowbook import _failed_record
from flowbook._cell import CellInfo
from flowbook._memory_needs import device_of
from flowbook._memory_view import MemoryView

from . import _notebook
from .views.graph import GraphView
from .views.memory import take

# Errors of ops about the tensors that they were given.
_REFUSALS = (fb.ShapeError, fb.DTypeError, fb.GradientError, fb.AxisError)


def explain(shell: Any, error: BaseException, cell: CellInfo | None = None) -> None:
    """Shows what there is to say of an error that ended a cell."""
    if isinstance(error, fb.FlowbookError):
        # In a terminal the traceback says all that an eager op's picture would.
        eager = isinstance(error, _REFUSALS) and hasattr(shell, "kernel")
        _draw(error, cell, eager)
    if isinstance(error, fb.OutOfMemoryError):
        _tell_memory(shell, error)


def _draw(error: fb.FlowbookError, cell: CellInfo | None, eager: bool) -> None:
    """The part of a graph that was recorded before an error, where the error brings it along.

    Of an eager op, what it was given, and what a tape had recorded before.
    """
    try:
        if hasattr(error, "record"):  # None: it is shown already
            record = error.record() if error.record is not None else None
        else:
            record = _failed_record.of_eager(error, cell) if eager else None
        if record is not None:
            display(GraphView(_told(record, error)))
    except Exception as failed:  # an explanation must not hide the error that it explains
        print(f"(the graph so far cannot be shown: {type(failed).__name__}: {failed})")


def _told(record: dict[str, Any], error: BaseException) -> dict[str, Any]:
    """The record of a partial graph with the error that ended it."""
    return {**record, "error": told(error, failed_line(record))}


def failed_line(record: dict[str, Any]) -> int:
    """The line of the node that failed; 0 if there is none, or it knows no line."""
    return next((n["line"] or 0 for n in record["nodes"] if n["failed"]), 0)


def told(
    error: BaseException, line: int, source: str = "", names: list[tuple[str, str]] | None = None
) -> dict[str, Any]:
    """An error as the drawing of a graph tells it.

    Args:
        error: The error.
        line: Line of the cell or file.
        source: Its text.
        names: Variables on the line, with their specs.
    """
    message = str(error).partition("\n")[0]
    if source:  # it stands below
        message = message.removesuffix(f" At line {line}: {source.strip()}")
    return {
        "type": type(error).__name__, "message": message, "line": line, "source": source,
        "names": names or [],
    }  # fmt: skip


def _tell_memory(shell: Any, error: BaseException) -> None:
    """After an OutOfMemoryError: who holds the memory, once the failed frames let go of theirs."""
    try:
        _notebook.free_tracebacks(shell)
        device = fb.devices()[device_of(str(error))]
        display(MemoryView(take(shell, str(device))))
    except Exception as failed:  # an explanation must not hide the error that it explains
        print(f"%memory could not look: {failed}")
