"""TrainingView in a real kernel: what a page asks reaches a run while its cell is at work."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stand_in import answer

pytest.importorskip("flowbook._core")
pytest.importorskip("IPython")
import flowbook as fb
from flowbook_ext import hub


class Kernel:
    """A kernel and the part of a front end that talks to the hub."""

    def __init__(self) -> None:
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager()
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(60)
        self.subshell: str | None = None
        self.comm = ""
        self.log: list[dict[str, Any]] = []

    def subshells(self) -> bool:
        """Opens a subshell, as JupyterLab does for each comm; False where there is none."""
        message = self.client.session.msg("create_subshell_request")
        self.client.control_channel.send(message)
        try:
            reply = self.client.get_control_msg(timeout=5)
        except queue.Empty:
            return False
        self.subshell = reply["content"].get("subshell_id")
        return self.subshell is not None

    def run(self, code: str) -> str:
        return str(self.client.execute(code))

    def next(self, seconds: float = 90) -> None:
        message = self.client.get_iopub_msg(timeout=seconds)
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open" and content["target_name"] == "jupyter.widget":
            if content["data"]["state"].get("_model_module") == "anywidget":
                self.comm = content["comm_id"]
        self.log.append(message)

    def until(self, wanted: Callable[[dict[str, Any]], Any], seconds: float = 90) -> dict[str, Any]:
        """The first message, of all that came and come, that fulfils a condition."""
        end, seen = time.monotonic() + seconds, 0
        while True:
            for message in self.log[seen:]:
                if wanted(message):
                    return message
            seen = len(self.log)
            self.next(max(0.1, end - time.monotonic()))

    def custom(self, message: dict[str, Any]) -> dict[str, Any]:
        data = message["content"].get("data", {}) if message["msg_type"] == "comm_msg" else {}
        return data.get("content", {}) if data.get("method") == "custom" else {}

    def say(self, **content: Any) -> None:
        data = {"method": "custom", "content": {"protocol": 1, **content}}
        message = self.client.session.msg("comm_msg", {"comm_id": self.comm, "data": data})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    pytest.importorskip("anywidget")

    if not hub.BUNDLE.exists():
        pytest.skip("the package was built without its front end")
    kernel = Kernel()
    yield kernel
    kernel.close()


FIT = """
import numpy as np, flowbook as fb
%load_ext flowbook
x = np.ones((64, 1), np.float32)
model = fb.nn.Dense(1)
result = fb.fit(model, (x, x), fb.losses.mean_squared_error, epochs=10**9, wait={wait})
print("the cell goes on", result.stopped if {wait} else result.status)
"""


@pytest.mark.parametrize("wait", [True, False])
def test_buttons_work_while_the_cell_runs(kernel: Kernel, wait: bool) -> None:
    kernel.subshells()
    cell = kernel.run(FIT.format(wait=wait))
    shown = kernel.until(lambda m: m["msg_type"] == "display_data")
    html = shown["content"]["data"]["text/html"]
    name = html.split("flowbook-id-")[1].split('"')[0]
    kernel.until(lambda m: kernel.comm)
    kernel.say(view=name, kind="open")
    kernel.until(lambda m: kernel.custom(m).get("kind") == "state")
    kernel.until(lambda m: kernel.custom(m).get("kind") == "update")
    kernel.say(view=name, kind="control", id=1, action="rate", value=0.125)
    kernel.until(lambda m: answer(kernel.custom(m), 1))
    kernel.until(lambda m: (kernel.custom(m).get("progress") or {}).get("rate") == 0.125)
    began = time.monotonic()
    kernel.say(view=name, kind="control", id=2, action="stop")
    kernel.until(lambda m: answer(kernel.custom(m), 2))
    assert time.monotonic() - began < 1
    if wait:
        kernel.until(
            lambda m: (
                m["msg_type"] == "status"
                and m["content"]["execution_state"] == "idle"
                and m["parent_header"].get("msg_id") == cell
            )
        )
        text = kernel.until(lambda m: m["msg_type"] == "stream")["content"]["text"]
        assert text == "the cell goes on stopped in the view\n"
    kernel.until(
        lambda m: (
            m["msg_type"] == "update_display_data"
            and "stopped in the view" in m["content"]["data"]["text/html"]
        )
    )
    assert not any(m["msg_type"] == "error" for m in kernel.log)


def test_a_kernel_ends_while_a_run_is_at_work(kernel: Kernel) -> None:
    kernel.run(FIT.format(wait=False))
    kernel.until(lambda m: m["msg_type"] == "stream")
    began = time.monotonic()
    kernel.manager.shutdown_kernel()
    assert time.monotonic() - began < 5  # of which the manager waits up to five before it kills
    assert fb.runs.all()[0].status == "stopped"
