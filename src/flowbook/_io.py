"""`save` and `load`: Variables and tensors as safetensors files.

The format is JSON plus raw bytes, so reading a file never runs code. The reader here is stricter
than the reference: every byte must be accounted for, keys must be unique, sizes are checked before
anything is allocated, and any violation is a `LoadError`. Files are written to a temporary name
next to the target, flushed to disk, and renamed, so that a crash leaves the old file whole.
Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import struct
import tempfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

import flowbook as fb

from . import _core
from ._state import dtype_name, spec_text, walk

_MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
_MAX_RANK = 16
_MAX_EXTENT = 1 << 40
_MAX_DEPTH = 8  # header -> tensor -> shape needs 3

# safetensors name -> our dtype, bytes per element
_TYPES = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "F32": ("float32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F64": ("float64", 8),
    "C64": ("complex64", 8),
}
_NAMES = {ours: theirs for theirs, (ours, _) in _TYPES.items()}
_COMPLEX = (
    "flowbook.complex128"  # metadata key: names of tensors stored as F64 with a last axis of 2
)


def save(
    path: str | os.PathLike[str], tree: Any, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes all Variables and tensors of a tree to a safetensors file, atomically.

    Args:
        path: Where to write; an existing file is replaced at the end, or not at all.
        tree: A Module, an optimizer, a tensor or Variable, or nested dicts, lists and tuples of
            them. A top-level dict names its entries: `{"model": model, "optimizer": opt}` gives
            paths like `model.layers[0].weight`.
        metadata: Texts to store beside the tensors.

    Raises:
        ArgumentError: If there is nothing to save, or `metadata` holds something else than texts.
        OSError: If the file cannot be written.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> fb.save(path, fb.nn.Dense(3, inputs=2))
        >>> list(fb.load(path))
        ['weight', 'bias']
    """
    arrays: dict[str, np.ndarray] = {}
    types: dict[str, str] = {}
    with fb.outside_graph():
        for name, tensor in _together(_named(tree)).items():
            types[name], arrays[name] = _to_bytes(tensor)
    if not arrays:
        raise fb.ArgumentError(
            f"save: {type(tree).__name__} holds no Variables or tensors. "
            "A model whose layers build on the first call must be called once before."
        )
    notes = dict(metadata or {})
    if any(not isinstance(k, str) or not isinstance(v, str) for k, v in notes.items()):
        raise fb.ArgumentError("save: metadata must map texts to texts. Use json.dumps for others.")
    complexes = [name for name, kind in types.items() if kind == "C128"]
    if complexes:
        notes[_COMPLEX] = json.dumps(complexes)
    header: dict[str, Any] = {"__metadata__": notes} if notes else {}
    # larger elements first: every tensor then starts at a multiple of its element size
    order = sorted(arrays, key=lambda n: -arrays[n].dtype.itemsize)
    offset = 0
    places = {}
    for name in order:
        places[name] = (offset, offset + arrays[name].nbytes)
        offset += arrays[name].nbytes
    for name in arrays:  # header in path order, data by element size
        kind = types[name]
        header[name] = {
            "dtype": "F64" if kind == "C128" else kind,
            "shape": [int(n) for n in arrays[name].shape],
            "data_offsets": list(places[name]),
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise fb.ArgumentError(
            f"save: names and metadata take {len(text):,} bytes; the format allows "
            f"{_MAX_HEADER:,}. Shorten the metadata."
        )
    with _AtomicFile(path) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in order:
            file.write(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)


def load(
    path: str | os.PathLike[str], into: Any = None, *, strict: bool = True
) -> dict[str, fb.Tensor]:
    """Reads a safetensors file; with `into`, assigns the values to its Variables.

    Nothing is assigned unless the whole file is valid and every value fits.

    Args:
        path: The file.
        into: A Module, an optimizer, or nested dicts, lists and tuples of them with the structure
            that was saved; None only reads. Layers that build on the first call must have been
            called, optimizers bound (`optimizer.bind(model)`).
        strict: Whether the file and `into` must hold the same names. False assigns those that both
            have.

    Returns:
        The tensors by path.

    Raises:
        LoadError: If the file breaks the format, or its names, shapes or dtypes don't fit `into`.
        OSError: If the file cannot be read.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> layer, other = fb.nn.Dense(3, inputs=2), fb.nn.Dense(3, inputs=2)
        >>> fb.save(path, layer)
        >>> _ = fb.load(path, into=other)
        >>> bool(fb.all(layer.weight.value == other.weight.value))
        True
    """
    with fb.outside_graph():
        tensors, _ = _read(path)
        if into is not None:
            _assign(path, tensors, into, strict)
        return tensors


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Reads the texts that were saved beside the tensors.

    Args:
        path: The file.

    Raises:
        LoadError: If the file breaks the format.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "t.safetensors")
        >>> fb.save(path, {"t": fb.asarray([1.0])}, metadata={"author": "me"})
        >>> fb.load_metadata(path)
        {'author': 'me'}
    """
    with _open(path) as (file, size):
        _, notes, _ = _read_header(file, size, os.fspath(path))
    return {k: v for k, v in notes.items() if k != _COMPLEX}


# Writing


def _named(tree: Any) -> dict[str, Any]:
    """Leaves by path; the keys of a top-level dict stand without brackets."""
    if isinstance(tree, (fb.Tensor, fb.Variable)):
        return {getattr(tree, "name", None) or "value": tree}
    if not isinstance(tree, Mapping):
        return dict(walk(tree))
    named: dict[str, Any] = {}
    seen: set[int] = set()
    for key, value in tree.items():
        if not isinstance(key, str):
            raise fb.ArgumentError(f"save: the name {key!r} is not a text. Names are texts.")
        value = fb.asarray(value) if isinstance(value, np.ndarray) else value
        for path, leaf in walk(value, f".{key}", seen):
            if path in named:
                raise fb.ArgumentError(f"save: two values have the path {path!r}. Rename one.")
            named[path] = leaf
    return named


def _together(named: Mapping[str, Any]) -> dict[str, fb.Tensor]:
    """The values by path; while a run trains, all as they are between the same two steps."""
    variables = [name for name, leaf in named.items() if isinstance(leaf, fb.Variable)]
    values = _core.read_together([named[name] for name in variables])
    return {**named, **dict(zip(variables, values, strict=True))}


def _to_bytes(tensor: fb.Tensor) -> tuple[str, np.ndarray]:
    """safetensors dtype name and a little-endian array with the same bytes."""
    name = dtype_name(tensor.dtype)
    if name == "bfloat16":  # the upper half of a float32, exactly
        wide = fb.astype(tensor, fb.float32).numpy()
        return "BF16", (np.asarray(wide, order="C").view(np.uint32) >> 16).astype("<u2")
    array = tensor.numpy()
    if name == "complex128":
        parts = np.ascontiguousarray(array).view(np.float64).reshape(*array.shape, 2)
        return "C128", parts.astype("<f8", copy=False)
    if name not in _NAMES:
        raise fb.ArgumentError(f"save: the format cannot hold {spec_text(tensor)}.")
    return _NAMES[name], array.astype(array.dtype.newbyteorder("<"), copy=False)


class _AtomicFile(contextlib.AbstractContextManager[BinaryIO]):
    """Writes to a temporary file beside `path`, which takes its place if all went well."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.realpath(os.fspath(path))  # a link keeps pointing to the new file
        folder, name = os.path.split(self._path)
        handle, self._temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
        self._file: BinaryIO = os.fdopen(handle, "wb")

    def __enter__(self) -> BinaryIO:
        return self._file

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is not None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            with contextlib.suppress(OSError):
                os.chmod(self._temporary, self._mode())
            os.replace(self._temporary, self._path)
            self._temporary = ""
            if os.name == "posix":  # the rename itself must reach the disk
                with contextlib.suppress(OSError):
                    folder = os.open(os.path.dirname(self._path), os.O_RDONLY)
                    try:
                        os.fsync(folder)
                    finally:
                        os.close(folder)
        finally:
            self._file.close()
            if self._temporary:
                with contextlib.suppress(OSError):
                    os.unlink(self._temporary)

    def _mode(self) -> int:
        """Permissions of the file that is replaced, or those a new file would get."""
        try:
            return stat.S_IMODE(os.stat(self._path).st_mode)
        except FileNotFoundError:
            mask = os.umask(0)
            os.umask(mask)
            return 0o666 & ~mask


