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
_views: OrderedDict[str, None] = OrderedDict()
_lock = threading.Lock()


def show(
    kind: str,
    view_id: str,
    bundle: dict[str, Any],
    state: State,
    listen: Listener | None = None,
) -> dict[str, Any]:
    """Attaches the live half of a view.

    Args:
        kind: Its kind, as the front end knows it.
        view_id: The id in its root's class.
        bundle: Its static forms.
        state: Makes what `open` is answered with; runs on any thread.
        listen: Gets other messages.

    Returns:
        The bundle, with a widget where outputs share no page.
    """

    def handler(hub: Any) -> Callable[[Mapping[str, Any], Any], None]:
        def receive(content: Mapping[str, Any], buffers: Any) -> None:
            if content.get("kind") == "open":
                hub.send(view_id, {"kind": "state", **state()})
            elif listen is not None:
                listen(content)

        return receive

    if not _hub.shares_page():
        own = _hub.displayed(view_id, kind, lambda content, buffers: handler(own)(content, buffers))
        return bundle if own is None else {**own.bundle(), **bundle}
    hub = _hub.hub()
    if hub is not None:
        with _lock:
            _views[view_id] = None
            _views.move_to_end(view_id)
            old = [_views.popitem(last=False)[0] for _ in range(len(_views) - _KEPT)]
        for gone in old:
            hub.detach(gone)
        hub.attach(view_id, handler(hub))
    return bundle
