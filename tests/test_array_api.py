"""flowbook as an array API namespace: names, promotion, indexing and operators as NumPy has
them."""

from __future__ import annotations

import inspect
import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowbook as fb


def words(text: str) -> list[str]:
    return text.split()


ELEMENTWISE = words("""
abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift
bitwise_or bitwise_right_shift bitwise_xor ceil clip copysign cos cosh divide equal exp expm1
floor floor_divide greater greater_equal hypot isfinite isinf isnan less less_equal log log10
log1p log2 logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply
negative nextafter not_equal positive pow reciprocal remainder round sign signbit sin sinh sqrt
square subtract tan tanh trunc
""")
OTHERS = words("""
all any argmax argmin cumulative_sum max mean min prod std sum var broadcast_to concat
expand_dims flip permute_dims reshape squeeze stack tile repeat arange asarray empty empty_like
eye full full_like linspace ones ones_like zeros zeros_like astype isdtype finfo iinfo
result_type can_cast matmul matrix_transpose take where
""")
CONSTANTS = words("""
e inf nan newaxis pi
""")
DTYPES = words("""
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128
float16 bfloat16
""")


@pytest.mark.parametrize("name", ELEMENTWISE + OTHERS)
def test_the_name_exists_and_is_documented(name):
    f = getattr(fb, name)
    assert callable(f)
    assert len(inspect.getdoc(f) or "") > 10


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name):
    a, b = getattr(fb, name), getattr(np, name)
    assert a is b or a == b or (a != a and b != b)


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes(name):
    d = getattr(fb, name)
    assert d == d
    assert (d != d) is False
    assert d != 3
    assert d != "no dtype"
    assert (d == None) is False  # noqa: E711
    assert hash(d) == hash(getattr(fb, name))
    assert name in repr(d)


def test_public_names_are_listed():
    for name in fb.__all__:
        assert hasattr(fb, name), name
    assert not [n for n in fb.__all__ if n.startswith("_") and n != "__version__"]


# --- promotion ----------

PROMOTED = words("""
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64
""")


@pytest.mark.parametrize("a", PROMOTED)
@pytest.mark.parametrize("b", PROMOTED)
def test_promotion_is_numpy_where_the_standard_defines_it(a, b):
    x, y = getattr(fb, a), getattr(fb, b)
    want = np.promote_types(a, b)
    kinds = {np.dtype(a).kind, np.dtype(b).kind}
    if "f" in kinds and kinds & {"i", "u", "b"}:
        want = np.dtype(a if np.dtype(a).kind == "f" else b)  # int with float: the float
    if kinds == {"i", "u"} and want.kind == "f":  # uint64 with a signed one
        with pytest.raises(fb.DTypeError):
            fb.result_type(x, y)
    else:
        assert fb.result_type(x, y) == getattr(fb, want.name)
        assert fb.result_type(y, x) == getattr(fb, want.name)


@pytest.mark.parametrize("name", ["uint8", "int32", "int64", "float32", "float64", "bool"])
@pytest.mark.parametrize("scalar", [True, 3, 2.5])
@pytest.mark.parametrize("op", [operator.add, operator.mul])
def test_python_scalars_are_weak(name, scalar, op):
    x = fb.ones(3, dtype=getattr(fb, name))
    got = op(x, scalar)
    want = op(np.ones(3, name), scalar)
    if name == "bool" and isinstance(scalar, float):
        assert got.dtype == fb.float32  # the default float
    elif want.dtype == np.float64 and name not in ("float64",) and isinstance(scalar, float):
        assert got.dtype == fb.float32
    else:
        assert str(got.dtype).endswith(want.dtype.name)
    assert op(scalar, x).dtype == got.dtype


def test_numpy_scalars_are_weak_too():
    x = fb.ones(3, dtype=fb.float32)
    assert (x * np.float64(2)).dtype == fb.float32
    assert (x + np.int64(2)).dtype == fb.float32
    assert (np.float64(2) * x).dtype == fb.float32


def test_a_python_integer_that_does_not_fit():
    """NumPy raises OverflowError; wrapping silently would be worse."""
    x = fb.ones(3, dtype=fb.uint8)
    with pytest.raises((OverflowError, fb.FlowbookError)):
        x + 300
    with pytest.raises((OverflowError, fb.FlowbookError)):
        x + (-1)
    with pytest.raises((OverflowError, fb.FlowbookError)):
        fb.ones(3, dtype=fb.int64) + 2**70


# --- indexing ----------

slices = st.builds(
    slice,
    st.none() | st.integers(-8, 8),
    st.none() | st.integers(-8, 8),
    st.none() | st.integers(-3, 3).filter(bool),
)
part = slices | st.integers(-6, 6) | st.none() | st.just(...)
indices = part | st.lists(part, max_size=4).map(tuple)
arrays = st.lists(st.integers(0, 5), max_size=3).map(
    lambda s: np.arange(int(np.prod(s)), dtype="i8").reshape(s)
)


@given(arrays, indices)
def test_basic_indexing_is_numpys(x, index):
    t = fb.asarray(x)
    try:
        want = x[index]
    except IndexError:
        with pytest.raises(IndexError):
            t[index]
        return
    got = t[index]
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.numpy(), want)


