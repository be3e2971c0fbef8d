"""Live views: what the front end asks for and what it answers, one module per kind of view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import graph, profile, training

RENDERERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "graph": graph.show,
    "profile": profile.show,
    "run": training.show,
    "runs": training.show_logged,
}
"""What shows an object while the extension is loaded, by the kind of `flowbook._display`."""
