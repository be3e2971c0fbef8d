"""What tests use in place of the hub's widget and of the page behind it."""

from __future__ import annotations

from typing import Any

from flowbook_ext.hub import PROTOCOL


def answer(message: dict[str, Any], number: int) -> list[str]:
    """What a message acknowledges of a request."""
    return [ack["text"] for ack in message.get("acks", []) if ack["id"] == number]


class FakeComm:
    """ipykernel 7.4's comm, as far as routing goes."""

    def _reply_subshell_for(self, data: Any, default: Any) -> Any:
        return None


class FakeWidget:
    def __init__(self, **traits: Any) -> None:
        self.traits = traits
        self.comm = FakeComm()
        self.sent: list[tuple[dict[str, Any], Any]] = []
        self.closed = False

    def on_msg(self, callback: Any) -> None:
        self.callback = callback

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.sent.append((content, buffers))

    def close(self) -> None:
        self.closed = True

    def get(self, view: Any, kind: str, **more: Any) -> None:
        """A message from the page."""
        content = {"protocol": PROTOCOL, "view": view, "kind": kind, **more}
        self.callback(self, content, [])
