"""The same work on every instruction set that the machine has: the same bits wherever that is
promised, and close elsewhere.

Promised: elementwise functions, casts, reductions, programs of rows and their gradients are alike on
x86-64-v2, v3 and v4, compiled or not; products, convolutions, attention and whole training steps are
alike on v3 and v4, where our own loops compute them with fused multiply-adds in one order. On v2 a
library multiplies, so what follows from products is only close there. Each set does its work in a
process of its own, because the choice is made once.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64"),
    pytest.mark.skipif(bool(os.environ.get("FLOWBOOK_SANITIZED")), reason="one set only"),
]

WORK = {}


def work(f):
    """Registers work: a function of a source of random numbers that yields (name, results)."""
    WORK[f.__name__] = f
    return f


def every_way(function, *args):
    """Results of a graph on the tape, compiled, and compiled for AVX2, which must be the same."""
    from ops.compare import same_bits

    import flowbook as fb
    from flowbook import _core

    found = []
    for mode in ("off", "always", "narrow"):
        _core.set_jit_mode(mode)
        results = fb.graph(function)(*args)
        found.append(results if isinstance(results, (list, tuple)) else [results])
    _core.set_jit_mode("on")
    for tape, *compiled in zip(*found, strict=True):
        for x in compiled:
            assert same_bits(tape.numpy(), x.numpy())
    return found[0]


def normal(rng, *shape, dtype="f4"):
    import flowbook as fb

    return fb.asarray(rng.standard_normal(shape).astype(dtype))


def edges(rng, dtype):
    """Random bit patterns, dense numbers where functions bend, and special ones."""
    unsigned, count = {"f4": (np.uint32, 60_000), "f8": (np.uint64, 8_000)}[dtype]
    limits = np.finfo(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, limits.tiny, -limits.tiny, limits.max]
    tiny = limits.smallest_subnormal * np.arange(-20, 20)
    patterns = rng.integers(0, np.iinfo(unsigned).max, count, unsigned, endpoint=True).view(dtype)
    dense = [np.linspace(-r, r, count // 10) for r in (1.2, 20, 110)]
    return np.concatenate([patterns, *dense, tiny, special], dtype=dtype, casting="same_kind")


def samples_of(chosen):
    """(name, results) of the ops that `chosen` says, on the samples of their harness."""
    from ops import native, samples
    from ops.harness import arrays, attempt, cases
    from ops.sample import DECLARED

    import flowbook as fb

    assert samples
    for name in sorted(set(native.records()) & set(DECLARED)):
        if not chosen(name):
            continue
        for number, (dtype, sample) in enumerate(cases(DECLARED[name])):
            fb.random.seed(0)
            inputs = [native.tensor(x) for x in sample.inputs]
            results, problem = attempt(native.call, name, inputs, sample.attrs)
            if not problem:  # test_ops.py says so
                yield f"{name} {number} {dtype} {sample}", arrays(results)


def multiplies(name):
    return any(part in name for part in ("matmul", "conv", "attention", "tensordot"))


@work
def ops(rng):
    yield from samples_of(lambda name: not multiplies(name))


@work
def ops_that_multiply(rng):
    yield from samples_of(multiplies)


@work
def elementwise(rng):
    from ops import native, samples
    from ops.sample import DECLARED

    import flowbook as fb

    assert samples
    records = native.records()
    for dtype, wide in (("f4", "float32"), ("f8", "float64")):
        x = edges(rng, dtype)
        operands = [fb.asarray(v) for v in (x, rng.permutation(x), rng.permutation(x))]
        for name, op in sorted(DECLARED.items()):
            if records.get(name, {}).get("family") != "elementwise" or wide not in op.dtypes:
                continue
            sample = op.samples(wide)[0]
            args = operands[: len(sample.inputs)]
            if name == "where":
                args = [args[0] > 0, *args[1:]]
            function = native.function(name)
            yield f"{name} {dtype}", [function(*args, **sample.attrs)]

            def followed(*args, f=function, attrs=sample.attrs):
                y = f(*args, **attrs)
                return y * 1.5 + 0.25

            yield f"{name} {dtype} in a program", every_way(followed, *args)


@work
def casts(rng):
    import flowbook as fb

    kinds = (
        "bool uint8 int8 int16 uint16 int32 uint32 int64 uint64 float16 bfloat16 float32 float64"
    )
    numbers = np.concatenate([edges(rng, "f4"), np.arange(-300, 70_000, 7, dtype="f4")])
    for a in kinds.split():
        source = fb.astype(fb.asarray(numbers), getattr(fb, a))
        for b in kinds.split():
            y = fb.astype(source, getattr(fb, b))
            yield f"{a} to {b}", [fb.astype(y, fb.float32) if b == "bfloat16" else y]


@work
def rows(rng):
    """Reductions along all axes, and programs of rows with their gradients."""
    import flowbook as fb

    def step(x, w, b):
        y = fb.nn.layer_norm(fb.nn.softmax(x) * 3.0, w, b)
        loss = fb.sum(y * y) + fb.mean(fb.nn.log_softmax(x))
        return [y, loss, *fb.gradients(loss, [x, w, b])]

    def entropy(x, y):
        loss = fb.nn.softmax_cross_entropy(x, y)
        return [loss, fb.gradients(fb.mean(loss), [x])[0]]

    names = "sum mean max min prod argmax argmin var std logsumexp cumulative_sum".split()
    for dtype in ("f4", "f8"):
        for shape in ((7, 3), (33, 100), (24, 1024), (5, 4097), (1000, 17), (2, 70_001)):
            x = normal(rng, *shape, dtype=dtype)
            for axis in (None, 0, 1):
                for name in names:
                    if axis is not None or name != "cumulative_sum":
                        yield f"{name} {dtype} {shape} {axis}", [getattr(fb, name)(x, axis=axis)]
            w, b = (normal(rng, shape[1], dtype=dtype) for _ in range(2))
            yield f"softmax and norm {dtype} {shape}", every_way(step, x, w, b)
            y = fb.asarray(np.arange(shape[0]) % shape[1])
            yield f"cross-entropy {dtype} {shape}", every_way(entropy, x, y)


@work
def products(rng):
    import flowbook as fb

    def transposed(x):
        return fb.matrix_transpose(fb.asarray(np.ascontiguousarray(x.numpy().T)))

    sizes = [
        (1, 1, 1), (1, 300, 700), (2, 17, 33), (3, 5, 2), (5, 64, 5), (17, 129, 65), (70, 90, 80),
        (64, 3000, 10), (40, 300, 1100), (256, 330, 350), (128, 2048, 33), (1, 1000, 1),
        (64, 70, 1), (203, 999, 1), (15, 31, 1),
    ]  # fmt: skip
    for dtype in ("f4", "f8"):
        for m, k, n in sizes:
            a, b = normal(rng, m, k, dtype=dtype), normal(rng, k, n, dtype=dtype)
            pairs = [(x, y) for x in (a, transposed(a)) for y in (b, transposed(b))]
            yield f"{dtype} {m}x{k}x{n}", [x @ y for x, y in pairs]
        x, y = normal(rng, 3, 17, 40, dtype=dtype), normal(rng, 3, 40, 29, dtype=dtype)
        yield f"{dtype} in batches", [x @ y]


def with_gradients(f, *args):
    import flowbook as fb

    with fb.tape() as tape:
        variables = [fb.Variable(a) for a in args]
        y = f(*variables)
        loss = fb.sum(y * y)
    return [y, *tape.gradients(loss, variables)]


@work
def images(rng):
    import flowbook as fb

    cases = [
        ((3, 3), 8, 16, {"padding": "same"}), ((3, 3), 16, 70, {"padding": "same"}),
        ((5, 5), 1, 6, {}), ((1, 1), 8, 16, {"strides": 2}),
        ((3, 3), 3, 24, {"strides": 2, "padding": "same"}), ((3, 3), 32, 32, {"groups": 2}),
    ]  # fmt: skip
    for dtype in ("f4", "f8"):
        for size, c, o, attrs in cases:
            x = normal(rng, 4, 15, 13, c, dtype=dtype)
            w = normal(rng, *size, c // attrs.get("groups", 1), o, dtype=dtype)
            results = with_gradients(lambda x, w, a=attrs: fb.nn.conv2d(x, w, **a), x, w)
            yield f"convolution {dtype} {size} {c} {o} {attrs}", results
        x = normal(rng, 2, 13, 11, 21, dtype=dtype)
        for pool in (fb.nn.max_pool2d, fb.nn.avg_pool2d):
            results = with_gradients(lambda x, pool=pool: pool(x, 3, strides=2), x)
            yield f"{pool.__name__} {dtype}", results


@work
def attention(rng):
    import flowbook as fb

    for dtype in ("f4", "f8"):
        for length, size, causal, scale in (
            (5, 8, False, 1), (130, 16, True, 1), (257, 64, True, 1), (64, 33, False, 1),
            (300, 32, True, 30), (1, 64, False, 1), (258, 24, False, 1),
        ):  # fmt: skip
            q, k, v = (normal(rng, 2, 3, length, size, dtype=dtype) for _ in range(3))

            def attend(q, k, v, causal=causal):
                return fb.nn.scaled_dot_product_attention(q, k, v, causal=causal)

            yield (
                f"{dtype} {length} {size} {causal} {scale}",
                with_gradients(attend, q * scale, k, v),
            )


@work
def training(rng):
    """Some steps of a perceptron, a convolutional net and a transformer, and their optimizers."""
    import flowbook as fb

    def take(*shape):
        return fb.Variable(normal(rng, *shape) * (1.0 / float(shape[-2]) ** 0.5))

    def perceptron():
        x, y = normal(rng, 48, 70), fb.asarray(rng.integers(0, 10, 48))
        w1, w2 = take(70, 100), take(100, 10)
        b = fb.Variable(fb.zeros(100))
        return [w1, w2, b], lambda: fb.nn.softmax_cross_entropy(fb.nn.gelu(x @ w1 + b) @ w2, y)

    def convolutional():
        x, y = normal(rng, 6, 14, 14, 3), fb.asarray(rng.integers(0, 10, 6))
        k1, k2, w = take(3, 3, 3, 16), take(3, 3, 16, 24), take(24 * 9, 10)

        def loss():
            h = fb.nn.max_pool2d(fb.nn.relu(fb.nn.conv2d(x, k1, padding="same")), 2)
            h = fb.nn.max_pool2d(fb.nn.silu(fb.nn.conv2d(h, k2, padding="same")), 2)
            return fb.nn.softmax_cross_entropy(fb.reshape(h, (6, -1)) @ w, y)

        return [k1, k2, w], loss

    def transformer():
        x, y = fb.asarray(rng.integers(0, 50, (2, 70))), fb.asarray(rng.integers(0, 50, (2, 70)))
        table, qkv, out, up, down = (
            take(*s) for s in ((50, 32), (32, 96), (32, 32), (32, 128), (128, 32))
        )
        one, zero = fb.ones(32), fb.zeros(32)

        def loss():
            h = fb.nn.embedding(table, x)
            z = fb.reshape(fb.nn.layer_norm(h, one, zero) @ qkv, (2, 70, 3, 4, 8))
            q, k, v = (fb.permute_dims(p, (0, 2, 1, 3)) for p in fb.unstack(z, 2))
            a = fb.nn.scaled_dot_product_attention(q, k, v, causal=True)
            h = h + fb.reshape(fb.permute_dims(a, (0, 2, 1, 3)), (2, 70, 32)) @ out
            h = h + fb.nn.gelu(fb.nn.layer_norm(h, one, zero) @ up, approximate="tanh") @ down
            return fb.nn.softmax_cross_entropy(h @ fb.matrix_transpose(table), y)

        return [table, qkv, out, up, down], loss

    for make, optimizer in (
        (perceptron, lambda: fb.optim.AdamW(1e-3)),
        (convolutional, lambda: fb.optim.SGD(1e-2, momentum=0.9)),
        (transformer, lambda: fb.optim.Adam(1e-3)),
    ):
        variables, loss_of = make()
        steps = optimizer()

        def step(variables=variables, loss_of=loss_of, steps=steps):
            loss = fb.mean(loss_of())
            steps.update(variables, fb.gradients(loss, variables))
            return loss

        graph = fb.graph(step)
        losses = [graph() for _ in range(3)]
        yield make.__name__, [*losses, *(v + 0 for v in variables)]


FOLLOWS_PRODUCTS = {"ops_that_multiply", "products", "images", "attention", "training"}


def main(path: str) -> None:
    """Does all the work and writes the results to `path`: numbers, or digests of them."""
    import warnings

    from ops.compare import bits

    import flowbook as fb

    warnings.simplefilter("ignore")
    found = {}
    for family, f in WORK.items():
        for name, results in f(np.random.default_rng(0)):
            arrays = [np.asarray(x.numpy() if hasattr(x, "numpy") else x) for x in results]
            if family in FOLLOWS_PRODUCTS:
                found.update({f"{family}: {name}: {i}": x for i, x in enumerate(arrays)})
            else:
                digest = hashlib.sha256(b"".join(bits(x).tobytes() for x in arrays))
                found[f"{family}: {name}"] = np.frombuffer(digest.digest(), np.uint8)
    np.savez(path, level=fb.doctor()["provider own"], **found)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each instruction set of this machine gave."""
    folder = tmp_path_factory.mktemp("sets")
    running = {
        level: subprocess.Popen(
            [sys.executable, __file__, folder / f"{level}.npz"],
            env={**os.environ, "FLOWBOOK_ISA": level, "FLOWBOOK_JIT": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for level in ("v2", "v3", "v4")
    }
    found = {}
    for level, process in running.items():
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-4000:]
        with np.load(folder / f"{level}.npz") as file:
            if f"({level})" in str(file["level"]):
                found[level] = {k: file[k] for k in file.files if k != "level"}
    return found


def differing(a, b):
    from ops.compare import same_bits

    assert a.keys() == b.keys()
    return [name for name in a if not same_bits(a[name], b[name])]


def test_what_has_no_products_is_alike_on_all(results):
    baseline = results["v2"]
    for level in results:
        names = differing(baseline, results[level])
        assert [n for n in names if n.split(":")[0] not in FOLLOWS_PRODUCTS] == [], level


def test_everything_is_alike_with_avx2_and_avx512(results):
    if "v4" not in results:
        pytest.skip("no AVX-512 here")
    assert differing(results["v3"], results["v4"]) == []


def test_products_are_close_on_all(results):
    """Sums in another order: within 2e-5 (float32) and 1e-13 of the largest number that a call gave,
    training within 1e-4."""
    baseline, fused = results["v2"], results.get("v3")
    if fused is None:
        pytest.skip("no AVX2 here")
    largest, far = {}, {}
    for name, x in baseline.items():
        call = name.rpartition(":")[0]
        largest[call] = max(
            largest.get(call, 0), np.nanmax(np.abs(x), initial=0, where=np.isfinite(x))
        )
    for name in differing(baseline, fused):
        a, b = baseline[name], fused[name]
        bound = 1e-4 if name.startswith("training") else 2e-5 if a.dtype == np.float32 else 1e-13
        within = bound * largest[name.rpartition(":")[0]]
        if not np.allclose(a, b, rtol=0, atol=within, equal_nan=True):
            far[name] = np.nanmax(np.abs(a - b)) / within
    assert far == {}


if __name__ == "__main__":
    main(sys.argv[1])
