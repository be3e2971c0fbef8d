"""The live memory view's half in the kernel, with a page that only counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stand_in import FakeWidget

pytest.importorskip("flowbook._core")
import flowbook as fb


def test_a_live_memory_view_sends_ten_messages_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where cells follow each other fast; the last of them is told a little later."""
    from flowbook_ext.views import memory

    sent: list[tuple[float, int]] = []

    class Page:
        def send(self, view_id: str, content: dict[str, Any]) -> None:
            sent.append((time.monotonic(), content["cell"]))

    class Shell:
        pass

    shell, page, cell = Shell(), Page(), 0
    monkeypatch.setattr(memory.attached, "hub_of", lambda view_id: page)
    stats = fb.memory.stats("cpu")
    known = {"live": stats.live, "peak": stats.peak, "reserved": stats.reserved}
    view = memory.LiveMemory(shell, {"device": "cpu", **known})
    monkeypatch.setattr(view, "state", lambda: {"cell": cell})
    for cell in range(60):  # noqa: B007
        view._send()
        time.sleep(0.005)
    time.sleep(0.1)
    view.tick()
    assert sent[-1][1] == 59
    times = np.array([at for at, _ in sent])
    assert 3 <= len(times) < 60
    assert np.diff(times).min() >= 0.1
    view.tick()
    assert len(sent) == len(times)  # nothing new, nothing said


@pytest.fixture
def live(displayed: list[FakeWidget], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A live view in a shell that can be asked to do something."""
    from IPython.core.interactiveshell import InteractiveShell

    from flowbook_ext.views import memory

    monkeypatch.setattr(memory, "_start", lambda: None)  # the test itself looks at the counters
    monkeypatch.setattr(memory, "GAP", 0)
    shell = InteractiveShell()
    yield memory.LiveMemory(shell, memory.take(shell))
    memory.close()


def test_a_displayed_memory_view_keeps_up(live: Any, displayed: list[FakeWidget]) -> None:
    """Where outputs share no page: the widget hears of what happens, the picture stays a picture."""
    assert set(live._repr_mimebundle_()) == {"text/plain", "text/html"}
    (own,) = displayed
    own.get(live.view_id, "open")
    before = live.snapshot["live"]
    kept = fb.ones(100_000)
    live.refresh()  # as after each cell
    assert [content["kind"] for content, _ in own.sent] == ["state", "state"]
    assert live.snapshot["live"] >= before + kept.nbytes
    assert own.sent[1][0]["html"] != own.sent[0][0]["html"]
    live.free("caches")
    assert len(own.sent) == 3
    more = fb.ones(100_000)
    live.tick()  # as while a cell runs
    assert len(own.sent) == 4
    del kept, more
