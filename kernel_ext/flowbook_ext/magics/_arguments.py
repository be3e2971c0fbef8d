"""Arguments of magics, with plain-word errors."""

from __future__ import annotations

import difflib
import re
import shlex
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from IPython.core.error import UsageError


def parse(magic: Any, line: str) -> Namespace:
    """Parses a magic's line; quotes keep words together.

    Raises:
        UsageError: If the line does not fit the magic's arguments.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{error}: {line!r}.") from None
    try:
        options: Namespace = magic.parser.parse_args(words)
    except UsageError as error:
        raise UsageError(_plain(str(error), words, magic)) from None
    return options


def _plain(text: str, words: list[str], magic: Any) -> str:
    """argparse's words for an option or choice that there is not, as a person would say it."""
    name = magic.parser.prog
    # An unknown option's value is the first thing that argparse stumbles over.
    for option in (word.partition("=")[0] for word in words if word.startswith("-")):
        known = list(magic.parser._option_string_actions)
        if option in ("-h", "--help"):
            return f"%{name}? shows the help."
        if not any(o.startswith(option) for o in known):
            long = [o for o in known if o.startswith("--")]
            return f"%{name} has no option {option!r}{near(option, long)}"
    if found := re.fullmatch(r"unrecognized arguments: (\S+).*", text):
        return f"%{name} takes no {found[1]!r}."
    found = re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", text)
    if not found:
        return text
    choices = re.findall(r"[\w-]+", found[3])
    return f"%{name} has no {found[1]} {found[2]!r}{near(found[2], choices)}"


def near(word: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown word: what was meant, or what there is."""
    known = list(choices)
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return f". Did you mean {close[0]!r}?"
    return f"; there are {', '.join(known)}." if known else "."
