"""How objects show in a notebook: one renderer per kind, static unless the extension replaces it.

Classes with a rich form (`Graph`, `Tensor`, `Module`, `History`) ask `mimebundle(kind, self)`. The
renderers registered here are plain functions without any notebook import; `flowbook_ext` may put
live ones in their place while it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Bundle = dict[str, str]
Renderer = Callable[[Any], Bundle]

_renderers: dict[str, Renderer] = {}


def register(kind: str, renderer: Renderer) -> Renderer | None:
    """Sets how a kind of object shows, and returns what showed it before.

    Args:
        kind: Name of the kind, such as `graph`.
        renderer: Makes the MIME bundle of an object; must contain `text/plain`.
    """
    before = _renderers.get(kind)
    _renderers[kind] = renderer
    return before


def unregister(kind: str, before: Renderer | None) -> None:
    """Puts back what `register` returned."""
    if before is None:
        _renderers.pop(kind, None)
    else:
        _renderers[kind] = before


def mimebundle(kind: str, obj: Any) -> Bundle:
    """The MIME bundle of an object: text for every reader, HTML where the page can show it.

    Args:
        kind: Name of the kind, such as `graph`.
        obj: What to show.
    """
    renderer = _renderers.get(kind)
    return {"text/plain": repr(obj)} if renderer is None else renderer(obj)


def _graph(graph: Any) -> Bundle:
    from flowbook import _drawing

    return _drawing.mimebundle(graph._compact_record())


def _profile(profile: Any) -> Bundle:
    from flowbook import _profile_view

    return _profile_view.mimebundle(profile.to_dict())


register("graph", _graph)
register("profile", _profile)


def _run(run: Any) -> Bundle:
    from flowbook import _run_view

    return _run_view.mimebundle(run)


def _runs(comparison: Any) -> Bundle:
    from flowbook import _run_tables

    return _run_tables.mimebundle(comparison)


register("run", _run)
register("runs", _runs)
