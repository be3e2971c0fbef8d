"""Loops that only long arrays or many rows reach, against NumPy: one story each, exact results."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb

Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(7)


def same(got: fb.Tensor, want: np.ndarray) -> None:
    have = got.numpy()
    assert have.shape == want.shape
    assert have.dtype == want.dtype
    assert have.tobytes() == np.ascontiguousarray(want).tobytes()


@pytest.mark.parametrize("n", [63, 64, 16_319, 16_320, 16_384, 100_003])
def test_booleans_are_counted_in_bytes_that_never_overflow(n: int) -> None:
    assert int(fb.sum(fb.ones(n, dtype=fb.bool))) == n
    assert int(fb.count_nonzero(fb.ones(n, dtype=fb.bool))) == n
    assert int(fb.sum(fb.zeros(n, dtype=fb.bool))) == 0


@pytest.mark.parametrize("shape", [(3, 5), (300, 77), (1000, 130)])
def test_booleans_are_added_up_over_every_axis(rng: Rng, shape: tuple[int, int]) -> None:
    m = rng.random(shape) < 0.7
    t = fb.asarray(m)
    for axis in (None, 0, 1):
        same(fb.sum(t, axis=axis), np.asarray(m.sum(axis=axis, dtype=np.int64)))
        same(fb.prod(t, axis=axis), np.asarray(m.prod(axis=axis, dtype=np.int64)))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64", "float16"])
def test_booleans_become_numbers(rng: Rng, dtype: str) -> None:
    m = rng.random((101, 77)) < 0.5
    same(fb.astype(fb.asarray(m), dtype), m.astype(dtype))
    same(fb.astype(fb.asarray(m)[:, ::3], dtype), m[:, ::3].astype(dtype))
    same(~fb.asarray(m)[:, ::3], ~m[:, ::3])


DTYPES = ["uint8", "float16", "float32", "int64", "complex128"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_entries_are_taken_by_their_width(rng: Rng, dtype: str, index: str) -> None:
    x = rng.integers(0, 100, (150, 203)).astype(dtype)
    i = rng.integers(-203, 203, 501).astype(index)
    k = rng.integers(-203, 203, (150, 300)).astype(index)
    t = fb.asarray(x)
    same(fb.take(t, fb.asarray(i), axis=1), np.take(x, i, axis=1))
    same(fb.take_along_axis(t, fb.asarray(k), axis=1), np.take_along_axis(x, k, axis=1))
    v, j = x.reshape(-1), rng.integers(-30_450, 30_450, 70_001).astype(index)
    same(fb.take(fb.asarray(v), fb.asarray(j), axis=0), v[j])
    k = rng.integers(-150, 150, (170, 203)).astype(index)
    same(fb.take_along_axis(t, fb.asarray(k), axis=0), np.take_along_axis(x, k, axis=0))


def test_the_first_bad_index_of_many_is_named() -> None:
    i = np.zeros(200_000, np.int64)
    i[150_000], i[180_000] = 10, -11
    with pytest.raises(fb.IndexOutOfRange, match=r"index 10 \(entry 150000 of the indices\)"):
        fb.take(fb.arange(10), fb.asarray(i), axis=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_short_rows_are_copied_column_by_column(rng: Rng, dtype: str) -> None:
    x, y = (rng.integers(0, 100, (130, 1029)).astype(dtype) for _ in range(2))
    t, u = fb.asarray(x), fb.asarray(y)
    same(fb.stack([t, u], axis=2), np.stack([x, y], axis=2))
    same(fb.stack([t, u, t], axis=1), np.stack([x, y, x], axis=1))
    same(fb.repeat(t, 3, axis=1), np.repeat(x, 3, axis=1))
    same(fb.flip(fb.stack([t, u], axis=2), axis=2), np.stack([y, x], axis=2))


@pytest.mark.parametrize("columns", [1000, 1024, 1031])
@pytest.mark.parametrize("shift", [1, 2, 15, 16, 17, -1])
def test_rows_are_rolled_by_a_little(rng: Rng, columns: int, shift: int) -> None:
    x = rng.standard_normal((200, columns)).astype(np.float32)
    same(fb.roll(fb.asarray(x), shift, axis=1), np.roll(x, shift, axis=1))


def quotients_near_whole_numbers(rng: Rng, dtype: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Operands whose quotient is below 2^22 in size, most of them a few last bits off a whole number."""
    y = (rng.standard_normal(n) * 2.0 ** rng.integers(-40, 40, n)).astype(dtype)
    x = (y * rng.integers(-(2 ** rng.integers(1, 22, n)), 2**21, n)).astype(dtype)
    for _ in range(3):
        move = rng.random(n) < 0.5
        x = np.where(move, np.nextafter(x, np.asarray(rng.choice([-1, 1], n) * np.inf, dtype)), x)
    small = np.abs(x) < np.abs(y) * 2.0**21
    return np.where(small, x, y), y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_divide_alike_on_every_way(rng: Rng, dtype: str) -> None:
    x, y = quotients_near_whole_numbers(rng, dtype, 1 << 17)
    same(fb.asarray(x) // fb.asarray(y), x // y)
    same(fb.asarray(x) % fb.asarray(y), x % y)
    same(fb.asarray(x) % 0.1, x % np.asarray(0.1, dtype))
    # One that is large, infinite, zero or NaN sends its block the long way.
    for special in (0.0, np.inf, -np.inf, np.nan, 1e30, 1e-30):
        u, v = x.copy(), y.copy()
        u[::701], v[::509] = special, special
        with np.errstate(all="ignore"):
            want = u // v, u % v
        got = fb.asarray(u) // fb.asarray(v), fb.asarray(u) % fb.asarray(v)
        for g, w in zip(got, want, strict=True):
            assert np.array_equal(np.isnan(g.numpy()), np.isnan(w))
            same(fb.where(fb.isnan(g), 0.0, g), np.where(np.isnan(w), np.asarray(0, dtype), w))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("bits", [7, 31, 51, 63])
def test_integers_divide_alike_on_every_way(rng: Rng, dtype: str, bits: int) -> None:
    info = np.iinfo(dtype)
    low, high = max(info.min, -(2**bits)), min(info.max, 2**bits - 1)
    x = rng.integers(low, high, 1 << 16, dtype=dtype, endpoint=True)
    y = rng.integers(low, high, 1 << 16, dtype=dtype, endpoint=True)
    y >>= rng.integers(0, bits, y.shape).astype(dtype) if dtype != "uint8" else 0
    x[:4], y[:4] = [low, low, high, 0], [high, 1, low or 1, 0]
    near = rng.random(x.shape) < 0.5
    multiples = x // np.where(y == 0, 1, y) * y
    x = np.where(near, multiples - (rng.random(x.shape) < 0.5).astype(dtype), x)
    with np.errstate(all="ignore"):
        for d in (y, np.asarray(3, dtype), np.asarray(0, dtype)):
            same(fb.asarray(x) // fb.asarray(d), x // d)
            same(fb.asarray(x) % fb.asarray(d), x % d)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("n", [15, 16, 17, 511, 513, 70_001])
def test_progressions_are_their_formula(dtype: str, n: int) -> None:
    i = np.arange(n)
    for start, step in ((0, 1), (-5, 3), (2**40, -(2**33))):
        if abs(start) > 2**31 and dtype not in ("int64", "float32", "float64"):
            continue
        got = fb.arange(start, start + n * step, step, dtype=dtype)
        same(got, (start + i * step).astype(dtype))
    if dtype.startswith("float"):
        same(fb.arange(0.5, 0.5 + 0.1 * (n - 0.5), 0.1, dtype=dtype), (0.5 + i * 0.1).astype(dtype))
        want = 1.5 + i * ((7.25 - 1.5) / (n - 1))
        want[-1] = 7.25
        same(fb.linspace(1.5, 7.25, n, dtype=dtype), want.astype(dtype))
    # Beyond 53 bits the numbers are whole, not rounded on the way.
    same(fb.arange(2**60, 2**60 + n), np.arange(2**60, 2**60 + n))


@pytest.mark.parametrize("shape", [(7, 300), (8, 8), (16, 128), (40, 131), (257, 1000)])
@pytest.mark.parametrize("dtype", ["bool", "float32", "float64", "int64"])
def test_transposed_operands_pass_through_tiles(
    rng: Rng, shape: tuple[int, int], dtype: str
) -> None:
    a = rng.integers(0, 2 if dtype == "bool" else 50, shape).astype(dtype)
    b = rng.integers(0, 2 if dtype == "bool" else 50, shape[::-1]).astype(dtype)
    t, u = fb.asarray(a), fb.asarray(b)
    same(t * u.T, a * b.T)
    same(u.T + t, b.T + a)
    same(fb.maximum(u.T, u.T[:, :1]), np.maximum(b.T, b.T[:, :1]))
    m = rng.random(shape[::-1]) < 0.5
    same(fb.where(fb.asarray(m).T, t, u.T), np.where(m.T, a, b.T))
    deep, turned = rng.standard_normal((3, *shape)), rng.standard_normal((3, *shape[::-1]))
    same(
        fb.asarray(deep) - fb.matrix_transpose(fb.asarray(turned)),
        deep - turned.transpose(0, 2, 1),
    )


@pytest.mark.parametrize(
    "shape", [(5,), (100_003,), (300, 257), (2, 40_000), (40_000, 3), (7, 9, 1100), (0, 4), (4, 0)]
)
def test_places_are_found_on_all_threads(rng: Rng, shape: tuple[int, ...]) -> None:
    for share in (0.0, 0.01, 0.5, 1.0):
        m = rng.random(shape) < share
        for got, want in zip(fb.nonzero(fb.asarray(m)), np.nonzero(m), strict=True):
            same(got, want)
        x = rng.standard_normal(shape).astype(np.float32)
        same(fb.asarray(x)[fb.asarray(m)], x[m])
        if len(shape) > 1 and shape[-1]:
            same(fb.asarray(x)[fb.asarray(m)[..., 0]], x[m[..., 0]])
    v = rng.integers(-1, 2, shape)
    for got, want in zip(fb.nonzero(fb.asarray(v)), np.nonzero(v), strict=True):
        same(got, want)
    z = (v * 1j).astype(np.complex64)
    for got, want in zip(fb.nonzero(fb.asarray(z)), np.nonzero(z), strict=True):
        same(got, want)
    if len(shape) > 1:
        turned = np.asarray(m.T)
        for got, want in zip(fb.nonzero(fb.asarray(m).T), np.nonzero(turned), strict=True):
            same(got, want)


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 1000, 70_001])
def test_permutations_sort_their_bits(n: int) -> None:
    with_seed = fb.random.permutation(n).numpy()
    assert sorted(with_seed.tolist()) == list(range(n))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64", "bool"])
def test_running_sums_of_many_rows(rng: Rng, axis: int, dtype: str) -> None:
    x = rng.integers(0, 2, (67, 515)).astype(dtype)
    want = np.cumsum(x, axis)
    got = fb.cumulative_sum(fb.asarray(x), axis=axis)
    same(got, want.astype(got.numpy().dtype))
