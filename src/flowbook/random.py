"""Random numbers. They come from counters: a seed, how many ops have drawn before, and the place in
the tensor decide every bit, whatever the number of threads.

One generator serves the process; its seed is 0 until `fb.random.seed` sets another. In a graph the
key is fed anew at each run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _core, _devices, _hints

__all__ = [
    "Generator", "bernoulli", "get_state", "normal", "permutation", "randint", "seed", "set_state",
    "shuffle", "uniform",
]  # fmt: skip

_ops = _core.ops
_MASK = 2**64 - 1


def seed(value: int | None = 0) -> None:
    """Sets the seed of the process's generator and starts its count anew.

    Args:
        value: The seed; None takes one from the system's entropy.

    Example:
        >>> fb.random.seed(1)
        >>> a = fb.random.uniform((2,))
        >>> fb.random.seed(1)
        >>> bool(fb.all(a == fb.random.uniform((2,))))
        True
    """
    if value is None:
        value = int.from_bytes(os.urandom(8), "little")
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _core.DTypeError(
            f"seed: the seed is of type {type(value).__name__}. It must be an int."
        )
    _core.set_generator_state(value.__index__() & _MASK, 0)


def get_state() -> tuple[int, int]:
    """The state of the process's generator: (seed, number of draws)."""
    state: tuple[int, int] = _core.generator_state()
    return state


def set_state(state: tuple[int, int]) -> None:
    """Restores what `get_state` gave."""
    s, counter = state
    _core.set_generator_state(int(s) & _MASK, int(counter) & _MASK)


def _signed(n: int) -> int:
    return n - 2**64 if n >= 2**63 else n


