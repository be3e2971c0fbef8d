"""A real kernel for tests: cells run one after another, and what they show is kept."""

from __future__ import annotations

import re
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

SETUP = """\
%load_ext flowbook
import numpy as np
import flowbook as fb
fb.random.seed(0)
x = fb.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
w = fb.asarray(np.ones((3, 4), np.float32))
b = fb.asarray(np.arange(4, dtype=np.float32))
v = fb.Variable(np.ones(4, np.float32), name="v")
h = 7"""


class Notebook:
    """Runs cells in one kernel, and keeps what they show."""

    def __init__(self) -> None:
        self.book = nbformat.v4.new_notebook()
        self.client = nbclient.NotebookClient(
            self.book, kernel_name="python3", allow_errors=True, timeout=60
        )

    def __enter__(self) -> Notebook:
        self.manager = self.client.setup_kernel()
        self.manager.__enter__()
        first = self.run(SETUP)
        assert not first.error, first.error
        return self

    def __exit__(self, *error: Any) -> None:
        self.manager.__exit__(*error)

    def run(self, source: str) -> Shown:
        cell = nbformat.v4.new_code_cell(source)
        self.book.cells.append(cell)
        self.client.execute_cell(cell, len(self.book.cells) - 1)
        return Shown(cell)

    def value(self, expression: str) -> str:
        shown = self.run(expression)
        assert not shown.error, shown.error
        return shown.result


class Shown:
    """The outputs of a cell, sorted."""

    def __init__(self, cell: Any) -> None:
        self.displays: list[dict[str, str]] = []
        self.result = self.stdout = self.stderr = self.error = self.kind = ""
        for out in cell.outputs:
            if out.output_type == "stream":
                setattr(self, out.name, getattr(self, out.name) + out.text)
            elif out.output_type == "error":
                self.kind = out.ename
                self.error = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(out.traceback))
            elif out.output_type == "display_data":
                self.displays.append(dict(out.data))
            else:
                self.result = out.data["text/plain"]
