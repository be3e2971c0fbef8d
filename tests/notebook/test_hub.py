"""The hub: messages between views in the page and their handlers, without a page."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import pytest
from stand_in import FakeWidget

import flowbook as fb
from flowbook_ext import hub as hub_module
from flowbook_ext.hub import PROTOCOL, Hub, route_beside_cells, shares_page


@pytest.fixture
def widget() -> FakeWidget:
    return FakeWidget()


def test_messages_reach_the_view_that_they_name(widget: FakeWidget) -> None:
    hub = Hub(widget)
    seen: list[Any] = []
    hub.attach("a", lambda content, buffers: seen.append((content["kind"], content.get("x"))))
    widget.get("a", "open")
    widget.get("b", "open")
    widget.get("a", "move", x=3)
    assert seen == [("open", None), ("move", 3)]
    hub.detach("a")
    widget.get("a", "open")
    assert len(seen) == 2
    hub.detach("a")  # twice is fine


def test_what_is_no_message_is_ignored(widget: FakeWidget) -> None:
    hub = Hub(widget)
    hub.attach("a", lambda *_: pytest.fail("called"))
    for content in (None, [], "x", {}, {"view": "a"}, {"protocol": 2, "view": "a"}):
        widget.callback(widget, content, [])
    widget.get(["a"], "open")
    assert not hub.errors


def test_sending_adds_protocol_and_view(widget: FakeWidget) -> None:
    Hub(widget).send("a", {"kind": "state", "n": 1}, [b"xy"])
    assert widget.sent == [({"protocol": 1, "view": "a", "kind": "state", "n": 1}, [b"xy"])]


def test_errors_of_handlers_are_kept_and_shown(widget: FakeWidget) -> None:
    hub = Hub(widget)

    def broken(content: Any, buffers: Any) -> None:
        raise ValueError("no such thing")

    hub.attach("a", broken)
    widget.get("a", "open")
    ((view, text),) = hub.errors
    assert view == "a"
    assert "ValueError: no such thing" in text
    assert widget.sent[0][0] == {
        "protocol": 1, "view": "a", "kind": "error", "text": "ValueError: no such thing",
    }  # fmt: skip
    for _ in range(100):
        widget.get("a", "open")
    assert len(hub.errors) == 20


def test_messages_are_routed_as_the_page_asks() -> None:
    widget = FakeWidget()
    assert widget.comm._reply_subshell_for(None, "shell-7") is None
    route_beside_cells(widget)
    assert getattr(widget.comm, "_reply_subshell_for", None) is None
    route_beside_cells(object())  # kernels and stand-ins without comms


def test_ipykernel_still_has_the_method_that_is_switched_off() -> None:
    """When a release drops or renames it, `route_beside_cells` needs another look."""
    import ipykernel
    from ipykernel.comm.comm import BaseComm

    if ipykernel.version_info[:2] != (7, 4):
        pytest.skip(f"ipykernel {ipykernel.__version__} routes comm messages by itself")
    assert hasattr(BaseComm, "_reply_subshell_for")


def test_there_is_no_hub_outside_a_kernel() -> None:
    assert hub_module.hub() is None


def test_the_widget_has_a_text_form_without_an_address(widget: FakeWidget) -> None:
    assert repr(Hub(widget)) == "<flowbook hub>"
    kind = hub_module._widget_class()
    if kind is None:
        pytest.skip("the package was built without the front end")
    assert repr(kind()) == "<flowbook hub>"


def test_the_model_carries_a_loader_only(widget: FakeWidget, monkeypatch: Any) -> None:
    kind = hub_module._widget_class()
    if kind is None:
        pytest.skip("the package was built without the front end")
    assert len(kind._esm) < 2_000
    clock = [0.0]
    monkeypatch.setattr(hub_module.time, "monotonic", lambda: clock[0])
    Hub(widget)
    for at in (0.0, 0.1, 5.0):  # the second is a repetition
        clock[0] = at
        widget.callback(widget, {"protocol": PROTOCOL, "kind": "code"}, [])
    assert [content["kind"] for content, _ in widget.sent] == ["code", "code"]
    assert "flowbook-view" in widget.sent[0][0]["text"]
    assert "view" not in widget.sent[0][0]


def test_views_are_displayed_widgets_where_outputs_share_no_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("VSCODE_PID", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub_module, "_shell", lambda: None)
    assert shares_page()
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    assert not shares_page()
    monkeypatch.delitem(sys.modules, "google.colab")

    class Shell:
        user_ns: dict[str, Any] = {}

    monkeypatch.setattr(hub_module, "_shell", lambda: Shell)
    assert shares_page()
    monkeypatch.setitem(Shell.user_ns, "__vsc_ipynb_file__", "a.ipynb")
    assert not shares_page()
    Shell.user_ns.clear()
    monkeypatch.setitem(os.environ, "VSCODE_PID", "7")
    assert not shares_page()
    monkeypatch.setitem(os.environ, "JPY_SESSION_NAME", "a.ipynb")  # JupyterLab in its terminal
    assert shares_page()


def test_a_displayed_view_has_a_hub_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    if hub_module._widget_class() is None:
        pytest.skip("the package was built without the front end")
    assert hub_module.displayed("v1", "graph") is None  # such as a terminal in VS Code

    class Shell:
        kernel = object()

    monkeypatch.setattr(hub_module, "_shell", lambda: Shell)
    seen: list[Any] = []
    own = hub_module.displayed("v1", "graph")
    assert own is not None
    own.attach("v1", lambda content, buffers: seen.append(content))
    assert (own.widget._flowbook_view, own.widget._flowbook_kind) == ("v1", "graph")
    own._receive(own.widget, {"protocol": 1, "view": "v1", "kind": "open"}, [])
    assert [content["kind"] for content in seen] == ["open"]
    own.widget.close()


def test_a_displayed_profile_answers_through_its_own_hub(displayed: list[FakeWidget]) -> None:
    from flowbook_ext.views import profile

    with fb.graph() as g:
        g.output(y=fb.exp(fb.ones(3)))
    times = g.graph.profile(runs=2)
    assert set(profile.show(times)) == {"text/plain", "text/html"}
    profile.show(times)  # a second copy is the same widget
    own, again = displayed
    assert own is again
    assert own.traits["_flowbook_kind"] == "profile"
    own.get(own.traits["_flowbook_view"], "open")
    assert [content["kind"] for content, _ in own.sent] == ["state"]


def test_threads_may_send(widget: FakeWidget) -> None:
    hub = Hub(widget)
    threads = [
        threading.Thread(target=lambda: [hub.send("a", {"kind": "x"}) for _ in range(100)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(widget.sent) == 400
