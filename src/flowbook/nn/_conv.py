"""Layers for images: convolution, pooling and batch normalisation. Data are channels-last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flowbook as fb

from .._policy import cast_floating, dtype_policy
from .._state import spec_text
from . import init as initializers
from ._layers import Activation, _activation, _last_axis, _name_of, _require_size
from ._module import Module


def _pair(who: str, name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """`3` as `(3, 3)`; two positive integers as they are."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(sizes) != 2:
        raise fb.ArgumentError(
            f"{who}: {name} is {value!r}. Give one number, or two: rows, columns."
        )
    for size in sizes:
        _require_size(who, **{name: size})
    return int(sizes[0]), int(sizes[1])


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _require_padding(who: str, padding: str) -> str:
    if padding not in ("valid", "same"):
        raise fb.ArgumentError(f"{who}: padding is {padding!r}. It is 'valid' or 'same'.")
    return padding


class Conv2D(Module):
    """Convolution of images with learned weights.

    Args:
        filters: Number of output channels.
        window: Rows and columns of the window; one number for both.
        channels: Number of input channels; None takes it from the first call.
        strides: Step of the window; one number or two.
        padding: "valid": windows inside the image; "same": zeros around it, so that stride 1 keeps
            the size.
        dilation: Distance of the window's rows and columns in the image; one number or two.
        groups: Channels are cut into so many groups, each with its own weights.
        activation: Function or module applied to the result, or a function's name; None for none.
        bias: Whether there is a bias.
        weight_init: Initialiser of `weight`; `GlorotUniform()` by default.
        bias_init: Initialiser of `bias`; `Zeros()` by default.
        dtype: Dtype of the parameters; the dtype policy's (float32) by default.

    Attributes:
        weight: Variable `[rows, columns, channels / groups, filters]`.
        bias: Variable `[filters]`, or None.

    Input `[batch, height, width, channels]`, output `[batch, rows, columns, filters]`.

    Raises:
        ArgumentError: If a setting is out of its range.
        ShapeError: On a call with other than 4 axes or another number of channels.

    Example:
        >>> layer = fb.nn.Conv2D(8, 3, padding="same", activation=fb.nn.relu)
        >>> layer(fb.asarray(np.ones((2, 28, 28, 1), np.float32))).shape
        (2, 28, 28, 8)

    Source: LeCun et al. (1989), "Backpropagation applied to handwritten zip code recognition".
    """

    def __init__(
        self,
        filters: int,
        window: int | Sequence[int] = 3,
        channels: int | None = None,
        *,
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Activation | str | None = None,
        bias: bool = True,
        weight_init: initializers.Initializer | None = None,
        bias_init: initializers.Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        _require_size("Conv2D", filters=filters, channels=channels, groups=groups)
        self.filters = int(filters)
        self.channels = None if channels is None else int(channels)
        self.window = _pair("Conv2D", "window", window)
        self.strides = _pair("Conv2D", "strides", strides)
        self.dilation = _pair("Conv2D", "dilation", dilation)
        self.padding = _require_padding("Conv2D", padding)
        self.groups = int(groups)
        self.activation = _activation(type(self).__name__, activation)
        self.use_bias = bool(bias)
        self.weight_init = weight_init or initializers.GlorotUniform()
        self.bias_init = bias_init or initializers.Zeros()
        self.dtype = dtype_policy() if dtype is None else dtype
        self.weight: fb.Variable | None = None
        self.bias: fb.Variable | None = None
        if self.filters % self.groups:
            raise fb.ArgumentError(
                f"Conv2D: {self.filters} filters do not divide into {self.groups} groups. "
                "filters must be a multiple of groups."
            )
        if channels is not None:
            with fb.outside_graph():
                self._create()
            self._built = True

    def _create(self) -> None:
        assert self.channels is not None
        if self.channels % self.groups:
            raise fb.ArgumentError(
                f"Conv2D: {self.channels} channels do not divide into {self.groups} groups. "
                "channels must be a multiple of groups."
            )
        shape = (*self.window, self.channels // self.groups, self.filters)
        self.weight = fb.Variable(self.weight_init(shape, self.dtype), name="weight")
        if self.use_bias:
            self.bias = fb.Variable(self.bias_init((self.filters,), self.dtype), name="bias")

    def build(self, x: Any) -> None:
        self._require_images(x)
        self.channels = _last_axis(x, "Conv2D")
        self._create()

    def _require_images(self, x: Any) -> None:
        shape: Any = getattr(x, "shape", ())
        if len(shape) != 4 or (self.channels is not None and shape[-1] != self.channels):
            wanted = "channels" if self.channels is None else self.channels
            raise fb.ShapeError(
                f"Conv2D: x is {spec_text(x)}. It must be [batch, height, width, {wanted}], "
                "channels last."
            )

    def forward(self, x: Any) -> fb.Tensor:
        x = cast_floating(x, self.dtype)
        self._require_images(x)
        y = fb.nn.conv2d(
            x,
            self.weight,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)

    def describe(self) -> str:
        text = f"Conv2D({'?' if self.channels is None else self.channels} -> {self.filters}, "
        text += _times(self.window)
        text += f", strides {_times(self.strides)}" if self.strides != (1, 1) else ""
        text += ", same" if self.padding == "same" else ""
        text += f", dilation {_times(self.dilation)}" if self.dilation != (1, 1) else ""
        text += f", groups {self.groups}" if self.groups != 1 else ""
        text += f", {_name_of(self.activation)}" if self.activation is not None else ""
        return text + ("" if self.use_bias else ", no bias") + ")"


class _Pool2D(Module):
    """What the poolings share: a window, its step, its padding."""

    def __init__(
        self,
        window: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
    ) -> None:
        who = type(self).__name__
        self.window = _pair(who, "window", window)
        self.strides = self.window if strides is None else _pair(who, "strides", strides)
        self.padding = _require_padding(who, padding)

    def describe(self) -> str:
        step = f", strides {_times(self.strides)}" if self.strides != self.window else ""
        same = ", same" if self.padding == "same" else ""
        return f"{type(self).__name__}({_times(self.window)}{step}{same})"


class MaxPool2D(_Pool2D):
    """The largest entry of each window, by channel.

    Args:
        window: Rows and columns of the window; one number for both.
        strides: Step of the window; None: the window's size.
        padding: "valid" or "same".

    Input `[batch, height, width, channels]`, output `[batch, rows, columns, channels]`.

    Example:
        >>> fb.nn.MaxPool2D()(fb.asarray(np.ones((2, 8, 8, 3), np.float32))).shape
        (2, 4, 4, 3)
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.max_pool2d(x, window=self.window, strides=self.strides, padding=self.padding)


class AvgPool2D(_Pool2D):
    """The mean of each window, by channel.

    Args:
        window: Rows and columns of the window; one number for both.
        strides: Step of the window; None: the window's size.
        padding: "valid" or "same".

    Input `[batch, height, width, channels]`, output `[batch, rows, columns, channels]`.

    Example:
        >>> fb.nn.AvgPool2D()(fb.asarray(np.ones((2, 8, 8, 3), np.float32))).shape
        (2, 4, 4, 3)
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.avg_pool2d(x, window=self.window, strides=self.strides, padding=self.padding)


class GlobalAvgPool(Module):
    """The mean of each channel over the whole image.

    Input `[batch, ..., channels]`, output `[batch, channels]`.

    Example:
        >>> fb.nn.GlobalAvgPool()(fb.asarray(np.ones((2, 8, 8, 3), np.float32))).shape
        (2, 3)

    Source: Lin, Chen, Yan (2013), "Network in network".
    """

    def forward(self, x: Any) -> fb.Tensor:
        return fb.nn.global_avg_pool(x)


class BatchNorm(Module):
    """Normalises each channel to mean 0 and variance 1, then scales and shifts it.

    While training, mean and variance are those of the batch, and running averages of them are kept;
    otherwise the running averages are used.

    Args:
        inputs: Number of channels (the last axis); None takes it from the first call.
        momentum: Share of the running averages that stays at each step, in `[0, 1]`.
        eps: Added to the variance.
        dtype: Dtype of the Variables; the dtype policy's (float32) by default.

    Attributes:
        scale: Variable `[inputs]`.
        bias: Variable `[inputs]`.
        mean: Variable `[inputs]`, the running mean; not trainable.
        variance: Variable `[inputs]`, the running variance (sum over the number of entries); not
            trainable.

    Input `[batch, ..., inputs]`, output the same shape.

    Raises:
        ArgumentError: If `momentum` is not from 0 to 1.

    Example:
        >>> norm = fb.nn.BatchNorm()
        >>> norm(fb.asarray([[1.0], [3.0]]), training=True).numpy().round(3).tolist()
        [[-1.0], [1.0]]

    Source: Ioffe, Szegedy (2015), "Batch normalization: accelerating deep network training by
    reducing internal covariate shift".
    """

    def __init__(
        self,
        inputs: int | None = None,
        *,
        momentum: float = 0.9,
        eps: float = 1e-5,
        dtype: Any = None,
    ) -> None:
        _require_size("BatchNorm", inputs=inputs)
        if not 0 <= momentum <= 1:
            raise fb.ArgumentError(f"BatchNorm: momentum is {momentum}. It is between 0 and 1.")
        self.inputs = None if inputs is None else int(inputs)
        self.momentum, self.eps = float(momentum), float(eps)
        self.dtype = dtype_policy() if dtype is None else dtype
        self.scale: fb.Variable | None = None
        self.bias: fb.Variable | None = None
        self.mean: fb.Variable | None = None
        self.variance: fb.Variable | None = None
        if inputs is not None:
            with fb.outside_graph():
                self._create()
            self._built = True

    def _create(self) -> None:
        assert self.inputs is not None

        def variable(value: float, name: str, trainable: bool) -> fb.Variable:
            start = fb.full((self.inputs,), value, dtype=self.dtype)
            return fb.Variable(start, name=name, trainable=trainable)

        self.scale, self.bias = variable(1.0, "scale", True), variable(0.0, "bias", True)
        self.mean, self.variance = variable(0.0, "mean", False), variable(1.0, "variance", False)

    def build(self, x: Any) -> None:
        self.inputs = _last_axis(x, "BatchNorm")
        self._create()

    def forward(self, x: Any) -> fb.Tensor:
        x = cast_floating(x, self.dtype)
        assert self.mean is not None
        assert self.variance is not None
        if not fb.nn.is_training():
            return fb.nn.batch_norm_inference(
                x, self.scale, self.bias, self.mean, self.variance, epsilon=self.eps
            )
        y, mean, variance = fb.nn.batch_norm(x, self.scale, self.bias, epsilon=self.eps)
        for running, now in ((self.mean, mean), (self.variance, variance)):
            change = fb.stop_gradient(now) - running.value
            running.assign(running.value + change * (1 - self.momentum))
        return y

    def describe(self) -> str:
        return f"BatchNorm({'?' if self.inputs is None else self.inputs})"
