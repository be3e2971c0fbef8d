"""The text of a cell and its place: file name, lines, names; and tracebacks that point into it.

A cell magic gets its body without the lines above it and outside the file that IPython compiled for
the cell. Here the body is compiled under that file's name with its true line numbers, so that
tracebacks, `inspect.getsource` and the debugger see the cell as the user wrote it.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from IPython.core.getipython import get_ipython

import flowbook
from flowbook import _core, _holders, _inspection

from . import _books, _notebook

_HOOK = "_flowbook_cells"
LAST = "_flowbook_last_value"  # the last expression of a body is kept under this name while it runs


class _Tracker:
    """Remembers the cell that is running: its raw text and id. Its memory is charged to it.

    Listens to `*_run_cell` only: `*_execute` also fires for messages of widgets, on other threads.
    """

    def __init__(self, shell: Any) -> None:
        self.books = _books.Books()
        self.after: list[Callable[[int], None]] = []  # called with n of In [n] when a cell has run
        self.shell = shell
        self.raw = ""
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
        name = self.shell.compile.get_code_name(self.raw, self.raw, count)
        self.counts[name] = count
        if self.cell_id:
            self.files[name] = (self.cell_id, count)
        self.books.begin(count, self.cell_id, self.raw)

    def post_run_cell(self, result: Any) -> None:
        self.books.end()
        error = getattr(result, "error_in_exec", None)
        if isinstance(error, flowbook.FlowbookError):
            _draw_failure(error)
        if isinstance(error, flowbook.OutOfMemoryError):
            _explain_memory(self.shell)
        for callback in list(self.after):
            callback(execution_count(self.shell))

    def roots(self) -> tuple[_notebook.Roots, _notebook.Roots]:
        return _notebook.roots(self.shell)


def _draw_failure(error: BaseException) -> None:
    """The part of a graph that was recorded before an error, where the error brings it along."""
    from IPython.display import display

    from .magics.graph import error_view

    record = getattr(error, "record", None)
    if record is None:
        return
    try:
        display(error_view(record(), error))
    except Exception as failed:  # an explanation must not hide the error that it explains
        print(f"(the graph so far cannot be shown: {type(failed).__name__}: {failed})")


def _explain_memory(shell: Any) -> None:
    """After an OutOfMemoryError: who holds the memory, once the failed frames let go of theirs."""
    from IPython.display import display

    from .magics.memory import MemoryView, take

    try:
        _notebook.free_tracebacks(shell)
        display(MemoryView(take(shell)))
    except Exception as error:  # an explanation must not hide the error that it explains
        print(f"%memory could not look: {error}")


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


def attach(shell: Any) -> None:
    """Starts following the shell's cells."""
    detach(shell)
    tracker = _Tracker(shell)
    shell.events.register("pre_run_cell", tracker.pre_run_cell)
    shell.events.register("post_run_cell", tracker.post_run_cell)
    # The front: IPython's own transformer for cell magics looks at the first line only.
    shell.input_transformers_cleanup.insert(0, allow_comments_above)
    setattr(shell, _HOOK, tracker)
    _holders.roots_of_notebook = tracker.roots
    _inspection.cell_number = lambda name: tracker.counts.get(name, 0)
    show_users_frames(shell)


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
    show_all_frames()
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


# ---- names -------------------------------------------------------------------------------------


