"""Completes the arguments of our magics: `%%graph --d<Tab>` gives `--device`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_HOOK = "_flowbook_completion"
_MAGIC = re.compile(r"^\s*%{1,2}(\w+)\s+(.*)$", re.S)


def options_of(function: Any) -> list[str]:
    """The words that may follow a magic: its long options and the choices of its arguments."""
    parser = getattr(function, "parser", None)
    words: list[str] = []
    for action in getattr(parser, "_actions", ()):
        words += [option for option in action.option_strings if option.startswith("--")]
        words += [str(choice) for choice in action.choices or ()]
    return sorted(set(words) - {"--help"})


def attach(shell: Any, magics: Iterable[type]) -> None:
    """Adds a matcher for the arguments of the given magics."""
    detach(shell)
    completer = getattr(shell, "Completer", None)
    if completer is None:
        return
    from IPython.core.completer import SimpleCompletion, context_matcher

    words: dict[str, list[str]] = {}
    for owner in magics:
        for names in owner.magics.values():  # type: ignore[attr-defined]
            for name, method in names.items():
                words[name] = options_of(getattr(owner, method, method))

    @context_matcher()  # type: ignore[untyped-decorator]
    def flowbook_arguments(context: Any) -> dict[str, Any]:
        found = _MAGIC.match(context.text_until_cursor)
        if not found or found[1] not in words:
            return {"completions": []}
        token = context.token
        given = found[2].split()
        matches = [
            SimpleCompletion(text=w, type="param")
            for w in words[found[1]]
            if w.startswith(token) and (w == token or w not in given[:-1])
        ]
        return {"completions": matches, "suppress": bool(matches)}

    completer.custom_matchers.append(flowbook_arguments)
    setattr(shell, _HOOK, flowbook_arguments)


def detach(shell: Any) -> None:
    """Removes the matcher."""
    matcher = getattr(shell, _HOOK, None)
    if matcher is None:
        return
    if matcher in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(matcher)
    delattr(shell, _HOOK)
