"""Tables and the plot of what the harness measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import workloads

COLOURS = {"torch": "#d9622b", "torch.compile": "#f0b07a", "jax": "#5b7fbd", "numpy": "#8a8f98"}


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


def over_floor(results: dict[str, Any], name: str) -> dict[str, float]:
    """How many times a row's floor flowbook takes, like against like.

    "median": the median of its turns over the floor at the median rates of the machine's turns;
    "least": its shortest step over the floor at the best rates. Without figures there is none.
    """
    ours, floors = results["rows"][name].get("flowbook", {}), results["floors"].get(name, {})
    pairs = {"median": ("us", "median"), "least": ("us_least", "best")}
    return {
        kind: ours[step] / floors[rate]["us"]
        for kind, (step, rate) in pairs.items()
        if step in ours and rate in floors
    }


def times(value: float | None, digits: int = 2) -> str:
    return f"{value:.{digits}f}x" if value else ""


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as text: the first to the left, the others to the right, a rule below the head."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = []
    for line in lines:
        first, *rest = line
        cells = [first.ljust(widths[0]), *(t.rjust(n) for t, n in zip(rest, widths[1:]))]
        texts.append("  ".join(cells).rstrip())
    texts.insert(1, "  ".join("-" * n for n in widths))
    return "\n".join(texts)


def rows_table(results: dict[str, Any]) -> str:
    """The main table: microseconds, ratios to the best peer and to the floors, first call."""
    columns = results["frameworks"]
    head = ["us per step", *columns, "best peer / flowbook", "floor", "flowbook / floor"]
    lines = [[*head, "least / best floor", "target", "first call - step, ms"]]
    for name, row in results["rows"].items():
        ours, extra = row.get("flowbook", {}), ""
        known = workloads.ALL[name]
        if "first_call_s" in ours and known.kind != "eager":
            extra = number(max(0.0, ours["first_call_s"] * 1e3 - ours["us"] / 1e3))
        floor, ratios = results["floors"].get(name, {}), over_floor(results, name)
        lines.append(
            [
                name,
                *(cell_text(row.get(c)) for c in columns),
                times(ratio_of(row)),
                cell_text(floor.get("median")),
                times(ratios.get("median")),
                times(ratios.get("least")),
                f"<= {number(known.target)}" if known.target else "",
                extra,
            ]
        )
    if "imports" in results:
        row = results["imports"]
        limit = f"<= {row['numpy']['ms'] + 50:.0f}" if "ms" in row.get("numpy", {}) else ""
        texts = [cell_text(row.get(c), "ms") for c in columns]
        lines.append(["import (ms)", *texts, "", "", "", "", limit, ""])
    return (
        aligned(lines)
        + "\nflowbook / floor: medians of turns, the machine's among them."
        + " least / best floor: the shortest step, at the best rates that were seen."
    )


def memory_table(results: dict[str, Any]) -> str:
    """Peak resident memory over the imported framework, and page faults of a warm step."""
    columns = results["frameworks"]
    head = ["MiB over import", *columns, "of torch's", "page faults a step"]
    lines = [head]
    for name, row in results["rows"].items():
        mib = {f: row[f]["peak_bytes"] / 2**20 for f in columns if "peak_bytes" in row.get(f, {})}
        ours, theirs = mib.get("flowbook"), mib.get("torch")
        share = f"{100 * ours / theirs:.0f} %" if ours and theirs else ""
        faults = row.get("flowbook", {}).get("faults")
        texts = [number(mib[c]) if c in mib else "" for c in columns]
        lines.append([name, *texts, share, "" if faults is None else f"{faults:.2f}"])
    return aligned(lines)


def busy_table(results: dict[str, Any]) -> str:
    """Median and 99th percentile of single steps, on a quiet machine and beside a competitor."""
    columns = results["frameworks"]
    lines = [["us, p50 / p99", *(f"{c}, {when}" for c in columns for when in ("quiet", "busy"))]]
    for name, both in results["busy"].items():
        texts = []
        for framework in columns:
            for when in ("quiet", "busy"):
                cell = both[when].get(framework, {})
                known = "us_p99" in cell
                texts.append(
                    f"{number(cell['us_p50'])} / {number(cell['us_p99'])}" if known else ""
                )
        lines.append([name, *texts])
    return aligned(lines)


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def eager_ratios(table: dict[str, Any], peer: str, size: str) -> list[float]:
    ours, theirs = table.get("flowbook", {}), table.get(peer, {})
    cells = [f"{op} {size}" for op in workloads.EAGER_OPS]
    return [theirs[c] / ours[c] for c in cells if c in ours and c in theirs]


def eager_table(table: dict[str, Any]) -> str:
    """Eager ops: microseconds of each framework by size, then the geometric means of the ratios."""
    columns, sizes = list(table), list(workloads.EAGER_SHAPES)
    lines = [["us", *(f"{c} {size}" for size in sizes for c in columns)]]
    for op in workloads.EAGER_OPS:
        cells = [table[c].get(f"{op} {size}") for size in sizes for c in columns]
        lines.append([op, *(number(cell) if cell else "" for cell in cells)])
    for peer in columns:
        ratios = {size: eager_ratios(table, peer, size) for size in sizes}
        if peer == "flowbook" or not any(ratios.values()):
            continue
        means = {s: times(geometric_mean(r)) if r else "" for s, r in ratios.items()}
        line = [f"{peer} / flowbook, mean"]
        for size in sizes:
            line += [means[size] if c == peer else "" for c in columns]
        lines.append(line)
    return aligned(lines)


def serial_fraction(one: float, many: float, threads: int) -> float:
    """Amdahl's law read backwards: the share of a step that did not get faster with threads."""
    return max(0.0, (many / one - 1 / threads) / (1 - 1 / threads))


