"""flowbook's side of the benchmark: whole steps as graphs, and eager ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import workloads as w

import flowbook as fb

VERSION = fb.__version__


def prepare(name: str) -> Callable[[], Any] | str:
    """A function that runs one step, or the reason why there is none."""
    arrays = [fb.asarray(a) for a in w.inputs(name)]
    if name in w.EAGER:
        a, b = arrays
        return (lambda: a @ b) if name == "matmul_1024" else (lambda: a + b)
    params = {k: fb.Variable(v, name=k) for k, v in w.parameters(name).items()}
    if name not in w.TRAINING:
        graph = fb.graph(globals()[name])
        (x,) = arrays
        if not params:
            return lambda: graph(x)
        weight, bias = (p.value for p in params.values())
        return lambda: graph(x, weight, bias)
    model, variables = globals()[name], list(params.values())
    optimizer = fb.optim.Adam(w.RATE)

    @fb.graph
    def step(x: Any, y: Any) -> Any:
        loss = fb.mean(fb.nn.softmax_cross_entropy(model(params, x), y))
        optimizer.update(variables, fb.gradients(loss, variables))
        return loss

    x, y = arrays
    return lambda: step(x, y)


def finish(result: Any) -> float:
    """The loss of a step as a number."""
    return float(result) if result.shape == () else 0.0


def dense(p: dict[str, Any], name: str, x: Any) -> Any:
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def mlp_tiny(p: dict[str, Any], x: Any) -> Any:
    return dense(p, "1", fb.nn.relu(dense(p, "0", x)))


def mlp(p: dict[str, Any], x: Any) -> Any:
    return dense(p, "2", fb.nn.relu(dense(p, "1", fb.nn.relu(dense(p, "0", x)))))


def cnn(p: dict[str, Any], x: Any) -> Any:
    x = fb.nn.relu(fb.nn.conv2d(x, p["c0.w"]) + p["c0.b"])
    x = fb.nn.relu(fb.nn.conv2d(x, p["c1.w"]) + p["c1.b"])
    x = fb.nn.max_pool2d(x, 2)
    x = fb.nn.relu(dense(p, "0", fb.reshape(x, (x.shape[0], -1))))
    return dense(p, "1", x)


def gpt(p: dict[str, Any], tokens: Any) -> Any:
    b, t, d, heads = w.GPT["batch"], w.GPT["length"], w.GPT["width"], w.GPT["heads"]
    mask = fb.triu(fb.full((t, t), -1e9, dtype=fb.float32), k=1)
    x = fb.nn.embedding(p["tokens"], tokens) + p["positions"]
    for i in range(w.GPT["layers"]):
        h = fb.nn.layer_norm(x, p[f"{i}.n0.w"], p[f"{i}.n0.b"])
        qkv = fb.reshape(dense(p, f"{i}.qkv", h), (b, t, 3, heads, d // heads))
        qkv = fb.permute_dims(qkv, (2, 0, 3, 1, 4))
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q @ fb.matrix_transpose(k)) * (d // heads) ** -0.5 + mask
        h = fb.permute_dims(fb.nn.softmax(scores) @ v, (0, 2, 1, 3))
        x = x + dense(p, f"{i}.out", fb.reshape(h, (b, t, d)))
        h = fb.nn.layer_norm(x, p[f"{i}.n1.w"], p[f"{i}.n1.b"])
        h = fb.nn.gelu(dense(p, f"{i}.up", h), approximate="tanh")
        x = x + dense(p, f"{i}.down", h)
    return dense(p, "head", fb.nn.layer_norm(x, p["norm.w"], p["norm.b"]))


def chain(x: Any) -> Any:
    a, b, c = w.CHAIN
    return fb.tanh(a * x + b) * c + fb.nn.relu(x)


def softmax_ln(x: Any, weight: Any, bias: Any) -> Any:
    return fb.nn.layer_norm(fb.nn.softmax(x), weight, bias)
