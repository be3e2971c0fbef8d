"""Samples of the random ops. The bits are checked against Philox 4x32-10 written out in NumPy; the
distributions are `tests/ops/test_random.py`'s business."""

from __future__ import annotations

import numpy as np

from ..sample import FLOATS, call, declare, fails

MASK = 0xFFFFFFFF


def philox(counter: tuple, key: tuple) -> tuple:
    """Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3". Words: Python integers
    or uint64 arrays."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


# The known answers of the Random123 distribution.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def words(key: np.ndarray, stream: int, count: int) -> np.ndarray:
    """The first `count` random words of a stream, as csrc/core/random.h numbers them."""
    seed, counter = (int(k) & (2**64 - 1) for k in key)
    blocks = np.arange((count + 3) // 4, dtype="u8")
    full = lambda v: np.full(blocks.shape, v & MASK, "u8")  # noqa: E731
    start = (
        blocks & np.uint64(MASK),
        (blocks >> np.uint64(32)) ^ full(stream * 0x9E3779B9),
        full(counter),
        full((counter >> 32) ^ stream),
    )
    out = philox(start, (full(seed), full(seed >> 32)))
    return np.stack(out, 1).reshape(-1)[:count]


KEYS = [np.array([0, 0]), np.array([1234, 5]), np.array([-1, 2**40 + 7])]
SHAPES = [(), (3, 5), (1037,), (0, 2)]


def calls(dtype=None, **attrs):
    for key in KEYS:
        for i, shape in enumerate(SHAPES):
            more = {} if dtype is None else {"dtype": dtype}
            yield call(key, shape=shape, stream=i, **more, **attrs)


def _uniform(key, shape, low=0.0, high=1.0, dtype="float32", stream=0):
    n = int(np.prod(shape))
    if dtype == "float32":
        u = (words(key, stream, n) >> np.uint64(8)).astype("f4") * np.float32(2.0**-24)
    else:
        w = words(key, stream, 2 * n).reshape(-1, 2)
        u = ((w[:, 0] << np.uint64(32) | w[:, 1]) >> np.uint64(11)).astype("f8") * 2.0**-53
    return (low + u.astype("f8") * (high - low)).astype(dtype).reshape(shape)


key = np.array([1, 2])
declare(
    "uniform",
    _uniform,
    FLOATS,
    lambda m: [*calls(m.dtype), *calls(m.dtype, low=-2.0, high=3.0)],
    rtol={"float32": 3e-7, "float64": 1e-15},
    errors=[
        fails("ArgumentError", r"finite", key, shape=(2,), low=float("nan")),
        fails("ShapeError", r"key", np.array([1, 2, 3]), shape=(2,)),
        fails("DTypeError", r"", key, shape=(2,), dtype="int64"),
    ],
)
declare(
    "normal",
    None,
    FLOATS,
    lambda m: [*calls(m.dtype), *calls(m.dtype, mean=1.0, std=3.0)],
    errors=[fails("ArgumentError", r"std", key, shape=(2,), std=-1.0)],
)
declare(
    "randint",
    None,
    ("uint8", "int32", "int64"),
    lambda m: [*calls(m.dtype, low=0, high=7), *calls(m.dtype, low=3, high=100)],
    errors=[
        fails("ArgumentError", r"high", key, shape=(2,), low=3, high=3),
        fails("ArgumentError", r"uint8", key, shape=(2,), low=0, high=300, dtype="uint8"),
    ],
)
declare(
    "bernoulli",
    None,
    ("bool",),
    lambda m: [*calls(p=0.3), *calls(p=0.0), *calls(p=1.0)],
    errors=[fails("ArgumentError", r"p", key, shape=(2,), p=1.5)],
)
declare(
    "permutation",
    None,
    ("int64",),
    lambda m: [call(k, n=n) for k in KEYS for n in (0, 1, 2, 100)],
)
declare(
    "dropout",
    None,
    FLOATS,
    lambda m: [
        call(key, m(3, 5), rate=0.4),
        call(key, m(1037), rate=0.4, stream=3),
        call(key, m(3, 5), rate=0.0),
        call(key, m(3, 5), rate=1.0),
        call(key, m(), rate=0.5),
        call(key, m(0, 2), rate=0.5),
    ],
    grad=(1,),
    errors=[fails("ArgumentError", r"rate", key, np.ones(2, "f4"), rate=1.5)],
)
