"""The kernel's end of all live views: one widget model that is never displayed.

A view in the page is static HTML whose root names the view (`flowbook-view flowbook-kind-graph
flowbook-id-<id>`). The front end (`static/flowbook.js`) finds such roots, asks for their state and
sends back what the user does. Everything travels as custom messages

    {"protocol": 1, "view": <id>, "kind": <what>, ...}

The model's own state is a loader that asks for the front end's code by `{"protocol": 1, "kind":
"code"}`: notebooks that run without a page store that state, and it weighs next to nothing.

never as synced traits: those wedge when a kernel handles a message beside a running cell. Kinds that
one side doesn't know are ignored.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["PROTOCOL", "Hub", "hub", "shares_page"]

PROTOCOL = 1
BUNDLE = Path(__file__).parent / "static" / "flowbook.js"
LOADER = BUNDLE.with_name("loader.js")
_REST = 0.5  # seconds in which several requests for the code get one answer, which all pages hear

Handler = Callable[[dict[str, Any], Sequence[Any]], None]
"""Gets the content of a message and its binary buffers.

It may run on any thread, also while a cell runs: it sets atomics, fills queues, or takes a lock for
a moment. It never touches the user's namespace and never waits.
"""


class Hub:
    """Routes messages between the page and the views that live in this kernel.

    Attributes:
        errors: The last exceptions that handlers raised, as (view id, traceback text).
    """

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.errors: deque[tuple[str, str]] = deque(maxlen=20)
        self._handlers: dict[str, Handler] = {}
        self._code_sent = -math.inf
        route_beside_cells(widget)
        widget.on_msg(self._receive)

    def attach(self, view_id: str, handler: Handler) -> None:
        """Calls `handler` with each message of a view; `{"kind": "open"}` asks for all its state.

        The answer to `open` is `send(view_id, {"kind": "state", ...})`.
        """
        self._handlers[view_id] = handler

    def detach(self, view_id: str) -> None:
        """Forgets a view; its static picture stays in the page."""
        self._handlers.pop(view_id, None)

    def attached(self, view_id: str) -> bool:
        """Whether some handler answers for a view."""
        return view_id in self._handlers

    def send(self, view_id: str, content: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Sends a message to all copies of a view; from any thread.

        The caller sends at most ten messages a second for each view.

        Args:
            view_id: The view.
            content: JSON data with a `kind`.
            buffers: Bytes or arrays, which arrive as binary.
        """
        message = {"protocol": PROTOCOL, "view": view_id, **content}
        self.widget.send(message, buffers=list(buffers) or None)

    def _receive(self, _widget: Any, content: Any, buffers: Sequence[Any]) -> None:
        if not isinstance(content, dict) or content.get("protocol") != PROTOCOL:
            return
        if content.get("kind") == "code":
            self._send_code()
            return
        view_id = content.get("view")
        handler = self._handlers.get(view_id) if isinstance(view_id, str) else None
        if handler is None:
            return
        try:
            handler(content, buffers)
        except Exception as error:  # ipywidgets would swallow it
            self.errors.append((str(view_id), traceback.format_exc()))
            with contextlib.suppress(Exception):
                text = f"{type(error).__name__}: {error}"
                self.send(str(view_id), {"kind": "error", "text": text})

    def _send_code(self) -> None:
        now = time.monotonic()
        if now - self._code_sent >= _REST:
            self._code_sent = now
            code = BUNDLE.read_text(encoding="utf-8")
            self.widget.send({"protocol": PROTOCOL, "kind": "code", "text": code})

    def display(self) -> None:
        """Displays the widget itself, where outputs share no page.

        In an output of its own: a front end that opens the notebook later, and knows the widget no
        more, would show that instead of the static picture if both were in one bundle.
        """
        from IPython.display import display

        display(self.widget)

    def __repr__(self) -> str:
        return "<flowbook hub>"


def route_beside_cells(widget: Any) -> None:
    """Lets a widget's messages be handled while a cell runs.

    JupyterLab asks for that by naming a subshell in each message. ipykernel 7.4 overrides the wish
    with the shell that last published on the comm, which is the one that the cell blocks. Without
    the method that finds that shell, it keeps to the message. Older kernels have no such method.
    """
    comm = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None


def shares_page() -> bool:
    """Whether one page holds all outputs, so that the hub finds the static roots.

    Not so in Colab and VS Code, where each output lives in a frame of its own: views are displayed
    widgets there.
    """
    if "google.colab" in sys.modules:
        return False
    # VS Code names the notebook, and starts kernels without a Jupyter server between.
    own_kernel = "VSCODE_PID" in os.environ and "JPY_SESSION_NAME" not in os.environ
    return not own_kernel and "__vsc_ipynb_file__" not in getattr(_shell(), "user_ns", {})


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


_lock = threading.Lock()
_hub: Hub | None = None


def hub() -> Hub | None:
    """The hub of this kernel, made at the first call; None where views cannot be live.

    That is outside Jupyter kernels, without anywidget, and in a package built without the front end.
    """
    global _hub
    with _lock:
        if _hub is None and getattr(_shell(), "kernel", None) is not None:
            kind = _widget_class()
            if kind is not None:
                _hub = Hub(kind())
        return _hub


def close() -> None:
    """Ends the hub: views in the page keep what they show."""
    global _hub
    with _lock:
        if _hub is not None:
            _hub.widget.close()
            _hub._handlers.clear()
            _hub = None


def displayed(view_id: str, kind: str) -> Hub | None:
    """A hub whose `widget` is displayed itself, for front ends that don't share one page.

    None outside Jupyter kernels, and without anywidget.

    Args:
        view_id: The view.
        kind: Its kind, such as `graph`.
    """
    widget_class = _widget_class() if getattr(_shell(), "kernel", None) is not None else None
    if widget_class is None:
        return None
    widget = widget_class(_flowbook_view=view_id, _flowbook_kind=kind)
    own = Hub(widget)
    widget._flowbook_hub = own  # lives as long as the widget
    return own


@functools.lru_cache(1)
def _widget_class() -> Any:
    """The class of hub models, or None. Imports anywidget, which takes a third of a second."""
    if not BUNDLE.exists():
        return None
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class FlowbookHub(anywidget.AnyWidget):  # type: ignore[misc]
        """Carries the messages of all views, and the loader of the front end."""

        _esm = LOADER.read_text(encoding="utf-8")
        _flowbook_view = traitlets.Unicode("").tag(sync=True)
        _flowbook_kind = traitlets.Unicode("").tag(sync=True)

        def __repr__(self) -> str:
            return "<flowbook hub>"

    return FlowbookHub
