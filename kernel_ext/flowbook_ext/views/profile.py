"""The profile view: a static table and timeline that come alive, to sort, filter and stretch.

To the page goes `state {html}`, the same HTML that is stored; from it comes `open`.
"""

from __future__ import annotations

from typing import Any

from flowbook import _profile_view

from . import attached

_ZOOM = 64  # how far the page stretches the timeline


def show(profile: Any) -> dict[str, Any]:
    """The MIME bundle of a profile with its live half attached; the extension's renderer."""
    data = profile.to_dict()
    view_id = _profile_view.view_id(data)
    html = _profile_view.html(data, view_id)

    def state() -> dict[str, Any]:
        return {"html": _profile_view.html(data, view_id, root=False, zoom=_ZOOM)}

    attached.attach("profile", view_id, attached.answering(view_id, state))
    return {"text/plain": _profile_view.text(data), "text/html": html}
