"""The live memory view's half in the kernel, with a page that only counts."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flowbook._core")
import flowbook as fb


def test_a_live_memory_view_sends_ten_messages_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where cells follow each other fast; the last of them is told a little later."""
    from flowbook_ext.views import memory

    sent: list[tuple[float, int]] = []

    class Page:
        def attached(self, view_id: str) -> bool:
            return True

        def send(self, view_id: str, content: dict[str, Any]) -> None:
            sent.append((time.monotonic(), content["cell"]))

    class Shell:
        pass

    shell, page, cell = Shell(), Page(), 0
    monkeypatch.setattr(memory._hub, "hub", lambda: page)
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
