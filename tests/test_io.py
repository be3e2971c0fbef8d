"""safetensors: round trips, atomic writes, hostile files, agreement with the reference package."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

import flowbook as fb

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
STORED = ["int8", "int16", "uint16", "uint32", "uint64", "float16", "complex64", "complex128"]


def write(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(start: int = 0, stop: int = 8, dtype: str = "F32", shape: object = (2,)) -> dict:
    shape = list(shape) if isinstance(shape, tuple) else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize("dtype", DTYPES + STORED)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_round_trip_is_exact(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    array = np.asarray(
        rng.integers(0, 2, shape) if dtype == "bool" else rng.normal(size=shape) * 99
    )
    array = np.asarray(array).astype(dtype)
    fb.save(tmp_path / "t", {"t": fb.asarray(array)})
    loaded = fb.load(tmp_path / "t")["t"]
    assert loaded.shape == shape
    assert loaded.numpy().dtype == array.dtype
    assert loaded.numpy().tobytes() == array.tobytes()


def test_special_values_survive(tmp_path: Path) -> None:
    array = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    fb.save(tmp_path / "t", {"t": fb.asarray(array)})
    assert fb.load(tmp_path / "t")["t"].numpy().tobytes() == array.tobytes()


def test_bfloat16_round_trip(tmp_path: Path) -> None:
    values = fb.astype(fb.asarray(np.array([1.5, -2.0, 3.140625], np.float32)), fb.bfloat16)
    fb.save(tmp_path / "t", {"t": values})
    loaded = fb.load(tmp_path / "t")["t"]
    assert loaded.dtype == fb.bfloat16
    np.testing.assert_array_equal(fb.astype(loaded, fb.float32).numpy(), [1.5, -2.0, 3.140625])


def test_model_and_optimizer_resume_where_they_stopped(tmp_path: Path) -> None:
    def fresh() -> tuple[fb.nn.Module, fb.optim.Optimizer]:
        model = fb.nn.Sequential(fb.nn.Dense(4, inputs=3), fb.nn.Dense(2, inputs=4))
        optimizer = fb.optim.Adam(0.1)
        optimizer.bind(model)
        return model, optimizer

    def train(model: fb.nn.Module, optimizer: fb.optim.Optimizer, steps: int) -> None:
        rng = np.random.default_rng(1)
        for _ in range(steps):
            grads = [
                fb.asarray(rng.normal(size=p.shape).astype(np.float32)) for p in model.parameters()
            ]
            optimizer.update(model, grads)

    model, optimizer = fresh()
    train(model, optimizer, 3)
    fb.save(tmp_path / "run", {"model": model, "optimizer": optimizer})
    other, other_optimizer = fresh()
    fb.load(tmp_path / "run", into={"model": other, "optimizer": other_optimizer})
    assert int(other_optimizer.step.numpy()) == 3
    train(model, optimizer, 2)
    train(other, other_optimizer, 2)
    for a, b in zip(model.parameters(), other.parameters()):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_paths_are_the_names(tmp_path: Path) -> None:
    model = fb.nn.Sequential(fb.nn.Dense(4, inputs=3))
    fb.save(tmp_path / "a", model)
    assert list(fb.load(tmp_path / "a")) == ["layers[0].weight", "layers[0].bias"]
    fb.save(tmp_path / "b", {"net": model})
    assert list(fb.load(tmp_path / "b")) == ["net.layers[0].weight", "net.layers[0].bias"]


def test_shared_variables_are_stored_once(tmp_path: Path) -> None:
    class Tied(fb.nn.Module):
        def __init__(self) -> None:
            self.embed = fb.nn.Embedding(5, 3)
            self.out = self.embed.weight

    fb.save(tmp_path / "t", Tied())
    assert list(fb.load(tmp_path / "t")) == ["embed.weight"]
    other = Tied()
    fb.load(tmp_path / "t", into=other)
    assert other.out is other.embed.weight


def test_mismatches_change_nothing(tmp_path: Path) -> None:
    fb.save(tmp_path / "t", fb.nn.Sequential(fb.nn.Dense(4, inputs=3), fb.nn.Dense(2, inputs=4)))
    model = fb.nn.Sequential(fb.nn.Dense(4, inputs=3), fb.nn.Dense(5, inputs=4))
    before = [v.numpy().tobytes() for v in model.variables()]
    with pytest.raises(fb.LoadError, match=r"layers\[1\].weight is f32\[4, 2\] in the file, f32\["):
        fb.load(tmp_path / "t", into=model)
    with pytest.raises(fb.LoadError, match="has no"):
        fb.load(tmp_path / "t", into=fb.nn.Sequential(fb.nn.Dense(4, inputs=3)))
    with pytest.raises(fb.LoadError, match="lacks"):
        fb.load(
            tmp_path / "t",
            into=fb.nn.Sequential(
                *[fb.nn.Dense(4, inputs=3)], fb.nn.Dense(2, inputs=4), fb.nn.Dense(2, inputs=2)
            ),
        )
    with pytest.raises(fb.LoadError, match="Call the model once"):
        fb.load(tmp_path / "t", into=fb.nn.Sequential(fb.nn.Dense(4), fb.nn.Dense(2)))
    assert [v.numpy().tobytes() for v in model.variables()] == before
    fb.load(tmp_path / "t", into=fb.nn.Sequential(fb.nn.Dense(4, inputs=3)), strict=False)


def test_saving_nothing_says_why(tmp_path: Path) -> None:
    with pytest.raises(fb.ArgumentError, match="must be called once"):
        fb.save(tmp_path / "t", fb.nn.Dense(3))
    assert os.listdir(tmp_path) == []


def test_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t"
    fb.save(path, {"a": fb.asarray([1.0])})
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        fb.save(path, {"a": fb.asarray([2.0])})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t"]


def test_metadata(tmp_path: Path) -> None:
    fb.save(tmp_path / "t", {"a": fb.asarray(np.ones(2, np.complex128))}, metadata={"k": "ü"})
    assert fb.load_metadata(tmp_path / "t") == {"k": "ü"}
    with pytest.raises(fb.ArgumentError, match="texts"):
        fb.save(tmp_path / "t", {"a": fb.asarray([1.0])}, metadata={"k": 1})  # type: ignore[dict-item]


HOSTILE = {
    "empty file": b"",
    "short": b"\x01\x00",
    "header longer than the file": struct.pack("<Q", 100) + b"{}",
    "header of 2^63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
    "not an object": (b"[]", b""),
    "space before the brace": (b" {}", b""),
    "not JSON": (b"{,}", b""),
    "not UTF-8": (b'{"\xff": 1}', b""),
    "cut off": (b'{"a": ', b""),
    "NaN": (b'{"__metadata__": {"a": NaN}}', b""),
    "two documents": (b"{}{}", b""),
    "duplicate keys": (
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "duplicate inner keys": (
        b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "deep nesting": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""),
    "trailing bytes": ({"a": entry()}, bytes(9)),
    "too few bytes": ({"a": entry()}, bytes(7)),
    "hole": ({"a": entry(), "b": entry(12, 20)}, bytes(20)),
    "hole before the first": ({"a": entry(8, 16)}, bytes(16)),
    "overlap": ({"a": entry(), "b": entry(4, 12)}, bytes(12)),
    "same bytes twice": ({"a": entry(), "b": entry()}, bytes(8)),
    "size mismatch": ({"a": entry(0, 8, "F32", (3,))}, bytes(8)),
    "offsets backwards": ({"a": entry(8, 0)}, bytes(8)),
    "negative offset": ({"a": entry(-8, 0)}, bytes(8)),
    "negative extent": ({"a": entry(0, 8, "F32", (-2,))}, bytes(8)),
    "extents whose product overflows": ({"a": entry(0, 0, "F32", (2**33, 2**33))}, b""),
    "product is zero modulo 2^64": ({"a": entry(0, 0, "F32", (2**31, 2**31))}, b""),
    "huge extent": ({"a": entry(0, 0, "F32", (0, 2**62))}, b""),
    "rank 17": ({"a": entry(0, 4, "F32", (1,) * 17)}, bytes(4)),
    "boolean extent": ({"a": entry(0, 4, "F32", [True])}, bytes(4)),
    "fractional extent": ({"a": entry(0, 4, "F32", [1.0])}, bytes(4)),
    "text extent": ({"a": entry(0, 4, "F32", ["1"])}, bytes(4)),
    "shape is a number": ({"a": entry(0, 4, "F32", 1)}, bytes(4)),
    "three offsets": ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, bytes(4)),
    "unknown dtype": ({"a": entry(0, 8, "F31")}, bytes(8)),
    "dtype is a list": ({"a": {"dtype": [], "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "missing field": ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "additional field": ({"a": {**entry(), "code": "x"}}, bytes(8)),
    "entry is a number": ({"a": 1}, b""),
    "metadata is a list": ({"__metadata__": []}, b""),
    "metadata holds a number": ({"__metadata__": {"a": 1}}, b""),
    "boolean of value 2": ({"a": entry(0, 1, "BOOL", (1,))}, b"\x02"),
    "complex list names nothing": (
        {"__metadata__": {"flowbook.complex128": '["b"]'}, "a": entry()},
        bytes(8),
    ),
    "complex list is not a list": (
        {"__metadata__": {"flowbook.complex128": "[" * 5000}, "a": entry()},
        bytes(8),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, name: str) -> None:
    case = HOSTILE[name]
    path = tmp_path / "x"
    if isinstance(case, bytes):
        path.write_bytes(case)
    else:
        write(path, *case)
    with pytest.raises(fb.LoadError, match="load: "):
        fb.load(path)


def test_random_damage_never_gives_another_error(tmp_path: Path) -> None:
    """Any change of bytes either still is a valid file or is a LoadError."""
    path = tmp_path / "t"
    fb.save(path, {"a": fb.asarray(np.arange(6.0)), "b": fb.asarray(np.arange(3))})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
        cut = int(rng.integers(len(damaged))) if rng.random() < 0.3 else len(damaged)
        path.write_bytes(bytes(damaged[:cut]))
        try:
            fb.load(path)
        except fb.LoadError:
            pass


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fb.load(tmp_path / "missing")
    with pytest.raises((fb.LoadError, OSError)):
        fb.load(tmp_path)


def test_an_empty_file_of_the_format_is_fine(tmp_path: Path) -> None:
    assert fb.load(write(tmp_path / "x", {})) == {}
    assert fb.load(write(tmp_path / "x", b"{}      ")) == {}


def test_the_reference_reads_what_we_write(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    arrays = {n: np.arange(6).astype(n).reshape(2, 3) for n in [*DTYPES, *STORED[:6]]}
    arrays["odd"] = np.ones(3, np.uint8)
    fb.save(tmp_path / "t", {n: fb.asarray(a) for n, a in arrays.items()}, metadata={"a": "b"})
    theirs = reference.load_file(tmp_path / "t")
    assert set(theirs) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(theirs[name], array)
        assert theirs[name].dtype == array.dtype


def test_we_read_what_the_reference_writes(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    arrays = {n: np.arange(6).astype(n).reshape(2, 3) for n in [*DTYPES, *STORED[:6]]}
    reference.save_file(arrays, tmp_path / "t", metadata={"format": "np"})
    ours = fb.load(tmp_path / "t")
    for name, array in arrays.items():
        np.testing.assert_array_equal(ours[name].numpy(), array)
    assert fb.load_metadata(tmp_path / "t") == {"format": "np"}
