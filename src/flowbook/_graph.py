"""Graphs as users meet them: `Graph`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core
from ._cell import CellInfo
from ._creation import asarray
from ._node import Node
from ._record import plain, record_of
from ._symbols import symbol_in
from ._tree import Results, Tree, flatten
from .errors import (
    ArgumentError,
    FeedError,
    FlowbookError,
    GraphError,
    OutOfMemoryError,
    ShapeError,
)

if TYPE_CHECKING:
    from ._graph_record import GraphRecord
    from ._inspection import Inspection
    from ._profile import Profile


_MOST_CALLS = 16  # as many as a program keeps plans


class _Call(NamedTuple):
    """The short way for calls that feed tensors of given specs under given names."""

    run: Any  # feeds -> results, by name; NotImplemented for other specs, or if the graph grew
    executable: Any
    captured: tuple[Any, ...]
    names: list[str]


class Graph:
    """A recorded program: call it, ask it for single values, differentiate it, look at it.

    Made by a `%%graph` cell, by `with fb.graph() as g:`, or inside `fb.graph` functions. Calling
    it runs it natively: `g()` with the values it captured, `g(x=...)` with others. Variables are
    read at each run; assignments take effect together, at its end.

    Attributes:
        name: Its name.
        stats: Milliseconds of tracing, compiling and the last run; planned peak bytes; why it was
            compiled anew.
    """

    def __init__(
        self,
        core: Any,
        outputs: Mapping[str, Any],
        examples: Mapping[int, Any] | None = None,
        cell: CellInfo | None = None,
    ) -> None:
        self._core = core
        self._program = _core.Program(core)
        self.name: str = core.name
        self.cell = cell
        self.stats: dict[str, Any] = {}
        self.results: Results = Results({})
        self._examples = dict(examples or {})
        self._outputs = dict(outputs)
        self._calls: dict[tuple[str, ...], _Call] = {}  # by the names that a call feeds
        self._executable: Any = None  # of the first whole run: what the drawings show
        self._made_record: GraphRecord | None = None
        self._profile: Profile | None = None
        self._inspection: Inspection | None = None
        self.previous: dict[str, Any] | None = None  # record of the same cell's graph before
        self.stale: dict[str, int] = {}  # inputs that mean another object now -> since which cell
        self._inputs: dict[str, int] = {}
        for v in [*core.inputs, *core.captures]:
            self._inputs.setdefault(core.value_name(v) or f"%{v}", v)
        self._named: dict[str, int] = {}
        for name, value in self._outputs.items():
            leaves: list[Any] = []
            flatten(value, leaves)
            for i, leaf in enumerate(leaves):
                v = symbol_in(core, leaf)
                if v is not None:
                    self._named[name if len(leaves) == 1 else f"{name}[{i}]"] = v

    # -- what is in it -----------------------------------------------------------------------------

    @property
    def inputs(self) -> list[str]:
        """Names that may be fed: arguments and captures."""
        return list(self._inputs)

    def _fed_without_names(self) -> FeedError:
        names = [name for name in self._inputs if name.isidentifier()][:4]
        call = f"{self.name or 'graph'}({', '.join(f'{name}=...' for name in names)})"
        how = f"inputs are given by name: {call}" if names else f"it takes no inputs: {call}"
        return FeedError(f"graph `{self.name}`: {how}.")

    @property
    def outputs(self) -> list[str]:
        """Names of its results."""
        return list(self._named)

    @property
    def nodes(self) -> list[Node]:
        """All values, in the order in which they were recorded."""
        return [Node(self, v) for v in range(self._core.value_count())]

    @property
    def variables(self) -> list[Any]:
        """The Variables that it reads or assigns."""
        seen: dict[int, Any] = {}
        for v in self._core.variable_reads:
            variable = self._core.node(self._core.value(v)["node"])["variable"]
            seen[id(variable)] = variable
        return list(seen.values())

    def __getitem__(self, name: str) -> Node:
        """The value of that name: a result, else an input."""
        return Node(self, self._find(name))

    def __len__(self) -> int:
        return int(self._core.node_count())

    def _ipython_key_completions_(self) -> list[str]:
        return [*self._named, *self._inputs]

    def _find(self, key: Any, *, feed: bool = False) -> int:
        if isinstance(key, Node):
            if key.graph is not self:
                raise GraphError(f"{key!r} does not belong to graph `{self.name}`.")
            return key._value
        if isinstance(key, str):
            tables = (self._inputs, self._named) if feed else (self._named, self._inputs)
            for table in tables:
                if key in table:
                    return table[key]
            if (
                key.startswith("%")
                and key[1:].isdigit()
                and int(key[1:]) < self._core.value_count()
            ):
                return int(key[1:])
            kind = "input" if feed else "value"
            names = self._inputs if feed else {**self._named, **self._inputs}
            error = FeedError if feed else GraphError
            raise error(
                f"graph `{self.name}` has no {kind} `{key}`. It has {', '.join(names) or 'none'}."
            )
        if isinstance(key, (_core.Tensor, _core.Variable)):
            v = self._core.find(key)
            if v >= 0:
                return int(v)
        raise GraphError(
            f"graph `{self.name}`: {type(key).__name__} stands for none of its values. Give a name, "
            "a handle such as g['h'], or a tensor that it captured."
        )

    # -- running ------------------------------------------------------------------------------------

    def __call__(self, /, *unnamed: Any, **feeds: Any) -> Results:
        """Runs the graph and returns its terminal values (those that no other node consumes).

        Args:
            **feeds: Inputs by name, in place of the captured values.

        Returns:
            The values by name; `g["h"]` and `fb.Session().run` fetch inner ones.

        Raises:
            FeedError: If an input is not given by name, is not one of the graph's, or does not fit.
        """
        if unnamed:
            raise self._fed_without_names()
        call = self._calls.get(tuple(feeds))
        if call is not None:
            start = time.perf_counter()
            try:
                values = call.run(feeds)
            except OutOfMemoryError as error:
                fed = {self._find(k, feed=True): v for k, v in feeds.items()}
                inputs = [*call.captured, *feeds.values()]
                raise self._explained(
                    error, inputs, fed, [self._named[n] for n in call.names]
                ) from None
            if values is not NotImplemented:
                self.stats["run_ms"] = (time.perf_counter() - start) * 1e3
                return Results(values)
        names = self._terminal()
        fed = {self._find(k, feed=True): v for k, v in feeds.items()}
        fetches = [self._named[n] for n in names]
        executable, inputs = self._plan(fetches, fed)
        values = self._execute(executable, inputs, fed, fetches)
        if len(fed) == len(
            feeds
        ):  # each name its own input: the next such call goes straight there
            captured = tuple(inputs[: len(inputs) - len(fed)])
            run = _core.named_call(executable, inputs, tuple(feeds), tuple(names), self._core).fed
            while len(self._calls) >= _MOST_CALLS:
                self._calls.pop(next(iter(self._calls)))
            self._calls[tuple(feeds)] = _Call(run, executable, captured, names)
        return Results(zip(names, values, strict=True))

    def run_cell(self, inspect: bool = False) -> dict[str, Any]:
        """Runs it once for its cell: every assigned name with its symbols replaced by values.

        Args:
            inspect: Keep statistics of every value of the run; see `Graph.inspect`.
        """
        leaves: list[Any] = []
        trees: list[tuple[str, Tree, int, int]] = []
        for name, value in self._outputs.items():
            start = len(leaves)
            tree = flatten(value, leaves)
            trees.append((name, tree, start, len(leaves)))
        symbols = {
            i: v for i, leaf in enumerate(leaves) if (v := symbol_in(self._core, leaf)) is not None
        }
        values = self._run(list(symbols.values()), {}, inspect=inspect)
        for i, v in zip(symbols, values, strict=True):
            leaves[i] = v
            if self._core.node(self._core.value(symbols[i])["node"])["forward"] >= 0:
                _core.set_buffer_kind(v, "gradient")
        bound = {name: tree.build(iter(leaves[a:b])) for name, tree, a, b in trees}
        self.results = Results({name: bound[name] for name in bound})
        return bound

    def _terminal(self) -> list[str]:
        consumed: set[int] = set()
        for node in self._core.nodes():
            consumed.update(node["inputs"])
        names = [n for n, v in self._named.items() if v not in consumed]
        return names or list(self._named)

    def _run(
        self,
        fetches: Sequence[int],
        feeds: Mapping[int, Any],
        effects: bool = True,
        inspect: bool = False,
    ) -> list[Any]:
        executable, values = self._plan(fetches, feeds, effects, fuse=not inspect)
        return self._execute(executable, values, feeds, fetches, effects, inspect)

    def _plan(
        self,
        fetches: Sequence[int],
        feeds: Mapping[int, Any],
        effects: bool = True,
        fuse: bool = True,
    ) -> tuple[Any, list[Any]]:
        """The plan, and what it is run with: the captures that are not fed, then the feeds."""
        fed: dict[int, Any] = {v: t for v, t in self._examples.items() if v not in feeds}
        for v, value in feeds.items():
            fed[v] = self._checked_feed(
                v, asarray(value) if not isinstance(value, _core.Tensor) else value
            )
        ids, values = list(fed), list(fed.values())
        try:
            # What is inspected runs as it was recorded: no node is merged, folded or fused.
            executable, why = self._program.plan(
                ids, values, list(fetches), effects, optimize=fuse, fuse=fuse
            )
        except ShapeError as error:
            if feeds:
                from . import _failed_record

                text = _failed_record.named(self._core, str(error))
                names = ", ".join(
                    f"{self._core.value_name(v) or v}={_core.describe(fed[v])}" for v in feeds
                )
                told = ShapeError(
                    f"graph `{self.name}` was traced with other shapes and cannot run with {names}: "
                    f"{text}. Trace it with symbolic sizes (--shapes, fb.graph(shapes=...)) or run "
                    "the cell again with the new input."
                )
                self._attach_record(told, str(error))
                raise told from error
            raise
        if why:
            self.stats["compile_ms"] = executable.compile_seconds * 1e3
            self.stats["planned_peak_bytes"] = executable.peak_bytes
            if self._executable is None:
                self.stats["recompiled"] = None
            elif fuse and effects:  # what a profile or an inspection plans is no news
                self.stats["recompiled"] = why
        if fuse and self._executable is None:
            self._executable = executable
        return executable, values

    def _execute(
        self,
        executable: Any,
        values: list[Any],
        feeds: Mapping[int, Any],
        fetches: Sequence[int],
        effects: bool = True,
        inspect: bool = False,
    ) -> list[Any]:
        start = time.perf_counter()
        try:
            if inspect:
                out = self._inspected(executable, values)
            else:
                out = executable.run(values)
        except OutOfMemoryError as error:
            raise self._explained(error, values, feeds, fetches, effects) from None
        except FlowbookError as error:
            self._attach_record(error, str(error))
            raise
        self.stats["run_ms"] = (time.perf_counter() - start) * 1e3
        return out

    def _explained(
        self,
        error: OutOfMemoryError,
        values: Sequence[Any],
        feeds: Mapping[int, Any],
        fetches: Sequence[int],
        effects: bool = True,
    ) -> OutOfMemoryError:
        from ._memory_needs import explain

        ids = [*(v for v in self._examples if v not in feeds), *feeds]
        return explain(error, self._program, ids, values, fetches, effects)

    def compile(self) -> None:
        """Plans a run of all its results without running anything.

        Example:
            >>> x = fb.asarray([1.0, 2.0])
            >>> with fb.graph() as g:
            ...     g.output(y=fb.exp(x))
            >>> g.compile()
            >>> g.stats["planned_peak_bytes"]
            8
        """
        self._plan(list(self._named.values()), {})

    def _attach_record(self, error: FlowbookError, text: str) -> None:
        """Lets the notebook draw where an error happened that `text` tells of."""
        from . import _failed_record

        vars(error)["record"] = lambda: _failed_record.of_run(
            self._core, self.name, list(self._named.items()), text
        )

    def _checked_feed(self, v: int, value: Any) -> Any:
        want = self._core.value(v)
        if value.dtype != want["dtype"]:
            name = self._core.value_name(v) or f"%{v}"
            raise FeedError(
                f"graph `{self.name}`: {name} is {want['spec']} and was fed {_core.describe(value)}. "
                f"Cast it: fb.asarray(..., fb.{want['dtype']})."
            )
        return value

    def profile(self, runs: int = 10, **feeds: Any) -> Profile:
        """Runs it once to warm up and `runs` times with a clock on each step.

        The drawing shows the times from then on, and the median run. Variables keep their values.

        Args:
            runs: How often it is timed.
            **feeds: Inputs by name, in place of the captured values.

        Returns:
            Times by step; `fb.profile` says more.

        Raises:
            ArgumentError: If `runs` is less than 1.
        """
        from ._profile import take

        given = {self._find(k, feed=True): v for k, v in feeds.items()}
        executable, values = self._plan([self._named[n] for n in self._terminal()], given, False)
        self._profile = take(lambda: executable.run(values), runs, self._core)
        self.stats["run_ms"] = self._profile.seconds * 1e3  # the first run was a cold one
        return self._profile

    def inspect(self, **feeds: Any) -> Inspection:
        """Runs it and keeps statistics of every value: range, mean, NaNs, a small histogram.

        The graph runs node by node as it was recorded, without assigning its Variables. The
        drawing shows the statistics from then on, and marks the first node that made a NaN.

        Args:
            **feeds: Inputs by name, in place of the captured values.

        Returns:
            The statistics; `first` tells where something stopped being finite.

        Example:
            >>> with fb.graph() as g:
            ...     h = fb.asarray([0.0, 4.0]) - 2.0
            ...     g.output(h=h, y=fb.sqrt(h))
            >>> found = g.inspect()
            >>> found["h"].min, found.first.what, found.first.count
            (-2.0, 'NaN', 1)
        """
        given = {self._find(k, feed=True): v for k, v in feeds.items()}
        self._run(list(self._named.values()), given, effects=False, inspect=True)
        assert self._inspection is not None
        return self._inspection

    def _inspected(self, executable: Any, values: list[Any]) -> list[Any]:
        from ._inspection import Inspection

        seen: dict[int, dict[str, Any]] = {}
        try:
            out: list[Any] = executable.inspect(values, seen)
        finally:
            self._inspection = Inspection.of_run(
                self._core,
                executable,
                seen,
                record_of(self._core, self.name, list(self._named.items()), self.stats),
                local=True,
            )
        return out

    # -- gradients ----------------------------------------------------------------------------------

    def gradients(self, ys: Any, xs: Any, seeds: Any = None) -> Any:
        """Adds the gradients of `ys` with respect to `xs` to the graph; returns their handles.

        Args:
            ys: Names or handles of scalar values.
            xs: Names, handles, captured tensors or Variables; any nesting.
            seeds: Weights of the ys.

        Returns:
            Handles nested like `xs`, for `fb.Session().run` or as results of `g["..."]`.
        """
        from ._gradients import _gradients_of

        def symbol(key: Any) -> Any:
            if isinstance(key, _core.Variable):
                return key
            return self._core.tensor(self._find(key))

        y_leaves: list[Any] = []
        x_leaves: list[Any] = []
        flatten(ys, y_leaves)
        tree = flatten(xs, x_leaves)
        recorder = _core.Recorder(self._core)
        recorder.begin()
        try:
            found = _gradients_of(
                self._core, [symbol(y) for y in y_leaves], [symbol(x) for x in x_leaves], seeds
            )
        finally:
            recorder.end()
        handles = []
        for key, gradient in zip(x_leaves, found, strict=True):
            v = self._core.value_of(gradient)
            label = key if isinstance(key, str) else getattr(key, "name", "")
            if label and not self._core.value_name(v):
                self._core.set_name(v, f"d{label}")
            handles.append(Node(self, v))
        return tree.build(iter(handles))

    # -- looking at it ------------------------------------------------------------------------------

    def text(self) -> str:
        """One line per node, as recorded."""
        text: str = self._core.text()
        return text

    def record(self) -> dict[str, Any]:
        """Plain data that describes it, for views and tools.

        Returns:
            `name`, `nodes`, `outputs`, `assignments`, `stats`; and where it is known `optimised`
            (what runs), `diff` (against the same cell's graph before), `nonfinite` (the first NaN)
            and `stale` (inputs that have been bound to something else since).
        """
        return plain(self._compact_record())

    def _compact_record(self) -> dict[str, Any]:
        """The record with its nodes as columns: what is drawn."""
        return self._record().whole(
            self.name, stats=self.stats, executable=self._executable, previous=self.previous,
            profile=self._profile, inspection=self._inspection, stale=self.stale,
        )  # fmt: skip

    def _recorded_alone(self) -> dict[str, Any]:
        """What the recorded nodes alone tell."""
        return self._record().recorded(self.name)

    def _record(self) -> GraphRecord:
        if self._made_record is None:
            from ._graph_record import GraphRecord

            self._made_record = GraphRecord(self._core, self._named)
        return self._made_record

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Writes the drawing to a file that needs nothing else.

        Args:
            path: Its ending decides the form: `.svg`, `.html`, `.txt`, or `.json` (the plain data).

        Raises:
            ArgumentError: If the ending is another one.
            OSError: If the file cannot be written.

        Example:
            >>> import os, tempfile
            >>> with fb.graph() as g:
            ...     y = fb.asarray([1.0, 2.0]) * 2
            ...     g.output(y=y)
            >>> g.draw(os.path.join(tempfile.mkdtemp(), "double.svg"))
        """
        from . import _drawing, _graph_svg, _graph_words

        forms: dict[str, Callable[[dict[str, Any]], str]] = {
            ".svg": _graph_svg.svg, ".html": _drawing.page, ".txt": _graph_words.text,
            ".json": lambda record: json.dumps(plain(record)),
        }  # fmt: skip
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending not in forms:
            raise ArgumentError(
                f"draw: {os.fspath(path)!r} ends with {ending!r}. It must be one of "
                f"{', '.join(forms)}."
            )
        with open(path, "w", encoding="utf-8") as file:
            file.write(forms[ending](self._compact_record()))

    def __repr__(self) -> str:
        inputs, outputs = ", ".join(self._inputs), ", ".join(self._named)
        return f"<Graph {self.name!r}: {len(self)} nodes, ({inputs}) -> ({outputs})>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from . import _display

        return _display.mimebundle("graph", self, _static)


def _static(graph: Graph) -> dict[str, str]:
    from . import _drawing

    return _drawing.mimebundle(graph._compact_record())
