"""`%flowbook`: versions, devices, threads, libraries, as `fb.doctor()` reports them."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import magic_arguments

import flowbook as fb

from ._arguments import parse


@magics_class
class DoctorMagics(Magics):  # type: ignore[misc]
    """The `%flowbook` magic."""

    @magic_arguments()  # type: ignore[untyped-decorator]
    @line_magic
    def flowbook(self, line: str) -> Any:
        """Show what flowbook runs on: versions, devices, threads, libraries, settings."""
        parse(self.flowbook, line)
        return fb.doctor()
