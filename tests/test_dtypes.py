"""dtypes: equality that never fails, limits, kinds, casts, and the standard's inspection."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import flowbook as fb

NAMES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_dtype(name):
    d = getattr(fb, name)
    assert d.name == name
    assert str(d) == name
    assert repr(d) == f"flowbook.{name}"
    assert d == name
    assert pickle.loads(pickle.dumps(d)) is d
    assert fb.zeros(2, dtype=name).dtype is d
    assert fb.zeros(2, dtype=d).nbytes == 2 * d.itemsize
    if name != "bfloat16":
        assert d == np.dtype(name)
        assert d.numpy == np.dtype(name)
        assert fb.asarray(np.zeros(1, name)).dtype is d
    with pytest.raises(AttributeError):
        d.name = "x"


class Odd:
    """Everything about it that equality could ask for fails."""

    @property
    def name(self):
        return 3


@pytest.mark.parametrize(
    "other", [None, 3, "no dtype", object(), Odd(), [], int, np.int8], ids=repr
)
def test_equality_is_total(other):
    assert (fb.float32 == other) is False
    assert (fb.float32 != other) is True


def test_what_stands_for_a_dtype():
    for given, want in [
        (float, fb.float32),
        (int, fb.int64),
        (bool, fb.bool),
        (complex, fb.complex64),
        ("f32", fb.float32),
        (np.float64, fb.float64),
        (np.dtype("u1"), fb.uint8),
        (np.bool_, fb.bool),
    ]:
        assert fb.zeros(1, dtype=given).dtype is want
    for bad in ("float31", 3, object(), np.dtype("S3"), list):
        with pytest.raises(fb.DTypeError):
            fb.zeros(1, dtype=bad)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_finfo(name):
    ours, theirs = fb.finfo(name), np.finfo(name)
    assert ours.bits == theirs.bits
    assert ours.eps == theirs.eps
    assert ours.max == theirs.max
    assert ours.min == theirs.min
    assert ours.smallest_normal == theirs.smallest_normal
    assert fb.finfo(fb.complex64).dtype is fb.float32
    with pytest.raises(fb.DTypeError):
        fb.finfo(fb.int32)


@pytest.mark.parametrize("name", [n for n in NAMES if "int" in n])
def test_iinfo(name):
    assert (fb.iinfo(name).min, fb.iinfo(name).max) == (np.iinfo(name).min, np.iinfo(name).max)
    with pytest.raises(fb.DTypeError):
        fb.iinfo(fb.float32)


def test_isdtype():
    assert fb.isdtype(fb.uint8, "unsigned integer")
    assert fb.isdtype(fb.bfloat16, "real floating")
    assert fb.isdtype(fb.float32, fb.float32)
    assert not fb.isdtype(fb.bool, "numeric")
    with pytest.raises(fb.ArgumentError):
        fb.isdtype(fb.bool, "letters")


def test_result_type():
    assert fb.result_type(fb.int8, fb.uint8) is fb.int16
    assert fb.result_type(fb.float16, fb.bfloat16) is fb.float32
    assert fb.result_type(fb.int32, 1.5) is fb.float32
    assert fb.result_type(fb.uint8, 1) is fb.uint8
    assert fb.result_type(1, 2.0) is fb.float32
    assert fb.result_type(fb.ones(1, fb.float64), np.float32(1)) is fb.float64
    assert fb.result_type(fb.complex64, fb.float64) is fb.complex128
    with pytest.raises(fb.DTypeError):
        fb.result_type(fb.int64, fb.uint64)
    with pytest.raises(fb.ArgumentError):
        fb.result_type()


def test_can_cast():
    assert fb.can_cast(fb.bool, fb.int8)
    assert fb.can_cast(fb.uint8, fb.int16)
    assert not fb.can_cast(fb.int16, fb.uint16)
    assert not fb.can_cast(fb.float32, fb.int64)
    assert fb.can_cast(fb.ones(1), fb.float64)


def test_casts_are_numpys():
    values = np.array([0.0, 1.7, -1.7, 300.0, 65504.0])
    for name in ("bool", "int32", "int64", "float16", "float32", "float64"):
        np.testing.assert_array_equal(
            fb.astype(fb.asarray(values), getattr(fb, name)).numpy(), values.astype(name)
        )
    rounded = fb.astype(fb.astype(fb.asarray([1.00390625]), fb.bfloat16), fb.float32)
    assert rounded.tolist() == [1.0]  # ties to even


def test_namespace_info():
    info = fb.__array_namespace_info__()
    assert set(info.dtypes()) == set(NAMES) - {"float16", "bfloat16"}
    assert set(info.dtypes(kind="bool")) == {"bool"}
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {
        "bool",
        "complex64",
        "complex128",
    }
    assert info.default_dtypes()["real floating"] is fb.float32
    assert info.default_device() == "cpu"
    assert info.devices()[0] == fb.device("cpu")
    assert info.capabilities()["max dimensions"] == 8


def test_dims():
    n = fb.Dim("batch")
    assert repr(n) == "batch"
    assert n == fb.Dim("batch")
    assert hash(n) == hash(fb.Dim("batch"))
    assert n != 3
    assert n - n == 0
    assert isinstance(n - n, int)
    assert 2 * n + 1 == fb.Dim("2*batch + 1")
    assert (4 * n) // 2 == 2 * n
    assert pickle.loads(pickle.dumps(2 * n)) == 2 * n
    for f in (int, bool, range):
        with pytest.raises(fb.GraphError):
            f(n)
