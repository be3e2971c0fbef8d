"""One framework and one workload in a process of its own; driven by lines of JSON.

    python worker.py MODULE WORKLOAD [flags]

Answers once when the step has run for the first time, then measures whenever a line with a number
of seconds comes in.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from typing import Any

LOSS_STEPS = 10


def answer(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def measure(step: Any, seconds: float) -> list[float]:
    """Microseconds per step, one number per burst of at least 2 ms."""
    clock = time.perf_counter
    burst = 1
    while True:
        start = clock()
        for _ in range(burst):
            step()
        spent = clock() - start
        if spent >= 2e-3 or burst >= 1 << 20:
            break
        burst *= 2
    samples = []
    end = clock() + seconds
    while clock() < end or len(samples) < 3:
        start = clock()
        for _ in range(burst):
            step()
        samples.append((clock() - start) / burst * 1e6)
    return samples


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    step = module.prepare(sys.argv[2])
    if isinstance(step, str):
        answer(missing=step)
        return
    start = time.perf_counter()
    result = step()
    module.finish(result)
    first = time.perf_counter() - start
    for _ in range(LOSS_STEPS - 1):
        result = step()
    answer(first=first, loss=module.finish(result), version=module.VERSION)
    gc.disable()
    for line in sys.stdin:
        answer(samples=measure(step, float(line)))


if __name__ == "__main__":
    main()
