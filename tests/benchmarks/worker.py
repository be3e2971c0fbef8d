"""One framework and one workload in a process of its own; driven by lines of JSON.

    python worker.py MODULE WORKLOAD FACTOR [flags]

WORKLOAD is a row of workloads.py, or "eager" for the table of eager ops. Answers once when the step
has run for the first time, then measures whenever a request comes in: {"seconds": s} in bursts of
at least 2 ms, {"seconds": s, "single": true} step by step.
"""

from __future__ import annotations

import gc
import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import workloads

LOSS_STEPS = 10


def answer(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def measure(step: Any, seconds: float, single: bool = False) -> list[float]:
    """Microseconds per step: one number per burst, or one per step."""
    clock = time.perf_counter
    burst = 1
    while not single:
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


def resident(name: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (at most so far); 0 where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def forget_peak() -> None:
    """Lets VmHWM start again from what is resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def run_eager(module: Any) -> None:
    cells = [(op, size) for size in workloads.EAGER_SHAPES for op in workloads.EAGER_OPS]
    calls = {}
    for op, size in cells:
        calls[op, size] = module.eager(op, *workloads.eager_inputs(op, size))
    for call in calls.values():
        call()
    answer(version=module.VERSION)
    gc.disable()
    for line in sys.stdin:
        seconds = json.loads(line)["seconds"]
        samples = {f"{op} {size}": measure(calls[op, size], seconds) for op, size in cells}
        answer(samples=samples)


def run_row(module: Any, name: str, factor: int) -> None:
    baseline = resident("VmRSS")
    step = module.prepare(name, factor)
    if isinstance(step, str):
        answer(missing=step)
        return
    forget_peak()
    start = time.perf_counter()
    result = step()
    module.finish(result)
    first = time.perf_counter() - start
    for _ in range(LOSS_STEPS - 1):
        result = step()
    loss = module.finish(result)
    peak = resident("VmHWM") - baseline
    answer(first=first, loss=loss, version=module.VERSION, peak_bytes=max(0, peak))
    gc.disable()
    for line in sys.stdin:
        request = json.loads(line)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        samples = measure(step, request["seconds"], request.get("single", False))
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        answer(samples=samples, faults=faults)


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    if sys.argv[2] == "eager":
        run_eager(module)
    else:
        run_row(module, sys.argv[2], int(sys.argv[3]))


if __name__ == "__main__":
    main()
