"""`%%graph`: a cell becomes a graph, is compiled, run once, and shown.

The body runs once in the user's namespace while a trace records. Names are bound only if tracing,
compiling and running all succeed; otherwise the namespace is put back as it was, and the part of
the graph that was recorded is shown with the failing op in red.
"""

from __future__ import annotations

import ast
import keyword
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

import flowbook as fb
from flowbook import _graph_words
from flowbook._cell import CellInfo
from flowbook._trace import Trace

from .. import _cells, _failures, _names, _stale, _tracebacks
from ..views.graph import GraphView
from ._arguments import parse


@magics_class
class GraphMagics(Magics):  # type: ignore[misc]
    """The `%%graph` magic and its line form, which shows a graph again."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.previous: dict[str, Any] = {}  # by cell: the record of its last graph, for comparing

    @magic_arguments()  # type: ignore[untyped-decorator]
    @argument("name", nargs="?", help="Variable to which the graph is bound.")
    @argument("--no-run", action="store_true", help="Record and compile, but run nothing.")
    @argument("--profile", action="store_true", help="Time each step over several runs.")
    @argument(
        "--inspect",
        action="store_true",
        help="Keep statistics of every value, and find the first NaN.",
    )
    @argument("--no-view", action="store_true", help="Don't draw the graph.")
    @argument("--device", "-d", help="Where the graph runs, such as `cpu`.")
    @argument(
        "--shapes",
        nargs="+",
        action="extend",
        metavar="NAME=DIMS",
        help="Inputs whose sizes stay open: --shapes x='batch 784'.",
    )
    @line_cell_magic
    def graph(self, line: str, cell: str | None = None) -> Any:
        """Record a cell as a dataflow graph, compile it, run it once and draw it.

        Every name that the cell assigns is an ordinary tensor afterwards; NAME is a `Graph`, which
        can be called with other inputs. Without a body, `%graph NAME` draws a graph again.
        """
        options = parse(self.graph, line)
        name = options.name
        if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
            raise UsageError(
                f"{name!r} can't name a graph: it is no Python name. Try `%%graph mlp`."
            )
        if cell is None:
            return self._again(name)
        shapes = _shapes(options.shapes)
        if options.device is not None:
            try:
                fb.device(options.device)
            except (fb.DeviceError, fb.ArgumentError) as error:
                raise UsageError(f"--device: {error}") from None
        place = _cells.current(self.shell, "graph", line, cell)
        try:
            code = place.compile(self.shell)
        except SyntaxError as error:
            raise _tracebacks.syntax_error(self.shell, place, error) from None
        return _Execution(self, place, code, options, shapes).run()

    @staticmethod
    def graph_values(shell: Any, given: list[str]) -> list[str]:
        """Devices after `--device`; the names of graphs, which a cell replaces and a line shows."""
        if given and given[-1] in ("--device", "-d"):
            return [str(d) for d in fb.devices()]
        if given and given[-1] == "--shapes":
            found = [n for n, v in shell.user_ns.items() if isinstance(v, fb.Tensor) and v.ndim]
            return [f"{n}=" for n in sorted(found) if not n.startswith("_")]
        if any(not word.startswith("-") for word in given):
            return []
        return sorted(n for n, v in list(shell.user_ns.items()) if isinstance(v, fb.Graph))

    def _again(self, name: str | None) -> None:
        if name is None:
            raise UsageError("%graph needs the name of a graph; a cell needs %%graph (two signs).")
        graph = self.shell.user_ns.get(name)
        if not isinstance(graph, fb.Graph):
            raise UsageError(f"There is no graph {name!r}. `%%graph {name}` makes one.")
        display(graph)


def _shapes(words: list[str] | None) -> dict[str, str] | None:
    if not words:
        return None
    shapes = {}
    for word in words:
        name, sign, dims = word.partition("=")
        if not sign or not dims.strip():
            raise UsageError(f"--shapes: {word!r} should read NAME=DIMS, such as x='batch 784'.")
        shapes[name.strip()] = dims.strip()
    return shapes


def _why(before: dict[str, Any], record: dict[str, Any]) -> str | None:
    """Why a cell's graph was compiled again: inputs of other shapes, or another text."""
    old = {n["name"]: n["spec"] for n in before["nodes"] if n["op"] in _SOURCES}
    inputs = [
        f"{n['name']} changed from {old[n['name']]} to {n['spec']}"
        for n in record["nodes"]
        if n["op"] in _SOURCES and n["name"] in old and old[n["name"]] != n["spec"]
    ]
    if inputs:
        return ", ".join(inputs[:3])
    summary: str = record["diff"]["summary"]
    return f"the cell has changed, {summary}" if summary else None


