"""The text of a cell and its place: file name and lines; and who follows the cells of a shell.

A cell magic gets its body without the lines above it and outside the file that IPython compiled for
the cell. Here the body is compiled under that file's name with its true line numbers, so that
tracebacks, `inspect.getsource` and the debugger see the cell as the user wrote it.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from IPython.core.getipython import get_ipython

from flowbook import _core, _holders, _inspection
from flowbook._cell import CellInfo

from . import _books, _notebook

_HOOK = "_flowbook_cells"
LAST = "_flowbook_last_value"  # the last expression of a body is kept under this name while it runs


class _Tracker:
    """Remembers the cell that is running: its raw text and id. Its memory is charged to it.

    Listens to `*_run_cell` only: `*_execute` also fires for messages of widgets, on other threads.
    """

    def __init__(self, shell: Any, explain: Callable[[BaseException, CellInfo], None]) -> None:
        self.books = _books.Books()
        self.explain = explain
        self.after: list[Callable[[int], None]] = []  # called with n of In [n] when a cell has run
        self.shell = shell
        self.raw = ""
        self.name = ""  # under which the cell's code is compiled
        self.cell_id: str | None = None
        self.files: dict[str, tuple[str, int]] = {}  # name of compiled code -> cell id, n of In [n]
        self.counts: dict[str, int] = {}  # the same, also of front ends without cell ids
        self.remember_running_cell()

    def remember_running_cell(self) -> None:
        """The cell that loads the extension began before anyone followed."""
        request = self.shell.get_parent() if hasattr(self.shell, "get_parent") else {}
        cell_id = request.get("metadata", {}).get("cellId")
        name = _cell_filename(self.shell)
        if cell_id and name:
            self.files[name] = (cell_id, execution_count(self.shell))

    def pre_run_cell(self, info: Any) -> None:
        self.raw = info.raw_cell or ""
        self.cell_id = getattr(info, "cell_id", None)
        count = execution_count(self.shell)
        name = self.name = self.shell.compile.get_code_name(self.raw, self.raw, count)
        self.counts[name] = count
        if self.cell_id:
            self.files[name] = (self.cell_id, count)
        self.books.begin(count, self.cell_id, self.raw)

    def post_run_cell(self, result: Any) -> None:
        self.books.end()
        error = getattr(result, "error_in_exec", None)
        if error is not None:
            self.explain(error, self._info())
        for callback in list(self.after):
            callback(execution_count(self.shell))

    def _info(self) -> CellInfo:
        """The cell that has just run."""
        return CellInfo(self.cell_id or "", self.counts.get(self.name, 0), self.name)

    def roots(self) -> tuple[_notebook.Roots, _notebook.Roots]:
        return _notebook.roots(self.shell)


def sources() -> Mapping[str, tuple[str, int]]:
    """Where code came from: the name under which a cell was compiled -> its id, and n of In [n].

    Functions and classes that one cell defines and another one calls have no other trace of theirs.
    """
    shell = get_ipython()
    tracker = getattr(shell, _HOOK, None)
    return {} if tracker is None else tracker.files


def books_of(shell: Any) -> _books.Books | None:
    """The memory books of the shell's cells; None while the extension is not loaded."""
    tracker = getattr(shell, _HOOK, None)
    return tracker.books if tracker is not None else None


def after_cells(shell: Any) -> list[Callable[[int], None]]:
    """Callbacks for when a cell has run; a fresh list while the extension is not loaded."""
    tracker = getattr(shell, _HOOK, None)
    return tracker.after if tracker is not None else []


def allow_comments_above(lines: list[str]) -> list[str]:
    """Input transformer: comment and blank lines may stand above a `%%graph` line."""
    for i, line in enumerate(lines):
        text = line.strip()
        if text.startswith("%%graph") and line.startswith("%%"):
            return lines[i:]
        if text and not text.startswith("#"):
            break
    return lines


def execution_count(shell: Any) -> int:
    """The n of the running cell's In [n]; IPython 9 counts up before a cell, older ones after."""
    return max(0, shell.displayhook.prompt_count)


