"""Convolutions and their gradients against NumPy, on each of the ways that they may take: our own
loops of every instruction set, oneDNN, the plain product.

A way is forced in a process of its own, because the choice is made once. Inputs are small integers,
so that every way must give NumPy's answer exactly, on one thread and on two.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ops.samples.conv import _conv2d, _input_gradient, _weights_gradient

import flowbook as fb
from flowbook import _core

# image [n, h, w, c], window [kh, kw, outputs], attributes
CASES = {
    "several images a block": ((20, 7, 7, 9), (3, 3, 17), {"padding": "same"}),
    "an image in bands": ((1, 40, 40, 32), (3, 3, 32), {"padding": "same"}),
    "bands without padding": ((2, 37, 41, 24), (3, 3, 40), {}),
    "long rows in parts": ((2, 1, 2600, 6), (1, 5, 20), {"padding": "same"}),
    "long rows, strided": ((1, 2, 1999, 6), (1, 4, 20), {"strides": (1, 2)}),
    "deep sums": ((2, 9, 10, 70), (3, 3, 18), {"padding": "same"}),
    "units of channels": ((1, 20, 20, 64), (3, 3, 128), {"padding": "same"}),
    "parts of the results": ((9, 36, 36, 8), (3, 3, 33), {"padding": "same"}),
    "odd everything": ((3, 11, 13, 37), (3, 2, 51), {"pads": (1, 0, 2, 1)}),
    "strided": ((2, 17, 15, 16), (3, 3, 24), {"strides": 2, "padding": "same"}),
    "phases without weights": ((2, 13, 14, 5), (2, 1, 19), {"strides": 3}),
    "rows left over": ((2, 14, 15, 5), (3, 3, 19), {"strides": (4, 5)}),
    "1x1 in steps": ((2, 13, 14, 20), (1, 1, 24), {"strides": (2, 3)}),
    "1x1 with a border": ((2, 6, 5, 7), (1, 1, 9), {"pads": 1, "strides": 2}),
    "dilated": ((2, 15, 16, 8), (3, 2, 16), {"dilation": (2, 3), "padding": "same"}),
    "dilated and strided": ((2, 15, 16, 8), (3, 3, 7), {"dilation": 2, "strides": 3, "pads": 2}),
    "wider than the image": ((1, 13, 11, 24), (3, 3, 20), {"dilation": (12, 7), "padding": "same"}),
    "one weight sees the image": ((2, 9, 10, 16), (3, 3, 18), {"dilation": 40, "pads": 40}),
    "no weight sees the image": ((1, 4, 5, 16), (2, 2, 18), {"dilation": 30, "pads": 15}),
    "rows of weights see nothing": (
        (1, 4, 5, 8),
        (9, 1, 18),
        {"pads": (12, 8, 0, 0), "strides": 2},
    ),
    "high and one pixel wide": ((1, 40, 1, 8), (9, 1, 20), {"padding": "same"}),
    "small and deep": ((2, 7, 7, 64), (3, 3, 40), {"padding": "same"}),
    "taller than high": ((2, 5, 18, 12), (11, 3, 20), {"padding": "same", "strides": (1, 2)}),
    "more border than image": ((1, 2, 3, 6), (5, 5, 8), {"pads": 4}),
    "one channel": ((4, 20, 21, 1), (3, 3, 32), {}),
    "one channel, strips": ((2, 61, 44, 1), (5, 3, 24), {"padding": "same", "strides": (2, 1)}),
    "two channels": ((3, 25, 26, 2), (3, 3, 16), {"padding": "same"}),
    "two channels, part of a vector": ((3, 25, 26, 2), (3, 3, 20), {}),
    "three channels": ((2, 23, 22, 3), (7, 7, 16), {"strides": 2, "padding": "same"}),
    "a fold in bands": ((1, 40, 31, 3), (5, 5, 64), {"strides": (2, 1), "padding": "same"}),
    "bands smaller than windows": ((1, 19, 34, 2), (9, 3, 96), {"padding": "same"}),
    "patches": ((2, 15, 16, 12), (5, 5, 20), {"strides": 5}),
    "patches far apart": ((2, 140, 75, 5), (4, 3, 9), {"strides": (70, 66), "pads": (1, 2, 3, 0)}),
    "large patches": ((1, 130, 128, 9), (64, 64, 6), {"strides": 64}),
    "patches in groups": ((2, 21, 22, 34), (5, 7, 40), {"strides": (4, 5), "groups": 2}),
    "three channels, dilated": ((2, 12, 13, 3), (3, 3, 16), {"dilation": 2, "padding": "same"}),
    "to one output": ((2, 12, 13, 16), (3, 3, 1), {"padding": "same"}),
    "wide groups": ((2, 10, 11, 51), (3, 3, 60), {"groups": 3, "padding": "same"}),
    "narrow groups": ((2, 10, 11, 24), (3, 3, 12), {"groups": 4, "padding": "same"}),
    "depthwise": ((2, 16, 15, 20), (3, 3, 20), {"groups": 20, "padding": "same"}),
    "depthwise, strided": ((2, 16, 15, 6), (3, 3, 12), {"groups": 6, "strides": 2}),
    "one image, one result": ((1, 4, 4, 40), (4, 4, 33), {}),
}


def passes(x, w, dy, attrs):
    """The result, and the gradients of the image and the weights."""
    with fb.tape() as tape:
        v, u = fb.Variable(x), fb.Variable(w)
        y = fb.nn.conv2d(v, u, **attrs)
    return [np.asarray(p) for p in (y, *tape.gradients(y, [v, u], seeds=fb.asarray(dy)))]


def wrong(names, dtypes=("f4", "f8")):
    """Descriptions of all results that differ from NumPy's or between one thread and two."""
    rng = np.random.default_rng(0)
    found = []
    for name in names:
        (n, h, width, c), (*size, o), attrs = CASES[name]
        groups = attrs.get("groups", 1)
        x = rng.integers(-3, 4, (n, h, width, c)).astype("f8")
        w = rng.integers(-3, 4, (*size, c // groups, o)).astype("f8")
        y = _conv2d(x, w, **attrs)
        dy = rng.integers(-3, 4, y.shape).astype("f8")
        dx = _input_gradient(dy, w, (h, width), **attrs)
        dw = _weights_gradient(x, dy, tuple(size), **attrs)
        for t in dtypes:
            operands = [a.astype(t) for a in (x, w, dy)]
            for threads in (1, 2):
                fb.set_num_threads(threads)
                results = passes(*operands, attrs)
                for which, got, want in zip(("y", "dx", "dw"), results, (y, dx, dw), strict=True):
                    if got.dtype != t or not np.array_equal(got, want):
                        found.append(f"{name}: {which}, {t}, {threads} threads")
    return found


@pytest.mark.parametrize("name", CASES)
def test_default(name):
    threads = fb.get_num_threads()
    try:
        assert wrong([name]) == []
    finally:
        fb.set_num_threads(threads)


PROGRAM = "import json; from test_convolutions import *; print(json.dumps(wrong(CASES)))"


@pytest.mark.parametrize("isa", ["", "v2", "v3"])
def test_own_loops(isa):
    """Without oneDNN, which takes narrow groups and, without AVX2, most others."""
    if isa and (platform.machine() != "x86_64" or os.environ.get("FLOWBOOK_SANITIZED")):
        pytest.skip("instruction sets of x86-64")
    environment = {**os.environ, "FLOWBOOK_DISABLE_ONEDNN": "1"}
    if isa:
        environment["FLOWBOOK_ISA"] = isa
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=Path(__file__).resolve().parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_threads_do_not_change_bits():
    """Sums of numbers that are rounded: in the same order on any number of threads."""
    rng = np.random.default_rng(1)
    before = fb.get_num_threads()
    try:
        for name in ("an image in bands", "parts of the results", "units of channels", "strided"):
            (n, h, w, c), (*size, o), attrs = CASES[name]
            x = rng.standard_normal((n, h, w, c), np.float32)
            k = rng.standard_normal((*size, c, o), np.float32)
            dy = rng.standard_normal(_conv2d(x, k, **attrs).shape, np.float32)
            found = []
            for threads in (1, 2, 3):
                fb.set_num_threads(threads)
                found.append([p.tobytes() for p in passes(x, k, dy, attrs)])
            assert found[0] == found[1] == found[2], name
    finally:
        fb.set_num_threads(before)


@pytest.mark.parametrize("t", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(2, 0, 3, 8), (2, 3, 0, 8), (0, 4, 4, 8), (2, 4, 4, 0)])
def test_images_without_entries(shape, t):
    """Padding gives results where there is no image; compiled, where weights are packed, too."""
    rng = np.random.default_rng(2)
    x = fb.asarray(np.zeros(shape, t))
    w = fb.Variable(rng.standard_normal((3, 3, shape[3], 5)).astype(t))

    def gradients(x):
        y = fb.nn.conv2d(x, w, pads=2)
        return y, *fb.gradients(fb.sum(y * y + y), [x, w])

    y, dx, dw = fb.graph(gradients)(x)
    assert dx.shape == x.shape
    assert not y.numpy().any()
    assert not dw.numpy().any()
    assert not passes(x.numpy(), w.numpy(), np.ones(y.shape, t), {"pads": 2})[2].any()


def plain_passes(x, w, dy, attrs):
    """The three results, summed tap by tap over what lies inside of the image only."""
    window = [1, 1]
    strides, dilation = (np.broadcast_to(attrs.get(k, 1), 2) for k in ("strides", "dilation"))
    pads = np.broadcast_to(attrs["pads"], 4) if np.ndim(attrs["pads"]) else [attrs["pads"]] * 4
    y, dx, dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(w.shape)
    groups = attrs.get("groups", 1)
    ins, outs = np.split(np.arange(x.shape[3]), groups), np.split(np.arange(w.shape[3]), groups)
    for i, j in np.ndindex(*w.shape[:2]):
        for r, c in np.ndindex(*dy.shape[1:3]):
            window[0] = r * strides[0] + i * dilation[0] - pads[0]
            window[1] = c * strides[1] + j * dilation[1] - pads[2]
            if not (0 <= window[0] < x.shape[1] and 0 <= window[1] < x.shape[2]):
                continue
            for here, there in zip(ins, outs, strict=True):
                pixel, tap = x[:, window[0], window[1], here], w[i, j][:, there]
                y[:, r, c, there] += pixel @ tap
                dx[:, window[0], window[1], here] += dy[:, r, c, there] @ tap.T
                dw[i, j][:, there] += pixel.T @ dy[:, r, c, there]
    return y, dx, dw


@pytest.fixture(params=["libraries", "own loops"])
def way(request):
    before = _core.onednn_enabled()
    fb.enable_onednn(before and request.param == "libraries")
    yield
    fb.enable_onednn(before)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("t", ["f4", "f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("image", "size", "attrs"),
    [
        ((2, 9, 8, 5), (3, 3, 17), {"pads": 1}),
        ((2, 9, 8, 5), (3, 2, 7), {"pads": (1, 0, 2, 1), "strides": (2, 3)}),
        ((1, 8, 9, 6), (3, 3, 8), {"pads": 3, "dilation": 2}),
        ((2, 6, 7, 1), (3, 3, 18), {"pads": 1}),
        ((2, 6, 7, 32), (3, 3, 32), {"pads": 1, "groups": 2}),
        ((1, 2, 3, 6), (5, 5, 8), {"pads": 4}),
        ((2, 9, 8, 24), (3, 3, 16), {"pads": 1, "groups": 4}),
        ((2, 9, 8, 20), (3, 3, 20), {"pads": 1, "groups": 20}),
        ((2, 9, 8, 6), (3, 3, 12), {"pads": 1, "groups": 6, "strides": 2}),
    ],
)
def test_padding_counts_for_nothing(image, size, attrs, bad, t):
    """Not for zeros that make NaN of weights, or of what came of the results, that are not finite."""
    rng = np.random.default_rng(5)
    groups = attrs.get("groups", 1)
    x = rng.integers(1, 4, image).astype(t)
    w = rng.integers(1, 4, (*size[:2], image[3] // groups, size[2])).astype(t)
    dy = rng.integers(1, 4, _conv2d(x, w, **attrs).shape).astype(t)
    clean = plain_passes(x, w, dy, attrs)
    for a, b in zip(passes(x, w, dy, attrs), clean, strict=True):
        assert np.array_equal(a, b)
    w[0, 0, -1, 1] = bad
    with np.errstate(invalid="ignore"):
        y, dx, _ = plain_passes(x, w, dy, attrs)
    got = passes(x, w, dy, attrs)
    assert np.array_equal(got[0], y, equal_nan=True)
    assert np.array_equal(got[1], dx, equal_nan=True)
    weights = fb.asarray(w)
    f = fb.graph(lambda x: fb.nn.conv2d(x, weights, **attrs))  # packed once
    assert np.array_equal(f(fb.asarray(x)).numpy(), y, equal_nan=True)
    w[0, 0, -1, 1] = 1
    dy[-1, 0, -1, 1] = bad
    with np.errstate(invalid="ignore"):
        _, dx, dw = plain_passes(x, w, dy, attrs)
    got = passes(x, w, dy, attrs)
    assert np.array_equal(got[1], dx, equal_nan=True)
    assert np.array_equal(got[2], dw, equal_nan=True)


@pytest.mark.parametrize("t", ["f4", "f8"])
def test_no_window_is_too_wide(t):
    """Dilation far beyond the image leaves the weight in the middle; what can't be copied is told."""
    rng = np.random.default_rng(3)
    x, w = (rng.integers(-3, 4, s).astype(t) for s in ((1, 8, 8, 8), (3, 3, 8, 8)))
    far = {"dilation": 310_000_000, "pads": 310_000_000}
    dy = rng.integers(-3, 4, (1, 8, 8, 8)).astype(t)
    y, dx, dw = passes(x, w, dy, far)
    assert np.array_equal(y, x @ w[1, 1])
    assert np.array_equal(dx, dy @ w[1, 1].T)
    assert np.array_equal(dw[1, 1], np.einsum("nhwc,nhwo->co", x, dy))
    elsewhere = np.ones((3, 3), bool)
    elsewhere[1, 1] = False
    assert not dw[elsewhere].any()
    far = {"strides": 300_000_000, "pads": 300_000_000}
    y = fb.nn.conv2d(fb.asarray(x), fb.asarray(w), **far).numpy()
    assert np.array_equal(y[0, 1, 1], np.einsum("hwc,hwco->o", x[0, :3, :3], w))
    assert np.count_nonzero(y) == np.count_nonzero(y[0, 1, 1])
    before = _core.onednn_enabled()
    fb.enable_onednn(False)  # which needs no copy
    try:
        with pytest.raises(fb.OutOfMemoryError, match=r"needs \S+ [A-Z]B of scratch memory"):
            passes(x, w, np.ones((1, 3, 3, 8), t), far)
    finally:
        fb.enable_onednn(before)


def test_weights_assigned_while_onednn_is_off():
    """What is kept in packed form is today's weights when oneDNN is on again."""
    rng = np.random.default_rng(4)
    x = fb.asarray(rng.integers(-3, 4, (2, 16, 16, 16)).astype(np.float32))
    w = fb.Variable(rng.integers(-3, 4, (3, 3, 2, 16)).astype(np.float32))
    f = fb.graph(lambda x: fb.nn.conv2d(x, w, groups=8, padding="same"))
    before = _core.onednn_enabled()
    try:
        for on in (True, False, True):
            fb.enable_onednn(on)
            w.assign(rng.integers(-3, 4, (3, 3, 2, 16)).astype(np.float32))
            for again in (on, True):
                fb.enable_onednn(again)
                want = _conv2d(x.numpy(), w.numpy(), groups=8, padding="same")
                assert np.array_equal(f(x).numpy(), want)
    finally:
        fb.enable_onednn(before)
