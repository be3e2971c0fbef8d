"""Views that answer `open` with a state and otherwise only listen: profiles, memory.

Where one page holds all outputs the static HTML is taken over; elsewhere the view is a displayed widget.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from .. import hub as _hub

State = Callable[[], dict[str, Any]]
Listener = Callable[[Mapping[str, Any]], None]

_KEPT = 32  # views that answer the page; older ones keep their static picture
_views: OrderedDict[str, _hub.Hub] = OrderedDict()  # the hubs of the views
_lock = threading.Lock()


def attach(kind: str, view_id: str, state: State, listen: Listener | None = None) -> None:
    """Attaches the live half of a view; displays it where outputs share no page.

    Args:
        kind: Its kind, as the front end knows it.
        view_id: The id in its root's class.
        state: Makes what `open` is answered with; runs on any thread.
        listen: Gets other messages.
    """

    def receive(content: Mapping[str, Any], buffers: Any) -> None:
        if content.get("kind") == "open":
            assert hub is not None
            hub.send(view_id, {"kind": "state", **state()})
        elif listen is not None:
            listen(content)

    shared = _hub.shares_page()
    if shared:
        hub = _hub.hub()
    else:
        hub = _views.get(view_id) or _hub.displayed(view_id, kind, receive)
    if hub is None:
        return
    with _lock:
        _views[view_id] = hub
        _views.move_to_end(view_id)
        old = [_views.popitem(last=False) for _ in range(len(_views) - _KEPT)]
    for gone, its in old:
        its.detach(gone)
    hub.attach(view_id, receive)
    if not shared:
        hub.display()


def hub_of(view_id: str) -> _hub.Hub | None:
    """The hub that a view is attached to: the kernel's, or its own. None if it isn't attached."""
    hub = _views.get(view_id)
    return hub if hub is not None and hub.attached(view_id) else None
