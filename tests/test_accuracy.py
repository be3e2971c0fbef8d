"""How far functions are from the truth, in units in the last place; integers at their edges; and
whether every instruction set gives the same bits.

The references are NumPy's long double functions where they exist, else SciPy's.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import flowbook as fb

wide = np.longdouble
pytestmark = pytest.mark.skipif(
    np.finfo(wide).nmant < 60, reason="needs a long double wider than double as the reference"
)


def samples(dtype: type, count: int = 40_000) -> np.ndarray:
    """Bit patterns over the whole range, dense grids where functions bend, special values."""
    unsigned = np.uint32 if dtype is np.float32 else np.uint64
    step = np.iinfo(unsigned).max // count
    patterns = (np.arange(count, dtype=unsigned) * unsigned(step)).view(dtype)
    grids = [np.linspace(-r, r, count // 4, dtype=dtype) for r in (1.2, 20.0, 110.0)]
    limits = np.finfo(dtype)
    edges = [limits.tiny, limits.max, -limits.max, limits.smallest_subnormal]
    special = np.array([0.0, -0.0, 1, -1, 0.5, -0.5, np.inf, -np.inf, np.nan, *edges], dtype)
    return np.concatenate([patterns, *grids, 1 + grids[0] * dtype(1e-3), special])


def ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Distance of `got` from `want` (long double) in units in the last place of `want`."""
    with np.errstate(over="ignore"):
        near = want.astype(got.dtype)
    unit = np.spacing(np.abs(np.where(np.isfinite(near), near, 1))).astype(wide)
    with np.errstate(invalid="ignore"):
        distance = np.abs((got.astype(wide) - want) / unit)
    agree = (got == near) & ~np.isfinite(near) | np.isnan(got) & np.isnan(near)
    zero = want == 0
    signed = (got == 0) & (np.signbit(got) == np.signbit(want))
    top = np.finfo(got.dtype).max  # beside infinity, the largest number is one unit away
    beside = np.isinf(got) != np.isinf(near)
    edge = np.where(np.isinf(got), np.abs(near) == top, np.abs(got) == top) & (
        np.signbit(got) == np.signbit(near)
    )
    distance = np.where(beside, np.where(edge, 1, np.inf), distance)
    return np.where(agree, 0, np.where(zero, np.where(signed, 0, np.inf), distance)).astype(float)


def test_exponentials_around_their_largest_argument():
    for f, limit in ((fb.exp, 88.72284), (fb.exp2, 128.0), (fb.expm1, 88.72284)):
        x = np.float32(limit).view(np.int32) + np.arange(-40, 40, dtype=np.int32)
        x = x.view(np.float32)
        want = getattr(np, f.__name__)(x.astype(wide))
        assert ulps(f(fb.asarray(x)).numpy(), want).max() <= 2


def sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


def gelu_tanh_reference(x):
    inner = x * (
        wide("1.5957691216057307117597842397375") + wide("0.071354816272600252747353677196") * x * x
    )
    return np.where(x < -200, wide(-0.0), x * sigmoid(inner))


# name: (reference over long double, bound in float32, bound in float64)
FUNCTIONS = {
    "exp": (np.exp, 1.0, 1.0),
    "exp2": (np.exp2, 1.0, 1.0),
    "expm1": (np.expm1, 2.0, 2.0),
    "log": (np.log, 1.0, 1.0),
    "log2": (np.log2, 2.0, 1.0),
    "log10": (np.log10, 2.0, 2.0),
    "log1p": (np.log1p, 2.0, 2.0),
    "sin": (np.sin, 1.6, 1.0),
    "cos": (np.cos, 1.6, 1.0),
    "tan": (np.tan, 1.0, 1.0),
    "asin": (np.arcsin, 2.0, 1.0),
    "acos": (np.arccos, 2.0, 1.0),
    "atan": (np.arctan, 2.0, 1.0),
    "sinh": (np.sinh, 1.0, 2.0),
    "cosh": (np.cosh, 1.0, 2.0),
    "tanh": (np.tanh, 2.0, 2.5),
    "asinh": (np.arcsinh, 1.0, 2.0),
    "acosh": (np.arccosh, 1.0, 2.5),
    "atanh": (np.arctanh, 1.0, 2.0),
    "sqrt": (np.sqrt, 0.5, 0.5),
    "sigmoid": (sigmoid, 2.0, 2.5),
    "silu": (lambda x: np.where(x < -20_000, wide(-0.0), x * sigmoid(x)), 2.0, 3.0),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 2.0, 2.5),
    "gelu_tanh": (gelu_tanh_reference, 2.0, None),
}


