"""Functions of neural networks in lower case: the ops of the native registry under this name.

Their documentation, signatures and rules come from the ops' records. Only `dropout` is written
here, because it draws from the current generator.
"""

from __future__ import annotations

from typing import Any

from .. import _core, random

_ops = _core.ops

avg_pool1d = _ops.avg_pool1d
avg_pool2d = _ops.avg_pool2d
batch_norm = _ops.batch_norm
batch_norm_inference = _ops.batch_norm_inference
conv1d = _ops.conv1d
conv1d_transpose = _ops.conv1d_transpose
conv2d = _ops.conv2d
conv2d_transpose = _ops.conv2d_transpose
elu = _ops.elu
embedding = _ops.embedding
gelu = _ops.gelu
global_avg_pool = _ops.global_avg_pool
global_max_pool = _ops.global_max_pool
layer_norm = _ops.layer_norm
leaky_relu = _ops.leaky_relu
log_softmax = _ops.log_softmax
max_pool1d = _ops.max_pool1d
max_pool2d = _ops.max_pool2d
one_hot = _ops.one_hot
relu = _ops.relu
sigmoid = _ops.sigmoid
silu = _ops.silu
softmax = _ops.softmax
softmax_cross_entropy = _ops.softmax_cross_entropy
softplus = _ops.softplus
tanh = _ops.tanh


def dropout(x: Any, rate: float = 0.5) -> Any:
    """Zeroes each entry with probability `rate` and divides the others by `1 - rate`.

    It always drops; the layer `fb.nn.Dropout` does so only while training.

    Args:
        x: A floating tensor of any shape.
        rate: Probability of zero, from 0 to 1.

    Returns:
        A tensor shaped and typed like `x`.

    Raises:
        ArgumentError: If `rate` is not from 0 to 1.

    Example:
        >>> y = fb.nn.dropout(fb.asarray(np.ones(1000, np.float32)), 0.25)
        >>> 0.2 < float(fb.mean(fb.astype(y == 0, fb.float32))) < 0.3
        True

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: a simple way
    to prevent neural networks from overfitting".
    """
    return _ops.dropout(random._key(), x, rate=rate)
