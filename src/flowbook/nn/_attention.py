"""Attention: the function, and the layer with its projections."""

from __future__ import annotations

from typing import Any

import flowbook as fb

from .. import _core
from .._policy import cast_floating, dtype_policy
from ._layers import Dense, _last_axis
from ._module import Module


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
) -> fb.Tensor:
    """`softmax(scale * query @ key^T + mask) @ value`, head by head, without the matrix of scores.

    Queries are taken 64 and keys 256 at a time, forward and backward, so that memory grows with
    the length and not with its square. Operands may be views with any strides, such as the heads of
    one projection `[batch, time, 3, heads, size]`. Gradients of any order exist, also of a floating
    mask; that one, and orders above the first, do build whole matrices of scores.

    Args:
        query: `[..., heads, queries, size]`, or `[queries, size]`.
        key: `[..., heads, keys, size]`. It may have fewer heads than `query` if these are a
            multiple: each then serves several (grouped-query and multi-query attention).
        value: `[..., heads, keys, width]`, with the heads of `key`.
        mask: Broadcasts to `[..., heads, queries, keys]`. Boolean: true where a query may look at a
            key. Floating: added to the scaled scores. None: every query looks at all keys.
        causal: Whether query i looks at keys 0 ... i only, whatever else the mask says. Blocks of
            keys that nobody sees cost nothing.
        scale: What scores are multiplied by; `size ** -0.5` by default.

    Returns:
        `[..., heads, queries, width]`, with the dtype of the operands. A query that may look at no
        key gives zeros. A NaN in a query, or in a key that it sees, gives NaN.

    Raises:
        ShapeError: If sizes, heads or the mask do not fit.
        DTypeError: If the mask is neither boolean nor floating.

    Example:
        >>> q = fb.asarray(np.ones((2, 4, 10, 8), np.float32))  # batch, heads, time, size
        >>> fb.nn.scaled_dot_product_attention(q, q, q, causal=True).shape
        (2, 4, 10, 8)

    Source: Vaswani et al. (2017), "Attention is all you need"; Dao, Fu, Ermon, Rudra, Ré (2022),
    "FlashAttention: fast and memory-efficient exact attention with IO-awareness".
    """
    if mask is None:
        mask = fb.full((), True)
    elif not isinstance(mask, (fb.Tensor, fb.Variable)):
        mask = fb.asarray(mask)
    if mask.dtype != fb.bool:
        common = fb.result_type(query, key, value)
        mask = cast_floating(mask, common) if mask.dtype != common else mask
    if scale == 0:  # the op's 0 stands for its default
        query, scale = query * 0.0, 1.0
    y, _ = _core.ops.attention(
        query, key, value, mask, scale=float(scale or 0), causal=bool(causal)
    )
    return y  # type: ignore[no-any-return]


class MultiHeadAttention(Module):
    """Projects to several heads, lets each attend, and projects what they found back.

    `layer(x)` is self-attention; `layer(x, context)` looks at `context` instead.

    Args:
        heads: Number of heads of the queries.
        size: Size of a head; None takes the last axis of the first input over `heads`.
        kv_heads: Number of heads of keys and values, a divisor of `heads`: fewer make
            grouped-query attention, 1 multi-query. As many as `heads` by default.
        causal: Whether position i looks at positions 0 ... i only.
        bias: Whether the projections have biases.
        dtype: Dtype of the parameters; the dtype policy's (float32) by default.

    Attributes:
        query, key, value, out: The four `Dense` projections.

    Input `[..., time, features]`, output likewise. `mask` is as in
    `fb.nn.scaled_dot_product_attention`: it broadcasts to `[..., heads, time, time of context]`.

    Raises:
        ArgumentError: If the numbers are not positive, or `kv_heads` does not divide `heads`.
        ShapeError: If `heads` does not divide the features and no `size` is given.

    Example:
        >>> layer = fb.nn.MultiHeadAttention(4, causal=True)
        >>> layer(fb.asarray(np.ones((2, 10, 32), np.float32))).shape
        (2, 10, 32)

    Source: Vaswani et al. (2017), "Attention is all you need"; Ainslie et al. (2023), "GQA: training
    generalized multi-query transformer models from multi-head checkpoints".
    """

    def __init__(
        self,
        heads: int,
        size: int | None = None,
        *,
        kv_heads: int | None = None,
        causal: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        kv_heads = heads if kv_heads is None else kv_heads
        for name, n in (("heads", heads), ("size", size), ("kv_heads", kv_heads)):
            if n is not None and int(n) <= 0:
                raise fb.ArgumentError(f"MultiHeadAttention: {name} is {n}. It must be positive.")
        if heads % kv_heads:
            raise fb.ArgumentError(
                f"MultiHeadAttention: heads is {heads}, kv_heads is {kv_heads}. "
                "It must divide the number of heads."
            )
        self.heads, self.kv_heads, self.size = int(heads), int(kv_heads), size
        self.causal, self.bias = bool(causal), bool(bias)
        self.dtype = dtype_policy() if dtype is None else dtype
        self.query: Dense | None = None
        self.key: Dense | None = None
        self.value: Dense | None = None
        self.out: Dense | None = None

    def build(self, x: Any, context: Any = None, mask: Any = None) -> None:
        features = _last_axis(x, "MultiHeadAttention")
        if self.size is None:
            if features % self.heads:
                raise fb.ShapeError(
                    f"MultiHeadAttention: x has {features} features and there are {self.heads} "
                    "heads, which do not divide them. Give the `size` of a head."
                )
            self.size = features // self.heads
        seen = features if context is None else _last_axis(context, "MultiHeadAttention")

        def dense(units: int, inputs: int) -> Dense:
            return Dense(units, inputs, bias=self.bias, dtype=self.dtype)

        self.query = dense(self.heads * self.size, features)
        self.key = dense(self.kv_heads * self.size, seen)
        self.value = dense(self.kv_heads * self.size, seen)
        self.out = dense(features, self.heads * self.size)

    def forward(self, x: Any, context: Any = None, mask: Any = None) -> fb.Tensor:
        assert self.query is not None
        assert self.key is not None
        assert self.value is not None
        assert self.out is not None
        x = cast_floating(x, self.dtype)
        context = x if context is None else cast_floating(context, self.dtype)

        def split(y: fb.Tensor, heads: int) -> fb.Tensor:  # [..., time, features] by heads
            wide = fb.reshape(y, (*y.shape[:-1], heads, self.size))
            return fb.moveaxis(wide, -2, -3)

        y = scaled_dot_product_attention(
            split(self.query(x), self.heads),
            split(self.key(context), self.kv_heads),
            split(self.value(context), self.kv_heads),
            mask=mask,
            causal=self.causal,
        )
        y = fb.moveaxis(y, -3, -2)
        return self.out(fb.reshape(y, (*y.shape[:-2], self.heads * y.shape[-1])))  # type: ignore[no-any-return]

    def describe(self) -> str:
        shared = f", {self.kv_heads} for keys" if self.kv_heads != self.heads else ""
        return f"MultiHeadAttention({self.heads} heads{shared}{', causal' if self.causal else ''})"
