"""Graphs as users meet them: `Graph`, its nodes, and the `graph` decorator for functions."""

from __future__ import annotations

import enum
import functools
import inspect
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from . import _core
from ._record import record_of
from ._trace import CellInfo, Trace, symbol_in, symbolic_spec
from ._tree import LEAF, Results, Tree, flatten
from .errors import ArgumentError, FeedError, GraphError, ShapeError


class Node:
    """A value of a graph: a handle to fetch, feed or differentiate it.

    Attributes:
        graph: The `Graph`.
        name: Its variable name, or `%n`.
    """

    __slots__ = ("_value", "graph")

    def __init__(self, graph: Graph, value: int) -> None:
        self.graph, self._value = graph, value

    @property
    def name(self) -> str:
        return self.graph._core.value_name(self._value) or f"%{self._value}"

    @property
    def spec(self) -> str:
        """Dtype and shape, such as `f32[32, 10]`."""
        spec: str = self.graph._core.value(self._value)["spec"]
        return spec

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple(self.graph._core.value(self._value)["shape"])

    @property
    def dtype(self) -> Any:
        return self.graph._core.value(self._value)["dtype"]

    @property
    def op(self) -> str:
        """The op that makes it, or what kind of input it is."""
        node = self.graph._core.node(self.graph._core.value(self._value)["node"])
        return str(node["op"] or node["source"])

    @property
    def inputs(self) -> list[Node]:
        node = self.graph._core.node(self.graph._core.value(self._value)["node"])
        return [Node(self.graph, v) for v in node["inputs"]]

    @property
    def line(self) -> int | None:
        """Line of the cell or file that made it."""
        return self.graph._core.node(self.graph._core.value(self._value)["node"])["line"] or None

    def __repr__(self) -> str:
        return f"<Node {self.name}: {self.spec} = {self.op} of graph {self.graph.name!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.graph is self.graph and other._value == self._value

    def __hash__(self) -> int:
        return hash((id(self.graph), self._value))


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
        self._seconds: dict[int, float] = {}
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

    def __call__(self, **feeds: Any) -> Results:
        """Runs the graph and returns its terminal values (those that no other node consumes).

        Args:
            **feeds: Inputs by name, in place of the captured values.

        Returns:
            The values by name; `g["h"]` and `fb.Session().run` fetch inner ones.
        """
        names = self._terminal()
        values = self._run(
            [self._named[n] for n in names], {self._find(k, feed=True): v for k, v in feeds.items()}
        )
        return Results(dict(zip(names, values, strict=True)))

    def run_cell(self) -> dict[str, Any]:
        """Runs it once for its cell: every assigned name with its symbols replaced by values."""
        leaves: list[Any] = []
        trees: list[tuple[str, Tree, int, int]] = []
        for name, value in self._outputs.items():
            start = len(leaves)
            tree = flatten(value, leaves)
            trees.append((name, tree, start, len(leaves)))
        symbols = {
            i: v for i, leaf in enumerate(leaves) if (v := symbol_in(self._core, leaf)) is not None
        }
        for i, v in zip(symbols, self._run(list(symbols.values()), {}), strict=True):
            leaves[i] = v
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
        self, fetches: Sequence[int], feeds: Mapping[int, Any], effects: bool = True
    ) -> list[Any]:
        import flowbook

        fed: dict[int, Any] = {v: t for v, t in self._examples.items() if v not in feeds}
        for v, value in feeds.items():
            fed[v] = self._checked_feed(
                v, flowbook.asarray(value) if not isinstance(value, _core.Tensor) else value
            )
        ids, values = list(fed), list(fed.values())
        try:
            executable, why = self._program.plan(ids, values, list(fetches), effects)
        except ShapeError as error:
            if feeds:
                names = ", ".join(
                    f"{self._core.value_name(v) or v}={_core.describe(fed[v])}" for v in feeds
                )
                raise ShapeError(
                    f"graph `{self.name}` was traced with other shapes and cannot run with {names}: "
                    f"{error}. Trace it with symbolic sizes (--shapes, fb.graph(shapes=...)) or run "
                    "the cell again with the new input."
                ) from error
            raise
        if why:
            self.stats["compile_ms"] = executable.compile_seconds * 1e3
            self.stats["planned_peak_bytes"] = executable.peak_bytes
            self.stats["recompiled"] = None if why == "first run" else why
        start = time.perf_counter()
        out: list[Any] = executable.run(values)
        self.stats["run_ms"] = (time.perf_counter() - start) * 1e3
        self._executable = executable
        return out

    def _checked_feed(self, v: int, value: Any) -> Any:
        want = self._core.value(v)
        if value.dtype != want["dtype"]:
            name = self._core.value_name(v) or f"%{v}"
            raise FeedError(
                f"graph `{self.name}`: {name} is {want['spec']} and was fed {_core.describe(value)}. "
                f"Cast it with astype(fb.{want['dtype']})."
            )
        return value

    def profile(self, runs: int = 5) -> dict[int, float]:
        """Runs it several times and returns the median seconds of each node, by node number.

        A fused group's time is shared out evenly among its nodes.
        """
        if runs < 1:
            raise ArgumentError(f"profile: runs is {runs}. It must be 1 or more.")
        names = self._terminal()
        ids, values = list(self._examples), list(self._examples.values())
        executable, _ = self._program.plan(ids, values, [self._named[n] for n in names], False)
        times = [executable.profile(values)[1] for _ in range(runs)]
        seconds: dict[int, float] = {}
        for step, samples in zip(executable.steps(), zip(*times, strict=True), strict=True):
            nodes = [n for n in step["nodes"] if n >= 0]
            for n in nodes:
                seconds[n] = seconds.get(n, 0.0) + float(np.median(samples)) / len(nodes)
        self._seconds = seconds
        return seconds

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
        """Plain data that describes it, for views and tools."""
        return record_of(
            self._core, self.name, list(self._named.items()), self.stats, self._seconds
        )

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
        from . import _drawing

        forms: dict[str, Callable[[dict[str, Any]], str]] = {
            ".svg": _drawing.svg, ".html": _drawing.page, ".txt": _drawing.text, ".json": json.dumps,
        }  # fmt: skip
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending not in forms:
            raise ArgumentError(
                f"draw: {os.fspath(path)!r} ends with {ending!r}. It must be one of "
                f"{', '.join(forms)}."
            )
        with open(path, "w", encoding="utf-8") as file:
            file.write(forms[ending](self.record()))

    def __repr__(self) -> str:
        inputs, outputs = ", ".join(self._inputs), ", ".join(self._named)
        return f"<Graph {self.name!r}: {len(self)} nodes, ({inputs}) -> ({outputs})>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from . import _display

        return _display.mimebundle("graph", self)


