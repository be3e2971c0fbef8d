"""`fit`, `evaluate`, `predict`: what the user calls around one compiled step.

Forward pass, loss, gradients, optimizer and metrics are recorded as one graph (`_steps.py`), the loop
over batches (`_loop.py`) runs on the thread of a `Run` (`_run.py`). This file checks arguments and
puts the parts together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import flowbook as fb

from . import _hints, _nan, _progress, _run
from ._batches import as_batches, as_dataset, call_model, epoch_of, join
from ._loop import Loop
from ._run import Run
from ._steps import Compiled, Loss, Measure, TrainingStep, as_metrics
from .callbacks import Callback, FunctionCallback
from .data import Dataset
from .metrics import Mean
from .nn import Module, training
from .optim import Adam, Optimizer


@_hints.for_arguments(_hints.ARGUMENTS)
def fit(
    model: Module,
    data: Any,
    loss: Loss,
    optimizer: Optimizer | None = None,
    epochs: int = 1,
    *,
    validation: Any = None,
    metrics: Any = (),
    callbacks: Sequence[Callback | Callable[[Run], Any]] = (),
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    progress: Any = True,
    wait: bool = True,
    label: str = "",
    log: bool | None = None,
    on_nan: str = "warn",
) -> Any:
    """Trains a model: whole steps (forward, backward, optimizer) as one compiled graph.

    A batch is `(inputs, target)` or `(inputs, target, weights)`; inputs that are tuples become
    positional arguments of the model, dicts keyword arguments. The loss is called as
    `loss(prediction, target)` or with `weights=`. Floating arrays are cast to the dtype policy's
    dtype (float32).

    The loop runs on a thread of its own. A blocking `fit` waits for it and makes the calls to
    callbacks meanwhile; data are read on the run's thread. A first interrupt (the notebook's stop
    button, Ctrl-C) finishes the running step and returns the history so far; a second one raises
    KeyboardInterrupt, and the running step changes nothing.

    With `wait=False` the run goes on in the background, callbacks are called on its thread, and the
    numbers are those of a blocking `fit`. Until it ends it owns the Variables that it changes.

    Args:
        model: The model; its trainable Variables are changed in place.
        data: `(x, y)` arrays, a `Dataset`, `Batches`, or an iterable of batches.
        loss: Function from prediction and target to a 0-d tensor, such as
            `fb.losses.softmax_cross_entropy`.
        optimizer: The optimizer, which keeps its state after the run; `Adam()` by default.
        epochs: Passes over the data.
        validation: Data to measure after each epoch, in any form that `data` may have; or the share
            of `data` (a float in (0, 1)) that is set aside for it.
        metrics: Metrics or functions `(prediction, target) -> 0-d tensor`; a list, or a dict by
            name.
        callbacks: `Callback` objects, or functions of the `Run` to call after each epoch.
        batch_size: Examples per batch, for data that are not batches yet.
        shuffle: Reorder the examples in each epoch, for data that are not batches yet.
        seed: Decides these orders and the validation split.
        progress: True chooses a display for the place it runs in; False for none; "text", "tqdm".
        wait: Wait for the end; False returns a `Run` at once.
        label: A name for the run in lists and charts.
        log: Keep a log of the run on disk, for `fb.runs`; None: where the notebook extension is
            loaded.
        on_nan: What to do about the first step whose loss is NaN or infinite. The step is run again
            with statistics of each value, which tells the first node that made such a number, its
            layer and its line. "warn": say so once, mark the chart, go on. "stop": end the run
            before that step takes effect. "raise": the same with an error. "ignore": nothing.
            "stop" and "raise" look at the gradients, too, which takes a pass over them.

    Returns:
        The history: `history["loss"]`, `history["val_accuracy"]`, ... by epoch. With `wait=False`
        the `Run`, which has it.

    Raises:
        ArgumentError: If an argument cannot be used.
        DataError: If the data are empty or a batch has another structure.
        ShapeError: If the loss is not a 0-d tensor.
        GraphError: If another run trains the model or uses the optimizer.
        NonFiniteError: If a loss or gradient is not finite and `on_nan` is "raise".

    Example:
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> model = fb.nn.Sequential(fb.nn.Dense(1))
        >>> history = fb.fit(
        ...     model,
        ...     (x, 3 * x + 1),
        ...     fb.losses.mean_squared_error,
        ...     fb.optim.SGD(0.1, momentum=0.9),
        ...     epochs=40,
        ...     progress=False,
        ... )
        >>> history.last("loss") < 1e-3
        True
    """
    if not isinstance(model, Module):
        raise fb.ArgumentError(
            f"fit: model is a {type(model).__name__}. It must be a fb.nn.Module, such as "
            "fb.nn.Sequential(...)."
        )
    if not callable(loss):
        raise fb.ArgumentError(
            f"fit: loss is {loss!r}. It is a function, such as fb.losses.mean_squared_error."
        )
    if optimizer is None:
        optimizer = Adam()
    if not isinstance(optimizer, Optimizer):
        raise fb.ArgumentError(
            f"fit: optimizer is {optimizer!r}. It is an object, such as fb.optim.Adam(1e-3)."
        )
    if epochs < 0:
        raise fb.ArgumentError(f"fit: epochs is {epochs}. It must be 0 or more.")
    if on_nan not in _nan.CHOICES:
        raise fb.ArgumentError(
            f"fit: on_nan is {on_nan!r}. It is one of {', '.join(map(repr, _nan.CHOICES))}."
        )
    if isinstance(validation, (float, np.floating)):
        data, validation = as_dataset(data, "validation as a share").split(
            float(validation), seed=seed
        )
    batches = as_batches(data, batch_size, shuffle, seed)
    held_out = None if validation is None else as_batches(validation, batch_size, False, seed)

    run = Run(model, optimizer, epochs, label=str(label))
    run.facts = {"data": _words(batches), "validation": _words(held_out)}
    run.steps_per_epoch = len(batches) if hasattr(batches, "__len__") else None
    run._metrics = [Mean("loss"), *as_metrics(metrics)]
    loop = Loop(
        run,
        TrainingStep(
            model,
            optimizer,
            loss,
            run._metrics[0],
            run._metrics[1:],
            finite=on_nan != "ignore",
            gradients=on_nan in ("stop", "raise"),
        ),
        on_nan,
        batches,
        Measure(model, loss, metrics) if held_out is not None else None,
        held_out,
        [c if isinstance(c, Callback) else FunctionCallback(c) for c in callbacks],
    )
    with run._claimed():
        run._observe(log)
        if progress is not True or not run._show():
            loop.shown = _progress.make(run, progress)
        run._start(loop, wait)
    return run._serve() if wait else run


def _words(batches: Any) -> str | None:
    """What the data are, for the log."""
    if batches is None or isinstance(batches, (list, tuple)):
        return None if batches is None else f"{len(batches)} batches"
    return _run.one_line(batches)


@_hints.for_arguments(_hints.ARGUMENTS)
def evaluate(
    model: Module,
    data: Any,
    loss: Loss | None = None,
    metrics: Any = (),
    *,
    batch_size: int = 256,
) -> dict[str, float]:
    """Measures a model on data, with the training switch off.

    Args:
        model: The model.
        data: `(x, y)` arrays, a `Dataset`, `Batches`, or an iterable of batches.
        loss: Function from prediction and target to a 0-d tensor; None for none.
        metrics: Metrics or functions, as for `fit`.
        batch_size: Examples per batch, for data that are not batches yet.

    Returns:
        The numbers by name; the loss is called "loss".

    Raises:
        ArgumentError: If there is neither a loss nor a metric.
        DataError: If the data are empty.

    Example:
        >>> x = np.eye(4, dtype=np.float32)
        >>> numbers = fb.evaluate(
        ...     fb.nn.Dense(4), (x, np.arange(4)), fb.losses.softmax_cross_entropy,
        ...     [fb.metrics.Accuracy()],
        ... )
        >>> list(numbers)
        ['loss', 'accuracy']
    """
    measure = Measure(model, loss, metrics)
    return measure(epoch_of(as_batches(data, batch_size, False, 0), 0))


@_hints.for_arguments(_hints.ARGUMENTS)
def predict(model: Module, data: Any, *, batch_size: int = 256) -> Any:
    """The model's outputs for all examples, with the training switch off.

    Args:
        model: The model; its outputs have one row per example.
        data: One array of inputs, a tuple or dict of input arrays, or a `Dataset` of inputs.
        batch_size: Examples per batch.

    Returns:
        A tensor (or the nested structure of tensors that the model returns) with one row per
        example.

    Raises:
        DataError: If the data are empty.

    Example:
        >>> fb.predict(fb.nn.Dense(3), np.ones((10, 4), np.float32)).shape
        (10, 3)
    """
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    if len(dataset) == 0:
        raise fb.DataError("predict: no examples. Give at least one row.")
    outputs = []
    compiled = Compiled(lambda inputs: call_model(model, inputs))
    with training(False):
        for batch in dataset.batch(batch_size):
            outputs.append(compiled(batch))
    return join(outputs)
