"""`%device`: which devices there are, and where new tensors are put."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

import flowbook as fb

from ._arguments import parse


@magics_class
class DeviceMagics(Magics):  # type: ignore[misc]
    """The `%device` magic."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.entered: Any = None

    @magic_arguments()  # type: ignore[untyped-decorator]
    @argument("name", nargs="?", help="Device for the tensors of the following cells.")
    @line_magic
    def device(self, line: str) -> Any:
        """List the devices, or choose the one where the following cells put their tensors."""
        options = parse(self.device, line)
        if options.name is None:
            return fb.devices()
        try:
            chosen = fb.device(options.name)
        except fb.DeviceError as error:
            raise UsageError(str(error)) from None
        if self.entered is not None:
            self.entered.__exit__(None, None, None)
        self.entered = chosen
        chosen.__enter__()
        return chosen

    @staticmethod
    def device_values(shell: Any, given: list[str]) -> list[str]:
        """The devices there are."""
        return [] if given else [str(d) for d in fb.devices()]
