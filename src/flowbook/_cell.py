"""The notebook cell that a graph comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellInfo:
    """The notebook cell that is being traced.

    Attributes:
        cell_id: The front end's id of the cell, for links to it.
        execution_count: The n of In [n].
        filename: File name under which the cell's code is compiled.
        first_line: Line of the file at which the cell's text begins.
    """

    cell_id: str
    execution_count: int
    filename: str
    first_line: int = 1
