"""What the machine can do at best, and the floor of a row that follows from it.

    python rates.py        prints the rates as JSON

Run in a process with as many threads as the rows have (FLOWBOOK_NUM_THREADS). Three rates: multiply-
adds of matrices as fast as flowbook or NumPy does them here, bytes copied in memory of some size,
and vector math, where the faster of NumPy and flowbook counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
COPY_SIZES = (1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28)  # bytes read and written
MATH_ENTRIES = 1 << 13


def best(function: Callable[[], Any], seconds: float = 0.15) -> float:
    """The shortest of many runs, in seconds."""
    function()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        function()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def copy_rate(size: int, threads: int) -> float:
    """Bytes read and written per second when every thread copies its own slice of `size` bytes."""
    half = size // 2 // threads
    pairs = [(np.ones(half, np.uint8), np.empty(half, np.uint8)) for _ in range(threads)]
    repeats = max(1, (1 << 24) // size)
    spans: list[tuple[float, float]] = [(0, 0)] * threads
    barrier = threading.Barrier(threads)

    def work(i: int) -> None:
        source, target = pairs[i]
        barrier.wait()
        start = time.perf_counter()
        for _ in range(repeats):
            np.copyto(target, source)
        spans[i] = (start, time.perf_counter())

    fastest = 0.0
    for _ in range(6):
        team = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
        for t in team:
            t.start()
        for t in team:
            t.join()
        # Threads that ran one after the other would have had the caches to themselves.
        spent = max(end for _, end in spans) - min(start for start, _ in spans)
        fastest = max(fastest, 2.0 * half * threads * repeats / spent)
    return fastest


def measure() -> dict[str, Any]:
    """Rates of this process."""
    import flowbook as fb

    threads = fb.get_num_threads()
    flops = 0.0
    for m, k, n in [(1024, 1024, 1024), (2048, 384, 1536), (512, 512, 512)]:
        a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
        x, y = fb.asarray(a), fb.asarray(b)
        # First ours: the threads of NumPy's library go on turning for a while.
        spent = min(best(lambda x=x, y=y: x @ y), best(lambda a=a, b=b: a @ b))
        flops = max(flops, 2.0 * m * k * n / spent)
        time.sleep(0.3)
    x = np.linspace(-4, 4, MATH_ENTRIES, dtype=np.float32)
    out, tensor = np.empty_like(x), fb.asarray(x)
    fb.set_num_threads(1)
    math = {
        "exp": min(best(lambda: np.exp(x, out=out)), best(lambda: fb.exp(tensor))),
        "tanh": min(best(lambda: np.tanh(x, out=out)), best(lambda: fb.tanh(tensor))),
    }
    fb.set_num_threads(threads)
    copies = {}
    for size in COPY_SIZES:
        # Reads and writes in NumPy's threads or in our own, whichever is faster.
        x, y = (fb.asarray(np.ones(size // 12, np.float32)) for _ in range(2))
        ours = 12 * (size // 12) / best(lambda x=x, y=y: x + y)
        copies[str(size)] = max(copy_rate(size, threads), ours) / 1e9
    return {
        "gflops": flops / 1e9,
        "copy_gb_s": copies,
        "math_ns": {k: v * 1e9 / MATH_ENTRIES / threads for k, v in math.items()},
    }


def measure_apart(environment: dict[str, str]) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, os.path.join(HERE, "rates.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def floor(phases: Sequence[Any], rates: dict[str, Any]) -> dict[str, float]:
    """Microseconds that the work takes at these rates: in all, and each part by itself.

    Phases follow each other (an optimizer needs gradients), so they add up; within a phase loads,
    arithmetic and math overlap, so the longest counts.
    """
    parts = {"products": 0.0, "bytes": 0.0, "math": 0.0}
    total = 0.0
    for phase in phases:
        copies = rates["copy_gb_s"]
        # What fits a smaller memory is no slower than what needs a larger one.
        fits = [r for size, r in copies.items() if int(size) >= phase.footprint]
        rate = max(fits) if fits else copies[str(max(map(int, copies)))]
        each = {
            "products": phase.flops / rates["gflops"] / 1e3,
            "bytes": phase.bytes / rate / 1e3,
            "math": sum(n * rates["math_ns"][name] for name, n in phase.math.items()) / 1e3,
        }
        total += max(each.values())
        for part, spent in each.items():
            parts[part] += spent
    return {"us": total, **parts}


if __name__ == "__main__":
    print(json.dumps(measure()))
