"""Keeps kernels with ipykernel 7 before 7.4 listening (seen with 7.2 and 7.3).

There, replies are sent on the socket that requests come in by, past the stream that reads it. A send
takes in what has arrived meanwhile, and with it the one notice that there is something to read: the
stream waits for a notice that never comes again, and the kernel hears nothing more from that page. A
page that is loaded anew sends many requests at once while answers go out, and then a live view does
not come back. ipykernel 7.4 sends through the stream, which looks for requests after each send; here
older ones are made to.
"""

from __future__ import annotations

from typing import Any


def attach(kernel: Any) -> None:
    """Lets a kernel's replies go through its stream; for the rest of its life, as nothing needs less.

    Args:
        kernel: The kernel, of any version, or None.
    """
    stream = getattr(kernel, "shell_stream", None)
    manager = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
    if stream is not None and manager is not None and hasattr(manager, "_shell_socket"):
        manager._shell_socket = stream  # `send_multipart` is all that it is used for
