"""How the live half of a view gets to the page: the same way for all kinds.

Where one page holds all outputs, the kernel's hub finds the view's static HTML. Elsewhere a widget of
the view's own is displayed beside it. Of each kind the newest views answer; older ones keep their
static picture.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import hub as _hub

Receive = Callable[[Any, Mapping[str, Any], Sequence[Any]], None]
"""Gets a hub to answer through, the content of a message and its buffers; on any thread."""

_KEPT = 64  # views of a kind
_views: dict[str, OrderedDict[str, _hub.Hub]] = {}  # the hubs of the views of each kind
_lock = threading.Lock()


def attach(kind: str, view_id: str, receive: Receive) -> None:
    """Attaches a view, wherever it is shown; nothing happens where nothing can be live.

    Args:
        kind: Its kind, as the front end knows it.
        view_id: The id in its root's class.
        receive: Takes what the page says.
    """
    shared = _hub.shares_page()
    hub = _hub.hub() if shared else hub_of(view_id) or _hub.displayed(view_id, kind)
    if hub is None:
        return
    with _lock:
        views = _views.setdefault(kind, OrderedDict())
        views[view_id] = hub
        views.move_to_end(view_id)
        old = [views.popitem(last=False) for _ in range(len(views) - _KEPT)]
    for gone, its in old:
        its.detach(gone)
    hub.attach(view_id, functools.partial(receive, hub))
    if not shared:
        hub.display()


def detach(view_id: str) -> None:
    """Lets a view keep its static picture."""
    hub = hub_of(view_id)
    if hub is not None:
        hub.detach(view_id)


def hub_of(view_id: str) -> Any:
    """The hub that a view is attached to: the kernel's, or its own. None if it isn't attached."""
    for views in list(_views.values()):
        hub = views.get(view_id)
        if hub is not None and hub.attached(view_id):
            return hub
    return None


def answering(
    view_id: str,
    state: Callable[[], dict[str, Any]],
    listen: Callable[[Mapping[str, Any]], None] | None = None,
) -> Receive:
    """Answers `open` with a state, and otherwise only listens.

    Args:
        view_id: The view.
        state: Makes the answer; runs on any thread.
        listen: Gets other messages.
    """

    def receive(hub: Any, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        if content.get("kind") == "open":
            hub.send(view_id, {"kind": "state", **state()})
        elif listen is not None:
            listen(content)

    return receive