def find(name: str):
    return getattr(fb, name, None) or getattr(fb.nn, name, None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_precise_over_the_whole_range(name: str, dtype: type) -> None:
    reference, *bounds = FUNCTIONS[name]
    bound = bounds[dtype is np.float64]
    if bound is None:
        pytest.skip("no bound is promised")
    f = find(name) or (lambda x: fb.nn.gelu(x, approximate="tanh"))
    x = samples(dtype)
    if dtype is np.float64 and name in ("sin", "cos", "tan"):
        x = x[np.abs(x) < 1e15]  # long double itself knows pi to 64 bits only
    with np.errstate(all="ignore"):
        want = reference(x.astype(wide))
        far = ulps(f(fb.asarray(x)).numpy(), want)
    worst = int(np.argmax(far))
    assert far[worst] <= bound, f"{name}({x[worst]!r}): {far[worst]:.2f} ulp"


def test_exact_gelu_at_its_ends() -> None:
    """Below -14 results are subnormal or -0; zeros keep their signs."""
    special = pytest.importorskip("scipy.special")
    tail = np.linspace(-12.5, -15, 20_001, dtype=np.float32)
    tiny = (np.float32(1e-45) * np.arange(-200, 201)).astype(np.float32)
    x = np.concatenate([tail, tiny, np.float32([-0.0, 0.0, 13, 14.6, 14.7, 3e38, -3e38])])
    want = (x.astype(wide) * special.ndtr(x.astype(np.float64))).astype(wide)
    far = ulps(fb.nn.gelu(fb.asarray(x)).numpy(), np.where(want == 0, np.copysign(want, x), want))
    assert far.max() <= 2.0, f"{x[np.argmax(far)]!r}: {far.max():.2f} ulp"
    assert np.signbit(fb.nn.gelu(fb.asarray(tail)).numpy()).all()
    ends = fb.nn.gelu(fb.asarray(np.float32([np.inf, -np.inf]))).numpy()
    np.testing.assert_array_equal(ends, [np.inf, 0])
    assert np.signbit(ends[1])


def test_the_slope_of_exact_gelu_is_precise() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-16, 16, 200_001), [0.0, 1e-40, 3e38, -3e38]]).astype("f4")
    v = np.clip(x.astype(np.float64), -40, 40)
    want = special.ndtr(v) + v * np.exp(-v * v / 2) / np.sqrt(2 * np.pi)
    with fb.tape() as t:
        a = fb.asarray(x)
        y = fb.sum(fb.nn.gelu(a))
    np.testing.assert_allclose(t.gradients(y, [a])[0].numpy(), want, rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("name", ["erf", "erfc", "normal_cdf", "gelu"])
def test_error_functions_are_precise(name: str) -> None:
    special = pytest.importorskip("scipy.special")
    reference = {
        "erf": special.erf,
        "erfc": special.erfc,
        "normal_cdf": special.ndtr,
        "gelu": lambda v: v * special.ndtr(v),
    }[name]
    f = find(name)
    if f is None:
        pytest.skip("not public")
    x = np.concatenate(
        [np.linspace(-14, 14, 1501), np.geomspace(1e-30, 1, 100), [np.inf, -np.inf, np.nan, 0.0]]
    ).astype(np.float32)
    finite = x[np.isfinite(x)]
    want = reference(finite.astype(np.float64)).astype(wide)  # far better than float32 needs
    far = ulps(f(fb.asarray(finite)).numpy(), want)
    assert far.max() <= 2.0, f"{name}({finite[np.argmax(far)]!r}): {far.max():.2f} ulp"
    assert np.isnan(f(fb.asarray(np.float32("nan"))).numpy())


def test_pow_is_precise_and_knows_the_special_cases() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 20, 20_000), rng.uniform(-20, 0, 100)]).astype(np.float32)
    y = np.concatenate([rng.uniform(-20, 20, 20_000), np.full(100, 3.0)]).astype(np.float32)
    far = ulps(
        fb.pow(fb.asarray(x), fb.asarray(y)).numpy(), np.power(x.astype(wide), y.astype(wide))
    )
    assert far.max() <= 1
    special = np.array(
        [0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan], np.float32
    )
    x, y = (v.ravel() for v in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        want = np.power(x, y)
    got = fb.pow(fb.asarray(x), fb.asarray(y)).numpy()
    np.testing.assert_allclose(got, want, rtol=2e-7)
    np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(want[got == 0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [2.0, 3.0, 1.0, 0.5, -1.0, -2.0, 0.0])
def test_a_power_does_not_tell_whether_all_elements_have_one_exponent(dtype, power) -> None:
    """Squares, roots and the like go their own way, in eager ops, single elements and graphs."""
    rng = np.random.default_rng(2)
    special = [0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-30, 3e30, -3e30, 1e-45]
    x = np.concatenate([special, rng.normal(size=5000) * 10.0 ** rng.integers(-9, 9, 5000)])
    x = fb.asarray(x.astype(dtype))
    exponents = np.full(x.shape, power, dtype)
    exponents[::2] = 1.25  # so that neighbours differ
    mixed = (x ** fb.asarray(exponents)).numpy()[1::2]
    got = (x**power).numpy()
    as_bits = np.int32 if dtype is np.float32 else np.int64
    numbers = ~np.isnan(got[1::2])
    np.testing.assert_array_equal(got[1::2][numbers].view(as_bits), mixed[numbers].view(as_bits))
    compiled = fb.graph(lambda x: (x**power) * 1.0)(x).numpy()
    numbers = ~np.isnan(got)
    np.testing.assert_array_equal(compiled[numbers].view(as_bits), got[numbers].view(as_bits))
    with np.errstate(all="ignore"):
        want = np.power(x.numpy().astype(wide), wide(power)).astype(dtype)
    np.testing.assert_allclose(got, want, rtol=2e-7 if dtype is np.float32 else 1e-15)
    np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(want[got == 0]))


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_large_angles_are_reduced_exactly_whatever_stands_beside_them(name: str) -> None:
    """A block of angles is computed by the cheapest way that holds for all of it; the bits of an
    element must not tell which."""
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [rng.normal(size=500) * scale for scale in (1, 1e3, 3e4, 1e6, 1e9, 1e20, 1e38)]
    ).astype(np.float32)
    multiples = (np.arange(1, 2000) * (np.pi / 2)).astype(np.float32)  # next to the zeros
    x = np.concatenate([x, multiples, -multiples])
    f = find(name)
    alone = np.array([f(fb.asarray(v)).item() for v in x[::7]], np.float32)
    assert ulps(f(fb.asarray(x)).numpy(), getattr(np, name)(x.astype(wide))).max() <= 1.6
    rng.shuffle(mixed := np.concatenate([x[::7], x[:3000]]))
    for beside in (x[::7], mixed):
        got = f(fb.asarray(beside)).numpy()
        for value, result in zip(x[::7], alone, strict=True):
            assert got[beside == value][0] == result