_SOURCES = ("input", "capture", "variable")
_ANOTHER = 0.7  # share of new nodes from which a graph is another one


class _Execution:
    """One execution of a `%%graph` cell."""

    def __init__(
        self, magics: GraphMagics, cell: _cells.Cell, code: Any, options: Any, shapes: Any
    ) -> None:
        self.magics, self.cell, self.code, self.options = magics, cell, code, options
        self.shapes = shapes
        self.shell = magics.shell
        self.names: dict[str, Any] = self.shell.user_ns
        self.before = dict(self.names)

    def run(self) -> Any:
        cell = self.cell
        info = CellInfo(cell.cell_id or "", cell.execution_count, cell.filename, cell.first_line)
        trace = Trace(
            name=self.options.name or "graph",
            cell=info,
            shapes=self.shapes,
            device=self.options.device,
        )
        try:
            with trace:
                symbols = self._symbols(trace)
                self.names.update(symbols)
                exec(self.code, self.names)
                for name, symbol in symbols.items():  # inputs keep their tensors afterwards
                    if self.names.get(name) is symbol:
                        self.names[name] = self.before[name]
            outputs, reads = self._assigned(), self._read()
            graph = trace.finish(outputs, reads)
            if self.options.no_run:
                graph.compile()
                values = {}
            else:
                values = graph.run_cell(inspect=self.options.inspect)
            if self.options.inspect and not self.options.no_run:
                graph.compile()  # what runs otherwise is drawn, too
            profile = graph.profile() if self.options.profile else None
        except BaseException as error:
            self._failed(trace, error)
            raise
        self._compare(graph)
        watched = {n: v for n, v in reads.items() if n.partition(".")[0] not in outputs}
        _stale.watch(self.shell, graph, watched)
        last = self._succeeded(graph, outputs, values)
        if profile is not None:
            display(profile)
        return last

    def _symbols(self, trace: Trace) -> dict[str, Any]:
        """The inputs whose sizes stay open."""
        try:
            return trace.symbols(self.before) if self.shapes else {}
        except fb.FlowbookError as error:
            text = str(error).removeprefix("shapes: ")
            raise UsageError(f"--shapes: {text}") from None

    def _compare(self, graph: Any) -> None:
        """Notes what is different from the graph that this cell made before."""
        key = self.cell.cell_id or self.options.name
        if key is None:
            return
        before = self.magics.previous.get(key)
        record = graph._recorded_alone()
        self.magics.previous[key] = {"nodes": record["nodes"]}
        if before is None:
            return
        graph.previous = before
        compared = graph._compact_record()
        if len(compared["diff"]["added"]) > _ANOTHER * len(record["nodes"]):
            graph.previous = None  # another graph: a comparison says nothing
            return
        graph.stats["recompiled"] = _why(before, compared)

    def _read(self) -> dict[str, Any]:
        """The objects that the cell reads, by the expression that names them."""
        assert self.cell.tree is not None
        return _names.names_read(self.cell.tree, [self.before])

    def _assigned(self) -> dict[str, Any]:
        """What the cell bound: new names and names that now mean another object."""
        missing = object()
        changed = {
            name: value
            for name, value in self.names.items()
            if self.before.get(name, missing) is not value
        }
        last = changed.pop(_cells.LAST, None)
        if last is not None and not any(last is value for value in changed.values()):
            changed["_"] = last
        assert self.cell.tree is not None
        ordered = [n for n in _names.names_stored(self.cell.tree) if n in changed]
        return {n: changed[n] for n in [*ordered, *(n for n in changed if n not in ordered)]}

    def _restore(self) -> None:
        for name in [n for n in self.names if n not in self.before]:
            del self.names[name]
        self.names.update(self.before)

    def _succeeded(self, graph: Any, outputs: dict[str, Any], values: dict[str, Any]) -> Any:
        if self.options.no_run:
            # Symbols mean nothing outside their graph; functions, classes and numbers stay.
            kept = {n: v for n, v in outputs.items() if not _holds_symbol(v)}
            self._restore()
            self.names.update(kept)
            last = None
        else:
            last = self._last(outputs, values)
            self.names.update({n: v for n, v in values.items() if n != "_"})
        name = self.options.name
        if name:
            self.names[name] = graph
        if not self.options.no_view:
            display(graph)
            if not hasattr(self.shell, "kernel"):  # a terminal shows text only
                print(_graph_words.status_line(graph._compact_record()))
        return last

    def _last(self, outputs: dict[str, Any], values: dict[str, Any]) -> Any:
        """The value of the cell's last expression, which IPython shows; None if there is none."""
        if not self.cell.shows_last:
            return None
        last = self.names.pop(_cells.LAST, None)
        for name, value in outputs.items():
            if value is last:
                return values.get(name, value)
        return last

    def _failed(self, trace: Any, error: BaseException) -> None:
        line, frame = _tracebacks.place(self.cell, error)
        names: list[tuple[str, str]] = []
        known: dict[str, Any] = {}
        try:
            names = _tensors_on_line(self.cell, line, frame)  # before they are put back
            known = {**self._read(), **self._assigned()}
        finally:
            self._restore()
            trace.abort()
        if isinstance(error, Exception):
            try:
                self._explain(trace, error, line, names, known)
            except Exception as failed:  # an explanation must not hide what it explains
                print(f"(the graph so far cannot be shown: {type(failed).__name__}: {failed})")
        self.before = {}  # the traceback keeps this frame
        _tracebacks.point_into_cell(self.shell, error)

    def _explain(
        self,
        trace: Any,
        error: Exception,
        line: int,
        names: list[tuple[str, str]],
        known: dict[str, Any],
    ) -> None:
        """Shows what was recorded up to the error."""
        record = dict(trace.partial_record(error, known))
        if not line:  # the run failed, not the recording: the node knows its line
            line = _failures.failed_line(record)
            names = _tensors_on_line(self.cell, line, None, known)
            _tracebacks.raise_at(self.cell, line, error)
        if isinstance(error, fb.FlowbookError):
            error.record = None  # it is shown here
        if not self.options.no_view:
            self._show_partial(record, error, line, names)

    def _show_partial(
        self, record: dict[str, Any], error: Exception, line: int, names: list[tuple[str, str]]
    ) -> None:
        if not any(n.get("kind") in ("op", "gradient", "optimizer") for n in record["nodes"]):
            return  # nothing but inputs: the traceback says it all
        source = self.cell.source(line)
        record["error"] = _failures.told(error, line, source, names)
        display(GraphView(record))


