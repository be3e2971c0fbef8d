"""What is measured: inputs, initial parameters and the work of every row, as NumPy arrays and numbers.

All frameworks start from the same numbers, so that the losses after some steps can be compared; how
they compute is their own business (`with_*.py`). `factor` multiplies the batch of a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Arrays = dict[str, np.ndarray]
Rng = np.random.Generator

RATE = 1e-3
CHAIN = (1.1, 0.5, 0.9)
GPT = {"layers": 4, "width": 128, "heads": 4, "length": 128, "vocabulary": 96, "batch": 16}
RECURRENT = {"length": 32, "inputs": 64, "hidden": 128}


@dataclass(frozen=True)
class Phase:
    """Work that no way of computing avoids: the slowest of its three parts bounds its time."""

    flops: float = 0  # of matrix products and convolutions
    bytes: float = 0  # read and written at least once, out of and into memory of `footprint` bytes
    footprint: float = 0
    math: dict[str, float] = field(default_factory=dict)  # function -> elements


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    about: str
    kind: str  # "training", "forward" or "eager"
    inputs: Callable[[Rng, int], tuple[np.ndarray, ...]]
    work: Callable[[int], list[Phase]]
    parameters: Callable[[Rng], Arrays] = lambda rng: {}
    target: float | None = None  # microseconds on the machine that DESIGN's table was measured on
    model: str = ""  # the function of with_*.py; by default the row's name


def normal(rng: Rng, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (rng.standard_normal(shape, np.float32) * np.float32(scale)).astype(np.float32)


# ---- parameters ----------------------------------------------------------------------------------
def _dense(rng: Rng, params: Arrays, name: str, n: int, m: int) -> None:
    params[f"{name}.w"] = normal(rng, n, m, scale=n**-0.5)
    params[f"{name}.b"] = np.zeros(m, np.float32)


def _conv(rng: Rng, params: Arrays, name: str, size: int, n: int, m: int) -> None:
    params[f"{name}.w"] = normal(rng, size, size, n, m, scale=(size * size * n) ** -0.5)
    params[f"{name}.b"] = np.zeros(m, np.float32)


def _norm(params: Arrays, name: str, n: int) -> None:
    params[f"{name}.w"] = np.ones(n, np.float32)
    params[f"{name}.b"] = np.zeros(n, np.float32)


def _mlp(*widths: int) -> Callable[[Rng], Arrays]:
    def parameters(rng: Rng) -> Arrays:
        params: Arrays = {}
        for i, (n, m) in enumerate(itertools.pairwise(widths)):
            _dense(rng, params, str(i), n, m)
        return params

    return parameters


def _cnn(rng: Rng) -> Arrays:
    params: Arrays = {}
    _conv(rng, params, "c0", 3, 1, 32)
    _conv(rng, params, "c1", 3, 32, 64)
    _dense(rng, params, "0", 12 * 12 * 64, 128)
    _dense(rng, params, "1", 128, 10)
    return params


def _gpt(rng: Rng) -> Arrays:
    params: Arrays = {}
    d = GPT["width"]
    params["tokens"] = normal(rng, GPT["vocabulary"], d, scale=0.02)
    params["positions"] = normal(rng, GPT["length"], d, scale=0.02)
    for i in range(GPT["layers"]):
        _norm(params, f"{i}.n0", d)
        _norm(params, f"{i}.n1", d)
        _dense(rng, params, f"{i}.qkv", d, 3 * d)
        _dense(rng, params, f"{i}.out", d, d)
        _dense(rng, params, f"{i}.up", d, 4 * d)
        _dense(rng, params, f"{i}.down", 4 * d, d)
    _norm(params, "norm", d)
    _dense(rng, params, "head", d, GPT["vocabulary"])
    return params


def _resblock(rng: Rng) -> Arrays:
    params: Arrays = {}
    for i in range(2):
        params[f"c{i}.w"] = normal(rng, 3, 3, 64, 64, scale=576**-0.5)
        _norm(params, f"n{i}", 64)
    _dense(rng, params, "0", 64, 10)
    return params


def _recurrent(gates: int) -> Callable[[Rng], Arrays]:
    def parameters(rng: Rng) -> Arrays:
        n, m = RECURRENT["inputs"], RECURRENT["hidden"]
        params: Arrays = {"x.w": normal(rng, n, gates * m, scale=n**-0.5)}
        params["h.w"] = normal(rng, m, gates * m, scale=m**-0.5)
        _dense(rng, params, "0", m, 10)
        return params

    return parameters


def _unet(rng: Rng) -> Arrays:
    params: Arrays = {}
    _conv(rng, params, "c0", 3, 3, 16)
    _conv(rng, params, "c1", 3, 16, 32)
    params["up.w"] = normal(rng, 2, 2, 16, 32, scale=32**-0.5)  # [height, width, outputs, channels]
    _conv(rng, params, "c2", 3, 32, 16)
    _conv(rng, params, "c3", 1, 16, 4)
    return params


# ---- inputs --------------------------------------------------------------------------------------
def _images(n: int, size: int, channels: int, classes: int = 10) -> Callable:
    def inputs(rng: Rng, factor: int) -> tuple[np.ndarray, ...]:
        x = normal(rng, n * factor, size, size, channels)
        return x, rng.integers(0, classes, n * factor)

    return inputs


def _rows(n: int, width: int, classes: int) -> Callable:
    def inputs(rng: Rng, factor: int) -> tuple[np.ndarray, ...]:
        return normal(rng, n * factor, width), rng.integers(0, classes, n * factor)

    return inputs


def _texts(n: int) -> Callable:
    def inputs(rng: Rng, factor: int) -> tuple[np.ndarray, ...]:
        tokens = rng.integers(0, GPT["vocabulary"], (n * factor, GPT["length"] + 1))
        return np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])

    return inputs


def _signals(rng: Rng, factor: int) -> tuple[np.ndarray, ...]:
    x = normal(rng, 32 * factor, RECURRENT["length"], RECURRENT["inputs"])
    return x, rng.integers(0, 10, 32 * factor)


def _masks(rng: Rng, factor: int) -> tuple[np.ndarray, ...]:
    return normal(rng, 4 * factor, 64, 64, 3), rng.integers(0, 4, (4 * factor, 64, 64))


def _arrays(*shape: int, count: int = 1) -> Callable:
    def inputs(rng: Rng, factor: int) -> tuple[np.ndarray, ...]:
        return tuple(normal(rng, shape[0] * factor, *shape[1:]) for _ in range(count))

    return inputs


# ---- work ----------------------------------------------------------------------------------------
def _adam(params: Callable[[Rng], Arrays]) -> Phase:
    """An optimizer reads weight, gradient and two slots and writes three of them: 28 bytes each."""
    n = sum(p.size for p in params(np.random.default_rng(0)).values())
    return Phase(bytes=28 * n, footprint=16 * n)


def _dense_flops(rows: int, *widths: int, training: bool) -> float:
    """Products of a stack of layers: forward, gradient of weights, gradient of all inputs but x."""
    each = [2.0 * rows * n * m for n, m in itertools.pairwise(widths)]
    return 3 * sum(each) - each[0] if training else sum(each)


def _mlp_work(rows: int, *widths: int, training: bool = True) -> Callable[[int], list[Phase]]:
    def work(factor: int) -> list[Phase]:
        products = Phase(flops=_dense_flops(rows * factor, *widths, training=training))
        return [products, _adam(_mlp(*widths))] if training else [products]

    return work


def _cnn_work(images: int, training: bool = True) -> Callable[[int], list[Phase]]:
    def work(factor: int) -> list[Phase]:
        n = images * factor
        first, second = 2.0 * n * 26 * 26 * 9 * 32, 2.0 * n * 24 * 24 * 9 * 32 * 64
        dense = _dense_flops(n, 9216, 128, 10, training=training)
        if not training:
            return [Phase(flops=first + second + dense)]
        dense += 2.0 * n * 9216 * 128  # its input has a gradient as well
        return [Phase(flops=2 * first + 3 * second + dense), _adam(_cnn)]

    return work


def _gpt_work(texts: int, training: bool = True) -> Callable[[int], list[Phase]]:
    def work(factor: int) -> list[Phase]:
        t, d, layers = GPT["length"], GPT["width"], GPT["layers"]
        rows = texts * factor * t
        # Causal attention needs half of the scores: q k' and p v, each rows x t x d / 2 products.
        one = 2.0 * rows * t * d / 2
        dense = 2.0 * rows * 12 * d * d
        forward = layers * (dense + 2 * one) + 2.0 * rows * d * GPT["vocabulary"]
        scores = layers * rows * t * GPT["heads"] / 2
        math = {"exp": scores + rows * GPT["vocabulary"], "tanh": layers * rows * 4 * d}
        if not training:
            return [Phase(flops=forward), Phase(math=math)]
        # Memory that is linear in t holds no scores: the gradient has its four products, twice the
        # forward's, and computes q k' and its exponentials again.
        math["exp"] += scores
        return [Phase(flops=3 * forward + layers * one), Phase(math=math), _adam(_gpt)]

    return work


def _resblock_work(factor: int) -> list[Phase]:
    pixels = 16 * factor * 32 * 32
    # Three passes over 64 channels: statistics of each norm forward and backward read what a
    # convolution wrote when it no longer is in the nearest cache.
    norms = Phase(bytes=4.0 * pixels * 64 * 2 * 5, footprint=4.0 * pixels * 64 * 8)
    return [Phase(flops=(3 * 2 - 1) * 2.0 * pixels * 576 * 64), norms, _adam(_resblock)]


def _recurrent_work(gates: int) -> Callable[[int], list[Phase]]:
    def work(factor: int) -> list[Phase]:
        n, m = RECURRENT["inputs"], RECURRENT["hidden"]
        rows = 32 * factor * RECURRENT["length"]
        flops = 2.0 * rows * gates * m * (2 * n + 3 * m)
        return [
            Phase(flops=flops),
            Phase(math={"tanh": rows * gates * m}),
            _adam(_recurrent(gates)),
        ]

    return work


def _unet_work(factor: int) -> list[Phase]:
    n = 4 * factor
    first = 2.0 * n * 64 * 64 * 27 * 16
    rest = 2.0 * n * (32 * 32 * 144 * 32 + 32 * 32 * 32 * 64 + 64 * 64 * (288 * 16 + 16 * 4))
    return [Phase(flops=2 * first + 3 * rest), _adam(_unet)]


def _streams(entries: int, arrays: int, **math: float) -> Callable[[int], list[Phase]]:
    def work(factor: int) -> list[Phase]:
        size = 4.0 * entries * arrays * factor
        return [
            Phase(bytes=size, footprint=size, math={k: v * factor for k, v in math.items()}),
        ]

    return work


def _product(n: int) -> Callable[[int], list[Phase]]:
    return lambda factor: [Phase(flops=2.0 * n**3)]


# ---- rows ----------------------------------------------------------------------------------------
ROWS = {
    "mlp_tiny": Row(
        "4-16-3, batch 16, Adam step",
        "training",
        _rows(16, 4, 3),
        _mlp_work(16, 4, 16, 3),
        _mlp(4, 16, 3),
        target=8,
        model="mlp",
    ),
    "mlp": Row(
        "784-256-128-10, batch 128, Adam step",
        "training",
        _rows(128, 784, 10),
        _mlp_work(128, 784, 256, 128, 10),
        _mlp(784, 256, 128, 10),
        target=420,
    ),
    "cnn": Row(
        "conv32-conv64-pool-fc128-fc10, 28x28, batch 64, Adam step",
        "training",
        _images(64, 28, 1),
        _cnn_work(64),
        _cnn,
        target=15_000,
    ),
    "gpt": Row(
        "4 layers, d 128, 4 heads, T 128, vocab 96, batch 16, Adam step",
        "training",
        _texts(GPT["batch"]),
        _gpt_work(GPT["batch"]),
        _gpt,
        target=38_000,
    ),
    "chain": Row(
        "tanh(a*x+b)*c + relu(x), 1e6",
        "forward",
        _arrays(1_000_000),
        _streams(1_000_000, 2, tanh=1e6),
        target=110,
    ),
    "softmax_ln": Row(
        "layernorm(softmax(x)), 4096x1024",
        "forward",
        _arrays(4096, 1024),
        _streams(4096 * 1024, 2, exp=4096 * 1024),
        lambda rng: {"w": np.ones(1024, np.float32), "b": np.zeros(1024, np.float32)},
        target=620,
    ),
    "add_tiny": Row(
        "eager a + b, 4x4",
        "eager",
        _arrays(4, 4, count=2),
        _streams(16, 3),
        target=0.06,
        model="add",
    ),
    "matmul_1024": Row(
        "eager a @ b, 1024x1024",
        "eager",
        _arrays(1024, 1024, count=2),
        _product(1024),
        target=4_400,
        model="matmul",
    ),
    "add_1e7": Row(
        "eager a + b, 1e7",
        "eager",
        _arrays(10_000_000, count=2),
        _streams(10_000_000, 3),
        target=3_500,
        model="add",
    ),
}
# Other shapes and other kinds of models: what is fast for the rows above must be fast for these.
MORE = {
    "mlp_odd": Row(
        "777-333-111-7, batch 97, Adam step",
        "training",
        _rows(97, 777, 7),
        _mlp_work(97, 777, 333, 111, 7),
        _mlp(777, 333, 111, 7),
        model="mlp",
    ),
    "resblock": Row(
        "two 3x3 convolutions of 64 with batch norm and a skip, 32x32, batch 16, Adam step",
        "training",
        _images(16, 32, 64),
        _resblock_work,
        _resblock,
    ),
    "lstm": Row(
        "LSTM of 128, 32 steps of 64 inputs, batch 32, Adam step",
        "training",
        _signals,
        _recurrent_work(4),
        _recurrent(4),
    ),
    "gru": Row(
        "GRU of 128, 32 steps of 64 inputs, batch 32, Adam step",
        "training",
        _signals,
        _recurrent_work(3),
        _recurrent(3),
    ),
    "unet": Row(
        "U-Net of 16 and 32 channels, 64x64, batch 4, Adam step",
        "training",
        _masks,
        _unet_work,
        _unet,
    ),
    "mlp_1": Row(
        "the MLP's inference at batch 1",
        "forward",
        _rows(1, 784, 10),
        _mlp_work(1, 784, 256, 128, 10, training=False),
        _mlp(784, 256, 128, 10),
        model="mlp",
    ),
    "cnn_1": Row(
        "the CNN's inference at batch 1",
        "forward",
        _images(1, 28, 1),
        _cnn_work(1, training=False),
        _cnn,
        model="cnn",
    ),
    "gpt_1": Row(
        "the GPT's inference at batch 1",
        "forward",
        _texts(1),
        _gpt_work(1, training=False),
        _gpt,
        model="gpt",
    ),
}
ALL = {**ROWS, **MORE}


def model_of(name: str) -> str:
    """The name of the function in with_*.py that computes this row."""
    return ALL[name].model or name


def parameters(name: str) -> Arrays:
    """Initial parameters by name; matrices are [in, out], convolutions HWIO."""
    return ALL[name].parameters(np.random.default_rng(0))


def inputs(name: str, factor: int = 1) -> tuple[np.ndarray, ...]:
    """The arrays that a step reads; labels come last where a model has them."""
    return ALL[name].inputs(np.random.default_rng(1), factor)


# ---- eager ops -----------------------------------------------------------------------------------
EAGER_OPS = (
    "add",
    "multiply",
    "add_row",
    "exp",
    "tanh",
    "relu",
    "where",
    "sum",
    "mean_rows",
    "softmax",
    "matmul",
    "transpose",
)
EAGER_SHAPES = {"16": (4, 4), "1e3": (25, 40), "1e6": (1000, 1000)}


def eager_inputs(op: str, size: str) -> tuple[np.ndarray, ...]:
    """Operands of an eager op: one or two matrices, or a matrix and a row."""
    rng = np.random.default_rng(2)
    rows, cols = EAGER_SHAPES[size]
    a = normal(rng, rows, cols)
    if op == "matmul":
        return a, normal(rng, cols, rows)
    if op == "add_row":
        return a, normal(rng, cols)
    return (a, normal(rng, rows, cols)) if op in ("add", "multiply", "where") else (a,)