class graph:
    """Compiles a function, or records a block.

    As a decorator: `@fb.graph` traces the function at its first call with arguments of given dtypes
    and shapes, compiles it and from then on runs it natively. Tensors, arrays and Python numbers
    are inputs; bools, strings, None, dtypes, enums, callables and Modules are static: another value
    means another trace. Inside another graph the function's ops are recorded there; under a tape
    it runs eagerly, so that the tape sees its ops.

    As a context manager: `with fb.graph("name") as g:` records its block; afterwards `g.graph`
    runs it, see `Graph`.

    Args:
        function: The function; or the name of the graph, for a block.
        shapes: Symbolic sizes by argument, such as `{"x": "batch 784"}`: one trace serves all
            sizes, and `.shape` of such an argument holds `Dim`s.
        static: Names of further arguments that are static.

    Example:
        >>> @fb.graph
        ... def f(x, y):
        ...     return fb.tanh(x) * y
        >>> f(fb.asarray([0.0, 1.0]), 2.0).numpy().round(3).tolist()
        [0.0, 1.5230000019073486]
    """

    def __new__(
        cls,
        function: Callable[..., Any] | str | None = None,
        *,
        shapes: Mapping[str, str] | None = None,
        static: Sequence[str] = (),
    ) -> Any:
        if function is None and (shapes is not None or static):
            return lambda f: GraphFunction(f, shapes, static)
        if callable(function):
            return GraphFunction(function, shapes, static)
        return GraphBlock(function or "graph")


