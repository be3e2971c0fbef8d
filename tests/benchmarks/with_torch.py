"""PyTorch's side of the benchmark, written as its own documentation would: fused Adam, SDPA."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import workloads as w

VERSION = torch.__version__
torch.set_num_threads(int(os.environ["FLOWBOOK_NUM_THREADS"]))
COMPILE = "compile" in sys.argv
EAGER: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "add_row": lambda a, b: a + b,
    "exp": torch.exp,
    "tanh": torch.tanh,
    "relu": F.relu,
    "where": lambda a, b: torch.where(a > b, a, b),
    "sum": torch.sum,
    "mean_rows": lambda a: torch.mean(a, -1),
    "softmax": lambda a: F.softmax(a, -1),
    "matmul": lambda a, b: a @ b,
    "transpose": lambda a: a.T.contiguous(),
}


def eager(op: str, *arrays: Any) -> Callable[[], Any]:
    """A call of one op."""
    function, tensors = EAGER[op], [torch.from_numpy(a) for a in arrays]
    if len(tensors) == 1:
        (x,) = tensors
        return lambda: function(x)
    a, b = tensors
    return lambda: function(a, b)


def prepare(name: str, factor: int = 1) -> Callable[[], Any] | str:
    """A function that runs one step, or the reason why there is none."""
    kind, model = w.ALL[name].kind, w.model_of(name)
    arrays = [torch.from_numpy(a) for a in w.inputs(name, factor)]
    if kind == "eager":
        if COMPILE:
            return "eager row"
        a, b = arrays
        return (lambda: a @ b) if model == "matmul" else (lambda: a + b)
    params = {k: torch.from_numpy(v) for k, v in w.parameters(name).items()}
    function = globals()[model]
    if arrays[0].ndim == 4:  # NCHW with channels-last memory: its fastest layout on CPU
        arrays[0] = arrays[0].permute(0, 3, 1, 2)
    for k, p in params.items():
        if p.ndim == 4:
            params[k] = p.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    if model in MODULES:
        params["module"] = MODULES[model](params.pop("x.w"), params.pop("h.w"))
    if kind == "forward":
        call = torch.compile(function) if COMPILE else function
        x = arrays[0]

        def forward() -> Any:
            with torch.inference_mode():
                return call(params, x)

        return forward
    tensors = [p for p in params.values() if isinstance(p, torch.Tensor)]
    for p in tensors:
        p.requires_grad_(True)
    if "module" in params:
        tensors += list(params["module"].parameters())
    optimizer = torch.optim.Adam(tensors, lr=w.RATE, fused=True)

    def loss_of(x: Any, y: Any) -> Any:
        logits = function(params, x)
        if y.ndim == 3:  # a class for each pixel
            return F.cross_entropy(logits, y)
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


def mlp(p: dict[str, Any], x: Any) -> Any:
    last = len(p) // 2 - 1
    for i in range(last):
        x = F.relu(dense(p, str(i), x))
    return dense(p, str(last), x)


def cnn(p: dict[str, Any], x: Any) -> Any:
    x = F.relu(F.conv2d(x, p["c0.w"], p["c0.b"]))
    x = F.relu(F.conv2d(x, p["c1.w"], p["c1.b"]))
    x = F.max_pool2d(x, 2).permute(0, 2, 3, 1).reshape(x.shape[0], -1)
    return dense(p, "1", F.relu(dense(p, "0", x)))


def gpt(p: dict[str, Any], tokens: Any) -> Any:
    (b, t), d, heads = tokens.shape, w.GPT["width"], w.GPT["heads"]
    x = F.embedding(tokens, p["tokens"]) + p["positions"]
    for i in range(w.GPT["layers"]):
        h = F.layer_norm(x, (d,), p[f"{i}.n0.w"], p[f"{i}.n0.b"])
        qkv = dense(p, f"{i}.qkv", h).view(b, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
        x = x + dense(p, f"{i}.out", h.transpose(1, 2).reshape(b, t, d))
        h = F.layer_norm(x, (d,), p[f"{i}.n1.w"], p[f"{i}.n1.b"])
        x = x + dense(p, f"{i}.down", F.gelu(dense(p, f"{i}.up", h), approximate="tanh"))
    return dense(p, "head", F.layer_norm(x, (d,), p["norm.w"], p["norm.b"]))


def resblock(p: dict[str, Any], x: Any) -> Any:
    def normed(name: str, x: Any) -> Any:
        y = F.conv2d(x, p[f"c{name}.w"], padding=1)
        return F.batch_norm(y, None, None, p[f"n{name}.w"], p[f"n{name}.b"], training=True)

    y = F.relu(normed("1", F.relu(normed("0", x))) + x)
    return dense(p, "0", y.mean((2, 3)))


def recurrent(kind: Any) -> Callable[..., Any]:
    def build(inputs: Any, hidden: Any) -> Any:
        n, m = w.RECURRENT["inputs"], w.RECURRENT["hidden"]
        module = kind(n, m, bias=False, batch_first=True)
        with torch.no_grad():
            module.weight_ih_l0.copy_(inputs.T)
            module.weight_hh_l0.copy_(hidden.T)
        return module

    return build


MODULES = {"lstm": recurrent(torch.nn.LSTM), "gru": recurrent(torch.nn.GRU)}


def lstm(p: dict[str, Any], x: Any) -> Any:
    return dense(p, "0", p["module"](x)[0][:, -1])


gru = lstm


def unet(p: dict[str, Any], x: Any) -> Any:
    near = F.relu(F.conv2d(x, p["c0.w"], p["c0.b"], padding=1))
    deep = F.relu(F.conv2d(F.max_pool2d(near, 2), p["c1.w"], p["c1.b"], padding=1))
    up = F.conv_transpose2d(deep, p["up.w"], stride=2)
    x = F.relu(F.conv2d(torch.cat([near, up], 1), p["c2.w"], p["c2.b"], padding=1))
    return F.conv2d(x, p["c3.w"], p["c3.b"])


def chain(p: dict[str, Any], x: Any) -> Any:
    a, b, c = w.CHAIN
    return torch.tanh(a * x + b) * c + F.relu(x)


def softmax_ln(p: dict[str, Any], x: Any) -> Any:
    return F.layer_norm(F.softmax(x, -1), (1024,), p["w"], p["b"])
