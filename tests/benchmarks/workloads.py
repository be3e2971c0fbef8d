"""What is measured: inputs, initial parameters and sizes of every row, as NumPy arrays.

All frameworks start from the same numbers, so that the losses after some steps can be compared; how
they compute is their own business (`with_*.py`).
"""

from __future__ import annotations

import numpy as np

# What flowbook must reach on the quiet reference machine, in microseconds per step.
TARGETS = {
    "mlp_tiny": 8,
    "mlp": 420,
    "cnn": 15_000,
    "gpt": 38_000,
    "chain": 110,
    "softmax_ln": 620,
    "add_tiny": 0.06,
    "matmul_1024": 4_400,
    "add_1e7": 3_500,
}
DESCRIPTIONS = {
    "mlp_tiny": "4-16-3, batch 16, Adam step",
    "mlp": "784-256-128-10, batch 128, Adam step",
    "cnn": "conv32-conv64-pool-fc128-fc10, 28x28, batch 64, Adam step",
    "gpt": "4 layers, d 128, 4 heads, T 128, vocab 96, batch 16, Adam step",
    "chain": "tanh(a*x+b)*c + relu(x), 1e6",
    "softmax_ln": "layernorm(softmax(x)), 4096x1024",
    "add_tiny": "eager a + b, 4x4",
    "matmul_1024": "eager a @ b, 1024x1024",
    "add_1e7": "eager a + b, 1e7",
}
TRAINING = ("mlp_tiny", "mlp", "cnn", "gpt")
EAGER = ("add_tiny", "matmul_1024", "add_1e7")
RATE = 1e-3
CHAIN = (1.1, 0.5, 0.9)
GPT = {"layers": 4, "width": 128, "heads": 4, "length": 128, "vocabulary": 96, "batch": 16}

Arrays = dict[str, np.ndarray]


def _normal(rng: np.random.Generator, *shape: int, scale: float) -> np.ndarray:
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def _dense(rng: np.random.Generator, params: Arrays, name: str, n: int, m: int) -> None:
    params[f"{name}.w"] = _normal(rng, n, m, scale=n**-0.5)
    params[f"{name}.b"] = np.zeros(m, np.float32)


def parameters(name: str) -> Arrays:
    """Initial parameters by name; matrices are [in, out], convolutions HWIO."""
    rng = np.random.default_rng(0)
    params: Arrays = {}
    if name == "mlp_tiny":
        _dense(rng, params, "0", 4, 16)
        _dense(rng, params, "1", 16, 3)
    elif name == "mlp":
        for i, (n, m) in enumerate([(784, 256), (256, 128), (128, 10)]):
            _dense(rng, params, str(i), n, m)
    elif name == "cnn":
        params["c0.w"] = _normal(rng, 3, 3, 1, 32, scale=1 / 3)
        params["c0.b"] = np.zeros(32, np.float32)
        params["c1.w"] = _normal(rng, 3, 3, 32, 64, scale=288**-0.5)
        params["c1.b"] = np.zeros(64, np.float32)
        _dense(rng, params, "0", 12 * 12 * 64, 128)
        _dense(rng, params, "1", 128, 10)
    elif name == "gpt":
        d = GPT["width"]
        params["tokens"] = _normal(rng, GPT["vocabulary"], d, scale=0.02)
        params["positions"] = _normal(rng, GPT["length"], d, scale=0.02)
        for i in range(GPT["layers"]):
            for norm in ("n0", "n1"):
                params[f"{i}.{norm}.w"] = np.ones(d, np.float32)
                params[f"{i}.{norm}.b"] = np.zeros(d, np.float32)
            _dense(rng, params, f"{i}.qkv", d, 3 * d)
            _dense(rng, params, f"{i}.out", d, d)
            _dense(rng, params, f"{i}.up", d, 4 * d)
            _dense(rng, params, f"{i}.down", 4 * d, d)
        params["norm.w"] = np.ones(d, np.float32)
        params["norm.b"] = np.zeros(d, np.float32)
        _dense(rng, params, "head", d, GPT["vocabulary"])
    elif name == "softmax_ln":
        params["w"] = np.ones(1024, np.float32)
        params["b"] = np.zeros(1024, np.float32)
    return params


def inputs(name: str) -> tuple[np.ndarray, ...]:
    """The arrays that a step reads."""
    rng = np.random.default_rng(1)
    if name == "mlp_tiny":
        return _normal(rng, 16, 4, scale=1), rng.integers(0, 3, 16)
    if name == "mlp":
        return _normal(rng, 128, 784, scale=1), rng.integers(0, 10, 128)
    if name == "cnn":  # channels last
        return _normal(rng, 64, 28, 28, 1, scale=1), rng.integers(0, 10, 64)
    if name == "gpt":
        tokens = rng.integers(0, GPT["vocabulary"], (GPT["batch"], GPT["length"] + 1))
        return np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
    if name == "chain":
        return (_normal(rng, 1_000_000, scale=1),)
    if name == "softmax_ln":
        return (_normal(rng, 4096, 1024, scale=1),)
    if name == "add_tiny":
        return _normal(rng, 4, 4, scale=1), _normal(rng, 4, 4, scale=1)
    if name == "matmul_1024":
        return _normal(rng, 1024, 1024, scale=1), _normal(rng, 1024, 1024, scale=1)
    if name == "add_1e7":
        return _normal(rng, 10_000_000, scale=1), _normal(rng, 10_000_000, scale=1)
    raise KeyError(name)
