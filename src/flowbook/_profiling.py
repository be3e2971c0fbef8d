"""`fb.profile`: profiles of graphs, of functions, and of all that runs in a block."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import _core
from ._compiled import GraphBlock, GraphFunction, graph
from ._graph import Graph
from ._profile import Profile
from .errors import ArgumentError, GraphError


class _Taking:
    """`with fb.profile() as p:`; afterwards `p` stands for the `Profile`."""

    def __init__(self) -> None:
        self.profile: Profile | None = None

    def __enter__(self) -> _Taking:
        _core.begin_profile()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.profile = Profile(*_core.end_profile())

    def _taken(self) -> Profile:
        if self.profile is None:
            raise GraphError("profile: the times are there when the `with` block has ended.")
        return self.profile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._taken(), name)

    def __repr__(self) -> str:
        return repr(self._taken()) if self.profile is not None else "<profile being taken>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self._taken()._repr_mimebundle_()


def profile(target: Any = None, *args: Any, runs: int = 10, **kwargs: Any) -> Any:
    """Measures where the time of a graph goes, step by step.

    With a target: it runs once to warm up and then `runs` times; Variables keep their values.
    Without: `with fb.profile() as p:` times every compiled graph that runs in the block, such as
    the steps of `fb.fit`. Ops that run eagerly are not part of any graph and are not timed.

    Args:
        target: A `Graph`, a function made by `fb.graph`, or any function of tensors, which is
            compiled for the purpose.
        *args: Arguments of the function.
        runs: How often it is timed.
        **kwargs: Its keyword arguments; for a `Graph`, feeds by name.

    Returns:
        A `Profile`; without a target, a context manager that stands for one after the block.

    Raises:
        ArgumentError: If `runs` is less than 1, or the target cannot be run.

    Example:
        >>> x = fb.ones((128, 128))
        >>> p = fb.profile(lambda x: fb.sum(fb.exp(x) @ x), x, runs=3)
        >>> p.runs, p.steps[-1].label
        (3, 'sum')
    """
    if target is None:
        if args or kwargs:
            raise ArgumentError("profile: there are arguments but no function to call with them.")
        return _Taking()
    if isinstance(target, GraphBlock) and target.graph is not None:
        target = target.graph
    if isinstance(target, Graph):
        if args:
            raise ArgumentError("profile: a Graph takes its inputs by name, as in profile(g, x=x).")
        return target.profile(runs, **kwargs)
    if not callable(target):
        raise ArgumentError(
            f"profile: the target is a {type(target).__name__}. Give a Graph or a function."
        )
    compiled = target if isinstance(target, GraphFunction) else graph(_Named(target))
    return compiled.trace(*args, **kwargs).profile(runs)


class _Named:
    """A callable of any kind with a name and the signature that `fb.graph` wants."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__doc__ = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)
