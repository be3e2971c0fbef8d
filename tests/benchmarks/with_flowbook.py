"""flowbook's side of the benchmark: whole steps as graphs, and eager ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import workloads as w

import flowbook as fb

VERSION = fb.__version__
EAGER: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "add_row": lambda a, b: a + b,
    "exp": fb.exp,
    "tanh": fb.tanh,
    "relu": fb.nn.relu,
    "where": lambda a, b: fb.where(a > b, a, b),
    "sum": fb.sum,
    "mean_rows": lambda a: fb.mean(a, axis=-1),
    "softmax": fb.nn.softmax,
    "matmul": lambda a, b: a @ b,
    "transpose": lambda a: fb.asarray(a.T, copy=True),
}


def eager(op: str, *arrays: Any) -> Callable[[], Any]:
    """A call of one op."""
    function, tensors = EAGER[op], [fb.asarray(a) for a in arrays]
    if len(tensors) == 1:
        (x,) = tensors
        return lambda: function(x)
    a, b = tensors
    return lambda: function(a, b)


def prepare(name: str, factor: int = 1) -> Callable[[], Any] | str:
    """A function that runs one step, or the reason why there is none."""
    kind, model = w.ALL[name].kind, w.model_of(name)
    arrays = [fb.asarray(a) for a in w.inputs(name, factor)]
    if kind == "eager":
        a, b = arrays
        return (lambda: a @ b) if model == "matmul" else (lambda: a + b)
    params = {k: fb.Variable(v, name=k) for k, v in w.parameters(name).items()}
    function, variables = globals()[model], list(params.values())
    if kind == "forward":
        graph = fb.graph(lambda x: function(params, x))
        x = arrays[0]
        return lambda: graph(x)
    optimizer = fb.optim.Adam(w.RATE)

    @fb.graph
    def step(x: Any, y: Any) -> Any:
        loss = fb.mean(fb.nn.softmax_cross_entropy(function(params, x), y))
        optimizer.update(variables, fb.gradients(loss, variables))
        return loss

    x, y = arrays
    return lambda: step(x, y)


def finish(result: Any) -> float:
    """The loss of a step as a number."""
    return float(result) if result.shape == () else 0.0


def dense(p: dict[str, Any], name: str, x: Any) -> Any:
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def conv(p: dict[str, Any], name: str, x: Any, padding: str = "same") -> Any:
    return fb.nn.conv2d(x, p[f"{name}.w"], padding=padding) + p[f"{name}.b"]


def mlp(p: dict[str, Any], x: Any) -> Any:
    last = len(p) // 2 - 1
    for i in range(last):
        x = fb.nn.relu(dense(p, str(i), x))
    return dense(p, str(last), x)


def cnn(p: dict[str, Any], x: Any) -> Any:
    x = fb.nn.relu(conv(p, "c1", fb.nn.relu(conv(p, "c0", x, "valid")), "valid"))
    x = fb.nn.max_pool2d(x, 2)
    x = fb.nn.relu(dense(p, "0", fb.reshape(x, (x.shape[0], -1))))
    return dense(p, "1", x)


def gpt(p: dict[str, Any], tokens: Any) -> Any:
    (b, t), d, heads = tokens.shape, w.GPT["width"], w.GPT["heads"]
    x = fb.nn.embedding(p["tokens"], tokens) + p["positions"]
    for i in range(w.GPT["layers"]):
        h = fb.nn.layer_norm(x, p[f"{i}.n0.w"], p[f"{i}.n0.b"])
        qkv = fb.reshape(dense(p, f"{i}.qkv", h), (b, t, 3, heads, d // heads))
        q, k, v = (fb.permute_dims(x, (0, 2, 1, 3)) for x in fb.unstack(qkv, 2))
        h = fb.nn.scaled_dot_product_attention(q, k, v, causal=True)
        h = fb.permute_dims(h, (0, 2, 1, 3))
        x = x + dense(p, f"{i}.out", fb.reshape(h, (b, t, d)))
        h = fb.nn.layer_norm(x, p[f"{i}.n1.w"], p[f"{i}.n1.b"])
        h = fb.nn.gelu(dense(p, f"{i}.up", h), approximate="tanh")
        x = x + dense(p, f"{i}.down", h)
    return dense(p, "head", fb.nn.layer_norm(x, p["norm.w"], p["norm.b"]))


def resblock(p: dict[str, Any], x: Any) -> Any:
    def normed(name: str, x: Any) -> Any:
        y = fb.nn.conv2d(x, p[f"c{name}.w"], padding="same")
        return fb.nn.batch_norm(y, p[f"n{name}.w"], p[f"n{name}.b"])[0]

    y = fb.nn.relu(normed("1", fb.nn.relu(normed("0", x))) + x)
    return dense(p, "0", fb.mean(y, axis=(1, 2)))


def lstm(p: dict[str, Any], x: Any) -> Any:
    n = w.RECURRENT["hidden"]
    gates, h, c = x @ p["x.w"], None, None
    for t in range(x.shape[1]):
        g = gates[:, t] if h is None else gates[:, t] + h @ p["h.w"]
        i, f, u, o = (g[:, k * n : (k + 1) * n] for k in range(4))
        new = fb.nn.sigmoid(i) * fb.tanh(u)
        c = new if c is None else fb.nn.sigmoid(f) * c + new
        h = fb.nn.sigmoid(o) * fb.tanh(c)
    return dense(p, "0", h)


def gru(p: dict[str, Any], x: Any) -> Any:
    n = w.RECURRENT["hidden"]
    gates, h = x @ p["x.w"], fb.zeros((x.shape[0], n))
    for t in range(x.shape[1]):
        g, own = gates[:, t], h @ p["h.w"]
        r = fb.nn.sigmoid(g[:, :n] + own[:, :n])
        z = fb.nn.sigmoid(g[:, n : 2 * n] + own[:, n : 2 * n])
        u = fb.tanh(g[:, 2 * n :] + r * own[:, 2 * n :])
        h = u + z * (h - u)
    return dense(p, "0", h)


def unet(p: dict[str, Any], x: Any) -> Any:
    near = fb.nn.relu(conv(p, "c0", x))
    deep = fb.nn.relu(conv(p, "c1", fb.nn.max_pool2d(near, 2)))
    up = fb.nn.conv2d_transpose(deep, p["up.w"], strides=2)
    return conv(p, "c3", fb.nn.relu(conv(p, "c2", fb.concat([near, up], axis=-1))))


def chain(p: dict[str, Any], x: Any) -> Any:
    a, b, c = w.CHAIN
    return fb.tanh(a * x + b) * c + fb.nn.relu(x)


def softmax_ln(p: dict[str, Any], x: Any) -> Any:
    return fb.nn.layer_norm(fb.nn.softmax(x), p["w"], p["b"])