def _holds_symbol(value: Any) -> bool:
    if isinstance(value, fb.Tensor):
        return bool(getattr(value, "symbolic", False))
    if isinstance(value, dict):
        return any(_holds_symbol(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_symbol(v) for v in value)
    return False


def _tensors_on_line(
    cell: _cells.Cell, line: int, frame: Any, known: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    """The tensors that the statement at a line reads, by name, with what they are."""
    statement = next(
        (
            node
            for node in reversed(list(ast.walk(cell.tree or ast.Module([], []))))
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
        ),
        None,
    )
    if statement is None or (frame is None and known is None):
        return []
    scopes = [frame.f_locals, frame.f_globals] if frame is not None else [known or {}]
    found = _names.names_read(statement, scopes)
    out = []
    for path, value in found.items():
        if isinstance(value, (fb.Tensor, fb.Variable)) or _is_array(value):
            out.append((path, spec_text(value)))
    return out


def _is_array(value: Any) -> bool:
    # NumPy itself has a `shape` and a `dtype`, too: functions.
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype")


_SHORT = {"float": "f", "int": "i", "uint": "u", "complex": "c", "bfloat": "bf"}


def spec_text(value: Any) -> str:
    """`f32[32, 784]` for anything with a shape and a dtype."""
    dtype = str(getattr(value.dtype, "name", value.dtype)).rpartition(".")[2]
    word = dtype.rstrip("0123456789")
    short = _SHORT.get(word, word) + dtype[len(word) :]
    return f"{short}[{', '.join(str(d) for d in value.shape)}]"
