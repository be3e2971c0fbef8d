"""Layers with parameters or behaviour of their own, and the container that chains them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flowbook as fb

from .._policy import cast_floating, dtype_policy
from .._state import dtype_name, size_of
from . import init as initializers
from ._module import Module
from ._training import is_training

Activation = Callable[[Any], Any]


def _last_axis(x: Any, who: str) -> int:
    """Extent of the last axis of `x`, which the layer's parameters are made for."""
    if len(x.shape) == 0:
        raise fb.ShapeError(
            f"{who}: the input is a scalar, {dtype_name(x.dtype)}[]. "
            "It needs at least one axis, usually [batch, features]."
        )
    extent = x.shape[-1]
    if not isinstance(extent, int):
        raise fb.ShapeError(
            f"{who}: the last axis of the input has the symbolic size {extent}. "
            f"Parameters need a number: give {who}(..., inputs=N), or call it with data first."
        )
    return extent


def _name_of(function: Any) -> str:
    if isinstance(function, Module):
        return function.describe()
    return str(getattr(function, "__name__", None) or getattr(function, "name", function))


def _activation(layer: str, activation: Activation | str | None) -> Activation | None:
    """The function that a layer's `activation` argument names."""
    if activation is None or callable(activation):
        return activation
    from . import _functions

    found = getattr(_functions, activation, None) if isinstance(activation, str) else None
    if found is None:
        raise fb.ArgumentError(
            f"{layer}: activation is {activation!r}. Give a function such as fb.nn.relu, or its "
            'name: "relu", "gelu", "silu", "tanh", "sigmoid", ...'
        )
    return found  # type: ignore[no-any-return]


class Dense(Module):
    """Affine layer: `activation(x @ weight + bias)` over the last axis.

    Args:
        units: Size of the last axis of the output.
        inputs: Size of the last axis of the input; None takes it from the first call.
        activation: Function or module applied to the result, or a function's name; None for none.
        bias: Whether there is a bias.
        weight_init: Initialiser of `weight`; `GlorotUniform()` by default.
        bias_init: Initialiser of `bias`; `Zeros()` by default.
        dtype: Dtype of the parameters; floating inputs are cast to it. The dtype policy's
            (float32) by default.

    Attributes:
        weight: Variable `[inputs, units]`, None before the first call if `inputs` is None.
        bias: Variable `[units]`, or None.

    Input `[..., inputs]`, output `[..., units]`.

    Raises:
        ArgumentError: If `units` or `inputs` is not positive.
        ShapeError: On a call with a scalar, or with another last axis than the layer was built for.

    Example:
        >>> layer = fb.nn.Dense(10, activation=fb.nn.relu)
        >>> layer(fb.asarray(np.ones((32, 64), np.float32))).shape
        (32, 10)
        >>> layer
        Dense(64 -> 10, relu): 650 parameters, 2.6 kB
        ├─ weight  f32[64, 10]  640
        └─ bias    f32[10]       10
    """

    def __init__(
        self,
        units: int,
        inputs: int | None = None,
        *,
        activation: Activation | str | None = None,
        bias: bool = True,
        weight_init: initializers.Initializer | None = None,
        bias_init: initializers.Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        _require_size("Dense", units=units, inputs=inputs)
        self.units = int(units)
        self.inputs = None if inputs is None else int(inputs)
        self.activation = _activation("Dense", activation)
        self.use_bias = bool(bias)
        self.weight_init = weight_init or initializers.GlorotUniform()
        self.bias_init = bias_init or initializers.Zeros()
        self.dtype = dtype_policy() if dtype is None else dtype
        self.weight: fb.Variable | None = None
        self.bias: fb.Variable | None = None
        if inputs is not None:
            with fb.outside_graph():
                self._create()
            self._built = True

    def _create(self) -> None:
        assert self.inputs is not None
        shape = (self.inputs, self.units)
        self.weight = fb.Variable(self.weight_init(shape, self.dtype), name="weight")
        if self.use_bias:
            self.bias = fb.Variable(self.bias_init((self.units,), self.dtype), name="bias")

    def build(self, x: Any) -> None:
        self.inputs = _last_axis(x, "Dense")
        self._create()

    def forward(self, x: Any) -> fb.Tensor:
        x = cast_floating(x, self.dtype)
        if len(x.shape) == 0 or x.shape[-1] != self.inputs:
            raise fb.ShapeError(
                f"Dense: x is {_spec(x)}, but the layer was built for a last axis of "
                f"{self.inputs} (weight is {_spec(self.weight)}). "
                f"Give it [..., {self.inputs}], or create a new layer."
            )
        y = x @ self.weight
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)

    def describe(self) -> str:
        text = f"Dense({'?' if self.inputs is None else self.inputs} -> {self.units}"
        text += f", {_name_of(self.activation)}" if self.activation is not None else ""
        return text + ("" if self.use_bias else ", no bias") + ")"


