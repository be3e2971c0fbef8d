"""Pooling against NumPy where windows are apart, cover an image, overlap or leave something out, over
all numbers of channels that take the loops another way; and the ReLU below a max pool."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ops.compare import same_bits
from ops.samples.conv import (
    _avg_pool2d,
    _avg_pool2d_gradient,
    _max_pool2d,
    _max_pool2d_gradient,
)

import flowbook as fb
from flowbook import _core

# image [n, h, w, c], attributes
CASES = {
    "covered": ((3, 6, 8, 70), {}),
    "covered from outside": ((2, 5, 7, 9), {"pads": 1}),
    "a rest": ((2, 7, 9, 33), {"window": 3}),
    "something between": ((2, 11, 12, 17), {"window": 2, "strides": (3, 4)}),
    "rows apart": ((2, 9, 10, 40), {"window": (2, 3), "strides": (2, 1)}),
    "columns apart": ((2, 9, 10, 5), {"window": (3, 2), "strides": (2, 2)}),
    "overlapping": ((2, 8, 7, 12), {"window": 3, "strides": 1, "padding": "same"}),
    "one large image": ((1, 200, 98, 8), {}),
}


def passes(x, attrs):
    """Max and average with the gradients of their sums, weighted so that all seeds differ."""
    for pool in (fb.nn.max_pool2d, fb.nn.avg_pool2d):
        with fb.tape() as tape:
            v = fb.Variable(x)
            y = pool(v, attrs.get("window", 2), **{k: v for k, v in attrs.items() if k != "window"})
        seed = fb.asarray((np.arange(y.size) % 7 - 3.0).reshape(y.shape).astype(x.dtype))
        yield np.asarray(y), np.asarray(tape.gradients(y, [v], seeds=seed)[0])


def expected(x, attrs):
    attrs = {"window": 2, **attrs}
    for pool in ("max", "average"):
        y = (_max_pool2d if pool == "max" else _avg_pool2d)(x, **attrs)
        dy = (np.arange(y.size) % 7 - 3.0).reshape(y.shape)
        if pool == "max":
            yield y, _max_pool2d_gradient(x, y, dy, **attrs)
        else:
            yield y, _avg_pool2d_gradient(dy, x.shape[1:3], **attrs)


def wrong():
    """Descriptions of all results that are not NumPy's, or differ between one thread and two."""
    found = []
    for name, (shape, attrs) in CASES.items():
        x = np.random.default_rng(1).integers(0, 4, shape).astype("f8")  # ties
        x[0, 0, 1, 0] = np.nan
        for t, near in (("f4", 1e-6), ("f8", 1e-14)):
            for threads in (1, 2):
                fb.set_num_threads(threads)
                results = passes(x.astype(t), attrs)
                for pool, got, want in zip(
                    ("max", "avg"), results, expected(x, attrs), strict=True
                ):
                    for which, a, b in zip(("y", "dx"), got, want, strict=True):
                        if a.dtype != t or not np.allclose(a, b, near, near, equal_nan=True):
                            found.append(f"{pool}, {name}: {which}, {t}, {threads} threads")
    return found


@pytest.mark.parametrize("isa", ["", "v2"])
def test_windows(isa):
    if isa and (platform.machine() != "x86_64" or os.environ.get("FLOWBOOK_SANITIZED")):
        pytest.skip("instruction sets of x86-64")
    program = "import json; from test_pooling import *; print(json.dumps(wrong()))"
    environment = {**os.environ, **({"FLOWBOOK_ISA": isa} if isa else {})}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_takes_the_place_of_the_image(name):
    """... that nobody needs any more, where windows are apart: the arena holds one of the two."""
    shape, attrs = CASES[name]
    window, rest = attrs.get("window", 2), {k: v for k, v in attrs.items() if k != "window"}
    x = np.random.default_rng(1).integers(0, 4, shape).astype("f4")
    y = np.asarray(_max_pool2d(x * 3, **{"window": 2, **attrs}))
    seed = fb.asarray((np.arange(y.size) % 7 - 3.0).reshape(y.shape).astype("f4"))

    def gradient(x):
        y = fb.nn.max_pool2d(x * 3.0, window, **rest)
        return fb.gradients(y, [x], seeds=[seed])[0]

    image = fb.asarray(x)
    graph = fb.graph(gradient).trace(image)
    executable, _ = _core.Program(graph._core).plan(
        list(graph._examples), [image], list(graph._named.values()), True
    )
    size, strides = np.broadcast_to(window, 2), attrs.get("strides", window)
    apart = (np.broadcast_to(strides, 2) >= size).all()
    assert (executable.arena_bytes < 2 * x.nbytes) == apart
    for _ in range(2):
        (got,) = executable.run([image])
        with fb.tape() as tape:
            v = fb.Variable(x)
            pooled = fb.nn.max_pool2d(v * 3.0, window, **rest)
        assert same_bits(np.asarray(got), np.asarray(tape.gradients(pooled, [v], seeds=seed)[0]))


SEED = np.random.default_rng(2).normal(size=(2, 3, 3, 21)).astype("f4")
SEED[0, 0, 0, :4] = [0.0, -0.0, np.inf, np.nan]


def assert_gradient(function, x, expect):
    """A graph's gradient of x has the bits of the tape's, with fusion and without; `expect` is
    which of a ReLU's and a pool's is taken first."""
    seed = fb.asarray(SEED)
    with fb.tape() as tape:
        v = fb.Variable(x)
        y = function(v)
    want = np.asarray(tape.gradients(y, [v], seeds=seed)[0])
    image = fb.asarray(x)
    graph = fb.graph(lambda x: fb.gradients(function(x), [x], seeds=[seed])[0]).trace(image)
    for fuse in (True, False):
        executable, _ = _core.Program(graph._core).plan(
            list(graph._examples), list(graph._examples.values()), list(graph._named.values()), fuse
        )
        order = [op for step in executable.steps() for op in step["ops"]]
        assert [op for op in order if op in expect] == expect
        (got,) = executable.run([image])
        assert same_bits(np.asarray(got), want)


def special():
    x = np.random.default_rng(3).integers(-3, 3, (2, 6, 6, 21)).astype("f4")
    x[0, 0, 0], x[1, 1], x[0, 4, 3] = np.nan, -0.0, np.inf
    return x


@pytest.mark.parametrize("attrs", [{}, {"strides": 2, "pads": (1, 0, 1, 0)}])
def test_the_slope_of_a_relu_is_taken_of_the_maxima(attrs):
    """... with the bits of the gradient for all entries, for ties, zeros and NaN too."""
    window = 3 if attrs else 2
    assert_gradient(
        lambda x: fb.nn.max_pool2d(fb.nn.relu(x), window, **attrs),
        special(),
        ["relu_gradient", "max_pool2d_gradient"],
    )


def test_the_slope_of_a_relu_elsewhere_stays():
    """Of a ReLU that isn't what the pool sees, and below an average."""
    assert_gradient(
        lambda x: fb.nn.max_pool2d(fb.nn.relu(x) * 2.0, 2),
        special(),
        ["max_pool2d_gradient", "relu_gradient"],
    )
    assert_gradient(
        lambda x: fb.nn.avg_pool2d(fb.nn.relu(x), 2),
        special(),
        ["avg_pool2d_gradient", "relu_gradient"],
    )
