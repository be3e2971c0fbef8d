"""Tracebacks that show the user's frames only, and that point into the cell as it was written."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import flowbook

from ._cells import Cell

_OWN = (str(Path(flowbook.__file__).parent), str(Path(__file__).parent))


def trim(trace: TracebackType | None) -> TracebackType | None:
    """The frames of the user's code; what lies above, between and below them in here is left out."""
    kept: list[TracebackType] = []
    while trace is not None:
        kept.append(trace)
        trace = trace.tb_next
    users = [entry for entry in kept if not _own(entry)]
    result: TracebackType | None = None
    for entry in reversed(users or kept[-1:]):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result


def _own(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith(_OWN)


def point_into_cell(shell: Any, error: BaseException) -> None:
    """Makes IPython show an error with the user's frames only."""
    trace = trim(error.__traceback__)
    if isinstance(error, flowbook.FlowbookError):
        error.__suppress_context__ = True  # what the library caught inside is no news to the user

    def render() -> list[str]:
        shown: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, trace)
        return shown

    try:
        error._render_traceback_ = render  # type: ignore[attr-defined]
    except AttributeError:  # an exception with slots keeps its ordinary traceback
        pass


def show_users_frames(shell: Any) -> None:
    """From now on the library's errors show the frames of the user's code only.

    `%xmode Verbose` shows all; an InternalError always does, since it is a bug of the library.
    """

    def render(self: BaseException) -> list[str]:
        tb = shell.InteractiveTB
        full = tb.mode == "Verbose" or isinstance(self, flowbook.InternalError)
        trace = self.__traceback__ if full else trim(self.__traceback__)
        quiet = self.__suppress_context__
        if not full and isinstance(self.__cause__, flowbook.FlowbookError):
            self.__suppress_context__, cause, self.__cause__ = True, self.__cause__, None
        else:
            cause = self.__cause__
        try:
            shown: list[str] = tb.structured_traceback(type(self), self, trace)
            return shown
        finally:
            self.__cause__ = cause
            self.__suppress_context__ = quiet

    flowbook.FlowbookError._render_traceback_ = render


def show_all_frames() -> None:
    """Takes back `show_users_frames`."""
    if "_render_traceback_" in vars(flowbook.FlowbookError):
        del flowbook.FlowbookError._render_traceback_


def raise_at(cell: Cell, line: int, error: BaseException) -> None:
    """Gives an error of the native run a traceback that ends at a line of the cell."""
    if line < cell.first_line:
        return
    code = compile("\n" * (line - 1) + "raise error", cell.filename, "exec")
    error.__traceback__ = None
    with contextlib.suppress(type(error)):
        exec(code, {"error": error})


def place(cell: Cell, error: BaseException) -> tuple[int, FrameType | None]:
    """The cell's line at which an error happened, innermost first, and its frame; 0 if none."""
    line, frame = 0, None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == cell.filename:
            if trace.tb_lineno >= cell.first_line:
                line, frame = trace.tb_lineno, trace.tb_frame
        trace = trace.tb_next
    return line, frame


def syntax_error(shell: Any, cell: Cell, error: SyntaxError) -> Exception:
    """An exception that shows a syntax error as IPython does, but as a failure of the cell."""

    def render(self: Exception) -> list[str]:
        shown: list[str] = shell.SyntaxTB.structured_traceback(type(error), error, [])
        return shown

    kind = type("SyntaxError", (Exception,), {"_render_traceback_": render})
    return kind(str(error))  # type: ignore[no-any-return]
