"""A request that arrives while a kernel sends a reply is read, also with ipykernel 7.0 to 7.3."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

zmq = pytest.importorskip("zmq")
pytest.importorskip("tornado")
_shell_channel = pytest.importorskip("flowbook_ext._shell_channel")


class OldManager:
    """Does what `ipykernel.subshell_manager.SubshellManager` of 7.0 to 7.3 does with replies."""

    def __init__(self, socket: Any) -> None:
        self._shell_socket = socket

    def send(self, parts: list[bytes]) -> None:
        self._shell_socket.send_multipart(parts)


def heard_after_a_reply(mend: bool) -> list[bytes]:
    """Sends two requests in the moment in which the kernel is about to reply, and says which it hears."""
    from tornado.ioloop import IOLoop
    from zmq.eventloop.zmqstream import ZMQStream

    heard: list[bytes] = []

    async def exchange() -> None:
        context = zmq.Context()
        router, page = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        page.linger = router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        stream = ZMQStream(router, IOLoop.current())
        manager = OldManager(router)
        thread = SimpleNamespace(manager=manager)
        if mend:
            _shell_channel.attach(SimpleNamespace(shell_stream=stream, shell_channel_thread=thread))
        stream.on_recv(lambda parts: heard.append(parts[1]))
        page.connect(f"tcp://127.0.0.1:{port}")
        page.send(b"first")
        while not heard:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        # Nothing below gives the loop a chance until the reply is out.
        page.send(b"second")
        page.send(b"third")
        time.sleep(0.2)
        manager.send([b"nobody", b"reply"])  # a router drops what it has no address for
        await asyncio.sleep(0.5)
        stream.close()
        page.close()
        context.term()

    asyncio.run(exchange())
    return heard


def test_requests_are_heard_that_come_while_a_reply_goes_out() -> None:
    assert heard_after_a_reply(mend=True) == [b"first", b"second", b"third"]


def test_kernels_that_need_nothing_stay_as_they_are() -> None:
    _shell_channel.attach(None)
    _shell_channel.attach(SimpleNamespace(shell_stream=object()))  # ipykernel 6
    newer = SimpleNamespace(_shell_stream=object())
    thread = SimpleNamespace(manager=newer)
    _shell_channel.attach(SimpleNamespace(shell_stream=object(), shell_channel_thread=thread))
    assert not hasattr(newer, "_shell_socket")
