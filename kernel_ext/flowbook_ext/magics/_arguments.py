"""Arguments of magics, with plain-word errors."""

from __future__ import annotations

import shlex
from argparse import Namespace
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
    options: Namespace = magic.parser.parse_args(words)
    return options
