"""Completes the arguments of our magics: `%%graph --d<Tab>` gives `--device`, `%memory free <Tab>`
what can be freed.

Flags and choices come from a magic's parser. Values that only the moment knows (devices, names of
variables) come from a static method `<magic>_values(shell, given)` of the magic's class, which gets the
words before the one that is being typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_HOOK = "_flowbook_completion"
_MAGIC = re.compile(r"^\s*%{1,2}(\w+)[ \t]+(.*)$", re.S)

Values = Callable[[Any, list[str]], Iterable[str]]


class _Complete(list[Any]):
    """All there is to complete, even if that is nothing.

    IPython drops a matcher's wish to be the only one where it has no completion, and then offers
    files, modules and magics; it goes by the length, which here is never 0.
    """

    def __len__(self) -> int:
        return max(1, super().__len__())


def options_of(function: Any) -> list[str]:
    """The long options of a magic."""
    parser = getattr(function, "parser", None)
    words: list[str] = []
    for action in getattr(parser, "_actions", ()):
        words += [option for option in action.option_strings if option.startswith("--")]
    return sorted(set(words) - {"--help"})


def attach(shell: Any, magics: Iterable[type]) -> None:
    """Adds a matcher for the arguments of the given magics."""
    detach(shell)
    completer = getattr(shell, "Completer", None)
    if completer is None:
        return
    from IPython.core.completer import SimpleCompletion, context_matcher

    words: dict[str, list[str]] = {}
    values: dict[str, Values] = {}
    for owner in magics:
        for names in owner.magics.values():  # type: ignore[attr-defined]
            for name, method in names.items():
                words[name] = options_of(getattr(owner, method, method))
                if hasattr(owner, f"{method}_values"):
                    values[name] = getattr(owner, f"{method}_values")

    @context_matcher()  # type: ignore[untyped-decorator]
    def flowbook_arguments(context: Any) -> dict[str, Any]:
        found = _MAGIC.match(context.text_until_cursor)
        if not found or found[1] not in words or "\n" in found[2]:
            return {"completions": []}
        token = ""
        given = found[2].split()
        if not found[2][-1:].isspace():
            typed, given = given[-1:], given[:-1]
            token = typed[0] if typed else ""
        known = [w for w in words[found[1]] if w not in given]
        if found[1] in values:
            try:
                own = list(values[found[1]](shell, given))
            except Exception:  # a suggestion is no place for an error
                own = []
            # Where only certain values fit, nothing else is offered.
            known = own if own and not token.startswith("-") else [*known, *own]
        matches = _Complete(
            SimpleCompletion(text=w, type="param")
            for w in dict.fromkeys(known)
            if w.startswith(token)
        )
        return {"completions": matches, "suppress": True, "matched_fragment": token}

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
