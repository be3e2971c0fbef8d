"""Devices: where tensors live. The CPU is always there; plugins add others."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from . import _core

_default: ContextVar[Device | None] = ContextVar("flowbook_device", default=None)


class Device:
    """A device. As a context manager it is where the tensors made inside are put.

    Example:
        >>> fb.asarray([1.0]).device
        device("cpu")
    """

    __slots__ = ("_tokens", "index", "name")

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index
        self._tokens: list[Token[Device | None]] = []

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other == self.name
        return isinstance(other, Device) and other.index == self.index

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'device("{self.name}")'

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.name,)

    def __enter__(self) -> Device:
        self._tokens.append(_default.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _default.reset(self._tokens.pop())


_known: dict[int, Device] = {}


def by_index(index: int) -> Device:
    """The device with this number."""
    found = _known.get(index)
    if found is None:
        found = _known[index] = Device(_core.device_names()[index], index)
    return found


def devices() -> list[Device]:
    """The devices there are; the CPU first.

    Example:
        >>> fb.devices()[0]
        device("cpu")
    """
    return [by_index(i) for i in range(len(_core.device_names()))]


def device(name: str | Device) -> Device:
    """The device of that name.

    Args:
        name: Such as "cpu"; a device is returned as it is.

    Returns:
        The device. `with fb.device(name):` puts the tensors made inside there.

    Raises:
        DeviceError: If there is none of that name; the text lists those there are.
    """
    return name if isinstance(name, Device) else by_index(_core.parse_device(name))


def place(x: Any, where: str | Device | None) -> Any:
    """`x` on the device asked for, or on the current default."""
    target = _default.get() if where is None else device(where)
    return x if target is None else _core.to_device(x, target.index)
