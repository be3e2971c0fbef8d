"""What an element of each function costs, in nanoseconds, on one thread: flowbook's eager ops beside
NumPy and, where it is installed, PyTorch.

    python tests/benchmarks/vector_math.py [--dtype float64] [function ...]

Sizes 1,000 (in the first cache; the call's overhead is in the figure) and 1,000,000 (in the last
cache or memory; `add` shows what reading and writing alone costs). The least of several rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import flowbook as fb

SIZES = (1_000, 1_000_000)
# name: (flowbook, NumPy or None, PyTorch's name or None); pow and add take a second operand.
FUNCTIONS: dict[str, tuple[Callable[..., Any], Any, str | None]] = {
    "add": (fb.add, np.add, "add"),
    "exp": (fb.exp, np.exp, "exp"),
    "exp2": (fb.exp2, np.exp2, "exp2"),
    "expm1": (fb.expm1, np.expm1, "expm1"),
    "log": (fb.log, np.log, "log"),
    "log2": (fb.log2, np.log2, "log2"),
    "log10": (fb.log10, np.log10, "log10"),
    "log1p": (fb.log1p, np.log1p, "log1p"),
    "rsqrt": (fb.rsqrt, None, "rsqrt"),
    "pow": (fb.pow, np.power, "pow"),
    "sin": (fb.sin, np.sin, "sin"),
    "cos": (fb.cos, np.cos, "cos"),
    "tan": (fb.tan, np.tan, "tan"),
    "asin": (fb.asin, np.arcsin, "asin"),
    "acos": (fb.acos, np.arccos, "acos"),
    "atan": (fb.atan, np.arctan, "atan"),
    "sinh": (fb.sinh, np.sinh, "sinh"),
    "cosh": (fb.cosh, np.cosh, "cosh"),
    "tanh": (fb.tanh, np.tanh, "tanh"),
    "erf": (fb.erf, None, "erf"),
    "sigmoid": (fb.nn.sigmoid, None, "sigmoid"),
    "softplus": (fb.nn.softplus, None, "nn.functional.softplus"),
    "silu": (fb.nn.silu, None, "nn.functional.silu"),
    "gelu": (fb.nn.gelu, None, "nn.functional.gelu"),
    "gelu_tanh": (lambda x: fb.nn.gelu(x, approximate="tanh"), None, "gelu_tanh"),
}
BINARY = ("add", "pow")


def cost(f: Callable[..., Any], operands: tuple[Any, ...], rounds: int = 12) -> float:
    """Nanoseconds an element."""
    size = int(np.prod(operands[0].shape))
    calls = max(1, 300_000 // size)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter_ns()
        for _ in range(calls):
            f(*operands)
        best = min(best, (time.perf_counter_ns() - start) / calls / size)
    return best


def torch_function(name: str | None) -> Callable[..., Any] | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    if name is None:
        return None
    if name == "gelu_tanh":
        return lambda x: torch.nn.functional.gelu(x, approximate="tanh")
    at: Any = torch
    for part in name.split("."):
        at = getattr(at, part)
    return at  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("functions", nargs="*", default=list(FUNCTIONS))
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    fb.set_num_threads(1)
    rng = np.random.default_rng(0)
    heads = [f"{who} {size:.0e}" for size in SIZES for who in ("flowbook", "numpy", "torch")]
    print(f"{'ns an element':14}" + "".join(f"{h:>16}" for h in heads))
    for name in options.functions:
        ours, numpys, torchs = FUNCTIONS[name]
        theirs = torch_function(torchs)
        cells = []
        for size in SIZES:
            arrays = [rng.uniform(0.02, 0.98, size).astype(options.dtype)]
            if name in BINARY:
                arrays.append(rng.uniform(0.5, 3, size).astype(options.dtype))
            cells.append(cost(ours, tuple(fb.asarray(a) for a in arrays)))
            cells.append(cost(numpys, tuple(arrays)) if numpys else None)
            if theirs:
                import torch

                cells.append(cost(theirs, tuple(torch.from_numpy(a) for a in arrays)))
            else:
                cells.append(None)
        print(f"{name:14}" + "".join(f"{'-' if c is None else f'{c:.2f}':>16}" for c in cells))


if __name__ == "__main__":
    main()
