"""Gradients: of what a graph or a tape has recorded, and of Python functions.

All of them come down to the one native walk over the recorded nodes (`flowbook._core.gradients`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from . import _core
from ._creation import asarray
from ._frames import stack_level
from ._record import plain, record_of
from ._tree import flatten, leaves_of, transform
from .errors import ArgumentError, GradientError, ShapeError


class tape:
    """Records the ops run inside a `with` block, eagerly, for their gradients.

    The gradients may be asked for inside the block or after it, any number of times; inside, the
    gradients' own ops are recorded, too, which gives second derivatives.

    Example:
        >>> x = fb.asarray(3.0)
        >>> with fb.tape() as t:
        ...     y = x * x
        >>> float(t.gradients(y, x))
        6.0
    """

    def __init__(self) -> None:
        self._graph = _core.Graph(False, "tape")
        self._recorder: Any = None

    def __enter__(self) -> tape:
        recorder = _core.Recorder(self._graph)
        recorder.begin()
        self._recorder = recorder
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

    def gradients(self, ys: Any, xs: Any, seeds: Any = None) -> Any:
        """The gradients of `ys` with respect to `xs`; see `flowbook.gradients`."""
        return _gradients_of(self._graph, ys, xs, seeds)


def gradients(ys: Any, xs: Any, seeds: Any = None) -> Any:
    """Gradients of `ys` with respect to `xs`, in the graph or tape that is recording.

    Args:
        ys: A floating tensor, or several, whose gradients are added. Each must be a scalar unless
            `seeds` are given.
        xs: A tensor or Variable, or any nesting of them. A Variable's gradient sums all its reads.
        seeds: Weights of the ys, shaped like them; by default 1.

    Returns:
        The gradients, nested like `xs` and shaped like its entries. An x that no y depends on has
        zeros, and a warning names it; so has one that only ops without a gradient use, such as
        `floor`, which is flat almost everywhere.

    Raises:
        GradientError: If nothing records, a y is not a scalar and has no seed, or an x or y is
            not floating.

    Example:
        >>> with fb.tape():
        ...     x = fb.asarray([1.0, 2.0])
        ...     g = fb.gradients(fb.sum(x**2), x)
        >>> g.tolist()
        [2.0, 4.0]

    Source: Griewank and Walther (2008), "Evaluating Derivatives", chapter 3 (reverse mode).
    """
    graph = _core.current_graph()
    if graph is None:
        raise GradientError(
            "gradients: nothing is being recorded. Call it inside a %%graph cell, a @fb.graph "
            "function or `with fb.tape():`, or use fb.grad / fb.value_and_grad on a function."
        )
    return _gradients_of(graph, ys, xs, seeds)


def _gradients_of(
    graph: Any, ys: Any, xs: Any, seeds: Any, own_names: Mapping[int, str] | None = None
) -> Any:
    """`gradients` in a graph; `own_names`: of tensors that the caller has no names for, by identity."""
    y_leaves = [_read(y) for y in leaves_of(ys)]
    x_leaves: list[Any] = []
    tree = flatten(xs, x_leaves)
    for x in x_leaves:
        if not isinstance(x, (_core.Tensor, _core.Variable)):
            raise GradientError(
                f"gradients: an x is of type {type(x).__name__}. It must be a Tensor or Variable."
            )
    seed_leaves = None if seeds is None else [_tensor(s) for s in leaves_of(seeds)]
    try:
        values, connected = _core.gradients(graph, y_leaves, x_leaves, seed_leaves)
    except (GradientError, ShapeError) as error:
        raise _named(error, graph, y_leaves, x_leaves, own_names or {}) from None
    if not all(connected):
        from ._errors import caller_names

        names = {**caller_names(), **(own_names or {})}
        nodes = plain(record_of(graph))["nodes"]
        for i, is_connected in enumerate(connected):
            if not is_connected:
                label = _label(graph, x_leaves[i], i, names)
                why = _why_zero(graph, nodes, y_leaves, x_leaves[i], label)
                warnings.warn(why, stacklevel=stack_level())
    if not graph.symbolic:
        for value in values:  # so that the memory views can tell them apart
            _core.set_buffer_kind(value, "gradient")
    return tree.build(iter(values))


def _named(
    error: Exception, graph: Any, ys: list[Any], xs: list[Any], own_names: Mapping[int, str]
) -> Exception:
    """The error with the caller's names in place of `y` and `an x`."""
    from ._errors import caller_names, note_failure

    callers = caller_names()
    names = {**callers, **own_names}
    note_failure("gradients", [*ys, *xs], names, graph)
    text = str(error)
    for words, leaves, known in (("y", ys, callers), ("an x", xs, names)):
        for leaf in leaves:
            name = known.get(id(leaf)) or getattr(leaf, "name", "")
            if name and f"gradients: {words} is {leaf.spec}" in text:
                text = text.replace(f"gradients: {words} is", f"gradients: {name} is", 1)
                return type(error)(text)
    return error


