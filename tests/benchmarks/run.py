"""Compares flowbook with its peers: `make bench`, or `python tests/benchmarks/run.py --help`.

The figure of a row is the median over all turns of its process. Peers come from .peers
(`make peers`); what is missing is said, never guessed. NOTES.md tells how to read the tables.

    run.py --only gpt --frameworks flowbook torch --rounds 2     one row, quickly
    run.py --eager --only                                        the table of eager ops by itself
    run.py --more                                                other models too
    run.py --busy --only mlp cnn                                 beside a competing process
    run.py --threads 1,2 --batch 1,4,16 --frameworks flowbook    how rows grow
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import rates
import report
import workloads
from harness import FRAMEWORKS, ROOT, Setting


def numbers(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"expected positive numbers like 1,2,4; got {text!r}")
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="*", metavar="ROW", help=f"of {', '.join(workloads.ALL)}")
    add("--more", action="store_true", help="add the rows of other models")
    add("--eager", action="store_true", help="add the table of 12 eager ops at three sizes")
    add("--frameworks", nargs="*", default=list(FRAMEWORKS), metavar="NAME")
    add("--rounds", type=int, default=6, help="turns of each process")
    add("--seconds", type=float, default=0.5, help="length of a turn")
    usable = min(2, harness.processors())
    add("--threads", type=numbers, default=[usable], help="several, as 1,2: the scaling table")
    add("--batch", type=numbers, default=[1], help="factors of the batch, as 1,4,16")
    add("--busy", action="store_true", help="p50 and p99, quiet and beside a competing process")
    add("--no-import", action="store_true", help="leave out the import row")
    add("--no-plot", action="store_true", help="write no plot")
    add("--peers", type=Path, default=ROOT / ".peers", help="environment of PyTorch and JAX")
    add("--out", type=Path, default=ROOT / "build" / "bench" / "results.json")
    options = parser.parse_args()
    if options.only is None:
        options.only = list(workloads.ALL if options.more else workloads.ROWS)
    unknown = set(options.only) - set(workloads.ALL)
    unknown |= set(options.frameworks) - set(FRAMEWORKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


def check_losses(name: str, row: dict[str, Any]) -> str | None:
    """All frameworks must have computed the same; a different loss is a different workload."""
    losses = {f: cell["loss"] for f, cell in row.items() if "loss" in cell}
    if name not in workloads.ALL or workloads.ALL[name].kind != "training" or not losses:
        return None
    if max(losses.values()) - min(losses.values()) > 2e-3 * max(losses.values()):
        return f"{name}: the losses after 10 steps differ: {losses}"
    return None


def problems_of(rows: dict[str, Any]) -> list[str]:
    found = [problem for name, row in rows.items() if (problem := check_losses(name, row))]
    for name, row in rows.items():
        failed = {f: c["missing"] for f, c in row.items() if "failed" in str(c.get("missing"))}
        found += [f"{name}, {f}: {text}" for f, text in failed.items()]
    return found


def say(name: str) -> None:
    print(f"{name}: {workloads.ALL[name].about}", flush=True)


def run_scaling(options: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name in options.only:
        say(name)
        eager = workloads.ALL[name].kind == "eager"  # their operands have no batch
        for factor in [1] if eager else options.batch:
            for threads in options.threads:
                how = replace(setting, threads=threads, factor=factor)
                row = harness.run_row(name, options.frameworks, how)
                rows.setdefault(name, {}).setdefault(str(factor), {})[str(threads)] = row
    return {"threads": options.threads, "rows": rows}


def main() -> int:
    options = parse()
    setting = Setting(
        threads=options.threads[0],
        rounds=options.rounds,
        seconds=options.seconds,
        peers=options.peers,
    )
    known = rates.measure_best_apart(harness.environment(setting.threads))
    results: dict[str, Any] = {
        "machine": {**harness.machine(setting.threads), "rates": known},
        "frameworks": options.frameworks,
        "rows": {},
        "floors": {},
    }
    best = known["best"]
    print(
        f"{results['machine']['cpu']}, {setting.threads} threads, at best: products at "
        f"{best['products']:.0f} GFLOP/s ({known['by']['products']}), copies at "
        f"{best[f'copy {max(rates.COPY_SIZES)}']:.1f} GB/s in memory, "
        + ", ".join(f"{name} {1 / best[name]:.2f} ns" for name in rates.MATH)
        + "\n"
    )
    tables = []
    if len(options.threads) > 1 or options.batch != [1]:
        results["scaling"] = run_scaling(options, setting)
        tables += [report.scaling_table(results["scaling"], f) for f in options.frameworks]
    elif options.busy:
        results["busy"] = {}
        for name in options.only:
            say(name)
            single = replace(setting, single=True)
            both = {"quiet": harness.run_row(name, options.frameworks, single)}
            with harness.Competitor():
                both["busy"] = harness.run_row(name, options.frameworks, single)
            results["busy"][name] = both
        tables.append(report.busy_table(results))
    else:
        for name in options.only:
            say(name)
            row = harness.run_row(name, options.frameworks, setting, known)
            phases, reached = workloads.ALL[name].work(1), row[harness.MACHINE]
            kinds = [kind for kind in ("median", "best") if kind in reached]
            results["floors"][name] = {kind: rates.floor(phases, reached[kind]) for kind in kinds}
            results["rows"][name] = row
        if options.eager:
            peers = [f for f in ("flowbook", "numpy", "torch") if f in options.frameworks]
            short = replace(setting, seconds=min(setting.seconds, 0.05))
            results["eager"] = harness.run_eager(peers, short)
        if options.only and not options.no_import:
            results["imports"] = harness.measure_imports(options.frameworks, setting)
        if options.only:
            tables += [report.rows_table(results), report.memory_table(results)]
        if options.eager:
            tables.append(report.eager_table(results["eager"]))
    print()
    print("\n\n".join(tables))
    problems = problems_of({**results["rows"], "eager ops": results.get("eager", {})})
    for problem in problems:
        print(f"PROBLEM  {problem}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    written = [options.out]
    if not options.no_plot and (results["rows"] or "eager" in results):
        try:
            written += report.plot(results, options.out)
        except ImportError:
            print("no plot: matplotlib is not installed here")
    print("\nwritten:", *written)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
