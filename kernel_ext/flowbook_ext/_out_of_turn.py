"""Buttons that work while a blocking `fit` runs on kernels without subshells (ipykernel 6).

There, the messages of the page wait behind the running cell. While the main thread waits for a run, it
looks into the shell's socket: messages for the hub are handled at once, and all others are put into the
kernel's own queue in the order in which they came. Newer kernels handle the hub's messages on a subshell
and don't need this.
"""

from __future__ import annotations

import threading
from typing import Any

from flowbook import _run

from . import hub as _hub


def attach() -> None:
    """Starts looking for messages whenever a run is waited for."""
    if _take_messages not in _run.while_waiting:
        _run.while_waiting.append(_take_messages)


def detach() -> None:
    """Ends that."""
    if _take_messages in _run.while_waiting:
        _run.while_waiting.remove(_take_messages)


def _take_messages() -> None:
    live = _hub._hub
    kernel = getattr(_hub._shell(), "kernel", None)
    if live is None or kernel is None or threading.current_thread() is not threading.main_thread():
        return
    stream = getattr(kernel, "shell_stream", None)
    queue = getattr(kernel, "schedule_dispatch", None)
    if stream is None or queue is None or hasattr(kernel, "_supports_kernel_subshells"):
        return
    take(kernel, stream, str(live.widget.comm.comm_id))


def take(kernel: Any, stream: Any, comm_id: str) -> None:
    """Reads what is there: the comm's messages are handled, all others queued."""
    import zmq

    while True:
        try:
            parts = stream.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.ZMQError:  # nothing more
            return
        if _addressee(kernel.session, parts) == comm_id:
            idents, rest = kernel.session.feed_identities(parts, copy=False)
            message = kernel.session.deserialize(rest, content=True, copy=False)
            kernel.comm_manager.comm_msg(stream, idents, message)
        else:
            kernel.schedule_dispatch(kernel.dispatch_shell, parts)


def _addressee(session: Any, parts: list[Any]) -> str | None:
    """The comm that a message is for, without verifying it: its signature may be seen only once."""
    try:
        _, rest = session.feed_identities(parts, copy=False)
        header = session.unpack(rest[1].bytes)
        if header.get("msg_type") != "comm_msg":
            return None
        return str(session.unpack(rest[4].bytes).get("comm_id"))
    except Exception:  # not a message; the kernel says so
        return None
