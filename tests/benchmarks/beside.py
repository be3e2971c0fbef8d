"""Calls of single ops beside PyTorch, and beside another build: what convolutions.py and layers.py share.

Each framework computes in a process of its own, with two threads, and the processes take turns for each
figure, so that a busy machine hurts all alike; the figure is the least of the rounds' medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
THREADS = "2"
Calls = dict[str, Callable[[], Any]]


def options_of(description: str) -> argparse.Namespace:
    """The options of such a script."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each figure in each round")
    parser.add_argument("--only", default="", help="part of a row's name")
    parser.add_argument("--before", help="a Python that imports another build")
    parser.add_argument("--peers", default=str(ROOT / ".peers"), help="PyTorch's environment")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser.parse_args()


def answer(calls_of: Callable[[str], Calls]) -> None:
    """Answers lines of [name, which, seconds] with the median microseconds of that call."""
    calls: dict[str, Calls] = {}
    for line in sys.stdin:
        name, which, seconds = json.loads(line)
        if name not in calls:
            calls.clear()
            calls[name] = calls_of(name)
        call, times = calls[name][which], []
        call()
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(json.dumps(statistics.median(times) * 1e6), flush=True)


class Workers:
    """The processes of one script: "flowbook", and if there are any "before" and "torch"."""

    def __init__(self, script: str, options: argparse.Namespace) -> None:
        self.options = options
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "FLOWBOOK_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, THREADS)}
        interpreters = {"flowbook": sys.executable}
        if options.before:
            interpreters["before"] = options.before
        peer = Path(options.peers, "bin", "python")
        if peer.exists():
            interpreters["torch"] = str(peer)
        self.processes = {
            framework: subprocess.Popen(
                [python, script, "--work", "torch" if framework == "torch" else "flowbook"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for framework, python in interpreters.items()
        }

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()

    def least(self, name: str, which: str) -> dict[str, float]:
        """Microseconds of a call by framework."""
        best = dict.fromkeys(self.processes, float("inf"))
        for i in range(self.options.rounds):
            for f in list(best) if i % 2 == 0 else reversed(list(best)):
                process = self.processes[f]
                process.stdin.write(json.dumps([name, which, self.options.seconds]) + "\n")
                process.stdin.flush()
                best[f] = min(best[f], float(process.stdout.readline()))
        return best


def ratio(best: dict[str, float]) -> str:
    """What PyTorch takes over what flowbook takes, or nothing."""
    return f"{best['torch'] / best['flowbook']:10.2f}" if "torch" in best else ""
