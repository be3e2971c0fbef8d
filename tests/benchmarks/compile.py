"""What the first call of a graph costs beyond a warm one, by size and shape of the graph.

    python tests/benchmarks/compile.py [--nodes 100 1000 10000]

Traces, plans and runs graphs of about so many nodes: a chain, independent branches, and a training
step of a transformer with as many blocks as that takes; then the rows of `run.py`. The requirement is
50 ms per 1,000 nodes, linear in the size, and 60 ms for every row.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import with_flowbook
import workloads

import flowbook as fb

LIMIT_PER_1000 = 50.0
LIMIT_OF_A_ROW = 60.0


def chain(nodes: int) -> Callable[[], Any]:
    """Each node reads the last one; a matrix product every fourth, so that groups stay short."""
    x = fb.asarray(np.full((8, 8), 0.01, np.float32))

    @fb.graph
    def f(x: Any) -> Any:
        y = x
        for i in range(nodes):
            y = y @ x if i % 4 == 0 else fb.tanh(y)
        return y

    return lambda: f(x)


def wide(nodes: int) -> Callable[[], Any]:
    """Branches of four nodes each from one input, all returned."""
    x = fb.asarray(np.full((8, 8), 0.01, np.float32))

    @fb.graph
    def f(x: Any) -> Any:
        return [fb.tanh(x @ x + float(i)) * 2.0 for i in range(nodes // 4)]

    return lambda: f(x)


def training(nodes: int) -> Callable[[], Any]:
    """A step of a small transformer; about 95 nodes a block with gradients and Adam."""
    size = {"layers": max(1, nodes // 95), "width": 16, "heads": 2, "length": 8}
    saved = dict(workloads.GPT)
    try:
        workloads.GPT.update(size, vocabulary=11)
        step = with_flowbook.prepare("gpt")
    finally:
        config = dict(workloads.GPT)
        workloads.GPT.update(saved)

    def run() -> Any:
        workloads.GPT.update(config)
        try:
            return step()
        finally:
            workloads.GPT.update(saved)

    return run


def first_and_warm(step: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of the first call, and of the best of some more."""
    spent = []
    for _ in range(6):
        start = time.perf_counter()
        step()
        spent.append((time.perf_counter() - start) * 1e3)
    return spent[0], min(spent[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--rows", nargs="*", default=["mlp_tiny", "mlp", "cnn", "gpt"])
    args = parser.parse_args()
    print(
        f"{'graph':>12} {'nodes':>7} {'first':>9} {'warm':>9} {'beyond':>9} {'per 1,000':>10}  ms"
    )
    for make in (chain, wide, training):
        for nodes in args.nodes:
            first, warm = first_and_warm(make(nodes))
            beyond = first - warm
            each = beyond / nodes * 1000
            late = "" if each <= LIMIT_PER_1000 else "  above the limit"
            print(
                f"{make.__name__:>12} {nodes:7} {first:9.1f} {warm:9.2f} {beyond:9.1f} {each:10.1f}{late}"
            )
    for row in args.rows:
        first, warm = first_and_warm(with_flowbook.prepare(row))
        late = "" if first - warm <= LIMIT_OF_A_ROW else "  above the limit"
        print(f"{row:>12} {'':7} {first:9.1f} {warm:9.2f} {first - warm:9.1f}{late}")


if __name__ == "__main__":
    main()
