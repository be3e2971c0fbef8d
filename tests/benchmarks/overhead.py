"""What a call costs when the arithmetic costs nothing: eager ops, nodes of a plan, calls of a graph.

    python tests/benchmarks/overhead.py [--peers DIR]

One thread, its own time, minima of many bursts: these numbers do not need a quiet machine. What an
empty Python function costs is taken off. With PyTorch in the
peers' environment (`make peers`) its figures stand beside ours, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import report

SHAPE = (4, 4)


def nanoseconds(call: Callable[[], Any], seconds: float = 0.2) -> float:
    """The least nanoseconds a call takes, over bursts of about 100 us of this thread's time."""
    clock, burst = time.thread_time_ns, 1
    while True:
        start = clock()
        for _ in range(burst):
            call()
        if clock() - start > 100_000:
            break
        burst *= 2
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = clock()
        for _ in range(burst):
            call()
        best = min(best, (clock() - start) / burst)
    return best - _EMPTY


_EMPTY = 0.0
_EMPTY = nanoseconds(lambda: None)


def calls(module: Any, make: Callable[[Any], Any], relu: Callable[[Any], Any]) -> dict[str, Any]:
    """Eager calls that all frameworks share, by name."""
    a, b = make(np.ones(SHAPE, np.float32)), make(np.ones(SHAPE, np.float32))
    row = make(np.ones(4, np.float32))
    return {
        "a + b": lambda: a + b,
        "a * 2.0": lambda: a * 2.0,
        "a + row": lambda: a + row,
        "a @ b": lambda: a @ b,
        "exp(a)": lambda: module.exp(a),
        "relu(a)": lambda: relu(a),
        "sum(a)": lambda: module.sum(a),
        "a.T": lambda: a.T,
        "reshape(a)": lambda: module.reshape(a, (16,)),
        "a[0]": lambda: a[0],
    }


def eager(framework: str) -> dict[str, float]:
    if framework == "torch":
        import torch

        torch.set_num_threads(1)
        table = calls(torch, torch.from_numpy, torch.relu)
    elif framework == "numpy":
        table = calls(np, lambda x: x, lambda x: np.maximum(x, 0))
    else:
        import flowbook as fb

        table = calls(fb, fb.asarray, fb.nn.relu)
    return {name: nanoseconds(call) for name, call in table.items()}


def plans() -> dict[str, float]:
    """Costs of compiled calls: a node more, an input more, a call."""
    import flowbook as fb

    found: dict[str, float] = {}
    small = fb.asarray(np.ones(SHAPE, np.float32))

    def chained(n: int) -> Callable[[], Any]:
        @fb.graph
        def graph(x: Any) -> Any:
            for _ in range(n):  # matrix products: steps that no pass fuses
                x = x @ small
            return x

        graph(small)
        return lambda: graph(small)

    def summed(n: int) -> Callable[[], Any]:
        @fb.graph
        def graph(*xs: Any) -> Any:
            total = xs[0]
            for x in xs[1:]:
                total = total + x
            return total

        inputs = [fb.asarray(np.ones(SHAPE, np.float32)) for _ in range(n)]
        graph(*inputs)
        return lambda: graph(*inputs)

    few, many = nanoseconds(chained(100)), nanoseconds(chained(1100))
    one = nanoseconds(lambda: small @ small)
    found["node of a plan, 4x4 product and all"] = (many - few) / 1000
    found["the same product, eager"] = one
    found["graph of 1 input"] = nanoseconds(summed(1))
    found["graph of 2 inputs"] = nanoseconds(summed(2))
    found["graph of 10 inputs"] = nanoseconds(summed(10))

    named = {f"x{i}": fb.asarray(np.ones(SHAPE, np.float32)) for i in range(10)}
    with fb.graph("sum") as block:
        total = None
        for name in named:
            x = block.input(name, SHAPE)
            total = x if total is None else total + x
        block.output(total=total)
    graph = block.graph
    graph(**named)
    found["Graph.__call__ of 10 inputs by name"] = nanoseconds(lambda: graph(**named))
    return found


def apart(framework: str, setting: harness.Setting) -> dict[str, float]:
    python = harness.interpreter(framework, setting)
    if python is None:
        return {}
    command = [python, __file__, "--worker", framework]
    env = harness.environment(1)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peers", type=Path, default=harness.ROOT / ".peers")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(plans() if options.worker == "plans" else eager(options.worker)))
        return 0
    setting = harness.Setting(threads=1, peers=options.peers)
    tables = {f: apart(f, setting) for f in ("flowbook", "numpy", "torch")}
    names = list(tables["flowbook"])
    head = ["ns a call, 4x4", *tables]
    lines = [[n, *(report.number(t[n]) if n in t else "" for t in tables.values())] for n in names]
    print(report.aligned([head, *lines]), end="\n\n")
    found = plans()
    print(report.aligned([["ns", ""], *([k, report.number(v)] for k, v in found.items())]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