INTEGER_OPS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("name", INTEGER_OPS)
def test_integers_at_their_edges_are_those_of_numpy(name: str, dtype: type) -> None:
    limits = np.iinfo(dtype)
    edges = [0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 100]
    edges += [limits.max, limits.max - 1, limits.min, limits.min + 1]
    if limits.min < 0:
        edges += [-1, -2, -3, -7, -32, -64]
    x, y = (v.ravel() for v in np.meshgrid(np.array(edges, dtype), np.array(edges, dtype)))
    with np.errstate(all="ignore"):
        want = INTEGER_OPS[name](x, y)
    np.testing.assert_array_equal(getattr(fb, name)(fb.asarray(x), fb.asarray(y)).numpy(), want)


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_float_division_with_remainder_is_that_of_numpy(name: str) -> None:
    edges = np.array(
        [0.0, -0.0, 1, -1, 3, -3, 2.5, -2.5, 1e30, -1e30, 1e-30, np.inf, -np.inf, np.nan],
        np.float32,
    )
    x, y = (v.ravel() for v in np.meshgrid(edges, edges))
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x, y)
    got = getattr(fb, name)(fb.asarray(x), fb.asarray(y)).numpy()
    np.testing.assert_array_equal(got, want)


def test_long_sums_keep_their_precision() -> None:
    x = np.full(1 << 22, 0.1, np.float32)
    assert fb.sum(fb.asarray(x)).item() == pytest.approx(
        float(x.astype(np.float64).sum()), rel=2e-6
    )


EVERY_ISA = """
import hashlib, numpy as np, flowbook as fb
rng = np.random.default_rng(3)
x = fb.asarray((rng.normal(size=10_007) * 10).astype(np.float32))
digest = hashlib.sha256()
def gelu_tanh(x):
    return fb.nn.gelu(x, approximate="tanh")
functions = (
    fb.exp, fb.exp2, fb.expm1, fb.tanh, fb.log, fb.log1p, fb.sin, fb.cos, fb.tan, fb.erf, fb.cosh,
    fb.nn.gelu, gelu_tanh, fb.nn.silu, fb.nn.sigmoid, fb.nn.softplus, fb.sum,
)
for f, scale in [(f, s) for f in functions for s in (1, 1e3, 1e6)]:
    y = f(x * scale).numpy()
    digest.update(np.where(np.isnan(y), np.float32(0), y).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="several instruction sets exist on x86-64 only"
)
def test_every_instruction_set_gives_the_same_bits() -> None:
    def run(isa: str) -> str:
        environment = {**os.environ, "FLOWBOOK_ISA": isa}
        return subprocess.run(
            [sys.executable, "-c", EVERY_ISA],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert run("v2") == run("v3") == run("v4")