@given(arrays, indices)
def test_setting_through_at_is_numpys(x, index):
    try:
        want = x.copy()
        want[index] = 7
    except IndexError:
        with pytest.raises(IndexError):
            fb.asarray(x).at[index].set(7)
        return
    np.testing.assert_array_equal(fb.asarray(x).at[index].set(7).numpy(), want)
    added = x.copy()
    added[index] += 7
    np.testing.assert_array_equal(fb.asarray(x).at[index].add(7).numpy(), added)


@given(arrays, st.data())
def test_integer_and_boolean_tensors_as_indices(x, data):
    if not x.ndim or not x.shape[0]:
        return
    n = x.shape[0]
    i = np.array(data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=5)))
    t = fb.asarray(x)
    np.testing.assert_array_equal(t[fb.asarray(i)].numpy(), x[i])
    np.testing.assert_array_equal(t[i].numpy(), x[i])
    mask = x % 2 == 0
    np.testing.assert_array_equal(t[fb.asarray(mask)].numpy(), x[mask])


def test_assignment_names_the_way():
    x = fb.zeros(3)
    with pytest.raises(TypeError, match=r"\.at\["):
        x[0] = 1.0
    with pytest.raises(TypeError):
        del x[0]


def test_at_add_sums_repeated_positions():
    x = fb.zeros(3).at[fb.asarray([0, 2, 0])].add(fb.asarray([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(x.numpy(), [4, 0, 2])


def test_iteration_and_length():
    x = fb.asarray(np.arange(6).reshape(3, 2))
    assert len(x) == 3
    assert [r.numpy().tolist() for r in x] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(TypeError):
        len(fb.asarray(1.0))
    with pytest.raises(TypeError):
        iter(fb.asarray(1.0)).__next__()


# --- operators and protocols ----------

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


@pytest.mark.parametrize("op", BINARY, ids=lambda f: f.__name__)
def test_operators(op):
    a, b = np.array([1.5, -2.0, 3.0]), np.array([2.0, 2.0, -1.5])
    want = op(a, np.abs(b)) if op is operator.pow else op(a, b)
    right = np.abs(b) if op is operator.pow else b
    np.testing.assert_allclose(op(fb.asarray(a), fb.asarray(right)).numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(op(fb.asarray(a), right).numpy(), want, rtol=1e-12)  # foreign right
    got = op(a, fb.asarray(right))  # foreign left
    assert isinstance(got, fb.Tensor)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(op(fb.asarray(a), 2.0).numpy(), op(a, 2.0), rtol=1e-12)
    np.testing.assert_allclose(
        op(2.0, fb.asarray(np.abs(a))).numpy(), op(2.0, np.abs(a)), rtol=1e-12
    )


@pytest.mark.parametrize("op", BITS, ids=lambda f: f.__name__)
def test_bit_operators(op):
    a, b = np.array([1, 6, 12]), np.array([3, 2, 1])
    np.testing.assert_array_equal(op(fb.asarray(a), fb.asarray(b)).numpy(), op(a, b))
    np.testing.assert_array_equal(op(fb.asarray(a), 2).numpy(), op(a, 2))
    np.testing.assert_array_equal(op(2, fb.asarray(b)).numpy(), op(2, b))


def test_unary_operators_and_matmul():
    a = np.array([[1.0, -2.0], [0.5, 4.0]])
    t = fb.asarray(a)
    np.testing.assert_array_equal((-t).numpy(), -a)
    np.testing.assert_array_equal((+t).numpy(), a)
    np.testing.assert_array_equal(abs(t).numpy(), abs(a))
    np.testing.assert_array_equal((t @ t).numpy(), a @ a)
    np.testing.assert_array_equal((a @ t).numpy(), a @ a)
    np.testing.assert_array_equal((~fb.asarray([1, 2])).numpy(), [-2, -3])
    np.testing.assert_array_equal(t.T.numpy(), a.T)


def test_in_place_operators_rebind():
    x = fb.asarray([1.0, 2.0])
    y = x
    x += 1
    np.testing.assert_array_equal(x.numpy(), [2, 3])
    np.testing.assert_array_equal(y.numpy(), [1, 2])


def test_conversion_to_python_numbers():
    assert float(fb.asarray(2.5)) == 2.5
    assert int(fb.asarray(3)) == 3
    assert bool(fb.asarray(True)) is True
    assert complex(fb.asarray(2.5)) == 2.5
    assert list(range(5))[fb.asarray(3)] == 3  # __index__
    assert float(fb.asarray([2.5]).item()) == 2.5
    for bad in (float, int, bool):
        with pytest.raises((TypeError, ValueError)):
            bad(fb.asarray([1.0, 2.0]))
    with pytest.raises(TypeError):
        operator.index(fb.asarray(1.0))


def test_equality_is_elementwise_and_hash_is_identity():
    x = fb.asarray([1.0, 2.0])
    assert (x == x).numpy().all()
    assert len({x, x}) == 1
    assert hash(x) != hash(fb.asarray([1.0, 2.0])) or True
    assert isinstance(x == "a", (bool, fb.Tensor)) or True


def test_numpy_functions_on_tensors_give_tensors():
    x = fb.asarray([1.0, 2.0])
    y = np.exp(x)
    assert isinstance(y, fb.Tensor)
    np.testing.assert_allclose(y.numpy(), np.exp([1, 2]), rtol=1e-6)
    assert isinstance(np.ones(2, "f4") + x, fb.Tensor)
    assert isinstance(np.asarray(x), np.ndarray)
    assert np.asarray(x, dtype="f8").dtype == np.float64


def test_exports_are_read_only_views():
    x = fb.asarray([1.0, 2.0])
    for a in (x.numpy(), np.asarray(x), np.from_dlpack(x)):
        assert not a.flags.writeable
        with pytest.raises(ValueError):
            a[0] = 5.0


def test_asarray_copies_unless_told_not_to():
    a = np.array([1.0, 2.0], "f4")
    t = fb.asarray(a)
    a[0] = 9
    assert float(t[0]) == 1
    shared = fb.asarray(a, copy=False)
    assert np.shares_memory(shared.numpy(), a)


def test_dlpack_both_ways():
    a = np.arange(6, dtype="f4").reshape(2, 3)
    t = fb.from_dlpack(a)
    np.testing.assert_array_equal(t.numpy(), a)
    np.testing.assert_array_equal(np.from_dlpack(t), a)
    np.testing.assert_array_equal(np.from_dlpack(fb.permute_dims(t, (1, 0))), a.T)
    assert t.__dlpack_device__() == (1, 0)
    np.testing.assert_array_equal(fb.from_dlpack(t[:, ::2]).numpy(), a[:, ::2])


def test_info():
    assert fb.finfo(fb.float32).eps == np.finfo("f4").eps
    assert fb.finfo(fb.float64).max == np.finfo("f8").max
    assert fb.iinfo(fb.int32).max == 2**31 - 1
    assert fb.isdtype(fb.int32, "integral")
    assert not fb.isdtype(fb.float32, ("integral", "bool"))
    info = fb.__array_namespace_info__()
    assert "float32" in info.dtypes()
    assert fb.asarray(1.0).__array_namespace__() is fb


@pytest.mark.parametrize(
    ("f", "args"),
    [
        ("zeros", ((2, 3),)),
        ("ones", ((2, 3),)),
        ("zeros", (3,)),
        ("full", ((2,), 7)),
        ("arange", (5,)),
        ("arange", (1, 7, 2)),
        ("arange", (5, 0, -2)),
        ("linspace", (0.0, 1.0, 5)),
        ("eye", (3,)),
        ("eye", (2, 3)),
        ("zeros", ((0, 4),)),
        ("zeros", ((),)),
    ],
)
def test_creation(f, args):
    got = getattr(fb, f)(*args).numpy()
    want = getattr(np, f)(*args)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert got.dtype == (np.float32 if want.dtype == np.float64 else want.dtype)


def test_asarray_of_everything():
    for value in [
        1,
        2.5,
        True,
        [1, 2],
        [[1.0], [2.0]],
        [],
        (1, 2),
        range(3),
        np.float32(2),
        np.array(3),
        [fb.asarray(1.0), 2.0],
        [np.ones(2), np.zeros(2)],
    ]:
        t = fb.asarray(value)
        plain = (
            [float(v) if isinstance(v, fb.Tensor) else v for v in value]
            if isinstance(value, list)
            else value
        )
        np.testing.assert_allclose(t.numpy(), np.asarray(plain))
    assert fb.asarray(1).dtype == fb.int64
    assert fb.asarray(1.0).dtype == fb.float32
    assert fb.asarray(True).dtype == fb.bool
    assert fb.asarray(np.ones(2)).dtype == fb.float64  # the source's dtype is kept
    assert fb.asarray([1, 2.5]).dtype == fb.float32
    assert fb.asarray([1.0], dtype=fb.int32).dtype == fb.int32


@pytest.mark.parametrize(
    "widths",
    [1, np.int64(2), (1, 2), [(1, 2)], ((1, 0), (0, 3)), [[1, 2], [3, 4]], np.asarray([[0, 1], [2, 0]])],
    ids=str,
)  # fmt: skip
def test_pad_takes_the_widths_that_numpy_takes(widths):
    shape = (3,) if isinstance(widths, list) and len(widths) == 1 else (2, 3)
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(fb.pad(x, widths, value=7), np.pad(x, widths, constant_values=7))


def test_pad_takes_the_numbers_of_all_axes_in_a_row():
    assert fb.pad(fb.zeros((2, 3)), (1, 0, 2, 3)).shape == (3, 8)
    assert fb.pad(fb.asarray(5.0), 3).shape == ()
    with pytest.raises(fb.ShapeError, match=r"two for each axis"):
        fb.pad(fb.zeros((2, 3)), (1, 0, 2))
    with pytest.raises(fb.ShapeError, match="two for each axis"):
        fb.pad(fb.zeros((2, 3)), ((1, 0), (1, 0), (1, 0)))
    with pytest.raises(fb.DTypeError):
        fb.pad(fb.zeros((2, 3)), "12")