def _label(graph: Any, x: Any, i: int, names: Mapping[int, str]) -> str:
    name = getattr(x, "name", "") if isinstance(x, _core.Variable) else ""
    if not name:
        value = graph.find(x)
        name = graph.value_name(value) if value >= 0 else ""
    name = name or names.get(id(x), "")
    return f"`{name}`" if name else f"x number {i}"


def _why_zero(graph: Any, nodes: list[Any], ys: list[Any], x: Any, label: str) -> str:
    """Why the gradient by an x is zero: y never meets it, or only behind ops without a gradient."""
    ends = _ends_of_gradients(graph, nodes, ys, x)
    if ends is None:
        return (
            f"gradients: y does not depend on {label}; its gradient is zero. Was it used, and read "
            "inside the graph or tape?"
        )
    through = f"{' and '.join(ends)} only, which" if ends else "what"
    none = "have no gradient" if len(ends) > 1 else "has no gradient"
    flat = " (slopes of steps are zero)" if ends and _STEPS.issuperset(ends) else ""
    return (
        f"gradients: y depends on {label} through {through} {none}{flat}; the gradient of {label} "
        "is zero."
    )


_STEPS = frozenset(("ceil", "floor", "round", "sign", "trunc"))


def _ends_of_gradients(graph: Any, nodes: list[Any], ys: list[Any], x: Any) -> list[str] | None:
    """The ops without a gradient at which the ways from x to the ys end; None without a way."""

    def node_of(leaf: Any) -> list[int]:
        value = graph.find(leaf)
        return [graph.value(value)["node"]] if value >= 0 else []

    before: set[int] = set()  # nodes from which the ys are computed
    todo = [n for y in ys for n in node_of(y)]
    while todo:
        if (n := todo.pop()) not in before:
            before.add(n)
            todo += nodes[n]["inputs"]
    met = set(node_of(x)) & before
    if not met:
        return None
    ends = set()
    for node in nodes:
        if node["id"] in before and met.intersection(node["inputs"]):
            op = getattr(_core.ops, node["op"], None)
            passes = op is None or _core.op_record(op)["differentiable"]
            if not passes or not node["dtype"].startswith(("f", "bf", "c")):
                ends.add(node["op"])
            else:
                met.add(node["id"])
    return sorted(ends)


def _argument_names(f: Callable[..., Any], xs: Any) -> dict[int, str]:
    """The name of a function's first argument, by the identity of the tensor passed for it."""
    code = getattr(f, "__code__", None)
    if code is None or not code.co_argcount or not isinstance(xs, _core.Tensor):
        return {}
    return {id(xs): code.co_varnames[0]}


def _read(x: Any) -> Any:
    return x.value if isinstance(x, _core.Variable) else _tensor(x)


def _tensor(x: Any) -> Any:
    if isinstance(x, _core.Tensor):
        return x
    return asarray(x)


def stop_gradient(x: Any) -> Any:
    """`x` itself, through which no gradient flows.

    Example:
        >>> with fb.tape() as t:
        ...     x = fb.asarray(2.0)
        ...     y = x * fb.stop_gradient(x)
        >>> float(t.gradients(y, x))
        2.0
    """
    return _core.ops.stop_gradient(x)