class GraphBlock:
    """`with fb.graph("name") as g:`; see `graph`."""

    def __init__(self, name: str) -> None:
        self._trace = Trace(name)
        self.graph: Graph | None = None
        self._outputs: dict[str, Any] = {}

    def __enter__(self) -> GraphBlock:
        self._trace.__enter__()
        return self

    def input(self, name: str, shape: Sequence[Any] = (), dtype: Any = "float32") -> Any:
        """A named input of the graph; sizes may be names of symbols."""
        spec = f"{dtype}[{', '.join(str(s) for s in shape)}]"
        return self._trace.graph.input_spec(spec, name)

    def output(self, **values: Any) -> None:
        """Names results."""
        self._outputs = {**self._outputs, **values}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._trace.__exit__(kind, error, trace)
        if kind is None:
            self.graph = self._trace.finish(self._outputs)

    def __getattr__(self, name: str) -> Any:
        graph = self.__dict__.get("graph")
        if graph is None:
            raise GraphError(f"graph: `{name}` is there when the `with` block has ended.")
        return getattr(graph, name)

    def __call__(self, **feeds: Any) -> Results:
        if self.graph is None:
            raise GraphError("graph: it can be called when the `with` block has ended.")
        return self.graph(**feeds)


_STATIC = (bool, str, bytes, type(None), enum.Enum, type)


class _Traced:
    """One trace of a function: for given static arguments and specs."""

    __slots__ = (
        "constants",
        "core",
        "executable",
        "feeds",
        "fetches",
        "fill",
        "program",
        "symbolic",
        "trace_seconds",
        "tree",
    )
    constants: Any
    feeds: Any
    fetches: Any
    fill: Any
    trace_seconds: float
    tree: Any

    def __init__(self, core: Any) -> None:
        self.core = core
        self.program = _core.Program(core)
        self.executable: Any = None
        self.symbolic = False


