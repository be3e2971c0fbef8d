"""JAX's side of the benchmark: whole steps under jit with donated state, and eager ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import workloads as w

VERSION = jax.__version__


def prepare(name: str) -> Callable[[], Any] | str:
    """A function that runs one step, or the reason why there is none."""
    arrays = [jnp.asarray(a) for a in w.inputs(name)]
    if name in w.EAGER:
        a, b = arrays
        if name == "matmul_1024":
            return lambda: (a @ b).block_until_ready()
        return lambda: (a + b).block_until_ready()
    params = {k: jnp.asarray(v) for k, v in w.parameters(name).items()}
    function = globals()[name]
    if name not in w.TRAINING:
        call = jax.jit(function)
        x, rest = arrays[0], list(params.values())
        return lambda: call(x, *rest).block_until_ready()

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


def mlp_tiny(p: dict[str, Any], x: Any) -> Any:
    return dense(p, "1", jax.nn.relu(dense(p, "0", x)))


def mlp(p: dict[str, Any], x: Any) -> Any:
    return dense(p, "2", jax.nn.relu(dense(p, "1", jax.nn.relu(dense(p, "0", x)))))


def cnn(p: dict[str, Any], x: Any) -> Any:
    def conv(x: Any, name: str) -> Any:
        dims = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, p[f"{name}.w"], (1, 1), "VALID", dimension_numbers=dims)
        return jax.nn.relu(y + p[f"{name}.b"])

    x = conv(conv(x, "c0"), "c1")
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return dense(p, "1", jax.nn.relu(dense(p, "0", x.reshape(x.shape[0], -1))))


def norm(x: Any, weight: Any, bias: Any) -> Any:
    far = x - x.mean(-1, keepdims=True)
    return far * jax.lax.rsqrt((far * far).mean(-1, keepdims=True) + 1e-5) * weight + bias


def gpt(p: dict[str, Any], tokens: Any) -> Any:
    b, t, d, heads = w.GPT["batch"], w.GPT["length"], w.GPT["width"], w.GPT["heads"]
    mask = jnp.triu(jnp.full((t, t), -1e9, jnp.float32), 1)
    x = p["tokens"][tokens] + p["positions"]
    for i in range(w.GPT["layers"]):
        h = norm(x, p[f"{i}.n0.w"], p[f"{i}.n0.b"])
        qkv = dense(p, f"{i}.qkv", h).reshape(b, t, 3, heads, d // heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) * (d // heads) ** -0.5 + mask
        h = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(b, t, d)
        x = x + dense(p, f"{i}.out", h)
        h = norm(x, p[f"{i}.n1.w"], p[f"{i}.n1.b"])
        x = x + dense(p, f"{i}.down", jax.nn.gelu(dense(p, f"{i}.up", h), approximate=True))
    return dense(p, "head", norm(x, p["norm.w"], p["norm.b"]))


def chain(x: Any) -> Any:
    a, b, c = w.CHAIN
    return jnp.tanh(a * x + b) * c + jax.nn.relu(x)


def softmax_ln(x: Any, weight: Any, bias: Any) -> Any:
    return norm(jax.nn.softmax(x), weight, bias)
