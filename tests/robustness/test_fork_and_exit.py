"""Forked children compute, and processes end whatever still lives."""

from __future__ import annotations

import os
import textwrap

import pytest

from .fresh import script, succeeds

FORK = """
import os, numpy as np, flowbook as fb
x = fb.asarray(np.ones((300, 300), "f4"))
f = fb.graph(lambda x: fb.tanh(x @ x) + 1.0)
want = f(x).numpy()
for k in range(5):
    pid = os.fork()
    if pid == 0:
        ok = np.array_equal(f(x).numpy(), want) and float(fb.sum(x @ x)) == 300**3
        y = fb.sum(fb.asarray(np.ones(1_000_000, "f4")))
        os._exit(0 if ok and float(y) == 1e6 else 1)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    assert np.array_equal(f(x).numpy(), want)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_computes():
    succeeds("import warnings; warnings.simplefilter('ignore')\n" + textwrap.dedent(FORK))


# Children that compute while a thread of their parent spins, and have 20 seconds each.
FORKS = """
import os, threading, time, warnings
import numpy as np, flowbook as fb
warnings.simplefilter("ignore")
stop = threading.Event()

def forks(count, pause, spin, compute):
    thread = threading.Thread(target=spin)
    thread.start()
    try:
        for k in range(count):
            time.sleep(pause)
            pid = os.fork()
            if pid == 0:
                os._exit(0 if float(compute()) > 0 else 1)
            deadline = time.time() + 20
            while time.time() < deadline:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done: break
                time.sleep(0.005)
            else:
                os.kill(pid, 9)
                raise SystemExit(f"child {k} hangs")
            assert status == 0, status
    finally:
        stop.set()
        thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_another_thread_computes():
    succeeds(
        FORKS
        + """
x = fb.asarray(np.ones((400, 400), "f4"))
def spin():
    while not stop.is_set():
        x @ x
forks(8, 0.01, spin, lambda: fb.sum(fb.tanh(x @ x)))
"""
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_another_thread_prepares_products():
    """oneDNN, which multiplies without AVX2, had the child wait for a thread that was only in the
    parent: the one that was making what the child's product needed, too."""
    succeeds(
        FORKS
        + """
xs = [fb.asarray(np.ones((130, n), "f4")) for n in range(130, 530)]
at = [0]
def product(x): return fb.matrix_transpose(x) @ x
def spin():
    for i, x in enumerate(xs):
        if stop.is_set(): break
        at[0] = i
        product(x)
forks(25, 0.002, spin, lambda: fb.sum(product(xs[at[0]])))
""",
        FLOWBOOK_ISA="v2",
    )


def test_exit_while_a_thread_computes():
    done = script("""
        import threading, numpy as np, flowbook as fb
        x = fb.asarray(np.ones((500, 500), "f4"))
        def spin():
            while True:
                fb.tanh(x @ x)
        threading.Thread(target=spin, daemon=True).start()
        import time; time.sleep(0.2)
        """)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert "Fatal" not in done.stderr


def test_exit_while_tensors_graphs_and_tapes_live():
    out = succeeds("""
        import flowbook as fb
        x = fb.asarray([1.0]); v = fb.Variable(x)
        f = fb.graph(lambda x: x * v); f(x)
        t = fb.tape(); t.__enter__(); y = x * v
        import sys; sys.keep = [x, v, f, t, y]
        print("end")
        """)
    assert out == "end\n"


def test_import_prints_nothing_and_runs_without_a_terminal():
    done = script("import flowbook")
    assert done.returncode == 0
    assert done.stdout == done.stderr == ""