class GraphFunction:
    """A function that is traced and compiled at its first call; made by `fb.graph`."""

    __name__: str

    def __init__(
        self, function: Callable[..., Any], shapes: Mapping[str, str] | None, static: Sequence[str]
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._shapes = dict(shapes or {})
        self._signature = inspect.signature(function)
        unknown = [n for n in (*self._shapes, *static) if n not in self._signature.parameters]
        if unknown and not any(
            p.kind is p.VAR_KEYWORD for p in self._signature.parameters.values()
        ):
            raise ArgumentError(
                f"graph: {function.__name__} has no argument `{unknown[0]}`. It has "
                f"{', '.join(self._signature.parameters)}."
            )
        self._static = frozenset(static)
        self._simple = all(
            p.kind is p.POSITIONAL_OR_KEYWORD for p in self._signature.parameters.values()
        )
        self._names = list(self._signature.parameters)
        self._traces: dict[Any, _Traced] = {}
        self._fast: Any = None  # the last trace's native call, if all its arguments are tensors
        self._fast_training = False
        self.retraced: list[str] = []

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fast is not None and not kwargs and self._fast_training is _training():
            out = self._fast(*args)
            if out is not NotImplemented:
                return out
        if _core.recording_depth() and _core.current_graph() is not None:
            return self._inline(args, kwargs)
        inputs: list[Any] = []
        key = self._key(args, kwargs, inputs)
        traced = self._traces.get(key)
        if traced is None:
            traced = self._trace(key, args, kwargs)
        return self._run(traced, inputs)

    def _inline(self, args: Any, kwargs: Any) -> Any:
        program = _core.current_program()
        if program is None:
            return self._function(*args, **kwargs)
        program.push_scope(self.__name__)
        try:
            return self._function(*args, **kwargs)
        finally:
            program.pop_scope()

    # -- arguments ----------------------------------------------------------------------------------

    def _arguments(self, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        if self._simple and not kwargs and len(args) == len(self._names):
            return list(zip(self._names, args, strict=True))
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(
                f"{self.__name__}: {error}. Its arguments are {self._signature}."
            ) from None
        bound.apply_defaults()
        return list(bound.arguments.items())

    def _key(self, args: Any, kwargs: Any, inputs: list[Any]) -> Any:
        """What decides which trace serves this call; collects the tensors among the arguments."""
        key: list[Any] = [_training()]
        for name, value in self._arguments(args, kwargs):
            if name in self._static:
                key.append(_hashable(value, name, self.__name__))
                continue
            kind = type(value)
            if kind is _core.Tensor:
                inputs.append(value)
                key.append((value.dtype, value.shape) if name not in self._shapes else value.dtype)
                continue
            leaves: list[Any] = []
            tree = flatten(value, leaves)
            key.append(tree.key)
            for leaf in leaves:
                tensor = _input_of(leaf)
                if tensor is None:
                    key.append(_hashable(leaf, name, self.__name__))
                    continue
                inputs.append(tensor)
                weak = type(leaf) in (int, float)
                key.append((tensor.dtype, weak, None if name in self._shapes else tensor.shape))
        return tuple(key)

    def _trace(self, key: Any, args: Any, kwargs: Any) -> _Traced:
        trace = Trace(self.__name__)
        core = trace.graph
        traced = _Traced(core)
        traced.feeds = []
        replaced: dict[str, Any] = {}
        with trace:
            for name, value in self._arguments(args, kwargs):
                if name in self._static:
                    replaced[name] = value
                    continue
                leaves: list[Any] = []
                tree = flatten(value, leaves)
                symbols = []
                for i, leaf in enumerate(leaves):
                    tensor = _input_of(leaf)
                    if tensor is None:
                        symbols.append(leaf)
                        continue
                    label = name if len(leaves) == 1 else f"{name}[{i}]"
                    if name in self._shapes:
                        traced.symbolic = True
                        symbol = core.input_spec(
                            symbolic_spec(name, tensor, self._shapes[name]), label
                        )
                    else:
                        weak = type(leaf) in (int, float)
                        symbol = core.input(tensor.shape, tensor.dtype, label, weak)
                    traced.feeds.append(_core.symbol_id(symbol))
                    symbols.append(symbol)
                replaced[name] = tree.build(iter(symbols))
            result = self._call(replaced)
            # Results that are Variables are read here, after the function's assignments.
            leaves = []
            traced.tree = flatten(result, leaves)
            leaves = [leaf.value if isinstance(leaf, _core.Variable) else leaf for leaf in leaves]
        trace.name_captures({})
        traced.trace_seconds = trace.seconds
        traced.constants = leaves
        traced.fetches, traced.fill = [], []
        for i, leaf in enumerate(leaves):
            v = symbol_in(core, leaf)
            if v is not None:
                traced.fetches.append(v)
                traced.fill.append(i)
                leaves[i] = None
        core.sealed = True
        if self._traces:
            self.retraced.append(self._difference(key))
        self._traces[key] = traced
        return traced

    def _call(self, replaced: dict[str, Any]) -> Any:
        args, kwargs = [], {}
        for name, value in replaced.items():
            kind = self._signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(value)
            elif kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[name] = value
            else:
                args.append(value)
        return self._function(*args, **kwargs)

    def _run(self, traced: _Traced, inputs: list[Any]) -> Any:
        executable = traced.executable
        if executable is None:
            executable, _ = traced.program.plan(traced.feeds, inputs, traced.fetches, True)
            if not traced.symbolic:
                traced.executable = executable
        out = executable.run(inputs)
        tree = traced.tree
        single = tree is LEAF and traced.fill == [0]
        if not traced.symbolic and self._simple and len(inputs) == len(self._names):
            flat = tree._kind is tuple and tree.size == len(out) == len(tree._children)
            if single or flat:
                self._fast = _core.compiled_call(executable, inputs, single)
                self._fast_training = _training()
        if single:
            return out[0]
        leaves = list(traced.constants)
        for i, value in zip(traced.fill, out, strict=True):
            leaves[i] = value
        return tree.build(iter(leaves))

    def _difference(self, key: Any) -> str:
        old = next(reversed(self._traces))
        parts = [f"{b!r} instead of {a!r}" for a, b in zip(old, key, strict=False) if a != b]
        return "; ".join(parts) or "another structure"

    # -- looking at it ------------------------------------------------------------------------------

    @property
    def traces(self) -> int:
        """How many times the function was traced; `retraced` says why."""
        return len(self._traces)

    def trace(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph for these arguments, without running it."""
        inputs: list[Any] = []
        key = self._key(args, kwargs, inputs)
        traced = self._traces.get(key) or self._trace(key, args, kwargs)
        outputs = {}
        for n, v in enumerate(traced.fetches):
            name = traced.core.value_name(v) or (
                "result" if len(traced.fetches) == 1 else f"result_{n}"
            )
            outputs[name] = traced.core.tensor(v)
        result = Graph(traced.core, outputs, examples=dict(zip(traced.feeds, inputs, strict=True)))
        result.stats["trace_ms"] = traced.trace_seconds * 1e3
        return result

    def __repr__(self) -> str:
        return f"<fb.graph function {self.__name__}{self._signature}, traced {self.traces} times>"


def _training() -> bool:
    from .nn._training import is_training

    return is_training()


def _input_of(leaf: Any) -> Any:
    """The tensor for an argument that is an input; None for a static one."""
    if isinstance(leaf, _core.Tensor):
        return leaf
    if isinstance(leaf, (_core.Variable, *_STATIC)):
        return None
    if isinstance(leaf, (int, float, np.ndarray, np.generic)):
        import flowbook

        return flowbook.asarray(leaf) if not isinstance(leaf, (int, float)) else _weak(leaf)
    if hasattr(leaf, "__dlpack__") or hasattr(leaf, "__array_interface__"):
        import flowbook

        return flowbook.asarray(leaf)
    return None


def _weak(number: int | float) -> Any:
    return _core.weak_scalar(number)


def _hashable(value: Any, name: str, function: str) -> Any:
    """A key for a static argument: its value if it can be compared, else its identity."""
    if isinstance(value, _core.Variable) or callable(value) or hasattr(value, "forward"):
        return ("identity", id(value), _Alive(value))
    try:
        hash(value)
    except TypeError:
        raise ArgumentError(
            f"{function}: argument `{name}` is a {type(value).__name__}, which is neither a tensor nor "
            "hashable. Pass tensors, numbers, nestings of them, or a hashable object."
        ) from None
    return (type(value), value)


class _Alive:
    """Keeps an object alive in a key, so that its id is not used again; compares equal always."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alive)

    def __hash__(self) -> int:
        return 0


class outside_graph:
    """`with fb.outside_graph():` runs ops eagerly although a graph or tape records.

    Example:
        >>> @fb.graph
        ... def f(x):
        ...     with fb.outside_graph():
        ...         noise = fb.random.normal((2,))
        ...     return x + noise
        >>> f(fb.asarray([1.0, 2.0])).shape
        (2,)
    """

    def __init__(self) -> None:
        self._recorder: Any = None

    def __enter__(self) -> outside_graph:
        self._recorder = _core.Recorder(None)
        self._recorder.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.end()