def value_and_grad(
    f: Callable[..., Any], wrt: Any = None, *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that computes `f` and its gradient together.

    Works eagerly and, inside a graph, symbolically; compose it with `fb.graph` for a compiled step.

    Args:
        f: Function whose result is a scalar (or, with `has_aux`, a pair of one and anything).
        wrt: What to differentiate by: None for the first argument (any nesting of tensors), a
            `fb.nn.Module` (its trainable Variables), or any nesting of Variables.
        has_aux: Whether `f` returns `(value, aux)`.

    Returns:
        A function returning `(value, gradient)`, or `((value, aux), gradient)`. The gradient is
        nested like the argument; for a Module it is a dict by parameter path.

    Example:
        >>> value, g = fb.value_and_grad(lambda x: fb.sum(x * x))(fb.asarray([1.0, 3.0]))
        >>> float(value), g.tolist()
        (10.0, [2.0, 6.0])
    """
    return _value_and_grad(f, wrt, has_aux, "value_and_grad")


def _value_and_grad(
    f: Callable[..., Any], wrt: Any, has_aux: bool, caller: str
) -> Callable[..., tuple[Any, Any]]:
    if isinstance(f, (_core.Tensor, _core.Variable)):
        raise ArgumentError(
            f"{caller}: f is a {type(f).__name__} ({f.spec}). It must be a function, as in "
            f"fb.{caller}(loss_of)(x). The gradients of a tensor that a %%graph cell or "
            "`with fb.tape():` records are fb.gradients(y, xs)."
        )
    if not callable(f):
        raise ArgumentError(f"{caller}: f is {f!r}. It must be a function.")

    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        xs = _parameters(wrt)
        if xs is None:
            if not args:
                raise ArgumentError(f"{caller}: the function has no argument to differentiate by.")
            # Fresh tensors: the gradient is by this argument, not by other uses of the same tensor.
            first = transform(
                args[0], lambda leaf: leaf if isinstance(leaf, _core.Variable) else _copied(leaf)
            )
            args = (first, *args[1:])
            xs = first
        with tape() as t:
            result = f(*args, **kwargs)
            value = result[0] if has_aux else result
            if not isinstance(value, (_core.Tensor, _core.Variable)):
                raise GradientError(
                    f"{caller}: the function returned a {type(value).__name__}. It must "
                    "return a 0-d floating tensor."
                )
        # Outside the tape: an outer recording still sees the gradient's ops.
        try:
            g = _gradients_of(t._graph, value, xs, None, _argument_names(f, xs))
        except GradientError as error:
            # Nobody but the function has a name for what it returns.
            text = str(error).replace(
                "gradients: y is ", f"gradients: {wrapped.__name__} returned ", 1
            )
            raise type(error)(text) from None
        return result, g

    wrapped.__name__ = getattr(f, "__name__", "f")
    wrapped.__doc__ = getattr(f, "__doc__", None)
    return wrapped


def grad(f: Callable[..., Any], wrt: Any = None) -> Callable[..., Any]:
    """A function that computes the gradient of `f`; see `value_and_grad`.

    Example:
        >>> float(fb.grad(fb.sin)(0.0))
        1.0
        >>> float(fb.grad(fb.grad(lambda x: x**3))(2.0))
        12.0
    """
    both = _value_and_grad(f, wrt, False, "grad")

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    wrapped.__name__ = getattr(f, "__name__", "f")
    return wrapped


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of `f(*args)` and the function that multiplies from the left with its Jacobian.

    Returns:
        `(value, pull)`: `pull(seed)` returns one gradient per argument, nested like it.

    Example:
        >>> value, pull = fb.vjp(lambda x, y: x * y, fb.asarray(2.0), fb.asarray(5.0))
        >>> [float(g) for g in pull(fb.asarray(1.0))]
        [5.0, 2.0]
    """
    inputs = transform(args, _copied)
    with tape() as t:
        value = f(*inputs)

    def pull(seed: Any) -> tuple[Any, ...]:
        result: tuple[Any, ...] = t.gradients(value, inputs, seed)
        return result

    return value, pull


def _copied(x: Any) -> Any:
    return _core.ops.positive(_tensor(x))


def _parameters(wrt: Any) -> Any:
    if wrt is None:
        return None
    if hasattr(wrt, "named_variables") or hasattr(wrt, "parameters"):
        named = getattr(wrt, "named_parameters", None) or getattr(wrt, "named_variables", None)
        pairs = named() if named else ((v.name, v) for v in wrt.parameters())
        pairs = pairs.items() if isinstance(pairs, dict) else pairs
        return {name: v for name, v in pairs if v.trainable}
    return wrt


def custom_gradient(f: Callable[..., tuple[Any, Callable[..., Any]]]) -> Callable[..., Any]:
    """Gives a function a gradient of your own.

    Args:
        f: Function of tensors that returns `(value, pull)`; `pull(dy)` (one dy per output) returns
            the gradient for each argument, a tuple if there are several.

    Returns:
        A function of the same arguments that returns `value`.

    Example:
        >>> @fb.custom_gradient
        ... def clipped(x):
        ...     return x * 1.0, lambda dy: fb.clip(dy, -1.0, 1.0)
        >>> float(fb.grad(lambda x: 100.0 * clipped(x))(2.0))
        1.0
    """

    def wrapped(*args: Any) -> Any:
        inputs = [_tensor(a) for a in args]
        with _core.Recorder(None) if _core.current_program() is None else _Nothing():
            value, pull = f(*inputs)
        outputs: list[Any] = []
        tree = flatten(value, outputs)
        rule = _rule(pull, len(inputs))
        linked = _core.custom_gradient(inputs, [_tensor(o) for o in outputs], rule)
        return tree.build(iter(linked))

    wrapped.__name__ = getattr(f, "__name__", "f")
    wrapped.__doc__ = f.__doc__
    return wrapped


def _rule(pull: Callable[..., Any], count: int) -> Callable[[Sequence[Any]], list[Any]]:
    def rule(dys: Sequence[Any]) -> list[Any]:
        gradients_ = leaves_of(pull(*dys))
        if len(gradients_) != count:
            raise GradientError(
                f"custom_gradient: the rule returned {len(gradients_)} gradients for {count} "
                "arguments. Return one for each, in order."
            )
        return [_tensor(g) for g in gradients_]

    return rule


class _RandomState:
    """Where the random numbers stand, to draw the same ones again."""

    def __init__(self) -> None:
        self._state, self._streams = _core.generator_state(), _core.random_streams()

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Inside, the numbers drawn since then are drawn again; afterwards, new ones."""
        state, streams = _core.generator_state(), _core.random_streams()
        _core.set_generator_state(*self._state)
        _core.set_random_streams(self._streams)
        try:
            yield
        finally:
            _core.set_generator_state(*state)
            _core.set_random_streams(max(streams, _core.random_streams()))


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Computes `f` again for its gradient instead of keeping its intermediate values.

    Random ops inside are replayed with the same numbers.

    Args:
        f: Function of tensors (any nesting) that returns tensors.

    Returns:
        A function of the same arguments and values.

    Example:
        >>> block = fb.checkpoint(lambda x: fb.tanh(fb.tanh(x)))
        >>> g = fb.grad(lambda x: fb.sum(block(x)))(fb.asarray([0.5]))
        >>> round(float(g[0]), 4)
        0.6398

    Source: Chen, Xu, Zhang, Guestrin (2016), "Training deep nets with sublinear memory cost".
    """

    def wrapped(*args: Any) -> Any:
        leaves: list[Any] = []
        tree = flatten(args, leaves)
        tensors = [_tensor(leaf) for leaf in leaves]
        before = _RandomState()
        # The probe finds the Variables that f reads, whose gradients must flow, too; what it
        # keeps for a gradient is dropped at once.
        with tape() as probe:
            value = f(*tree.build(iter(tensors)))
        variables = _core.variables_read(probe._graph)
        del probe
        outputs: list[Any] = []
        shape = flatten(value, outputs)

        def pull(dys: Sequence[Any]) -> list[Any]:
            inputs = [_core.barrier(t) for t in tensors]
            with before.replayed(), tape() as t:
                again = f(*tree.build(iter(inputs)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # arguments that f does not use have zeros
                found: list[Any] = t.gradients(leaves_of(again), [*inputs, *variables], list(dys))
            return found

        reads = [v.value for v in variables]
        linked = _core.custom_gradient([*tensors, *reads], [_tensor(o) for o in outputs], pull)
        return shape.build(iter(linked))

    wrapped.__name__ = getattr(f, "__name__", "f")
    wrapped.__doc__ = f.__doc__
    return wrapped
