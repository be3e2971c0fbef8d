"""`%runs`: the training runs of this and of earlier kernels, listed, drawn, compared and deleted."""

from __future__ import annotations

import difflib
import shlex
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from flowbook import runs as _runs
from flowbook.errors import ArgumentError

from ._arguments import near, parse

_ACTIONS = ("list", "show", "compare", "delete")
_OFFERED = 20  # runs that completion offers


@magics_class
class RunMagics(Magics):  # type: ignore[misc]
    """The `%runs` magic."""

    @magic_arguments()  # type: ignore[untyped-decorator]
    @argument(
        "words",
        nargs="*",
        metavar="[ACTION] [RUN ...]",
        help="`list` (also without words), `show RUN`, `compare RUN RUN ...`, `delete RUN ...`. "
        "A run is a name, a label, or its number in the list (1 is the newest).",
    )
    @line_magic
    def runs(self, line: str) -> Any:
        """List the training runs on this machine; show, compare or delete some of them."""
        action, *names = parse(self.runs, line).words or ["list"]
        if action not in _ACTIONS:  # `%runs NAME` shows it, `%runs A B` compares
            if difflib.get_close_matches(action, _ACTIONS, 1) and not _there(action):
                raise UsageError(
                    f"%runs: there is no action or run {action!r}{near(action, _ACTIONS)}"
                )
            names = [action, *names]
            action = "show" if len(names) == 1 else "compare"
        if action == "list":
            if names:
                raise UsageError("%runs list: no more words. Use `%runs show RUN` for one run.")
            return _runs.all()
        if not names:
            raise UsageError(f"%runs {action}: which run? `%runs` lists them.")
        try:
            if action == "delete":
                print("deleted " + ", ".join(_runs.delete(*names)))
                return None
            return _runs.compare(*names)
        except KeyError as error:
            raise UsageError(f"%runs: {error.args[0]}. `%runs` lists them.") from None
        except ArgumentError as error:
            raise UsageError(str(error)) from None

    @staticmethod
    def runs_values(shell: Any, given: list[str]) -> list[str]:
        """Actions, then the labels and names of the newest runs."""
        if not given:
            return list(_ACTIONS)
        if given[0] == "list" or (given[0] == "show" and len(given) > 1):
            return []
        newest = _runs.all(_OFFERED)
        known = dict.fromkeys([*(run.label for run in newest), *(run.name for run in newest)])
        return [shlex.quote(word) for word in known if word and word not in given]


def _there(name: str) -> bool:
    try:
        _runs.get(name)
    except KeyError:
        return False
    return True
