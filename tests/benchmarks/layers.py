"""Pooling, ReLU and batch norm with their gradients beside PyTorch (eager, channels last), microseconds.

    python tests/benchmarks/layers.py [--rounds N] [--seconds S] [--only TEXT] [--before PYTHON]

`beside.py` says how figures are taken. "both" is the forward pass and the gradient of the image together,
because what one keeps for the other is for each framework to choose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import beside
import numpy as np

# op; n, height, width, channels
ROWS: dict[str, tuple[str, tuple[int, ...]]] = {
    f"{op} {c} of {h}x{h}": (op, (n, h, h, c))
    for op in ("max pool", "average pool", "relu", "batch norm")
    for n, h, c in ((64, 24, 64), (8, 56, 64), (4, 14, 256))
}
PASSES = ("forward", "both")


def image(name: str) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(ROWS[name][1], np.float32)


def with_flowbook(name: str) -> beside.Calls:
    import flowbook as fb

    op, (_, _, _, c) = ROWS[name]
    ones, zeros = np.ones(c, np.float32), np.zeros(c, np.float32)
    ops: dict[str, Callable[[Any], Any]] = {
        "max pool": lambda x: fb.nn.max_pool2d(x, (2, 2)),
        "average pool": lambda x: fb.nn.avg_pool2d(x, (2, 2)),
        "relu": fb.nn.relu,
        "batch norm": lambda x: fb.nn.batch_norm(x, ones, zeros)[0],
    }
    function, x = ops[op], fb.asarray(image(name))
    forward = fb.graph(function)
    dy = fb.asarray(np.ones(forward(x).shape, np.float32))
    both = fb.graph(lambda x, dy: fb.gradients(function(x), [x], seeds=[dy])[0])
    return {"forward": lambda: forward(x), "both": lambda: both(x, dy)}


def with_torch(name: str) -> beside.Calls:
    import torch

    torch.set_num_threads(int(beside.THREADS))
    functional = torch.nn.functional
    op, (_, _, _, c) = ROWS[name]
    ones, zeros = torch.ones(c), torch.zeros(c)
    ops: dict[str, Callable[[Any], Any]] = {
        "max pool": lambda x: functional.max_pool2d(x, 2),
        "average pool": lambda x: functional.avg_pool2d(x, 2),
        "relu": functional.relu,
        "batch norm": lambda x: functional.batch_norm(x, None, None, ones, zeros, training=True),
    }
    function = ops[op]
    x = torch.from_numpy(image(name).transpose(0, 3, 1, 2))  # channels last
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    dy = torch.ones_like(y)

    def forward() -> Any:
        with torch.inference_mode():
            return function(x)

    def both() -> Any:
        return torch.autograd.grad(function(leaf), leaf, dy)

    return {"forward": forward, "both": both}


def main() -> None:
    options = beside.options_of(__doc__.splitlines()[0])
    if options.work:
        beside.answer(with_torch if options.work == "torch" else with_flowbook)
        return
    with beside.Workers(__file__, options) as workers:
        titles = list(workers.processes)
        titles += ["torch/ours"] if "torch" in titles else []
        print(f"{'':26}{'':9}" + "".join(f"{t:>10}" for t in titles))
        for name in ROWS:
            if options.only not in name:
                continue
            for which in PASSES:
                best = workers.least(name, which)
                figures = "".join(f"{t:10,.0f}" for t in best.values())
                print(f"{name:26}{which:9}{figures}{beside.ratio(best)}", flush=True)


if __name__ == "__main__":
    main()