class Generator:
    """A stream of random numbers of its own, apart from the process's.

    As a context manager it is the one that `fb.random` draws from inside. In a graph its draws are
    constants; use the process's generator there.

    Args:
        value: The seed; None takes one from the system's entropy.

    Example:
        >>> g = fb.random.Generator(3)
        >>> g.normal((2,)).shape
        (2,)
    """

    def __init__(self, value: int | None = 0) -> None:
        self.seed = (
            int.from_bytes(os.urandom(8), "little") if value is None else int(value)
        ) & _MASK
        self.counter = 0
        self._tokens: list[Token[Generator | None]] = []

    def key(self) -> Any:
        """The next key, int64[2]; what ops take as `key`."""
        key = _core.make_key(self.seed, self.counter)
        self.counter += 1
        return key

    def get_state(self) -> tuple[int, int]:
        """(seed, number of draws)."""
        return self.seed, self.counter

    def set_state(self, state: tuple[int, int]) -> None:
        """Restores what `get_state` gave."""
        self.seed, self.counter = state

    def uniform(
        self, shape: Any = (), low: float = 0.0, high: float = 1.0, dtype: Any = None
    ) -> _core.Tensor:
        """As `fb.random.uniform`."""
        return _ops.uniform(self.key(), shape=shape, low=low, high=high, dtype=dtype)

    def normal(
        self, shape: Any = (), mean: float = 0.0, std: float = 1.0, dtype: Any = None
    ) -> _core.Tensor:
        """As `fb.random.normal`."""
        return _ops.normal(self.key(), shape=shape, mean=mean, std=std, dtype=dtype)

    def randint(
        self, low: int, high: int | None = None, shape: Any = (), dtype: Any = None
    ) -> _core.Tensor:
        """As `fb.random.randint`."""
        low, high = (0, low) if high is None else (low, high)
        return _ops.randint(self.key(), shape=shape, low=low, high=high, dtype=dtype)

    def bernoulli(self, p: float = 0.5, shape: Any = ()) -> _core.Tensor:
        """As `fb.random.bernoulli`."""
        return _ops.bernoulli(self.key(), shape=shape, p=p)

    def permutation(self, x: Any) -> Any:
        """As `fb.random.permutation`."""
        return _permuted(x, self.key())

    def __enter__(self) -> Generator:
        self._tokens.append(_current.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _current.reset(self._tokens.pop())


_current: ContextVar[Generator | None] = ContextVar("flowbook_generator", default=None)


def _key() -> Any:
    """None: the op takes the process's next key by itself."""
    generator = _current.get()
    return None if generator is None else generator.key()


def _permuted(x: Any, key: Any) -> Any:
    if isinstance(x, int) and not isinstance(x, bool):
        return _ops.permutation(key, n=x)
    t = x if isinstance(x, (_core.Tensor, _core.Variable)) else _core.asarray(x)
    if t.ndim == 0:
        return _ops.permutation(key, n=t.__index__())
    return _ops.take(t, _ops.permutation(key, n=t.shape[0]), axis=0)


def uniform(
    shape: int | Sequence[Any] = (),
    low: float = 0.0,
    high: float = 1.0,
    dtype: Any = None,
    device: Any = None,
) -> _core.Tensor:
    """Random numbers, all equally likely from `low` to before `high`.

    Args:
        shape: Shape of the result.
        low: Least number.
        high: Upper bound, not contained.
        dtype: A floating dtype; None: float32.
        device: Where to put it.

    Returns:
        A tensor of that shape.

    Example:
        >>> fb.random.uniform((2, 3)).shape
        (2, 3)
    """
    return _devices.place(
        _ops.uniform(_key(), shape=shape, low=low, high=high, dtype=dtype), device
    )


def normal(
    shape: int | Sequence[Any] = (),
    mean: float = 0.0,
    std: float = 1.0,
    dtype: Any = None,
    device: Any = None,
) -> _core.Tensor:
    """Random numbers of the normal distribution.

    Args:
        shape: Shape of the result.
        mean: Mean.
        std: Standard deviation.
        dtype: A floating dtype; None: float32.
        device: Where to put it.

    Returns:
        A tensor of that shape.

    Example:
        >>> fb.random.normal((2, 3)).shape
        (2, 3)
    """
    return _devices.place(_ops.normal(_key(), shape=shape, mean=mean, std=std, dtype=dtype), device)


def randint(
    low: int,
    high: int | None = None,
    shape: int | Sequence[Any] = (),
    dtype: Any = None,
    device: Any = None,
) -> _core.Tensor:
    """Random whole numbers, all equally likely from `low` to before `high`.

    Args:
        low: Least number; with `high` left out, the upper bound, and 0 is the least.
        high: Upper bound, not contained.
        shape: Shape of the result.
        dtype: An integer dtype; None: int64.
        device: Where to put it.

    Returns:
        A tensor of that shape.

    Raises:
        ArgumentError: If there is no number from `low` to before `high`.

    Example:
        >>> x = fb.random.randint(6, shape=(10,))
        >>> bool(fb.all((x >= 0) & (x < 6)))
        True
    """
    low, high = (0, low) if high is None else (low, high)
    return _devices.place(
        _ops.randint(_key(), shape=shape, low=low, high=high, dtype=dtype), device
    )


def bernoulli(p: float = 0.5, shape: int | Sequence[Any] = (), device: Any = None) -> _core.Tensor:
    """Random booleans, true with probability `p`.

    Args:
        p: Probability, from 0 to 1.
        shape: Shape of the result.
        device: Where to put it.

    Returns:
        A boolean tensor of that shape.

    Example:
        >>> fb.random.bernoulli(1.0, (2,))
        Tensor([ True,  True], bool[2])
    """
    return _devices.place(_ops.bernoulli(_key(), shape=shape, p=p), device)


def permutation(x: Any) -> Any:
    """The numbers 0 ... x - 1 in random order, or the rows of a tensor in random order.

    Args:
        x: A number or a tensor.

    Returns:
        An int64 vector, or a tensor like `x`.

    Example:
        >>> sorted(fb.random.permutation(4).tolist())
        [0, 1, 2, 3]
    """
    return _permuted(x, _key())


def shuffle(x: Any) -> Any:
    """The rows of a tensor in random order. Tensors do not change, so it returns the result."""
    return _permuted(_core.asarray(x), _key())


if not TYPE_CHECKING:  # a type checker knows the names
    __getattr__, __dir__ = _hints.of_module(__name__, __all__)