# Reading


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Any:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise fb.LoadError(f"load: {os.fspath(path)} is not a regular file.")
        yield file, status.st_size


def _broken(path: str, what: str) -> Exception:
    return fb.LoadError(f"load: {path}: {what}. The file is damaged or not a safetensors file.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in names if names.count(k) > 1)!r} occurs twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _depth(text: str) -> int:
    """Deepest nesting of brackets outside of strings: checked before the parser recurses."""
    depth = deepest = 0
    inside = escaped = False
    for c in text:
        if inside:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                inside = False
        elif c == '"':
            inside = True
        elif c in "{[":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > _MAX_DEPTH:
                break
        elif c in "}]":
            depth -= 1
    return deepest


def _is_count(value: Any, limit: int) -> bool:
    return type(value) is int and 0 <= value <= limit


def _read_header(
    file: BinaryIO, size: int, path: str
) -> tuple[dict[str, dict[str, Any]], dict[str, str], int]:
    """Entries by name, metadata, and where the data begins; every rule of the format checked."""
    if size < 8:
        raise _broken(path, f"{size} bytes are too few for a header")
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MAX_HEADER:
        raise _broken(path, f"the header claims {length:,} bytes, the limit is {_MAX_HEADER:,}")
    if length > size - 8:
        raise _broken(path, f"the header claims {length:,} bytes, the file has {size - 8:,} more")
    raw = file.read(length)
    if len(raw) != length:
        raise _broken(path, "the header is cut off")
    if not raw.startswith(b"{"):
        raise _broken(path, "the header does not start with '{'")
    try:
        text = raw.decode("utf-8")
        # nesting beyond what any header needs would only exhaust the parser
        if raw.count(b"{") + raw.count(b"[") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        header = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # JSON and Unicode errors are ValueErrors
        raise _broken(path, f"the header is not valid: {error}") from None
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or any(not isinstance(v, str) for v in notes.values()):
        raise _broken(path, "__metadata__ does not map texts to texts")
    room = size - 8 - length
    for name, entry in header.items():
        _check_entry(name, entry, room, path)
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        start, stop = entry["data_offsets"]
        if start != end:
            what = "overlap others" if start < end else f"leave a hole of {start - end} before them"
            raise _broken(path, f"the bytes of {name!r} {what}")
        end = stop
    if end != room:
        raise _broken(path, f"{room - end} bytes follow the last tensor")
    return header, notes, 8 + length


def _check_entry(name: str, entry: Any, room: int, path: str) -> None:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _broken(path, f"{name!r} is not described by dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise fb.LoadError(
            f"load: {path}: {name!r} has the dtype {kind!r}. Known are {', '.join(_TYPES)}."
        )
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_RANK
        or not all(_is_count(extent, _MAX_EXTENT) for extent in shape)
    ):
        raise _broken(path, f"{name!r} has the shape {str(shape)[:80]}")
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(_is_count(offset, room) for offset in offsets)
        or offsets[0] > offsets[1]
    ):
        raise _broken(path, f"{name!r} has the offsets {str(offsets)[:80]} in {room} bytes")
    needed = _TYPES[kind][1]
    for extent in shape:  # Python integers don't overflow
        needed *= extent
    if needed != offsets[1] - offsets[0]:
        raise _broken(
            path,
            f"{name!r} needs {needed:,} bytes for {kind}{shape}, got {offsets[1] - offsets[0]:,}",
        )


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, fb.Tensor], dict[str, str]]:
    with _open(path) as (file, size):
        text = os.fspath(path)
        header, notes, start = _read_header(file, size, text)
        complexes: Any = []
        if _COMPLEX in notes:
            try:
                complexes = json.loads(notes.pop(_COMPLEX))
            except (ValueError, RecursionError):
                raise _broken(text, "its list of complex tensors is not valid") from None
            if not isinstance(complexes, list) or any(
                not isinstance(n, str)
                or n not in header
                or header[n]["dtype"] != "F64"
                or header[n]["shape"][-1:] != [2]
                for n in complexes
            ):
                raise _broken(text, "its list of complex tensors does not fit the tensors")
        tensors = {}
        for name, entry in header.items():
            kind, _ = _TYPES[entry["dtype"]]
            file.seek(start + entry["data_offsets"][0])
            storage = np.dtype("uint16" if kind == "bfloat16" else kind).newbyteorder("<")
            array = np.empty(entry["shape"], storage)
            if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
                raise _broken(text, f"the data of {name!r} are cut off")
            if kind == "bool" and array.size and array.view(np.uint8).max() > 1:
                raise _broken(text, f"{name!r} holds booleans other than 0 and 1")
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            if name in complexes:
                array = array.view(np.complex128).reshape(entry["shape"][:-1])
            if kind == "bfloat16":
                wide = (array.astype(np.uint32) << 16).view(np.float32)
                tensors[name] = fb.astype(fb.asarray(wide), fb.bfloat16)
            else:
                tensors[name] = fb.asarray(array, copy=False)
        return tensors, notes


