"""What IPython itself keeps alive: outputs and the frames of the last error; and how to let go.

A value that a cell has shown stays in `Out[n]`, `_n`, `_`, `__` or `___` after `del`; the locals of
a failed function stay in the last traceback, which several places keep. Nobody sees these, so the
memory views list them apart, and here they are freed.
"""

from __future__ import annotations

import sys
from types import FrameType, TracebackType
from typing import Any

from flowbook._frames import local_names

Roots = list[tuple[str, Any]]


def roots(shell: Any) -> tuple[Roots, Roots]:
    """The user's own names, and what the notebook holds behind the user's back."""
    return user_roots(shell), hidden_roots(shell)


def user_roots(shell: Any) -> Roots:
    """The user's own names."""
    hidden = shell.user_ns_hidden
    return [
        (name, value)
        for name, value in list(shell.user_ns.items())
        if name not in hidden and not name.startswith("_")
    ]


def hidden_roots(shell: Any) -> Roots:
    """Outputs and the locals of failed frames."""
    names = shell.user_ns
    found: Roots = [(f"Out[{n}]", value) for n, value in dict(names.get("_oh", {})).items()]
    found += [(name, names[name]) for name in ("_", "__", "___") if name in names]
    last = getattr(shell, "last_execution_result", None)
    if getattr(last, "result", None) is not None:
        found.append(("result of the last cell", last.result))
    for frame, where in _frames(shell):
        found += [(f"traceback ({where}: {n})", v) for n, v in local_names(frame).items()]
    return found


def _tracebacks(shell: Any) -> list[TracebackType]:
    found = [
        getattr(sys, "last_traceback", None),
        getattr(getattr(sys, "last_value", None), "__traceback__", None),
        getattr(getattr(sys, "last_exc", None), "__traceback__", None),
        getattr(getattr(shell, "InteractiveTB", None), "tb", None),
    ]
    error = _last_error(shell)
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # what it came from keeps frames, too
        seen.add(id(error))
        found.append(error.__traceback__)
        error = error.__cause__ or error.__context__
    return list({id(t): t for t in found if t is not None}.values())


def _last_error(shell: Any) -> BaseException | None:
    result = getattr(shell, "last_execution_result", None)
    error: BaseException | None = getattr(result, "error_in_exec", None)
    return error or getattr(sys, "last_value", None)


def _frames(shell: Any) -> list[tuple[FrameType, str]]:
    """The frames of kept tracebacks, but the namespace of the notebook itself."""
    frames: dict[int, tuple[FrameType, str]] = {}
    for trace in _tracebacks(shell):
        entry: TracebackType | None = trace
        while entry is not None:
            frame = entry.tb_frame
            if _users(frame) and frame.f_locals is not shell.user_ns:
                frames[id(frame)] = (frame, frame.f_code.co_name)
            entry = entry.tb_next
    return list(frames.values())


_MACHINERY = ("IPython", "ipykernel", "flowbook", "flowbook_ext")


def _users(frame: FrameType) -> bool:
    """Whether a frame is of a function outside of the notebook's machinery and of this library."""
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return package not in _MACHINERY and frame.f_code.co_name != "<module>"


def free_outputs(shell: Any) -> None:
    """Drops `Out`, `_`, `__`, `___` and the numbered outputs."""
    _forget_result(shell)
    hook = shell.displayhook
    if hook.do_full_cache:
        hook.flush()
    for name in ("_", "__", "___"):
        setattr(hook, name, "")
        for names in (shell.user_ns, shell.user_ns_hidden):
            if name in names:
                names[name] = ""


def _forget_result(shell: Any) -> None:
    """The last cell's value is kept beside `Out`, until the next cell has ended."""
    last = getattr(shell, "last_execution_result", None)
    if last is not None:
        last.result = None


def free_tracebacks(shell: Any) -> None:
    """Drops the frames of the last error, with all that their locals hold."""
    import traceback

    error = _last_error(shell)
    for trace in _tracebacks(shell):
        traceback.clear_frames(trace)
    for name in ("last_traceback", "last_value", "last_type", "last_exc"):
        if hasattr(sys, name):
            setattr(sys, name, None)
    if getattr(shell, "InteractiveTB", None) is not None:
        shell.InteractiveTB.tb = None
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def free_name(shell: Any, name: str) -> None:
    """Deletes a variable, and the outputs that show the same object.

    Raises:
        KeyError: If there is no such variable.
    """
    value = shell.user_ns.pop(name)
    shell.user_ns_hidden.pop(name, None)
    if getattr(getattr(shell, "last_execution_result", None), "result", None) is value:
        _forget_result(shell)
    outputs = shell.user_ns.get("_oh", {})
    for n in [n for n, shown in outputs.items() if shown is value]:
        del outputs[n]
    for names in (shell.user_ns, shell.user_ns_hidden):  # `_7` is kept in both
        for label in [k for k, v in names.items() if v is value and k.startswith("_")]:
            if label in ("_", "__", "___"):
                names[label] = ""
            else:
                del names[label]
    for label in ("_", "__", "___"):
        if getattr(shell.displayhook, label, None) is value:
            setattr(shell.displayhook, label, "")
