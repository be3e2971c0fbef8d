"""DLPack both ways: sharing, read-only marks, copies, odd strides, and capsules of every age."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import flowbook as fb

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64", "complex64", "complex128",
]  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_there_and_back(name):
    a = np.arange(6).reshape(2, 3).astype(name)
    t = fb.from_dlpack(a)
    assert t.dtype == name
    np.testing.assert_array_equal(t.numpy(), a)
    b = np.from_dlpack(t)
    assert b.dtype == a.dtype
    np.testing.assert_array_equal(b, a)
    assert np.shares_memory(a, b)
    assert not b.flags.writeable


@pytest.mark.parametrize(
    "key", [np.s_[::2], np.s_[:, ::-1], np.s_[1:1], np.s_[0], np.s_[..., None]], ids=str
)
def test_views(key):
    a = np.arange(12, dtype="f4").reshape(3, 4)
    np.testing.assert_array_equal(fb.from_dlpack(a[key]).numpy(), a[key])
    np.testing.assert_array_equal(np.from_dlpack(fb.asarray(a)[key]), a[key])


def test_memory_lives_as_long_as_someone_looks():
    a = np.from_dlpack(fb.asarray(np.arange(1000.0)) + 0.0)
    gc.collect()
    fb.zeros(1000, dtype=fb.float64) + 1.0
    np.testing.assert_array_equal(a, np.arange(1000.0))
    t = fb.from_dlpack(np.arange(1000.0))
    gc.collect()
    assert float(fb.sum(t)) == 499500


def test_unused_capsules_free_what_they_hold():
    before = fb.memory.stats().live
    for _ in range(50):
        fb.zeros(10000).__dlpack__(max_version=(1, 0))
        fb.zeros(10000).__dlpack__()
    gc.collect()
    assert fb.memory.stats().live - before < 100_000


def test_readers_of_the_old_form_get_a_copy():
    """An unversioned capsule cannot say read-only; writing through it must not reach the tensor."""
    t = fb.asarray([1.0, 2.0])

    class Old:
        def __dlpack__(self):
            return t.__dlpack__()

        def __dlpack_device__(self):
            return t.__dlpack_device__()

    a = np.from_dlpack(Old()) if hasattr(np, "from_dlpack") else None
    assert not np.shares_memory(a, t.numpy())
    with pytest.raises(BufferError):
        t.__dlpack__(copy=False)
    b = np.from_dlpack(t, copy=True) if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else a
    assert not np.shares_memory(b, t.numpy())


def test_a_capsule_is_taken_once():
    capsule = fb.asarray([1.0]).__dlpack__(max_version=(1, 0))
    assert fb.from_dlpack(capsule).tolist() == [1.0]
    with pytest.raises(fb.ArgumentError):
        fb.from_dlpack(capsule)


def test_old_producers():
    class Producer:
        """As libraries before 2023 wrote it: no max_version, no copy."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, stream=None):
            return self.array.__dlpack__()

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    t = fb.from_dlpack(Producer(np.arange(3.0)))
    assert t.tolist() == [0, 1, 2]
    assert fb.asarray(Producer(np.arange(3.0))).tolist() == [0, 1, 2]


def test_copy_argument():
    a = np.zeros(3)
    shared, own = fb.from_dlpack(a), fb.from_dlpack(a, copy=True)
    a[0] = 7
    assert shared.tolist() == [7, 0, 0]
    assert own.tolist() == [0, 0, 0]
    assert np.shares_memory(fb.from_dlpack(a, copy=False).numpy(), a)


def test_what_is_refused():
    for bad in (3, "a", [1.0], object(), None):
        with pytest.raises(TypeError):
            fb.from_dlpack(bad)
    with pytest.raises((fb.FlowbookError, ValueError)):
        fb.from_dlpack(np.zeros((1,) * 9))
    t = fb.asarray([1.0])
    with pytest.raises(BufferError):
        t.__dlpack__(dl_device=(2, 0))
    with pytest.raises(fb.ArgumentError):
        t.__dlpack__(stream=1)


def test_variables_and_buffers():
    v = fb.Variable([1.0, 2.0])
    np.testing.assert_array_equal(np.from_dlpack(v), [1, 2])
    view = memoryview(fb.asarray([[1, 2], [3, 4]]))
    assert (view.shape, view.format, view.readonly) == ((2, 2), "q", True)
    assert bytes(memoryview(fb.asarray([1, 2], dtype=fb.uint8))) == b"\x01\x02"
    with pytest.raises(BufferError):
        memoryview(fb.astype(fb.asarray([1.0]), fb.bfloat16))
    a = np.asarray(fb.asarray([1.0]))
    with pytest.raises(ValueError):
        a.setflags(write=True)


def test_numpy_arrays_of_every_layout():
    base = np.arange(24, dtype="i4").reshape(2, 3, 4)
    for a in (base, base.T, base[:, ::-1], base[::2, 1], np.asfortranarray(base), base.astype(">i4"),
              np.broadcast_to(base[0, 0], (5, 4)), np.zeros((0, 3), "i4"), np.array(7)):  # fmt: skip
        np.testing.assert_array_equal(fb.asarray(a).numpy(), a)
    packed = np.zeros(3, dtype=[("a", "u1"), ("b", "f8")])
    packed["b"] = [1, 2, 3]
    np.testing.assert_array_equal(fb.asarray(packed["b"]).numpy(), [1, 2, 3])  # not aligned
    with pytest.raises(fb.ArgumentError):
        fb.asarray(base.astype(">i4"), copy=False)
    for bad in (packed, np.array(["a"]), np.array([None]), np.array(["2020-01-01"], "M8[D]"),
                np.zeros(1, np.longdouble)):  # fmt: skip
        with pytest.raises(fb.DTypeError):
            fb.asarray(bad)
    with pytest.raises(fb.DataError, match="filled"):
        fb.asarray(np.ma.array([1.0, 2.0], mask=[True, False]))
