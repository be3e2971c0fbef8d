"""How rows grow with threads and with the batch; needs flowbook and NumPy alone.

    python tests/benchmarks/scaling.py              threads 1, 2, 4 ... of this machine; batch x1, x4
    python tests/benchmarks/scaling.py --threads 1,2 --batch 1,4,16 --only mlp gpt

Writes a table and a JSON, by default into build/bench. The serial fraction is Amdahl's law read
backwards at the most threads: what is left of a step when the rest is divided. It counts all that
does not divide: waking and waiting, memory that is as busy with one core as with many, chunks too
few for the threads. A row of eager `add` over memory is the measure for the latter.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import rates
import report
import workloads
from run import numbers

DEFAULT_ROWS = ("mlp", "cnn", "gpt", "chain", "softmax_ln", "resblock", "lstm", "unet", "add_1e7")


def powers(limit: int) -> list[int]:
    """1, 2, 4 ... and the limit itself."""
    return sorted({min(1 << i, limit) for i in range(limit.bit_length() + 1)})


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--threads", type=numbers, default=powers(min(16, harness.processors())))
    add("--batch", type=numbers, default=[1, 4])
    add("--only", nargs="*", default=list(DEFAULT_ROWS), metavar="ROW")
    add("--seconds", type=float, default=0.4, help="length of a turn")
    add("--rounds", type=int, default=2, help="turns of each process")
    add("--limit", type=float, default=170, help="start no other row after so many seconds")
    add("--out", type=Path, default=harness.ROOT / "build" / "bench" / "scaling.json")
    options = parser.parse_args()
    unknown = set(options.only) - set(workloads.ALL)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    start = time.perf_counter()
    setting = harness.Setting(threads=1, rounds=options.rounds, seconds=options.seconds)
    results: dict[str, Any] = {"machine": harness.machine(max(options.threads)), "rates": {}}
    for threads in options.threads:
        results["rates"][str(threads)] = rates.measure_best_apart(harness.environment(threads))
    lines = [["", "products, GFLOP/s", "copy 1 MiB, GB/s", "copy 256 MiB, GB/s"]]
    for threads, known in results["rates"].items():
        each = (known["best"][rate] for rate in ("products", f"copy {1 << 20}", f"copy {1 << 28}"))
        lines.append([f"{threads} threads", *map(report.number, each)])
    text = f"{results['machine']['cpu']}, {harness.processors()} processors\n\n"
    text += report.aligned(lines) + "\n\n"
    scaling: dict[str, Any] = {"threads": options.threads, "rows": {}}
    late: list[str] = []
    for factor in options.batch:  # all rows at the first batch before any at the next
        for name in options.only:
            if factor > 1 and workloads.ALL[name].kind == "eager":
                continue  # their operands have no batch
            if time.perf_counter() - start > options.limit:
                late.append(f"{name} x{factor}")
                continue
            print(f"{name} x{factor}", file=sys.stderr, flush=True)
            by_threads = scaling["rows"].setdefault(name, {}).setdefault(str(factor), {})
            for threads in options.threads:
                how = replace(setting, threads=threads, factor=factor)
                by_threads[str(threads)] = harness.run_row(name, ["flowbook"], how)
    results["scaling"] = scaling
    text += report.scaling_table(scaling) + "\n"
    if late:
        text += f"left out after {options.limit:.0f} s: {', '.join(late)}\n"
    print(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    options.out.with_suffix(".txt").write_text(text)
    print("written:", options.out, options.out.with_suffix(".txt"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