def _assign(
    path: str | os.PathLike[str], tensors: Mapping[str, fb.Tensor], into: Any, strict: bool
) -> None:
    if isinstance(into, fb.Variable):
        cells = {into.name or "value": into}
    else:
        cells = {name: leaf for name, leaf in _named(into).items() if isinstance(leaf, fb.Variable)}
    missing = [name for name in cells if name not in tensors]
    extra = [name for name in tensors if name not in cells]
    if strict and (missing or extra):
        parts = [f"the file lacks {_some(missing)}"] if missing else []
        parts += [f"{type(into).__name__} has no {_some(extra)}"] if extra else []
        hint = (
            "Call the model once so that its layers build, and bind the optimizer, before loading"
            if extra and not missing
            else "Load into the same structure as was saved"
        )
        raise fb.LoadError(
            f"load: {os.fspath(path)}: {'; '.join(parts)}. {hint}, or say strict=False."
        )
    shared = [name for name in cells if name in tensors]
    for name in shared:
        cell, tensor = cells[name], tensors[name]
        if tuple(cell.shape) != tuple(tensor.shape) or cell.dtype != tensor.dtype:
            raise fb.LoadError(
                f"load: {os.fspath(path)}: {name} is {spec_text(tensor)} in the file, "
                f"{spec_text(cell)} here. They must agree."
            )
    for name in shared:
        cells[name].assign(tensors[name])


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
