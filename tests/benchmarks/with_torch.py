"""PyTorch's side of the benchmark, written as its own documentation would: fused Adam, SDPA."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import workloads as w

VERSION = torch.__version__
torch.set_num_threads(2)
COMPILE = "compile" in sys.argv


def prepare(name: str) -> Callable[[], Any] | str:
    """A function that runs one step, or the reason why there is none."""
    arrays = [torch.from_numpy(a) for a in w.inputs(name)]
    if name in w.EAGER:
        if COMPILE:
            return "eager row"
        a, b = arrays
        return (lambda: a @ b) if name == "matmul_1024" else (lambda: a + b)
    params = {k: torch.from_numpy(v) for k, v in w.parameters(name).items()}
    function = globals()[name]
    if name not in w.TRAINING:
        call = torch.compile(function) if COMPILE else function
        x, rest = arrays[0], list(params.values())

        def forward() -> Any:
            with torch.no_grad():
                return call(x, *rest)

        return forward
    if name == "cnn":  # NCHW with channels-last memory: its fastest layout on CPU
        arrays[0] = arrays[0].permute(0, 3, 1, 2)
        for k in ("c0.w", "c1.w"):
            kernel = params[k].permute(3, 2, 0, 1)
            params[k] = kernel.contiguous(memory_format=torch.channels_last)
    for p in params.values():
        p.requires_grad_(True)
    optimizer = torch.optim.Adam(list(params.values()), lr=w.RATE, fused=True)

    def loss_of(x: Any, y: Any) -> Any:
        logits = function(params, x)
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))

    loss_call = torch.compile(loss_of) if COMPILE else loss_of
    x, y = arrays

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_call(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def finish(result: Any) -> float:
    """The loss of a step as a number."""
    return float(result.detach()) if result.ndim == 0 else 0.0


def dense(p: dict[str, Any], name: str, x: Any) -> Any:
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def mlp_tiny(p: dict[str, Any], x: Any) -> Any:
    return dense(p, "1", F.relu(dense(p, "0", x)))


def mlp(p: dict[str, Any], x: Any) -> Any:
    return dense(p, "2", F.relu(dense(p, "1", F.relu(dense(p, "0", x)))))


def cnn(p: dict[str, Any], x: Any) -> Any:
    x = F.relu(F.conv2d(x, p["c0.w"], p["c0.b"]))
    x = F.relu(F.conv2d(x, p["c1.w"], p["c1.b"]))
    x = F.max_pool2d(x, 2).permute(0, 2, 3, 1).reshape(x.shape[0], -1)
    return dense(p, "1", F.relu(dense(p, "0", x)))


def gpt(p: dict[str, Any], tokens: Any) -> Any:
    b, t, d, heads = w.GPT["batch"], w.GPT["length"], w.GPT["width"], w.GPT["heads"]
    x = F.embedding(tokens, p["tokens"]) + p["positions"]
    for i in range(w.GPT["layers"]):
        h = F.layer_norm(x, (d,), p[f"{i}.n0.w"], p[f"{i}.n0.b"])
        qkv = dense(p, f"{i}.qkv", h).view(b, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
        x = x + dense(p, f"{i}.out", h.transpose(1, 2).reshape(b, t, d))
        h = F.layer_norm(x, (d,), p[f"{i}.n1.w"], p[f"{i}.n1.b"])
        x = x + dense(p, f"{i}.down", F.gelu(dense(p, f"{i}.up", h), approximate="tanh"))
    return dense(p, "head", F.layer_norm(x, (d,), p["norm.w"], p["norm.b"]))


def chain(x: Any) -> Any:
    a, b, c = w.CHAIN
    return torch.tanh(a * x + b) * c + F.relu(x)


def softmax_ln(x: Any, weight: Any, bias: Any) -> Any:
    return F.layer_norm(F.softmax(x, -1), (1024,), weight, bias)
