"""Compiled loops of fused programs: the bits of the tape, whatever the values and lengths, and the
tape itself wherever machine code is not to be had."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from ops.compare import same_bits
from test_row_programs import layer, numbers, planned

import flowbook as fb
from flowbook import _core


def possible() -> bool:
    """Whether compiled loops can run, also where they are off unless asked for."""
    before = _core.jit_mode()
    _core.set_jit_mode("on")
    answer = _core.jit_mode() == "on"
    _core.set_jit_mode(before)
    return bool(answer)


pytestmark = pytest.mark.skipif(
    not possible(), reason="needs x86-64 Linux with AVX2 and executable memory"
)

rng = np.random.default_rng(0)
SPECIALS = np.array(
    [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1e-42,
        -1e-42,
        1.2e-38,
        3e38,
        -3e38,
        1,
        -1,
        88.8,
        -104,
        0.5,
    ],
    "f4",
)
UNARY = [
    "negative", "abs", "square", "reciprocal", "sqrt", "rsqrt", "floor", "ceil", "trunc",
    "round", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "erf",
    "nn.relu", "nn.sigmoid", "nn.softplus", "nn.silu",
]  # fmt: skip
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "copysign"]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]


def op(name):
    found = fb
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.fixture
def mode():
    before = _core.jit_mode()
    yield _core.set_jit_mode
    _core.set_jit_mode(before)


def all_ways(mode, function, *inputs):
    """Programs: compiled, compiled with AVX2 where there is AVX-512, and the tape."""
    programs = []
    for name in ("always", "narrow", "off"):
        mode(name)
        programs.append(planned(function, *inputs))
    assert "compiled" not in programs[-1].text()
    return programs


def assert_same_numbers(programs, inputs):
    *others, tape = (numbers(p.run(inputs)) for p in programs)
    for other in others:
        for a, b in zip(other, tape, strict=True):
            assert same_bits(a, b)


def assert_compiled_is_tape(mode, function, *args):
    inputs = [fb.asarray(a) for a in args]
    programs = all_ways(mode, function, *inputs)
    assert "compiled" in programs[0].text()
    assert_same_numbers(programs, inputs)
    return programs[0]


def values(*shape):
    """Of all sizes, one in three special."""
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, size=shape)).astype("f4")
    return np.where(rng.random(shape) < 0.3, rng.choice(SPECIALS, size=shape), x).astype("f4")


@pytest.mark.parametrize("name", UNARY)
def test_functions(mode, name):
    f = op(name)
    for n in (1, 7, 8, 9, 63, 64, 65, 5000):
        assert_compiled_is_tape(mode, lambda x: f(x + 1.0) * 2.0, values(n))
        assert_compiled_is_tape(mode, lambda x: (f(x), f(x) - x), values(n))


@pytest.mark.parametrize(
    "f",
    [
        fb.nn.silu,
        fb.nn.gelu,
        lambda x: fb.nn.gelu(x, approximate="tanh"),
        fb.nn.relu,
        fb.nn.softplus,
    ],
)
def test_activations_and_their_gradients(mode, f):
    def both_ways(x):
        y = f(x + 0.0)
        return y * 2.0, *(g * 2.0 for g in fb.gradients(fb.sum(y), [x]))

    assert_compiled_is_tape(mode, both_ways, values(4001))


@pytest.mark.parametrize("columns", [7, 64, 100, 256, 1000, 1024])
@pytest.mark.parametrize("gap", [0, 500, 61])
def test_both_ways_through_a_loop(mode, columns, gap):
    """Most vectors take a short way to the same bits; one number in `gap` sends its group the other
    way, which begins again: nothing may have been stored or added up twice by then."""

    def f(x, y):
        shift = x - fb.max(y, axis=-1, keepdims=True)
        e = fb.exp(shift)
        twice = fb.exp(e * 0.5 - y)
        return shift, e, fb.sum(e, axis=-1), twice, fb.max(twice + fb.exp(y), axis=-1)

    x, y = rng.normal(size=(2, 9, columns)).astype("f4")
    if gap:
        for a, sizes in ((x, SPECIALS), (y, np.array([-90, -103, -1e30, 3, 86.5], "f4"))):
            at = np.arange(gap // 2, a.size, gap)
            a.reshape(-1)[at] = sizes[np.arange(at.size) % sizes.size]
    assert_compiled_is_tape(mode, f, x, y)


def gelu(x):
    return fb.nn.gelu(x, approximate="tanh")


ENDS = {
    fb.exp: [86.5, 87.3365, 88.722839, 103.97],
    fb.exp2: [125, 126, 128, 149],
    fb.tanh: [7, 7.105, 9.5],
    fb.nn.sigmoid: [60, 80, 115],
    fb.nn.silu: [60, 80, 115],
    gelu: [7, 9, 11.5],
    fb.nn.gelu: [13, 14.6],
}


@pytest.mark.parametrize("f", ENDS)
def test_around_the_ends_of_a_short_way(mode, f):
    ends = np.float32(ENDS[f])
    near = np.concatenate([ends, -ends]).view("i4")[:, None] + np.arange(-512, 512, dtype="i4")
    dense = rng.uniform(-ends[0], ends[0], size=20_000).astype("f4")
    tiny = np.concatenate([(dense * 1e-40).astype("f4"), np.float32([0.0, -0.0])])

    def with_slope(x):
        y = f(x + 0.0)
        return y * 1.0, fb.gradients(fb.sum(y), [x])[0] * 1.0

    for x in (near.view("f4").reshape(-1), dense, tiny):
        assert_compiled_is_tape(mode, lambda x: f(x) * 1.0 + 0.0, x)
        assert_compiled_is_tape(mode, with_slope, x)
    y, x = np.asarray(f(fb.asarray(tiny))), tiny
    if float(f(0.0)) == 0.0:  # a 0 keeps its sign
        assert np.array_equal(np.signbit(y), np.signbit(x))


@pytest.mark.parametrize("name", BINARY)
def test_operators(mode, name):
    f = op(name)
    for n in (1, 13, 300, 4099):
        assert_compiled_is_tape(
            mode,
            lambda x, y: (f(x, y) * 0.5, f(y, x), f(x, 1.5) + f(-0.0, y)),
            values(n),
            values(n),
        )


@pytest.mark.parametrize("name", COMPARISONS)
def test_selections(mode, name):
    f = op(name)
    for n in (1, 31, 2050):
        assert_compiled_is_tape(
            mode, lambda x, y: fb.where(f(x, y), x * 2.0, y - x) + 1.0, values(n), values(n)
        )


def test_a_condition_that_is_a_result_stays_on_the_tape(mode):
    x, y = values(3000), values(3000)
    assert_compiled_is_tape(
        mode, lambda x, y: (x < y, fb.where(x < y, x + 1.0, y) * 2.0, x * y + x), x, y
    )


@pytest.mark.parametrize("n", [*range(1, 130), 1000, 1023, 1024, 1025, 2047, 2049, 16_383, 40_001])
def test_lengths(mode, n):
    def f(x, y):
        return fb.tanh(x * 1.1 + 0.5) * 0.9 + fb.nn.relu(y), x * y - fb.exp(y)

    assert_compiled_is_tape(mode, f, values(n), values(n))


COLUMNS = [256, 257, 300, 320, 511, 512, 1000, 1024, 1025, 1088, 1279, 1280, 2047, 2048, 2049, 3008,
           5000, 65_536]  # fmt: skip


@pytest.mark.parametrize("columns", COLUMNS)
def test_folds_of_rows(mode, columns):
    def f(x, y):
        e = fb.exp(x - fb.max(x * 1.0, axis=-1, keepdims=True))
        return (
            e / fb.sum(e, axis=-1, keepdims=True),
            fb.max(x * y, axis=-1),
            fb.min(fb.abs(x - y), axis=-1),
            fb.sum(x * y, axis=-1),
            fb.sum(fb.square(x), axis=-1),
            fb.sum(x, axis=-1),
        )

    x, y = rng.normal(size=(2, 5, columns)).astype("f4")
    assert_compiled_is_tape(mode, f, x, y)
    zeros = rng.choice(np.array([0.0, -0.0], "f4"), size=(2, 5, columns))  # ties
    assert_compiled_is_tape(mode, f, *zeros)
    assert_compiled_is_tape(mode, f, values(5, columns), values(5, columns))


@pytest.mark.parametrize("rows", [2, 31, 33, 300])
@pytest.mark.parametrize("columns", [64, 65, 100, 128, 1000, 1500, 3008, 70_000])
def test_sums_of_columns(mode, rows, columns):
    """Added up by the loop that makes them, also where a group of vectors begins again, and whole
    columns of -0 stay so."""

    def f(x, y):
        e = fb.exp(x * 2.0)
        return e - y, fb.sum(e, axis=0), fb.sum(e - y, axis=0), fb.sum(y, axis=0)

    def with_rows(x, y):
        z = x - fb.mean(x * y, axis=-1, keepdims=True)
        return z * y, fb.sum(z * y, axis=0), fb.sum(x, axis=0)

    if rows * columns > 1 << 20:
        rows = 5
    x, y = rng.normal(size=(2, rows, columns)).astype("f4")
    y[:, ::3] = -0.0
    x.reshape(-1)[:: 8 * 61] = rng.choice(SPECIALS, size=x.reshape(-1)[:: 8 * 61].size)
    for function in (f, with_rows):
        compiled = assert_compiled_is_tape(mode, function, x, y)
        text = compiled.text()
        assert "of each column" in text
        assert not any(  # outside of a compiled loop
            "of each column" in line and line.startswith("    r") for line in text.splitlines()
        )


def random_program(seed):
    """A function of four inputs of different access, and how many numbers they have."""
    dice = np.random.default_rng(seed)
    rows, columns = (
        int(dice.integers(1, 40)),
        int(dice.choice([*range(1, 71), 256, 300, 1024, 2100])),
    )
    plan = [
        (int(dice.integers(8)), *dice.integers(0, 1 << 30, size=3))
        for _ in range(dice.integers(3, 40))
    ]

    def f(x, y, column, row):
        known = [x, y, column, row, x + column]
        for kind, *which in plan:
            a, b, c = (known[w % len(known)] for w in which)
            if kind == 0:
                known.append(op(UNARY[which[1] % len(UNARY)])(a))
            elif kind == 1:
                known.append(fb.where(op(COMPARISONS[which[2] % 6])(a, b), b, c))
            elif kind == 2 and len(a.shape) == 2 and a.shape[-1] != 1:
                fold = (fb.sum, fb.max, fb.min)[which[1] % 3]
                known.append(fold(a, axis=(-1, -1, 0)[which[2] % 3], keepdims=True))
            else:
                # Not copysign: which sign a NaN has that was computed is nobody's promise.
                known.append(op(BINARY[which[2] % (len(BINARY) - 1)])(a, b))
        return tuple(k + 0.0 for k in known[-3:])

    return f, [values(rows, columns), values(rows, columns), values(columns), values(rows, 1)]


@pytest.mark.parametrize("seed", range(150))
def test_random_programs(mode, seed):
    f, args = random_program(seed)
    inputs = [fb.asarray(a) for a in args]
    assert_same_numbers(all_ways(mode, f, *inputs), inputs)


def test_results_that_no_cache_keeps(mode):
    """They are written past the caches, from half of the last one on."""
    size = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    last = int(size.read_text().removesuffix("K\n")) << 10 if size.exists() else 0
    known = 0 < last <= 64 << 20
    rows = last // 2 // 4096 if known else 4100
    for columns in (1024, 1032, 1036):  # of which AVX-512 and AVX2, AVX2 alone, none can
        x, w = rng.normal(size=(rows, columns)).astype("f4"), rng.normal(size=columns).astype("f4")
        compiled = assert_compiled_is_tape(mode, lambda x, w: (layer(x, w, w), x * w - 1.0), x, w)
        if known and columns == 1024:
            assert "past the caches" in compiled.text()
    x = rng.normal(size=(128, 1024)).astype("f4")
    compiled = assert_compiled_is_tape(mode, lambda x, w: layer(x, w, w), x, x[0])
    assert "past the caches" not in compiled.text()


@pytest.mark.parametrize("skipped", [1, 3, 8, 15])
def test_memory_that_no_vector_is_aligned_to(mode, skipped):
    x = fb.asarray(values(5, 1000)).reshape(-1)[skipped : skipped + 4000]
    y = fb.asarray(values(4000))

    def f(x, y):
        return fb.exp(x * 0.5) + y, fb.where(x < y, x, y * 2.0), fb.sum(x * y)

    assert_same_numbers(all_ways(mode, f, x, y), [x, y])


def test_more_values_alive_than_registers(mode):
    def f(x):
        parts = [x * float(k + 2) for k in range(40)]
        out = parts[0]
        for a, b in zip(parts, reversed(parts), strict=True):
            out = out * 0.5 + a * b
        return out

    assert_compiled_is_tape(mode, f, rng.normal(size=3001).astype("f4"))


def test_more_arrays_than_a_loop_has_bases_for(mode):
    arrays = [rng.normal(size=3001).astype("f4") for _ in range(14)]

    def f(*xs):
        total = xs[0]
        for x in xs[1:]:
            total = total + x * 0.5
        return total, *(total * x for x in xs)

    compiled = assert_compiled_is_tape(mode, f, *arrays)
    assert compiled.text().count("compiled") > 1


def test_channels_repeat_along_both_ends(mode):
    """A block may lie in one channel or in several."""
    for shape in ((3, 5, 7, 7), (2, 3, 40, 40), (2, 64, 33, 33)):
        x = rng.normal(size=shape).astype("f4")
        scale = rng.normal(size=(shape[1], 1, 1)).astype("f4")
        row = rng.normal(size=shape[-1:]).astype("f4")
        assert_compiled_is_tape(
            mode, lambda x, s, r: fb.nn.relu(x * s + s * 0.5) * r + r, x, scale, row
        )


def test_the_text_tells_what_was_compiled(mode):
    x, w = fb.asarray(values(6, 320)), fb.asarray(values(320))
    mode("always")
    program = planned(layer, x, w, w).text().split("\n", 1)[1]
    assert textwrap.dedent(program.rsplit("arena", 1)[0]).startswith(
        textwrap.dedent(
            """\
            [6, 320]
            compiled
              r5 = max of each row r0
            --
            compiled
              r6 = subtract r0, r5
              r7 = exp r6
              r8 = sum of each row r7
            """
        )
    )


def test_a_later_phase_makes_cheap_maps_again(mode):
    """What is left of the mean is needed for the variance and for the result: it is not stored."""
    x, w = values(40, 1024), values(1024)
    program = assert_compiled_is_tape(mode, layer, x, w, w).text()
    # The maximum is subtracted once, the mean for the variance and again for the result.
    assert (program.count("subtract r0"), program.count("subtract")) == (1, 3)
    assert program.count("multiply r7") == 3  # by one over the sum of r7, in three phases


@pytest.mark.parametrize(
    "columns", [63, 64, 65, 72, 95, 100, 128, 255, 256, 300, 512, 1000, 1024, 1025]
)
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 16, 17, 70])
def test_rows_of_one_call(mode, rows, columns):
    def f(x, y, w, r):
        e = fb.exp(x - fb.max(x, axis=-1, keepdims=True))
        p = e / fb.sum(e, axis=-1, keepdims=True) * r
        return layer(y * w, w, w) + p, p, fb.log(fb.sum(e, axis=-1)), fb.sum(p * y, axis=0)

    x, y = rng.normal(size=(2, rows, columns)).astype("f4")
    w, r = rng.normal(size=columns).astype("f4"), rng.normal(size=(rows, 1)).astype("f4")
    assert_compiled_is_tape(mode, f, x, y, w, r)
    assert_compiled_is_tape(
        mode, f, values(rows, columns), values(rows, columns), values(columns), values(rows, 1)
    )


def test_extrema_of_any_length_are_compiled(mode):
    mode("always")
    x = fb.asarray(values(6, 1000))
    assert "\n      r3 = max" in planned(lambda x: fb.max(x * 1.5, axis=-1), x).text()


@pytest.mark.parametrize(
    "f", [lambda x, w: fb.nn.softmax(x), lambda x, w: fb.nn.layer_norm(x, w, w)]
)
def test_single_instructions_between_phases_are_compiled(mode, f):
    """The sum that layer norm begins with, the product that softmax ends with."""
    text = assert_compiled_is_tape(mode, f, values(40, 256), values(256)).text()
    assert not re.search(r"\n    r\d", text)  # what the tape does


def test_small_programs_are_not_worth_it(mode):
    mode("on")
    small, large = (fb.asarray(np.ones(n, "f4")) for n in (100, 100_000))
    assert "compiled" not in planned(lambda x: x * 2.0 + x, small).text()
    assert "compiled" in planned(lambda x: x * 2.0 + x, large).text()


PROGRAM = """
import ctypes, os, sys
import numpy as np
{before}
import flowbook as fb
from flowbook import _core
x = fb.asarray(np.linspace(-3, 3, 10_000, dtype="f4"))
graph = fb.graph(lambda x: fb.tanh(x * 1.5) * 2.0 + x)
y = graph(x).numpy()
{after}
sys.stdout.write(_core.jit_mode() + " " + y.tobytes().hex())
"""


def run(before="", after="", **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before, after=after)],
        env={**os.environ, "FLOWBOOK_JIT": "1", **environment},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mode, _, numbers = done.stdout.partition(" ")
    return mode, numbers


def test_switched_off_by_the_environment():
    on, compiled = run()
    off, tape = run(FLOWBOOK_JIT="0")
    assert (on, off) == ("on", "off")
    assert compiled == tape
    assert run(FLOWBOOK_JIT="narrow") == ("narrow", tape)


@pytest.mark.skipif(
    bool(os.environ.get("FLOWBOOK_SANITIZED")), reason="needs a build of several instruction sets"
)
def test_off_without_avx2():
    mode, baseline = run(FLOWBOOK_ISA="v2")
    assert mode == "off"
    assert baseline == run()[1]


def test_a_system_that_refuses_executable_memory():
    """Linux 6.3 and later: a process gives up the right to make written memory executable."""
    refuse = 'if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit("no such call")'
    try:
        mode, refused = run(before=refuse)
    except AssertionError as error:
        if "no such call" in str(error):
            pytest.skip("this kernel cannot refuse")
        raise
    assert mode == "off"
    assert refused == run()[1]


def test_a_child_process_has_the_code_too():
    fork = "pid = os.fork()\nif pid == 0: os._exit(not np.array_equal(graph(x).numpy(), y))\n"
    assert run(after=fork + "assert os.waitpid(pid, 0)[1] == 0") == run()
