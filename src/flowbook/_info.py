"""What the array API standard asks of a namespace about itself."""

from __future__ import annotations

from typing import Any

from . import _devices, _dtypes


class NamespaceInfo:
    """Answers of `fb.__array_namespace_info__()`."""

    def capabilities(self) -> dict[str, Any]:
        """What works: boolean indexing does, shapes that depend on data do outside graphs."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 8}

    def default_device(self) -> _devices.Device:
        """The CPU."""
        return _devices.by_index(0)

    def default_dtypes(self, *, device: Any = None) -> dict[str, _dtypes.DType]:
        """The dtypes that numbers without one get."""
        return {
            "real floating": _dtypes.float32,
            "complex floating": _dtypes.complex64,
            "integral": _dtypes.int64,
            "indexing": _dtypes.int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, _dtypes.DType]:
        """The dtypes of the standard, by name; of one kind, or of several."""
        standard = [d for d in _dtypes.GROUPS["numeric"] if d.name not in ("float16", "bfloat16")]
        every = [_dtypes.bool, *standard]
        return {d.name: d for d in every if kind is None or _dtypes.isdtype(d, kind)}

    def devices(self) -> list[_devices.Device]:
        """The devices there are."""
        return _devices.devices()


def array_namespace_info() -> NamespaceInfo:
    """Dtypes, devices and capabilities, as the array API standard asks for them."""
    return NamespaceInfo()
