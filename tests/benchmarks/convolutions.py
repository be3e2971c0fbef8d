"""Convolutions and their two gradients beside PyTorch (eager, channels last), microseconds.

    python tests/benchmarks/convolutions.py [--rounds N] [--seconds S] [--only TEXT] [--before PYTHON]

Each framework computes in a process of its own, with two threads, and the processes take turns for each
figure, so that a busy machine hurts all alike; the figure is the least of the rounds' medians.
`--before` names an interpreter that imports another build of flowbook, which then takes turns as well.
The last columns are the rate in GFLOP/s (two operations a multiply-add) and what PyTorch takes over
what flowbook takes.
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

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
THREADS = "2"
# n, height, width, channels; window's height, width, outputs; stride, dilation, groups ("same").
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, int, int]]] = {
    "cnn's first": ((64, 28, 28, 1), (3, 3, 32), (1, 1, 1)),
    "cnn's second": ((64, 26, 26, 32), (3, 3, 64), (1, 1, 1)),
    "stem 7x7/2": ((8, 112, 112, 3), (7, 7, 64), (2, 1, 1)),
    "64 of 56x56": ((4, 56, 56, 64), (3, 3, 64), (1, 1, 1)),
    "128 of 28x28": ((4, 28, 28, 128), (3, 3, 128), (1, 1, 1)),
    "512 of 7x7": ((8, 7, 7, 512), (3, 3, 512), (1, 1, 1)),
    "strided 64-128": ((4, 56, 56, 64), (3, 3, 128), (2, 1, 1)),
    "1x1/2 64-128": ((8, 56, 56, 64), (1, 1, 128), (2, 1, 1)),
    "dilated 64": ((4, 28, 28, 64), (3, 3, 64), (1, 2, 1)),
    "odd 37-51": ((3, 29, 31, 37), (3, 3, 51), (1, 1, 1)),
    "batch 1, 64": ((1, 28, 28, 64), (3, 3, 64), (1, 1, 1)),
    "signal 64": ((16, 1, 1000, 64), (1, 5, 64), (1, 1, 1)),
    "U-Net 3-16": ((4, 64, 64, 3), (3, 3, 16), (1, 1, 1)),
    "8 groups": ((8, 28, 28, 64), (3, 3, 64), (1, 1, 8)),
    "depthwise 64": ((8, 56, 56, 64), (3, 3, 64), (1, 1, 64)),
    "depthwise/2 96": ((8, 28, 28, 96), (3, 3, 96), (2, 1, 96)),
}
PASSES = ("forward", "image", "weights")


def arrays(name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """The images, the weights, and the shape of the result."""
    (n, h, w, c), (kh, kw, o), (stride, _, groups) = SHAPES[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, h, w, c), np.float32)
    weights = rng.standard_normal((kh, kw, c // groups, o), np.float32)
    return x, weights, (n, -(-h // stride), -(-w // stride), o)


def multiplications(name: str) -> int:
    _, (kh, kw, o), (_, _, groups) = SHAPES[name]
    n, h, w, _ = arrays(name)[2]
    return n * h * w * kh * kw * SHAPES[name][0][3] // groups * o


def pads(name: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros before and behind each axis, as "same" has them."""
    (_, h, w, _), (kh, kw, _), (stride, dilation, _) = SHAPES[name]
    both = []
    for entries, size in ((h, kh), (w, kw)):
        out = -(-entries // stride)
        total = max((out - 1) * stride + (size - 1) * dilation + 1 - entries, 0)
        both.append((total // 2, total - total // 2))
    return both[0], both[1]


def with_flowbook(name: str) -> dict[str, Callable[[], Any]]:
    import flowbook as fb

    x, w, shape = arrays(name)
    stride, dilation, groups = SHAPES[name][2]
    x, w, dy = fb.asarray(x), fb.asarray(w), fb.asarray(np.ones(shape, np.float32))
    options = {"strides": stride, "dilation": dilation, "groups": groups, "padding": "same"}

    def forward(x: Any, w: Any) -> Any:
        return fb.nn.conv2d(x, w, **options)

    image = fb.graph(lambda x, w, dy: fb.gradients(forward(x, w), [x], seeds=[dy])[0])
    weights = fb.graph(lambda x, w, dy: fb.gradients(forward(x, w), [w], seeds=[dy])[0])
    return {
        "forward": lambda: forward(x, w),
        "image": lambda: image(x, w, dy),
        "weights": lambda: weights(x, w, dy),
    }


def with_torch(name: str) -> dict[str, Callable[[], Any]]:
    import torch

    torch.set_num_threads(int(THREADS))
    x, w, shape = arrays(name)
    stride, dilation, groups = SHAPES[name][2]
    (top, bottom), (left, right) = pads(name)

    def last(a: np.ndarray, *order: int) -> Any:
        return torch.from_numpy(np.ascontiguousarray(a.transpose(*order))).contiguous(
            memory_format=torch.channels_last
        )

    # PyTorch pads both sides alike: what is more is part of its image, which is no more work.
    x = np.pad(x, ((0, 0), (0, bottom - top), (0, right - left), (0, 0)))
    tx, tw = last(x, 0, 3, 1, 2), last(w, 3, 2, 0, 1)
    dy = last(np.ones(shape, np.float32), 0, 3, 1, 2)
    at = ([stride] * 2, [top, left], [dilation] * 2)

    def backward(*mask: bool) -> Any:
        return torch.ops.aten.convolution_backward(
            dy, tx, tw, None, *at, False, [0, 0], groups, [*mask, False]
        )

    y = torch.nn.functional.conv2d(tx, tw, None, *at, groups)
    assert y.shape == dy.shape, (y.shape, dy.shape)
    return {
        "forward": lambda: torch.nn.functional.conv2d(tx, tw, None, *at, groups),
        "image": lambda: backward(True, False),
        "weights": lambda: backward(False, True),
    }


def work(framework: str) -> None:
    """Answers lines of [shape, pass, seconds] with the median microseconds of a call."""
    calls: dict[str, dict[str, Callable[[], Any]]] = {}
    for line in sys.stdin:
        name, which, seconds = json.loads(line)
        if name not in calls:
            calls.clear()
            calls[name] = (with_flowbook if framework == "flowbook" else with_torch)(name)
        call, times = calls[name][which], []
        call()
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(json.dumps(statistics.median(times) * 1e6), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each figure in each round")
    parser.add_argument("--only", default="", help="part of a shape's name")
    parser.add_argument("--before", help="a Python that imports another build")
    parser.add_argument("--peers", default=str(ROOT / ".peers"), help="PyTorch's environment")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "FLOWBOOK_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, THREADS)}
    interpreters = {"flowbook": (sys.executable, environment)}
    if options.before:
        interpreters["before"] = (options.before, environment)
    peer = Path(options.peers, "bin", "python")
    if peer.exists():
        interpreters["torch"] = (str(peer), environment)
    workers = {}
    for framework, (python, env) in interpreters.items():
        kind = "torch" if framework == "torch" else "flowbook"
        workers[framework] = subprocess.Popen(
            [python, __file__, "--work", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
    titles = [*workers, "GFLOP/s", *(["torch/ours"] if "torch" in workers else [])]
    print(f"{'':16}{'':9}" + "".join(f"{t:>10}" for t in titles))
    for name in SHAPES:
        if options.only not in name:
            continue
        for which in PASSES:
            best = dict.fromkeys(workers, float("inf"))
            for i in range(options.rounds):
                for f in list(workers) if i % 2 == 0 else reversed(list(workers)):
                    workers[f].stdin.write(json.dumps([name, which, options.seconds]) + "\n")
                    workers[f].stdin.flush()
                    best[f] = min(best[f], float(workers[f].stdout.readline()))
            rate = 2e-3 * multiplications(name) / best["flowbook"]
            ratio = f"{best['torch'] / best['flowbook']:10.2f}" if "torch" in best else ""
            figures = "".join(f"{t:10,.0f}" for t in best.values())
            print(f"{name:16}{which:9}{figures}{rate:10.1f}{ratio}", flush=True)
    for w in workers.values():
        w.kill()


if __name__ == "__main__":
    main()
