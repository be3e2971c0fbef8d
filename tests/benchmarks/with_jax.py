"""JAX's side of the benchmark: whole steps under jit with donated state, and eager ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import workloads as w

VERSION = jax.__version__


def prepare(name: str, factor: int = 1) -> Callable[[], Any] | str:
    """A function that runs one step, or the reason why there is none."""
    kind, model = w.ALL[name].kind, w.model_of(name)
    arrays = [jnp.asarray(a) for a in w.inputs(name, factor)]
    if kind == "eager":
        a, b = arrays
        if model == "matmul":
            return lambda: (a @ b).block_until_ready()
        return lambda: (a + b).block_until_ready()
    params = {k: jnp.asarray(v) for k, v in w.parameters(name).items()}
    function = globals()[model]
    if kind == "forward":
        call = jax.jit(function)
        x = arrays[0]
        return lambda: call(params, x).block_until_ready()

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        rows = jax.nn.log_softmax(function(p, x))
        return -jnp.mean(jnp.take_along_axis(rows, y[..., None], -1))

    def update(state: Any, x: Any, y: Any) -> Any:
        p, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = w.RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        eps = 1e-8 * jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + eps), p, m, v)
        return (p, m, v, t), loss

    call = jax.jit(update, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
    x, y = arrays

    def step() -> Any:
        nonlocal state
        state, loss = call(state, x, y)
        return loss.block_until_ready()

    return step


def finish(result: Any) -> float:
    """The loss of a step as a number."""
    return float(result) if result.ndim == 0 else 0.0


def dense(p: dict[str, Any], name: str, x: Any) -> Any:
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def conv(x: Any, weights: Any, padding: str = "SAME") -> Any:
    dims = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weights, (1, 1), padding, dimension_numbers=dims)


def conv_bias(p: dict[str, Any], name: str, x: Any, padding: str = "SAME") -> Any:
    return conv(x, p[f"{name}.w"], padding) + p[f"{name}.b"]


def max_pool(x: Any) -> Any:
    window = (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def mlp(p: dict[str, Any], x: Any) -> Any:
    last = len(p) // 2 - 1
    for i in range(last):
        x = jax.nn.relu(dense(p, str(i), x))
    return dense(p, str(last), x)


def cnn(p: dict[str, Any], x: Any) -> Any:
    x = jax.nn.relu(conv_bias(p, "c0", x, "VALID"))
    x = max_pool(jax.nn.relu(conv_bias(p, "c1", x, "VALID")))
    return dense(p, "1", jax.nn.relu(dense(p, "0", x.reshape(x.shape[0], -1))))


def norm(x: Any, weight: Any, bias: Any, axes: Any = -1) -> Any:
    far = x - x.mean(axes, keepdims=True)
    return far * jax.lax.rsqrt((far * far).mean(axes, keepdims=True) + 1e-5) * weight + bias


def gpt(p: dict[str, Any], tokens: Any) -> Any:
    (b, t), d, heads = tokens.shape, w.GPT["width"], w.GPT["heads"]
    x = p["tokens"][tokens] + p["positions"]
    for i in range(w.GPT["layers"]):
        h = norm(x, p[f"{i}.n0.w"], p[f"{i}.n0.b"])
        qkv = dense(p, f"{i}.qkv", h).reshape(b, t, 3, heads, d // heads)
        q, k, v = qkv.transpose(2, 0, 1, 3, 4)
        h = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(b, t, d)
        x = x + dense(p, f"{i}.out", h)
        h = norm(x, p[f"{i}.n1.w"], p[f"{i}.n1.b"])
        x = x + dense(p, f"{i}.down", jax.nn.gelu(dense(p, f"{i}.up", h), approximate=True))
    return dense(p, "head", norm(x, p["norm.w"], p["norm.b"]))


def resblock(p: dict[str, Any], x: Any) -> Any:
    def normed(name: str, x: Any) -> Any:
        return norm(conv(x, p[f"c{name}.w"]), p[f"n{name}.w"], p[f"n{name}.b"], (0, 1, 2))

    y = jax.nn.relu(normed("1", jax.nn.relu(normed("0", x))) + x)
    return dense(p, "0", y.mean((1, 2)))


def lstm(p: dict[str, Any], x: Any) -> Any:
    def one(state: Any, g: Any) -> Any:
        h, c = state
        i, f, u, o = jnp.split(g + h @ p["h.w"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((x.shape[0], w.RECURRENT["hidden"]))
    (h, _), _ = jax.lax.scan(one, (zero, zero), (x @ p["x.w"]).swapaxes(0, 1))
    return dense(p, "0", h)


def gru(p: dict[str, Any], x: Any) -> Any:
    def one(h: Any, g: Any) -> Any:
        (gr, gz, gu), (hr, hz, hu) = jnp.split(g, 3, -1), jnp.split(h @ p["h.w"], 3, -1)
        z = jax.nn.sigmoid(gz + hz)
        u = jnp.tanh(gu + jax.nn.sigmoid(gr + hr) * hu)
        return u + z * (h - u), None

    zero = jnp.zeros((x.shape[0], w.RECURRENT["hidden"]))
    return dense(p, "0", jax.lax.scan(one, zero, (x @ p["x.w"]).swapaxes(0, 1))[0])


def unet(p: dict[str, Any], x: Any) -> Any:
    near = jax.nn.relu(conv_bias(p, "c0", x))
    deep = jax.nn.relu(conv_bias(p, "c1", max_pool(near)))
    weights = p["up.w"][::-1, ::-1].swapaxes(2, 3)  # conv_transpose neither flips nor swaps
    dims = ("NHWC", "HWIO", "NHWC")
    up = jax.lax.conv_transpose(deep, weights, (2, 2), "VALID", dimension_numbers=dims)
    x = jax.nn.relu(conv_bias(p, "c2", jnp.concatenate([near, up], -1)))
    return conv_bias(p, "c3", x)


def chain(p: dict[str, Any], x: Any) -> Any:
    a, b, c = w.CHAIN
    return jnp.tanh(a * x + b) * c + jax.nn.relu(x)


def softmax_ln(p: dict[str, Any], x: Any) -> Any:
    return norm(jax.nn.softmax(x), p["w"], p["b"])