class Embedding(Module):
    """A table of vectors, looked up by integer index.

    Args:
        count: Number of rows: indices are in `[0, count)`.
        size: Length of each vector.
        weight_init: Initialiser; normal with standard deviation `size ** -0.5` by default.
        dtype: Dtype of the table; the dtype policy's (float32) by default.

    Attributes:
        weight: Variable `[count, size]`.

    Input: integers of any shape `[...]`; output `[..., size]`.

    Raises:
        ArgumentError: If `count` or `size` is not positive.
        IndexOutOfRange: On a call with an index outside of `[0, count)`.

    Example:
        >>> embed = fb.nn.Embedding(96, 8)
        >>> embed(fb.asarray([[1, 2, 3]])).shape
        (1, 3, 8)

    Source: Bengio, Ducharme, Vincent, Jauvin (2003), "A neural probabilistic language model".
    """

    def __init__(
        self,
        count: int,
        size: int,
        *,
        weight_init: initializers.Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        _require_size("Embedding", count=count, size=size)
        self.size = (int(count), int(size))
        dtype = dtype_policy() if dtype is None else dtype
        weight_init = weight_init or initializers.Normal(int(size) ** -0.5)
        with fb.outside_graph():
            self.weight = fb.Variable(weight_init(self.size, dtype), name="weight")

    def forward(self, indices: Any) -> fb.Tensor:
        return fb.nn.embedding(self.weight, indices)

    def describe(self) -> str:
        return f"Embedding({self.size[0]} x {self.size[1]})"


class LayerNorm(Module):
    """Normalises the last axis to mean 0 and variance 1, then scales and shifts it.

    Args:
        eps: Added to the variance, which keeps constant rows finite.
        inputs: Size of the last axis; None takes it from the first call.
        scale: Whether there is a learned scale.
        bias: Whether there is a learned shift.
        dtype: Dtype of the parameters; the dtype policy's (float32) by default.

    Attributes:
        scale: Variable `[inputs]`, or None.
        bias: Variable `[inputs]`, or None.

    Input `[..., inputs]`, output the same shape.

    Raises:
        ShapeError: On a call with a scalar, or with another last axis than the layer was built for.

    Example:
        >>> norm = fb.nn.LayerNorm()
        >>> y = norm(fb.asarray([[1.0, 2.0, 3.0]]))
        >>> bool(fb.abs(fb.mean(y)) < 1e-6)
        True

    Source: Ba, Kiros, Hinton (2016), "Layer normalization".
    """

    def __init__(
        self,
        inputs: int | None = None,
        *,
        eps: float = 1e-5,
        scale: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        _require_size("LayerNorm", inputs=inputs)
        self.inputs = None if inputs is None else int(inputs)
        self.eps = float(eps)
        self.use_scale, self.use_bias = bool(scale), bool(bias)
        self.dtype = dtype_policy() if dtype is None else dtype
        self.scale: fb.Variable | None = None
        self.bias: fb.Variable | None = None
        if inputs is not None:
            with fb.outside_graph():
                self._create()
            self._built = True

    def _create(self) -> None:
        assert self.inputs is not None
        if self.use_scale:
            self.scale = fb.Variable(initializers.Ones()((self.inputs,), self.dtype), name="scale")
        if self.use_bias:
            self.bias = fb.Variable(initializers.Zeros()((self.inputs,), self.dtype), name="bias")

    def build(self, x: Any) -> None:
        self.inputs = _last_axis(x, "LayerNorm")
        self._create()

    def forward(self, x: Any) -> fb.Tensor:
        x = cast_floating(x, self.dtype)
        if len(x.shape) == 0 or x.shape[-1] != self.inputs:
            raise fb.ShapeError(
                f"LayerNorm: x is {_spec(x)}, but the layer was built for a last axis of "
                f"{self.inputs}. Give it [..., {self.inputs}], or create a new layer."
            )
        scale = fb.full((self.inputs,), 1, dtype=x.dtype) if self.scale is None else self.scale
        bias = fb.full((self.inputs,), 0, dtype=x.dtype) if self.bias is None else self.bias
        return fb.nn.layer_norm(x, scale, bias, epsilon=self.eps)

    def describe(self) -> str:
        return f"LayerNorm({'?' if self.inputs is None else self.inputs})"


class Dropout(Module):
    """While training, sets each element to 0 with probability `rate` and scales the others up.

    The others are multiplied by `1 / (1 - rate)`, so that sums keep their expectation. Outside of
    training (`fb.nn.is_training()` is False) the input passes unchanged.

    Args:
        rate: Probability of dropping an element, in `[0, 1]`.

    Raises:
        ArgumentError: If `rate` is not in `[0, 1]`.

    Example:
        >>> drop = fb.nn.Dropout(0.5)
        >>> x = fb.asarray(np.ones(1000, np.float32))
        >>> float(fb.mean(drop(x)))
        1.0
        >>> sorted(set(drop(x, training=True).numpy().tolist()))
        [0.0, 2.0]

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: a simple way
    to prevent neural networks from overfitting".
    """

    def __init__(self, rate: float = 0.5) -> None:
        if not 0 <= rate <= 1:
            raise fb.ArgumentError(
                f"Dropout: rate is {rate}. It is the probability of dropping, between 0 and 1."
            )
        self.rate = float(rate)

    def forward(self, x: Any) -> fb.Tensor:
        x = cast_floating(x)
        if self.rate == 0 or not is_training():
            return x
        if self.rate == 1:
            return x * 0
        return fb.nn.dropout(x, self.rate)

    def describe(self) -> str:
        return f"Dropout({self.rate:g})"


class Flatten(Module):
    """Joins all axes but the first: `[batch, a, b]` becomes `[batch, a * b]`.

    Example:
        >>> fb.nn.Flatten()(fb.asarray(np.ones((2, 3, 4)))).shape
        (2, 12)
    """

    def forward(self, x: Any) -> fb.Tensor:
        x = x if isinstance(x, (fb.Tensor, fb.Variable)) else fb.asarray(x)
        if len(x.shape) == 0:
            raise fb.ShapeError("Flatten: x is a scalar. It needs a batch axis: [batch, ...].")
        return fb.reshape(x, (x.shape[0], size_of(x.shape[1:])))


class Sequential(Module):
    """Runs layers one after the other.

    Args:
        *layers: Modules or functions of one argument; a single list is taken apart.

    Attributes:
        layers: The list of layers; it may be changed.

    Raises:
        ArgumentError: If a layer cannot be called.

    Example:
        >>> model = fb.nn.Sequential(
        ...     fb.nn.Dense(16, activation=fb.nn.relu), fb.nn.Dropout(0.1), fb.nn.Dense(3)
        ... )
        >>> model(fb.asarray(np.ones((2, 4), np.float32))).shape
        (2, 3)
        >>> model
        Sequential: 131 parameters, 524 B
        ├─ layers[0]     Dense(4 -> 16, relu)
        │  ├─ weight     f32[4, 16]            64
        │  └─ bias       f32[16]               16
        ├─ layers[1]     Dropout(0.1)
        └─ layers[2]     Dense(16 -> 3)
           ├─ weight     f32[16, 3]            48
           └─ bias       f32[3]                 3
    """

    def __init__(self, *layers: Any) -> None:
        if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
            layers = tuple(layers[0])
        for i, layer in enumerate(layers):
            if not callable(layer) or isinstance(layer, type):
                raise fb.ArgumentError(
                    f"Sequential: layer {i} is {layer!r}, which cannot be applied to a tensor. "
                    "Give modules or functions of one argument, such as fb.nn.Dense(10)."
                )
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Any:
        return self.layers[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)


def _spec(x: Any) -> str:
    from .._state import spec_text

    return spec_text(x)


def _require_size(who: str, **sizes: int | None) -> None:
    for name, size in sizes.items():
        if size is None:
            continue
        try:
            size = size.__index__()
        except AttributeError:
            raise fb.ArgumentError(
                f"{who}: {name} is {size!r}. It must be a positive integer."
            ) from None
        if size < 1:
            raise fb.ArgumentError(f"{who}: {name} is {size}. It must be a positive integer.")
