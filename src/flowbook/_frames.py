"""The frames of the user's code: where the library was called from, and the names there."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from types import CodeType, FrameType
from typing import Any

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def user_frame() -> FrameType | None:
    """The innermost frame outside the library."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def stack_level() -> int:
    """The `stacklevel` at which a warning of the calling function points at the user's line."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def local_names(frame: FrameType) -> dict[str, Any]:
    """A copy of a frame's local names.

    Before Python 3.13 a function's `f_locals` is a copy that the frame keeps: it would hold on to
    what the function deletes later, so it is emptied.
    """
    names = frame.f_locals
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        return dict(names)
    copy = dict(names)
    if type(names) is dict:
        names.clear()
    return copy


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
