"""Convolutions and their two gradients beside PyTorch (eager, channels last), microseconds.

    python tests/benchmarks/convolutions.py [--rounds N] [--seconds S] [--only TEXT] [--before PYTHON]

`beside.py` says how figures are taken. `--before` names an interpreter that imports another build of
flowbook, which then takes turns as well. The last columns are the rate in GFLOP/s (two operations a
multiply-add) and what PyTorch takes over what flowbook takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import beside
import numpy as np

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

    torch.set_num_threads(int(beside.THREADS))
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


def main() -> None:
    options = beside.options_of(__doc__.splitlines()[0])
    if options.work:
        beside.answer(with_torch if options.work == "torch" else with_flowbook)
        return
    with beside.Workers(__file__, options) as workers:
        titles = [*workers.processes, "GFLOP/s"]
        titles += ["torch/ours"] if "torch" in titles else []
        print(f"{'':16}{'':9}" + "".join(f"{t:>10}" for t in titles))
        for name in SHAPES:
            if options.only not in name:
                continue
            for which in PASSES:
                best = workers.least(name, which)
                rate = 2e-3 * multiplications(name) / best["flowbook"]
                figures = "".join(f"{t:10,.0f}" for t in best.values())
                print(f"{name:16}{which:9}{figures}{rate:10.1f}{beside.ratio(best)}", flush=True)


if __name__ == "__main__":
    main()
