"""Compiling functions and recording blocks: the `graph` decorator and context, `outside_graph`."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._creation import asarray
from ._graph import Graph
from ._switch import training_switch
from ._symbols import symbol_in, symbolic_spec
from ._trace import Trace
from ._tree import LEAF, Results, flatten
from .errors import ArgumentError, FlowbookError, GraphError, OutOfMemoryError

if TYPE_CHECKING:
    from ._inspection import Inspection


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

    def __call__(self, /, *unnamed: Any, **feeds: Any) -> Results:
        if self.graph is None:
            raise GraphError("graph: it can be called when the `with` block has ended.")
        return self.graph(*unnamed, **feeds)


_DIRECT = frozenset((_core.Tensor, int, float))
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
        self._last: _Traced | None = None  # the trace that the last call has run
        self._finite = False
        self.retraced: list[str] = []

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fast is not None and not kwargs and self._fast_training is training_switch.get():
            try:
                out = self._fast(*args)
            except OutOfMemoryError as error:
                raise self._explained(error, list(args)) from None
            if out is not NotImplemented:
                return out
        if _core.recording_depth() and _core.current_graph() is not None:
            return self._inline(args, kwargs)
        inputs: list[Any] = []
        key = self._key(args, kwargs, inputs)
        traced = self._traces.get(key)
        if traced is None:
            traced = self._trace(key, args, kwargs)
        # Whether the arguments are the inputs: then calls like this one need no Python.
        direct = not kwargs and len(args) == len(inputs) and _DIRECT.issuperset(map(type, args))
        return self._run(traced, inputs, direct)

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
        key: list[Any] = [training_switch.get()]
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
            try:
                result = self._call(replaced)
            except FlowbookError as error:
                # For the notebook, which draws what was recorded up to the error.
                if getattr(error, "record", None) is None and _core.recording_depth() == 1:
                    vars(error)["record"] = functools.partial(
                        trace.partial_record, error, _names_known_to(self._function)
                    )
                raise
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

    def _run(self, traced: _Traced, inputs: list[Any], direct: bool) -> Any:
        executable = traced.executable
        if executable is None:
            executable, _ = traced.program.plan(traced.feeds, inputs, traced.fetches, True)
            if not traced.symbolic:
                traced.executable = executable
        self._last = traced
        try:
            out = executable.run(inputs, finite=self._finite)
        except OutOfMemoryError as error:
            raise self._explained(error, inputs) from None
        tree = traced.tree
        single = tree is LEAF and traced.fill == [0]
        if not traced.symbolic and direct:
            flat = tree._kind is tuple and tree.size == len(out) == len(tree._children)
            if single or flat:
                self._fast = _core.compiled_call(executable, inputs, single, self._finite)
                self._fast_training = training_switch.get()
        if single:
            return out[0]
        leaves = list(traced.constants)
        for i, value in zip(traced.fill, out, strict=True):
            leaves[i] = value
        return tree.build(iter(leaves))

    def _explained(self, error: OutOfMemoryError, inputs: list[Any]) -> OutOfMemoryError:
        from ._memory_needs import explain

        traced = self._last
        assert traced is not None
        return explain(error, traced.program, traced.feeds, inputs, traced.fetches)

    def _difference(self, key: Any) -> str:
        old = next(reversed(self._traces))
        parts = [f"{b!r} instead of {a!r}" for a, b in zip(old, key, strict=False) if a != b]
        return "; ".join(parts) or "another structure"

    # -- for `fit` ----------------------------------------------------------------------------------

    def only_finite(self, on: bool) -> None:
        """Whether calls change nothing, and raise, where a floating 0-d result is not finite.

        Args:
            on: Whether they do; without it such results are like any others.
        """
        self._finite = on
        self._fast = None

    def inspect_call(self, *args: Any, names: Callable[[Any, Sequence[int]], None]) -> Inspection:
        """Statistics of all values of a call; neither Variables nor random numbers change.

        Args:
            *args: Its arguments.
            names: Called with the native graph and the numbers of its inputs: it may name values.
        """
        from ._inspection import Inspection
        from ._record import record_of

        inputs: list[Any] = []
        key = self._key(args, {}, inputs)
        traced = self._traces.get(key) or self._trace(key, args, {})
        names(traced.core, traced.feeds)
        executable, _ = traced.program.plan(
            traced.feeds, inputs, traced.fetches, True, optimize=False, fuse=False
        )
        seen: dict[int, dict[str, Any]] = {}
        executable.inspect(inputs, seen, effects=False)
        return Inspection.of_run(
            traced.core, executable, seen, record_of(traced.core), results=traced.fetches
        )

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


def _names_known_to(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function refers to outside of itself, under the names that it uses."""
    try:
        found = inspect.getclosurevars(function)
    except (TypeError, ValueError):  # a callable of another kind; a name that is not bound yet
        return {}
    return {**found.globals, **found.nonlocals}


def _input_of(leaf: Any) -> Any:
    """The tensor for an argument that is an input; None for a static one."""
    if isinstance(leaf, _core.Tensor):
        return leaf
    if isinstance(leaf, (_core.Variable, *_STATIC)):
        return None
    if isinstance(leaf, (int, float, np.ndarray, np.generic)):
        return asarray(leaf) if not isinstance(leaf, (int, float)) else _weak(leaf)
    if hasattr(leaf, "__dlpack__") or hasattr(leaf, "__array_interface__"):
        return asarray(leaf)
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