def attach(shell: Any, explain: Callable[[BaseException, CellInfo], None]) -> None:
    """Starts following the shell's cells.

    Args:
        shell: The IPython shell.
        explain: Called with the error of a cell that failed.
    """
    detach(shell)
    tracker = _Tracker(shell, explain)
    shell.events.register("pre_run_cell", tracker.pre_run_cell)
    shell.events.register("post_run_cell", tracker.post_run_cell)
    # The front: IPython's own transformer for cell magics looks at the first line only.
    shell.input_transformers_cleanup.insert(0, allow_comments_above)
    setattr(shell, _HOOK, tracker)
    _holders.roots_of_notebook = tracker.roots
    _inspection.cell_number = lambda name: tracker.counts.get(name, 0)


def detach(shell: Any) -> None:
    """Stops following the shell's cells."""
    tracker = getattr(shell, _HOOK, None)
    if tracker is None:
        return
    shell.events.unregister("pre_run_cell", tracker.pre_run_cell)
    shell.events.unregister("post_run_cell", tracker.post_run_cell)
    if allow_comments_above in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(allow_comments_above)
    _core.set_current_cell(0)
    _holders.roots_of_notebook = None
    _inspection.cell_number = None
    delattr(shell, _HOOK)


@dataclass
class Cell:
    """The body of a cell magic within its cell."""

    filename: str
    text: str  # the whole cell, magic line included
    body: str
    first_line: int  # of the body, within the cell
    cell_id: str | None
    execution_count: int
    tree: ast.Module | None = field(default=None, repr=False)
    shows_last: bool = False

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def source(self, line: int) -> str:
        """One line of the cell, 1-based; empty outside it."""
        return self.lines[line - 1].strip() if 1 <= line <= len(self.lines) else ""

    def compile(self, shell: Any) -> CodeType:
        """Compiles the body; its last expression is kept in `LAST` for display.

        Raises:
            SyntaxError: With the cell's file name and line.
        """
        source = "\n" * (self.first_line - 1) + shell.transform_cell(self.body)
        tree = ast.parse(source, filename=self.filename)
        self.tree = tree
        quiet = self.body.rstrip().endswith(";")
        code_tree = tree
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not quiet:
            last = tree.body[-1]
            keep = ast.Assign([ast.Name(LAST, ast.Store())], last.value)
            ast.copy_location(keep, last)
            ast.copy_location(keep.targets[0], last)
            code_tree = ast.Module([*tree.body[:-1], keep], tree.type_ignores)
            self.shows_last = True
        return compile(ast.fix_missing_locations(code_tree), self.filename, "exec")


def current(shell: Any, magic: str, line: str, body: str) -> Cell:
    """Finds the cell whose magic is running, and puts its text where tracebacks look for it."""
    head = f"%%{magic} {line}".rstrip()
    text, first = f"{head}\n{body}", 2
    tracker = getattr(shell, _HOOK, None)
    raw = tracker.raw if tracker is not None else ""
    for i, raw_line in enumerate(raw.splitlines()):
        if raw_line.startswith(f"%%{magic}"):
            rest = "\n".join(raw.splitlines()[i + 1 :])
            if rest.strip() == body.strip():
                text, first = raw, i + 2
            break
    filename = _cell_filename(shell)
    if filename is None:
        filename = shell.compile.cache(text, execution_count(shell), raw_code=text)
    lines = [part + "\n" for part in text.splitlines()]
    linecache.cache[filename] = (len(text), None, lines, filename)
    cell_id = tracker.cell_id if tracker is not None else None
    return Cell(filename, text, body, first, cell_id, execution_count(shell))


def _cell_filename(shell: Any) -> str | None:
    """The name under which IPython compiled the running cell."""
    known = getattr(shell.compile, "_filename_map", {})
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename in known and frame.f_code.co_name.startswith("<"):
            return frame.f_code.co_filename
        frame = frame.f_back
    return None
