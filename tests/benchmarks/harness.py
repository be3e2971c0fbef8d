"""Runs workers in turns and collects what they measured; knows neither tables nor options.

Every pair of framework and workload is a process of its own; for each workload the processes take
turns, so that a busy machine disturbs all alike.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rates

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FRAMEWORKS = {  # column -> module and flags of the worker
    "flowbook": ["with_flowbook"],
    "numpy": ["with_numpy"],
    "torch": ["with_torch"],
    "torch.compile": ["with_torch", "compile"],
    "jax": ["with_jax"],
}
MACHINE = "machine"  # takes turns as well, see rates.py
SPINNING = ("numpy", MACHINE)  # may leave threads that turn for rates.SETTLE seconds
IMPORTS = {"numpy": "numpy", "flowbook": "flowbook", "torch": "torch", "jax": "jax.numpy"}


@dataclass(frozen=True)
class Setting:
    """How the workers run."""

    threads: int
    rounds: int = 6
    seconds: float = 0.5
    factor: int = 1  # of the batch
    single: bool = False  # time each step by itself, for percentiles
    peers: Path = ROOT / ".peers"  # the environment of PyTorch and JAX


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interpreter(framework: str, setting: Setting) -> str | None:
    """The Python that has this framework; None if there is none."""
    if framework in ("flowbook", "numpy"):
        return sys.executable
    python = setting.peers / "bin" / "python"
    return str(python) if python.exists() else None


def environment(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FLOWBOOK_NUM_THREADS")
    xla = f"--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads={threads}"
    return {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "XLA_FLAGS": xla,
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # the first call is a cold one
    }


def command_of(framework: str, workload: str, setting: Setting) -> list[str] | None:
    """How to start the worker of a framework; None if it isn't installed."""
    python = interpreter(framework, setting)
    if python is None:
        return None
    module, *flags = FRAMEWORKS[framework]
    command = [python, str(HERE / "worker.py"), module, workload, str(setting.factor), *flags]
    if framework == "jax" and setting.threads < processors():
        # JAX sizes its pool by the processors it may use, whatever its flags say.
        some = sorted(os.sched_getaffinity(0))[: setting.threads]
        command = ["taskset", "-c", ",".join(map(str, some)), *command]
    return command


class Worker:
    """A process that runs one workload on request."""

    def __init__(self, command: Sequence[str], setting: Setting) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(setting.threads),
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

    def measure(self, setting: Setting) -> dict[str, Any]:
        assert self._process.stdin is not None
        request = {"seconds": setting.seconds, "single": setting.single}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Competitor:
    """A process of equal priority that never waits: what a notebook machine often has beside it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", "while True: pass"])

    def __enter__(self) -> Competitor:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


def in_turns(
    commands: dict[str, list[str] | None], setting: Setting
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """What each participant's worker said at its start, and what it answered in every turn."""
    starts: dict[str, dict[str, Any]] = {}
    workers: dict[str, Worker] = {}
    try:
        for name, command in commands.items():
            if command is None:
                starts[name] = {"missing": "not installed: make peers"}
                continue
            worker = Worker(command, setting)
            starts[name] = worker.start
            if "missing" in worker.start:
                worker.close()
            else:
                workers[name] = worker
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        for turn in range(setting.rounds):
            order = list(workers) if turn % 2 == 0 else list(reversed(workers))
            for name in order:
                answers[name].append(workers[name].measure(setting))
                if name in SPINNING:
                    time.sleep(rates.SETTLE)
    finally:
        for worker in workers.values():
            worker.close()
    return starts, answers


def quantile(taken: Sequence[float], share: float) -> float:
    ordered = sorted(taken)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run_row(
    name: str,
    frameworks: Sequence[str],
    setting: Setting,
    known: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One row: for each framework its times, first call, loss and memory, or why there are none.

    With what `rates.measure_best` found, the machine takes its turns too: its median and best rates.
    """
    commands = {MACHINE: rates.command(name, setting.factor, known)} if known else {}
    commands |= {framework: command_of(framework, name, setting) for framework in frameworks}
    starts, answers = in_turns(commands, setting)
    row: dict[str, Any] = {}
    for framework, start in starts.items():
        if framework == MACHINE:
            turns = [a for a in answers.get(MACHINE, []) if "median" in a]
            failed = {"missing": start.get("missing", "failed: no rates")}
            row[MACHINE] = rates.over_turns(turns, known) if turns else failed
            continue
        taken = [us for a in answers.get(framework, []) for us in a.get("samples", [])]
        if not taken:
            row[framework] = {"missing": start.get("missing", "failed: no samples")}
            continue
        # Each turn has a median, so a turn on a disturbed machine counts once, however long it is.
        turns = [statistics.median(a["samples"]) for a in answers[framework] if a.get("samples")]
        row[framework] = {
            "us": statistics.median(turns),
            "us_least": min(taken),
            "us_low": quantile(taken, 0.1),
            "us_p99": quantile(taken, 0.99),
            "us_p50": statistics.median(taken),
            "first_call_s": start["first"],
            "loss": start["loss"],
            "version": start["version"],
            "peak_bytes": start["peak_bytes"],
            "faults": min(a["faults"] / len(a["samples"]) for a in answers[framework]),
        }
    return row


def run_eager(frameworks: Sequence[str], setting: Setting) -> dict[str, Any]:
    """Medians of the table of eager ops: framework -> "op size" -> microseconds."""
    starts, answers = in_turns({f: command_of(f, "eager", setting) for f in frameworks}, setting)
    table: dict[str, Any] = {}
    for framework, start in starts.items():
        turns = [a["samples"] for a in answers.get(framework, []) if "samples" in a]
        if not turns:
            table[framework] = {"missing": start.get("missing", "failed: no samples")}
            continue
        table[framework] = {
            cell: statistics.median(statistics.median(turn[cell]) for turn in turns)
            for cell in turns[0]
        }
    return table


def measure_imports(frameworks: Sequence[str], setting: Setting) -> dict[str, Any]:
    """Milliseconds that an import adds to a bare start of the same interpreter."""
    row: dict[str, Any] = {}
    commands = {}
    for framework in frameworks:
        python = interpreter(framework, setting)
        if framework not in IMPORTS:
            continue
        if python is None:
            row[framework] = {"missing": "not installed: make peers"}
        else:
            commands[framework] = (python, f"import {IMPORTS[framework]}")
    times: dict[str, list[float]] = {framework: [] for framework in commands}
    for _ in range(max(3, setting.rounds)):
        for framework, (python, code) in commands.items():
            spent = []
            for body in ("pass", code):
                start = time.perf_counter()
                done = subprocess.run(
                    [python, "-c", body],
                    env=environment(setting.threads),
                    check=False,
                    stderr=subprocess.DEVNULL,
                )
                spent.append(time.perf_counter() - start)
                if done.returncode != 0:
                    row[framework] = {"missing": "import failed"}
            times[framework].append((spent[1] - spent[0]) * 1e3)
    for framework, taken in times.items():
        row.setdefault(framework, {"ms": statistics.median(taken)})
    return row


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine(threads: int) -> dict[str, Any]:
    """What a table must say about where it was measured."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
