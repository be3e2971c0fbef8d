"""Matrix products and convolutions, whoever computes them: oneDNN, Eigen or our own loops.

Each way is forced in a process of its own, because the choice is made once. Inputs are small
integers, so that every way must give exactly NumPy's answer.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import flowbook as fb
from flowbook import _core

PROGRAM = r"""
import json
import numpy as np
import flowbook as fb

rng = np.random.default_rng(0)
make = lambda *shape, t="f4": rng.integers(-3, 4, shape).astype(t)
wrong = []
for t in ("f4", "f8", "i4", "i8", "u1"):
    for m, k, n in ((1, 300, 700), (3, 5, 2), (70, 90, 80), (64, 6000, 10), (40, 300, 1100),
                    (400, 330, 350)):
        if t[0] != "f" and m > 70:
            continue
        a, b = make(m, k, t=t), make(k, n, t=t)
        if not np.array_equal((fb.asarray(a) @ fb.asarray(b)).numpy(), a @ b):
            wrong.append(f"{t} {m}x{k}x{n}")
        x = fb.asarray(np.concatenate([a, a], 1))[::-1, ::2][:, : k // 2]
        if not np.array_equal((x @ fb.asarray(b[: k // 2])).numpy(), x.numpy() @ b[: k // 2]):
            wrong.append(f"{t} {m}x{k}x{n} strided")
        x, y = fb.asarray(np.ascontiguousarray(a.T)), fb.asarray(np.ascontiguousarray(b.T))
        z = fb.matrix_transpose(x) @ fb.matrix_transpose(y)
        if not np.array_equal(z.numpy(), a @ b):
            wrong.append(f"{t} {m}x{k}x{n} transposed")
for t in ("f4", "f8"):
    for size, c, o, attrs in (
        ((3, 3), 8, 16, {"padding": "same"}),
        ((1, 1), 8, 16, {"strides": 2}),
        ((3, 2), 6, 9, {"strides": (2, 1), "pads": (1, 0, 2, 1), "dilation": (1, 2), "groups": 3}),
    ):
        x, w = make(4, 15, 13, c, t=t), make(*size, c // attrs.get("groups", 1), o, t=t)
        parts = {"f4": [], "f8": []}
        for kind in ("f4", "f8"):  # the two dtypes take different ways and must agree
            with fb.tape() as tape:
                v, u = fb.Variable(x.astype(kind)), fb.Variable(w.astype(kind))
                y = fb.nn.conv2d(v, u, **attrs)
                loss = fb.sum(y * y)
            parts[kind] = [p.numpy() for p in (y, *tape.gradients(loss, [v, u]))]
        for name, p, q in zip(("y", "dx", "dw"), parts["f4"], parts["f8"], strict=True):
            if not np.array_equal(p.astype("f8"), q):
                wrong.append(f"conv2d {t} {size} {attrs}: {name}")
facts = {k: v for k, v in fb.doctor().items() if k.startswith(("provider", "instruction"))}
print(json.dumps({"wrong": wrong, "facts": facts}))
"""


def run(**environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_default_is_right():
    assert run()["wrong"] == []


def test_without_onednn():
    """oneDNN switched off: the others give the same answers, and the doctor says so."""
    found = run(FLOWBOOK_DISABLE_ONEDNN="1")
    assert found["wrong"] == []
    if platform.machine() == "x86_64":
        off = str(found["facts"]["provider onednn"])
        assert off == "switched off (FLOWBOOK_DISABLE_ONEDNN)"


def test_the_doctor_says_who_switched_onednn_off():
    if platform.machine() != "x86_64":
        pytest.skip("oneDNN is for x86-64")
    before = _core.onednn_enabled()
    try:
        fb.enable_onednn(False)
        facts = fb.doctor()
        assert facts["provider onednn"] == "switched off (enable_onednn(False))"
        assert "it is switched off (enable_onednn(False))." in str(facts["advice"])
        fb.enable_onednn(True)
        assert "switched off" not in str(fb.doctor()["provider onednn"])
    finally:
        fb.enable_onednn(before)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
@pytest.mark.skipif(bool(os.environ.get("FLOWBOOK_SANITIZED")), reason="one instruction set only")
@pytest.mark.parametrize("isa", ["v2", "v3"])
def test_lower_instruction_sets(isa: str):
    """Machines without AVX-512, or without AVX2: our own loops and Eigen's modules."""
    found = run(FLOWBOOK_ISA=isa, FLOWBOOK_DISABLE_ONEDNN="1")
    assert found["wrong"] == []
    if fb.doctor()["instruction set"] >= f"x86-64-{isa}":
        assert found["facts"]["instruction set"].startswith(f"x86-64-{isa}")


CUTS = r"""
import numpy as np
import flowbook as fb

rng = np.random.default_rng(2)
for t in ("f4", "f8"):
    a, b = (fb.asarray(rng.standard_normal(s).astype(t)) for s in ((300, 700), (700, 1300)))
    whole = (a @ b).numpy()
    for first, last in ((0, 1), (1, 3), (1, 4), (0, 4), (3, 8), (0, 7), (2, 211)):
        rows = slice(first, last)
        for columns in (slice(0, 1300), slice(16, 300), slice(7, 29)):
            part = (a[rows] @ b[:, columns]).numpy()
            assert np.array_equal(part, whole[rows, columns]), (t, rows, columns)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="an instruction set of x86-64")
@pytest.mark.skipif(bool(os.environ.get("FLOWBOOK_SANITIZED")), reason="one instruction set only")
@pytest.mark.parametrize("isa", ["v3", "v4"])
def test_cuts_do_not_change_bits_in_our_own_loops(isa: str):
    """An element is summed in the order of k, in whatever block, tile or row it is computed."""
    environment = {**os.environ, "FLOWBOOK_ISA": isa}
    done = subprocess.run(
        [sys.executable, "-c", CUTS], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_unloadable_library():
    """A libdnnl that cannot be opened never breaks anything."""
    assert run(FLOWBOOK_DNNL_LIBRARY="/nonexistent/libdnnl.so.3")["wrong"] == []


def test_threads_do_not_change_bits():
    rng = np.random.default_rng(1)
    a, b = (fb.asarray(rng.standard_normal(s).astype("f4")) for s in ((300, 700), (700, 500)))
    long = fb.asarray(rng.standard_normal((20000, 24)).astype("f4"))
    x = fb.asarray(rng.standard_normal((8, 20, 20, 16)).astype("f4"))
    w = fb.asarray(rng.standard_normal((3, 3, 16, 32)).astype("f4"))

    def results() -> list[bytes]:
        y = fb.nn.conv2d(x, w, padding="same")
        return [r.numpy().tobytes() for r in (a @ b, fb.matrix_transpose(long) @ long, y)]

    before = fb.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            fb.set_num_threads(threads)
            found.append(results())
    finally:
        fb.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_nan_and_infinity_spread():
    """A NaN reaches its whole row and column, also beside zeros, in small and large products."""
    for n in (5, 200):
        a, b = np.zeros((n, n), "f4"), np.zeros((n, n), "f4")
        a[1, 2], b[3, 4] = np.nan, np.inf
        got = (fb.asarray(a) @ fb.asarray(b)).numpy()
        with np.errstate(invalid="ignore"):
            want = a @ b
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