def scaling_table(scaling: dict[str, Any], framework: str = "flowbook") -> str:
    """Times by threads for each row and batch, speed-up and serial fraction at the most threads."""
    threads = scaling["threads"]
    most = max(threads)
    head = ["us per step", "batch", *(f"{t} thr" for t in threads)]
    lines = [[*head, f"speed-up at {most}", "serial", "us / batch unit"]]
    for name, by_batch in scaling["rows"].items():
        for factor, by_threads in by_batch.items():
            us = {int(t): row[framework]["us"] for t, row in by_threads.items()
                  if "us" in row.get(framework, {})}  # fmt: skip
            texts = [number(us[t]) if t in us else "" for t in threads]
            extra = ["", "", ""]
            if most in us and 1 in us and most > 1:
                fraction = serial_fraction(us[1], us[most], most)
                extra[:2] = times(us[1] / us[most]), f"{100 * fraction:.0f} %"
            if most in us:
                extra[2] = number(us[most] / int(factor))
            lines.append([name, f"x{factor}", *texts, *extra])
    return aligned(lines)


def plot(results: dict[str, Any], stem: Path) -> list[Path]:
    """Bars of peers' times over flowbook's, log scale, as PNG and SVG; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "flowbook"  # same figures, same file
    import matplotlib.pyplot as plt

    groups: list[tuple[str, dict[str, float]]] = []
    peers = [f for f in results["frameworks"] if f != "flowbook"]
    for name, row in results["rows"].items():
        ours = row.get("flowbook", {}).get("us")
        ratios = {p: row[p]["us"] / ours for p in peers if ours and "us" in row.get(p, {})}
        if ratios:
            groups.append((name, ratios))
    for size in workloads.EAGER_SHAPES if "eager" in results else ():
        means = {p: eager_ratios(results["eager"], p, size) for p in peers}
        groups.append(
            (f"12 eager ops, {size}", {p: geometric_mean(r) for p, r in means.items() if r})
        )
    if not groups:
        return []
    size = (8, 1.2 + 0.42 * len(groups))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    height = 0.8 / len(peers)
    for k, peer in enumerate(peers):
        at = [(i + (k - (len(peers) - 1) / 2) * height, r[peer]) for i, (_, r) in enumerate(groups)
              if peer in r]  # fmt: skip
        # Bars grow from 1: to the right flowbook is faster, to the left it is slower.
        axes.barh(
            [y for y, _ in at],
            [r - 1 for _, r in at],
            height,
            left=1,
            color=COLOURS[peer],
            label=peer,
        )
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.axvline(2, color="black", linewidth=0.5, linestyle=":")
    axes.set_yticks(range(len(groups)), [name for name, _ in groups])
    axes.invert_yaxis()
    ticks = (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100)
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("time of a step over flowbook's (log scale; right of 1: flowbook is faster)")
    where = results["machine"]
    axes.set_title(f"{where['cpu']}, {where['threads']} threads, float32", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    written = []
    for ending in ("png", "svg"):
        path = stem.with_suffix("." + ending)
        figure.savefig(path, dpi=110, metadata={"Date": None} if ending == "svg" else None)
        written.append(path)
    plt.close(figure)
    return written
