"""How fast this machine does what no program can avoid, and the floor of a row that follows from it.

    python rates.py                  prints the best rates, and who reached them, as JSON
    python rates.py RATES            takes part in the turns of a row, as worker.py does

Rates are billions a second, in a process with as many threads as the rows have: of operations in
matrix products ("products"), of bytes read and written in memory of some size ("copy 1048576"), of
function values ("exp"). Each comes twice:

- the *best*: once before all rows, flowbook's and NumPy's ways are timed, and the shortest run
  counts. This also decides who does it from then on (`by`), the faster one;
- the *median*: the machine is one more participant of a row. In each of its turns it does what the
  row's phases need, for as long as their shares of the floor; medians of turns, the median of those.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import worker
import workloads

Rates = dict[str, float]
Run = Callable[[], float]  # does the work once and returns the seconds it took

PRODUCTS = ((1024, 1024, 1024), (2048, 384, 1536), (512, 512, 512))
COPY_SIZES = tuple(1 << bits for bits in range(18, 29, 2))  # bytes read and written
MATH = ("exp", "tanh")
MATH_ENTRIES = 1 << 13
SETTLE = 0.2  # seconds; OpenBLAS's threads go on turning for 0.11 s after a product


# ---- ways to do it -------------------------------------------------------------------------------
@dataclass(frozen=True)
class Way:
    """One way to do what a rate counts."""

    by: str  # "numpy", "flowbook", and a shape where there are several
    amount: float  # operations, bytes or function values of a run
    run: Run


def timed(function: Callable[[], Any]) -> Run:
    def run() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run


def copied_by_threads(size: int, threads: int) -> Way:
    """Every thread copies its own slice with NumPy."""
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

    def run() -> float:
        team = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
        for t in team:
            t.start()
        for t in team:
            t.join()
        # Threads that ran one after the other would have had the caches to themselves.
        return max(end for _, end in spans) - min(start for start, _ in spans)

    return Way("numpy", 2.0 * half * threads * repeats, run)


def ways(rate: str, threads: int) -> list[Way]:
    """What may reach a rate: ours first, since NumPy's threads go on turning for a while."""
    import flowbook as fb

    if rate == "products":
        found = []
        for shape in PRODUCTS:
            m, k, n = shape
            a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
            x, y = fb.asarray(a), fb.asarray(b)
            work, name = 2.0 * m * k * n, "x".join(map(str, shape))
            found.append(Way(f"flowbook {name}", work, timed(lambda x=x, y=y: x @ y)))
            found.append(Way(f"numpy {name}", work, timed(lambda a=a, b=b: a @ b)))
        return sorted(found, key=lambda way: way.by)
    if rate.startswith("copy "):
        size = int(rate.removeprefix("copy "))
        x, y = (fb.asarray(np.ones(size // 12, np.float32)) for _ in range(2))
        ours = Way("flowbook", 12.0 * (size // 12), timed(lambda: x + y))
        return [ours, copied_by_threads(size, threads)]
    # One thread, which the others' caches don't hold up: all of them do as many times as much.
    a = np.linspace(-4, 4, MATH_ENTRIES, dtype=np.float32)
    out, x = np.empty_like(a), fb.asarray(a)
    theirs, ours_of = getattr(np, rate), getattr(fb, rate)
    work = float(MATH_ENTRIES * threads)
    return [
        Way("flowbook", work, timed(lambda: ours_of(x))),
        Way("numpy", work, timed(lambda: theirs(a, out=out))),
    ]


@contextlib.contextmanager
def threads_for(rate: str, threads: int) -> Iterator[None]:
    """Function values are measured on one thread."""
    import flowbook as fb

    fb.set_num_threads(1 if rate in MATH else threads)
    yield
    fb.set_num_threads(threads)


# ---- best rates ----------------------------------------------------------------------------------
def shortest(run: Run, seconds: float = 0.15) -> float:
    """The shortest of many runs, in seconds."""
    run()
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        least = min(least, run())
    return least


def measure_best() -> dict[str, Any]:
    """The best rates in this process, and by whom."""
    import flowbook as fb

    threads = fb.get_num_threads()
    best: Rates = {}
    by: dict[str, str] = {}
    for rate in ("products", *MATH, *(f"copy {size}" for size in COPY_SIZES)):
        known = ways(rate, threads)
        with threads_for(rate, threads):
            reached = [way.amount / shortest(way.run) / 1e9 for way in known]
        best[rate] = max(reached)
        by[rate] = known[reached.index(best[rate])].by
        time.sleep(SETTLE)
    return {"best": best, "by": by}


def measure_best_apart(environment: dict[str, str]) -> dict[str, Any]:
    """`measure_best` in a process of its own."""
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


# ---- the machine's turns -------------------------------------------------------------------------
def timed_in_bursts(run: Run, seconds: float, least: float) -> tuple[float, float]:
    """Seconds of a run: the median of bursts, and the shortest run.

    A burst takes at least 2 ms, as worker.py's do, and `least` seconds.
    """
    burst = 1
    while burst * run() < max(2e-3, least):
        burst *= 2
    shortest_run, bursts = float("inf"), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(bursts) < 3:
        taken = [run() for _ in range(burst)]
        bursts.append(sum(taken) / burst)
        shortest_run = min(shortest_run, min(taken))
    return statistics.median(bursts), shortest_run


def copy_rate(footprint: float, rates: Rates) -> str:
    """Which copy bounds loads and stores in memory of so many bytes."""
    sizes = {int(name.removeprefix("copy ")): name for name in rates if name.startswith("copy ")}
    # What fits a smaller memory is no slower than what needs a larger one.
    fits = [name for size, name in sizes.items() if size >= footprint]
    return max(fits, key=lambda name: rates[name]) if fits else sizes[max(sizes)]


def needed(phases: Sequence[workloads.Phase], rates: Rates) -> Rates:
    """The rates that the floor of these phases is made of, with the microseconds at each."""
    found: Rates = {}
    for phase in phases:
        amounts = dict(phase.math)
        if phase.flops:
            amounts["products"] = phase.flops
        if phase.bytes:
            amounts[copy_rate(phase.footprint, rates)] = phase.bytes
        for name, amount in amounts.items():
            found[name] = found.get(name, 0.0) + amount / rates[name] / 1e3
    return found


def command(row: str, factor: int, known: dict[str, Any]) -> list[str]:
    """How to start the participant of a row; `known` is what `measure_best` returned."""
    spent = needed(workloads.ALL[row].work(factor), known["best"])
    return [sys.executable, __file__, json.dumps({r: [known["by"][r], spent[r]] for r in spent})]


def take_part(row: dict[str, tuple[str, float]]) -> None:
    """Answers each request with the median and the best rates of this turn.

    Args:
        row: For each rate who does the work, and the microseconds that it has in the row. A turn is
            shared out by them, and a burst is as long: a disturbance of the machine weighs as much
            in it as in a step.
    """
    import flowbook as fb

    threads, total = fb.get_num_threads(), sum(us for _, us in row.values())
    chosen = {
        r: next(way for way in ways(r, threads) if way.by == by) for r, (by, _) in row.items()
    }
    for way in chosen.values():
        way.run()
    worker.answer(rates=list(chosen))
    for line in sys.stdin:
        seconds = json.loads(line)["seconds"]
        answer: dict[str, Rates] = {"median": {}, "best": {}}
        for rate, way in chosen.items():
            us = row[rate][1]
            with threads_for(rate, threads):
                middle, least = timed_in_bursts(way.run, seconds * us / total, us / 1e6)
            answer["median"][rate] = way.amount / middle / 1e9
            answer["best"][rate] = way.amount / least / 1e9
        worker.answer(**answer)


def over_turns(answers: Sequence[dict[str, Rates]], known: dict[str, Any]) -> dict[str, Rates]:
    """Medians of the turns' medians, and the best of this row's turns and of `measure_best`."""
    each = {name: [a["median"][name] for a in answers] for name in answers[0]["median"]}
    best = {name: [a["best"][name] for a in answers] for name in each}
    return {
        "median": {name: statistics.median(rates) for name, rates in each.items()},
        "best": {name: max(known["best"][name], *rates) for name, rates in best.items()},
    }


# ---- floors --------------------------------------------------------------------------------------
def floor(phases: Sequence[workloads.Phase], rates: Rates) -> dict[str, float]:
    """Microseconds that the work takes at these rates: in all, and each part by itself.

    Phases follow each other (an optimizer needs gradients), so they add up; within a phase loads,
    arithmetic and math overlap, so the longest counts.
    """
    parts = {"products": 0.0, "bytes": 0.0, "math": 0.0}
    total = 0.0
    for phase in phases:
        each = {"math": sum(n / rates[name] for name, n in phase.math.items()) / 1e3}
        if phase.flops:
            each["products"] = phase.flops / rates["products"] / 1e3
        if phase.bytes:
            each["bytes"] = phase.bytes / rates[copy_rate(phase.footprint, rates)] / 1e3
        total += max(each.values())
        for part, spent in each.items():
            parts[part] += spent
    return {"us": total, **parts}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        take_part(json.loads(sys.argv[1]))
    else:
        print(json.dumps(measure_best()))
