"""How objects show in a notebook: by their own static forms, unless live ones are registered.

Classes with a rich form (`Graph`, `Profile`, `Run`, `Comparison`) ask `mimebundle(kind, self,
static)`. The library registers nothing; `flowbook_ext` puts live renderers in the static ones' place
while it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Bundle = dict[str, str]
Renderer = Callable[[Any], Bundle]

_live: dict[str, Renderer] = {}


def register(kind: str, renderer: Renderer) -> None:
    """Sets how a kind of object shows from now on.

    Args:
        kind: Name of the kind, such as `graph`.
        renderer: Makes the MIME bundle of an object; must contain `text/plain`.
    """
    _live[kind] = renderer


def unregister(kind: str) -> None:
    """Lets a kind of object show statically again."""
    _live.pop(kind, None)


def mimebundle(kind: str, obj: T, static: Callable[[T], Bundle]) -> Bundle:
    """The MIME bundle of an object: text for every reader, HTML where the page can show it.

    Args:
        kind: Name of the kind, such as `graph`.
        obj: What to show.
        static: Its form without the extension.
    """
    return _live.get(kind, static)(obj)
