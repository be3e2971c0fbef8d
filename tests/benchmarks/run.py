"""Compares flowbook with its peers: `make bench`, or `python tests/benchmarks/run.py --help`.

Every pair of framework and workload is a process of its own; for each workload the processes take
turns, so that a busy machine disturbs all alike. The figure of a row is the median over all turns.
Peers come from .peers (`make peers`); what is missing is said, never guessed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
import workloads  # noqa: E402

THREADS = 2
FRAMEWORKS = {  # column -> module and flags of the worker
    "flowbook": ["with_flowbook"],
    "numpy": ["with_numpy"],
    "torch": ["with_torch"],
    "torch.compile": ["with_torch", "compile"],
    "jax": ["with_jax"],
}
IMPORTS = {"numpy": "numpy", "flowbook": "flowbook", "torch": "torch", "jax": "jax.numpy"}
FIRST_CALL_LIMIT = 60_000  # microseconds beyond a warm step


def interpreter(framework: str) -> str | None:
    """The Python that has this framework; None if there is none."""
    if framework in ("flowbook", "numpy"):
        return sys.executable
    peers = ROOT / ".peers" / "bin" / "python"
    return str(peers) if peers.exists() else None


def environment() -> dict[str, str]:
    threads = str(THREADS)
    xla = f"--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads={threads}"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FLOWBOOK_NUM_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(names, threads),
        "XLA_FLAGS": xla,
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # the first call is a cold one
    }


class Worker:
    """A process that runs one workload on request."""

    def __init__(self, framework: str, workload: str) -> None:
        module, *flags = FRAMEWORKS[framework]
        self._process = subprocess.Popen(
            [interpreter(framework) or "", str(HERE / "worker.py"), module, workload, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.start = self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        assert self._process.stderr is not None
        lines = self._process.stderr.read().strip().splitlines()
        return {"missing": f"failed: {lines[-1] if lines else 'no output'}"}

    def measure(self, seconds: float) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        answer = self._read()
        return answer.get("samples", [])

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def run_workload(name: str, frameworks: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {}
    workers: dict[str, Worker] = {}
    try:
        for framework in frameworks:
            if interpreter(framework) is None:
                row[framework] = {"missing": "not installed: make peers"}
                continue
            worker = Worker(framework, name)
            if "missing" in worker.start:
                row[framework] = {"missing": worker.start["missing"]}
                worker.close()
            else:
                workers[framework] = worker
        samples: dict[str, list[float]] = {framework: [] for framework in workers}
        for turn in range(rounds):
            order = list(workers) if turn % 2 == 0 else list(reversed(workers))
            for framework in order:
                samples[framework] += workers[framework].measure(seconds)
        for framework, worker in workers.items():
            taken = sorted(samples[framework])
            row[framework] = {
                "us": statistics.median(taken),
                "us_low": taken[len(taken) // 10],
                "us_high": taken[len(taken) * 9 // 10],
                "first_call_s": worker.start["first"],
                "loss": worker.start["loss"],
                "version": worker.start["version"],
            }
    finally:
        for worker in workers.values():
            worker.close()
    return row


def check_losses(name: str, row: dict[str, Any]) -> str | None:
    """All frameworks must have computed the same; a different loss is a different workload."""
    if name not in workloads.TRAINING:
        return None
    losses = {f: cell["loss"] for f, cell in row.items() if "loss" in cell}
    if losses and max(losses.values()) - min(losses.values()) > 2e-3 * max(losses.values()):
        return f"{name}: the losses after 10 steps differ: {losses}"
    return None


def measure_imports(rounds: int) -> dict[str, Any]:
    """Milliseconds that an import adds to a bare start of the same interpreter."""
    row: dict[str, Any] = {}
    commands = {}
    for framework, module in IMPORTS.items():
        python = interpreter(framework)
        if python is None:
            row[framework] = {"missing": "not installed: make peers"}
        else:
            commands[framework] = (python, f"import {module}")
    times: dict[str, list[float]] = {framework: [] for framework in commands}
    for _ in range(max(3, rounds)):
        for framework, (python, code) in commands.items():
            spent = []
            for body in ("pass", code):
                start = time.perf_counter()
                done = subprocess.run(
                    [python, "-c", body], env=environment(), check=False, stderr=subprocess.DEVNULL
                )
                spent.append(time.perf_counter() - start)
                if done.returncode != 0:
                    row[framework] = {"missing": "import failed"}
            times[framework].append((spent[1] - spent[0]) * 1e3)
    for framework, taken in times.items():
        row.setdefault(framework, {"ms": statistics.median(taken)})
    return row


def measure_floor() -> dict[str, float]:
    """What the machine can do: multiply-adds of matrices, and bytes copied."""
    a = np.ones((1024, 1024), np.float32)
    big, out = np.ones(25_000_000, np.float32), np.empty(25_000_000, np.float32)

    def best(function: Any) -> float:
        taken = []
        for _ in range(7):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
        return min(taken)

    return {
        "numpy_gflops": 2 * 1024**3 / best(lambda: a @ a) / 1e9,
        "copy_gb_s": 2 * big.nbytes / best(lambda: np.copyto(out, big)) / 1e9,
    }


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def number(value: float) -> str:
    if value < 10:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def cell_text(cell: dict[str, Any] | None, key: str = "us") -> str:
    if cell is None:
        return ""
    return number(cell[key]) if key in cell else str(cell.get("missing", ""))[:28]


def ratio_of(row: dict[str, Any], key: str = "us") -> float | None:
    """How many times the fastest peer's time is flowbook's; None without either."""
    ours = row.get("flowbook", {}).get(key)
    peers = [c[key] for f, c in row.items() if f != "flowbook" and key in c]
    return min(peers) / ours if ours and peers else None


def print_table(results: dict[str, Any]) -> None:
    columns = results["frameworks"]
    head = ["us per step", *columns, "best peer / flowbook", "target", "first call - step, ms"]
    lines = [head]
    for name, row in results["rows"].items():
        ratio = ratio_of(row)
        ours = row.get("flowbook", {})
        extra = ""
        if "first_call_s" in ours and name not in workloads.EAGER:
            extra = number(max(0.0, ours["first_call_s"] * 1e3 - ours["us"] / 1e3))
        lines.append(
            [
                name,
                *(cell_text(row.get(c)) for c in columns),
                f"{ratio:.2f}x" if ratio else "",
                f"<= {number(workloads.TARGETS[name])}",
                extra,
            ]
        )
    if "imports" in results:
        row = results["imports"]
        ours = cell_text(row.get("flowbook"), "ms")
        limit = f"<= {row['numpy']['ms'] + 50:.0f}" if "ms" in row.get("numpy", {}) else ""
        texts = [ours if c == "flowbook" else cell_text(row.get(c), "ms") for c in columns]
        lines.append(["import (ms)", *texts, "", limit, ""])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for i, line in enumerate(lines):
        first, *rest = (text for text in line)
        cells = [first.ljust(widths[0]), *(t.rjust(w) for t, w in zip(rest, widths[1:]))]
        print("  ".join(cells).rstrip())
        if i == 0:
            print("  ".join("-" * w for w in widths))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=list(workloads.TARGETS), metavar="ROW")
    parser.add_argument("--frameworks", nargs="*", default=list(FRAMEWORKS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each process")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--no-import", action="store_true", help="leave out the import row")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    unknown = set(options.only) - set(workloads.TARGETS)
    unknown |= set(options.frameworks) - set(FRAMEWORKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    results: dict[str, Any] = {
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": THREADS,
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d"),
            **measure_floor(),
        },
        "frameworks": options.frameworks,
        "rows": {},
    }
    machine = results["machine"]
    print(
        f"{machine['cpu']}, {THREADS} threads; NumPy multiplies at "
        f"{machine['numpy_gflops']:.0f} GFLOP/s, copies at {machine['copy_gb_s']:.1f} GB/s\n"
    )
    problems = []
    for name in options.only:
        print(f"{name}: {workloads.DESCRIPTIONS[name]}", flush=True)
        row = run_workload(name, options.frameworks, options.rounds, options.seconds)
        results["rows"][name] = row
        problem = check_losses(name, row)
        if problem:
            problems.append(problem)
    if not options.no_import:
        results["imports"] = measure_imports(options.rounds)
    print()
    print_table(results)
    for name, row in results["rows"].items():
        failed = {f: c["missing"] for f, c in row.items() if "failed" in str(c.get("missing"))}
        problems += [f"{name}, {f}: {text}" for f, text in failed.items()]
    for problem in problems:
        print(f"PROBLEM  {problem}")
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nwritten to {options.out}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
