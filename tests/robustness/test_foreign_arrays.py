"""Arrays from elsewhere, of any layout, and objects that lie about being one."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import flowbook as fb

BASE = np.arange(24, dtype="f4").reshape(4, 6)
FOREIGN = {
    "transposed": BASE.T,
    "column major": np.asfortranarray(BASE),
    "step": BASE[::2, ::3],
    "backwards": BASE[::-1, ::-1],
    "broadcast": np.broadcast_to(BASE[0], (3, 6)),
    "big endian": BASE.astype(">f4"),
    "unaligned": np.frombuffer(b"\0" + BASE.tobytes(), "f4", offset=1).reshape(4, 6)
    if False
    else np.ndarray((4, 6), "f4", bytearray(b"\0" + BASE.tobytes()), offset=1),
    "field": np.zeros(5, [("a", "i1"), ("b", "f4")])["b"],
    "empty": np.zeros((0, 3), "f4"),
    "0-d": np.array(3.0, "f4"),
    "subclass": BASE.view(type("Sub", (np.ndarray,), {})),
    "matrix": np.asmatrix(BASE),
    "window": np.lib.stride_tricks.as_strided(BASE, (3, 3), (4, 4)),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("copy", [None, True, False])
def test_foreign_arrays(name, copy):
    a = FOREIGN[name]
    try:
        t = fb.asarray(a, copy=copy)
    except (ValueError, TypeError) as error:
        if copy is not False:  # only a demand for no copy may be refused
            raise AssertionError(name) from error
        return
    np.testing.assert_array_equal(t.numpy(), np.asarray(a).astype("f4"))
    np.testing.assert_array_equal((t * 2.0 + 1.0).numpy(), np.asarray(a).astype("f4") * 2 + 1)
    np.testing.assert_allclose(float(fb.sum(t)), float(np.asarray(a, "f8").sum()), rtol=1e-6)


@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", "b"]),
        np.array([b"a"]),
        np.array([object()]),
        np.array([None]),
        np.array("2020", "M8[D]"),
        np.zeros(2, [("a", "f4")]),
        {"a": 1},
        {1, 2},
        object(),
        "text",
        None,
        [[1], [2, 3]],
        [1, "a"],
        np.ma.masked_array([1.0, 2.0], [True, False]),
        lambda: 0,
        type,
        float("nan").__class__,
        np.longdouble(1),
        [None],
        b"bytes",
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_array(value):
    """A typed error, or what NumPy would make of it (masked arrays, long doubles)."""
    try:
        t = fb.asarray(value)
    except (TypeError, ValueError) as error:
        if not str(error):
            raise AssertionError("an error without a message") from error
    else:
        assert isinstance(t, fb.Tensor)


def test_a_list_that_contains_itself():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises((ValueError, TypeError, RecursionError)):
        fb.asarray(loop)


def test_an_object_that_lies_about_itself():
    class Liar:
        def __init__(self, result):
            self.result = result

        def __array__(self, *args, **kwargs):
            if isinstance(self.result, Exception):
                raise self.result
            return self.result

        def __len__(self):
            return -1

        def __index__(self):
            raise ZeroDivisionError

        def __float__(self):
            raise ZeroDivisionError

    for result in (None, 3, "a", ZeroDivisionError(), [1.0]):
        try:
            fb.asarray(Liar(result))
        except (TypeError, ValueError, ZeroDivisionError):
            pass
    for call in (
        lambda o: fb.sum(fb.ones(3), axis=o),
        lambda o: fb.zeros(o),
        lambda o: fb.ones(3)[o],
        lambda o: fb.reshape(fb.ones(3), (o,)),
        lambda o: fb.full((2,), o),
        lambda o: fb.ones(3) + o,
    ):
        with pytest.raises((TypeError, ValueError, ZeroDivisionError, IndexError)):
            call(Liar(ZeroDivisionError()))


def test_a_foreign_array_may_die_before_the_tensor():
    a = np.arange(1_000_000, dtype="f4")
    t = fb.asarray(a, copy=False)
    keep = weakref.ref(a)
    del a
    gc.collect()
    assert keep() is not None or True
    assert float(t[999_999]) == 999_999
    n = t.numpy()
    del t
    gc.collect()
    assert n[123] == 123


def test_dlpack_capsules_used_twice():
    x = np.arange(4, dtype="f4")

    class Once:
        def __init__(self):
            self.capsule = x.__dlpack__()

        def __dlpack__(self, **kwargs):
            return self.capsule

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    once = Once()
    np.testing.assert_array_equal(fb.from_dlpack(once).numpy(), x)
    with pytest.raises((ValueError, TypeError, BufferError, RuntimeError)):
        fb.from_dlpack(once)
    for bad in (object(), 3, None, "a"):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            fb.from_dlpack(bad)


def test_buffers_are_as_contiguous_as_the_reader_asks():
    import ctypes

    ask = ctypes.pythonapi.PyObject_GetBuffer
    ask.restype = ctypes.c_int
    strides, c, f, anyhow = 0x18, 0x38, 0x58, 0x98

    def granted(t, flags):
        view = (ctypes.c_byte * 256)()
        try:
            ask(ctypes.py_object(t), view, flags)
        except BufferError:
            return False
        ctypes.pythonapi.PyBuffer_Release(view)
        return True

    t = fb.asarray(np.arange(12.0).reshape(3, 4))
    assert [granted(t, flags) for flags in (strides, c, f, anyhow)] == [True, True, False, True]
    view = t[:, ::2]
    assert [granted(view, flags) for flags in (strides, c, f, anyhow)] == [
        True,
        False,
        False,
        False,
    ]
    assert memoryview(view).tolist() == view.numpy().tolist()
