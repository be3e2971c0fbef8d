"""flowbook in IPython and Jupyter: `%%graph` and its relatives, views that come alive.

    %load_ext flowbook

The library never imports this package; `%load_ext` does, through `flowbook.load_ipython_extension`.
Everything that is registered here is taken back by `%unload_ext flowbook`.
"""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """Registers magics, completion and cell tracking in an IPython shell."""
    from flowbook import Graph, _display, _runlog

    from . import _cells, _completion, _failures, _shell_channel, _tracebacks
    from .magics import MAGICS
    from .views import RENDERERS, training
    from .views.graph import GraphView

    # `net.view.selection`: the library knows nothing of views, so the property comes and goes with them.
    Graph.view = property(GraphView, doc="The graph's drawing: its selection, and files of it.")
    _cells.attach(shell, functools.partial(_failures.explain, shell))
    _tracebacks.show_users_frames(shell)
    for kind, renderer in RENDERERS.items():
        _display.register(kind, renderer)
    for magics in MAGICS:
        shell.register_magics(magics(shell))
    _completion.attach(shell, MAGICS)
    _runlog.enabled = True
    training.attach()
    _shell_channel.attach(getattr(shell, "kernel", None))


def unload_ipython_extension(shell: Any) -> None:
    """Takes back what `load_ipython_extension` registered."""
    from flowbook import Graph, _display, _runlog

    from . import _cells, _completion, _tracebacks, hub
    from .magics import MAGICS
    from .views import RENDERERS, memory, training

    memory.close()
    for kind in RENDERERS:
        _display.unregister(kind)
    if hasattr(Graph, "view"):
        del Graph.view
    hub.close()
    _completion.detach(shell)
    _runlog.enabled = False
    training.detach()
    for magics in MAGICS:
        for kind, names in magics.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
    _cells.detach(shell)
    _tracebacks.show_all_frames()