def dotted(node: ast.AST) -> str | None:
    """`model.layers[0].w` for an expression made of names, attributes and constant subscripts."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else None
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        inner = dotted(node.value)
        return f"{inner}[{node.slice.value!r}]" if inner else None
    return None


def lookup(path: ast.AST, scopes: list[Mapping[str, Any]]) -> Any:
    """The object that a dotted expression names, without calling anything of the user's.

    Raises:
        LookupError: If there is no such object, or finding it would run code.
    """
    if isinstance(path, ast.Name):
        for scope in scopes:
            if path.id in scope:
                return scope[path.id]
        raise LookupError(path.id)
    if isinstance(path, ast.Attribute):
        owner = lookup(path.value, scopes)
        attributes = getattr(owner, "__dict__", {})
        if path.attr in attributes:
            return attributes[path.attr]
        if isinstance(getattr(type(owner), path.attr, None), property):
            raise LookupError(path.attr)
        try:
            return getattr(owner, path.attr)
        except Exception as error:
            raise LookupError(path.attr) from error
    if isinstance(path, ast.Subscript) and isinstance(path.slice, ast.Constant):
        owner = lookup(path.value, scopes)
        if type(owner) in (list, tuple, dict):
            try:
                return owner[path.slice.value]
            except (IndexError, KeyError, TypeError) as error:
                raise LookupError from error
    raise LookupError


def names_read(tree: ast.AST, scopes: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Every named object that a piece of code reads: path as written -> object."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and isinstance(
            node.ctx, ast.Load
        ):
            path = dotted(node)
            if path is None or path in found:
                continue
            try:
                found[path] = lookup(node, scopes)
            except LookupError:
                continue
    return found


def names_stored(tree: ast.Module) -> list[str]:
    """Names in the order in which the cell's top level last stores them."""
    order: dict[str, None] = {}
    for statement in tree.body:
        for node in _top_level(statement):
            names: list[str] = []
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names = [node.id]
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names = [node.name]
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [(a.asname or a.name).partition(".")[0] for a in node.names]
            for name in names:
                order.pop(name, None)
                order[name] = None
    return list(order)


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Walks a statement without entering functions, classes and comprehensions."""
    yield node
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        return
    for child in ast.iter_child_nodes(node):
        yield from _top_level(child)


# ---- tracebacks ----------------------------------------------------------------------------------

_OWN = (str(Path(flowbook.__file__).parent), str(Path(__file__).parent))


def trim(trace: TracebackType | None) -> TracebackType | None:
    """The frames of the user's code; what lies above, between and below them in here is left out."""
    kept: list[TracebackType] = []
    while trace is not None:
        kept.append(trace)
        trace = trace.tb_next
    users = [entry for entry in kept if not _own(entry)]
    result: TracebackType | None = None
    for entry in reversed(users or kept[-1:]):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result


def _own(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith(_OWN)


def point_into_cell(shell: Any, error: BaseException) -> None:
    """Makes IPython show an error with the user's frames only."""
    trace = trim(error.__traceback__)
    if isinstance(error, flowbook.FlowbookError):
        error.__suppress_context__ = True  # what the library caught inside is no news to the user

    def render() -> list[str]:
        shown: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, trace)
        return shown

    try:
        error._render_traceback_ = render  # type: ignore[attr-defined]
    except AttributeError:  # an exception with slots keeps its ordinary traceback
        pass


def show_users_frames(shell: Any) -> None:
    """From now on the library's errors show the frames of the user's code only.

    `%xmode Verbose` shows all; an InternalError always does, since it is a bug of the library.
    """

    def render(self: BaseException) -> list[str]:
        tb = shell.InteractiveTB
        full = tb.mode == "Verbose" or isinstance(self, flowbook.InternalError)
        trace = self.__traceback__ if full else trim(self.__traceback__)
        quiet = self.__suppress_context__
        if not full and isinstance(self.__cause__, flowbook.FlowbookError):
            self.__suppress_context__, cause, self.__cause__ = True, self.__cause__, None
        else:
            cause = self.__cause__
        try:
            shown: list[str] = tb.structured_traceback(type(self), self, trace)
            return shown
        finally:
            self.__cause__ = cause
            self.__suppress_context__ = quiet

    flowbook.FlowbookError._render_traceback_ = render


def show_all_frames() -> None:
    """Takes back `show_users_frames`."""
    if "_render_traceback_" in vars(flowbook.FlowbookError):
        del flowbook.FlowbookError._render_traceback_


def raise_at(cell: Cell, line: int, error: BaseException) -> None:
    """Gives an error of the native run a traceback that ends at a line of the cell."""
    if line < cell.first_line:
        return
    code = compile("\n" * (line - 1) + "raise error", cell.filename, "exec")
    error.__traceback__ = None
    with contextlib.suppress(type(error)):
        exec(code, {"error": error})


def place(cell: Cell, error: BaseException) -> tuple[int, FrameType | None]:
    """The cell's line at which an error happened, innermost first, and its frame; 0 if none."""
    line, frame = 0, None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == cell.filename:
            if trace.tb_lineno >= cell.first_line:
                line, frame = trace.tb_lineno, trace.tb_frame
        trace = trace.tb_next
    return line, frame


def syntax_error(shell: Any, cell: Cell, error: SyntaxError) -> Exception:
    """An exception that shows a syntax error as IPython does, but as a failure of the cell."""

    def render(self: Exception) -> list[str]:
        shown: list[str] = shell.SyntaxTB.structured_traceback(type(error), error, [])
        return shown

    kind = type("SyntaxError", (Exception,), {"_render_traceback_": render})
    return kind(str(error))  # type: ignore[no-any-return]
