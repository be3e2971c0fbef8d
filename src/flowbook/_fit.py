"""`fit`, `evaluate`, `predict`: the training loop around one compiled step.

Forward pass, loss, gradients, optimizer and metrics are recorded as one graph, so that a step is
one native call. The loop only feeds batches, keeps the history and talks to callbacks.
The first interrupt finishes the running step and returns what there is; the second one raises.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np

import flowbook as fb

from . import _progress
from ._history import History
from ._policy import cast_floating
from ._state import dtype_name, spec_text
from .callbacks import Callback, FunctionCallback
from .callbacks import factories as callback_factories
from .data import Batches, Dataset
from .metrics import Mean, Metric
from .nn import Module, training
from .optim import Adam, Optimizer

Loss = Callable[..., Any]


class Run:
    """A training run as callbacks see it.

    Attributes:
        model: The model.
        optimizer: The optimizer.
        history: The `History` so far.
        epochs: Number of epochs asked for.
        epoch: The current epoch, from 0.
        step: Finished steps of the run.
        steps_per_epoch: Steps in an epoch, None if the data don't tell.
        logs: Numbers of the epoch that has just finished.
        loss: Loss of the last step, a 0-d tensor; None before the first.
    """

    def __init__(self, model: Module, optimizer: Optimizer, epochs: int) -> None:
        self.model, self.optimizer, self.epochs = model, optimizer, epochs
        self.history = History()
        self.epoch = 0
        self.step = 0
        self.epoch_step = 0
        self.steps_per_epoch: int | None = None
        self.logs: dict[str, float] = {}
        self.loss: Any = None
        self.stopping = False
        self._metrics: list[Metric] = []
        self._epoch_start = time.perf_counter()

    @property
    def epoch_seconds(self) -> float:
        """Wall time since the epoch began, in seconds."""
        return time.perf_counter() - self._epoch_start

    def current(self) -> dict[str, float]:
        """The numbers of the running epoch so far."""
        return {metric.name: metric.result() for metric in self._metrics}

    def stop(self, reason: str) -> None:
        """Ends the run after the current step; `reason` is kept in the history."""
        if not self.stopping:
            self.stopping = True
            self.history.stopped = reason


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
) -> History:
    """Trains a model: whole steps (forward, backward, optimizer) as one compiled graph.

    A batch is `(inputs, target)` or `(inputs, target, weights)`; inputs that are tuples become
    positional arguments of the model, dicts keyword arguments. The loss is called as
    `loss(prediction, target)` or with `weights=`. Floating arrays are cast to the dtype policy's
    dtype (float32).

    A first interrupt (the notebook's stop button, Ctrl-C) finishes the running step and returns
    the history so far; a second one raises KeyboardInterrupt, and the running step changes nothing.

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

    Returns:
        The history: `history["loss"]`, `history["val_accuracy"]`, ... by epoch.

    Raises:
        ArgumentError: If an argument cannot be used.
        DataError: If the data are empty or a batch has another structure.
        ShapeError: If the loss is not a 0-d tensor.

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
    if isinstance(validation, (float, np.floating)):
        data, validation = _as_dataset(data, "validation as a share").split(
            float(validation), seed=seed
        )
    batches = _as_batches(data, batch_size, shuffle, seed)
    held_out = None if validation is None else _as_batches(validation, batch_size, False, seed)

    run = Run(model, optimizer, epochs)
    run.steps_per_epoch = len(batches) if hasattr(batches, "__len__") else None
    run._metrics = [Mean("loss"), *_as_metrics(metrics)]
    listeners = [c if isinstance(c, Callback) else FunctionCallback(c) for c in callbacks]
    listeners += [factory() for factory in callback_factories]
    each_step = [c for c in listeners if type(c).on_step_end is not Callback.on_step_end]
    step = _training_step(run, loss)
    measure = _Measure(model, loss, metrics) if held_out is not None else None
    shown = _progress.make(run, progress)
    started = time.perf_counter()
    try:
        with _Interrupts(run):
            for listener in listeners:
                listener.on_train_begin(run)
            for epoch in range(epochs):
                run.epoch, run.epoch_step, run._epoch_start = epoch, 0, time.perf_counter()
                for metric in run._metrics:
                    metric.reset()
                for listener in listeners:
                    listener.on_epoch_begin(run)
                _train_epoch(run, _epoch_of(batches, epoch), step, each_step, shown)
                run.history.seconds = time.perf_counter() - started
                if run.epoch_step == 0:
                    if not run.stopping:
                        raise fb.DataError(
                            f"fit: epoch {epoch + 1} has no batches. Give data that can be "
                            "iterated again for each epoch (a list or a Dataset, not a generator)."
                        )
                    break
                run.logs = run.current()
                cut_short = run.stopping
                if measure is not None and not cut_short:
                    numbers = measure(_until_stopped(_epoch_of(held_out, 0), run))
                    cut_short = run.stopping
                    if not cut_short:
                        run.logs.update({f"val_{name}": x for name, x in numbers.items()})
                run.history.add(run.logs)
                for listener in () if cut_short else listeners:
                    listener.on_epoch_end(run)
                if shown is not None:
                    shown.epoch(run)
                if run.stopping:
                    break
            for listener in listeners:
                listener.on_train_end(run)
    finally:
        run.history.seconds = time.perf_counter() - started
        if shown is not None:
            shown.close(run)
    return run.history


def _train_epoch(
    run: Run,
    batches: Iterator[Any],
    step: Callable[[Any], Any],
    each_step: Sequence[Callback],
    shown: _progress.Progress | None,
) -> None:
    clock = time.monotonic
    due = clock() + _progress.INTERVAL
    for batch in batches:
        if run.stopping:
            return
        run.loss = step(batch)
        run.step += 1
        run.epoch_step += 1
        run.history.steps = run.step
        for listener in each_step:
            listener.on_step_end(run)
        if shown is not None and clock() >= due:
            shown.step(run)
            due = clock() + _progress.INTERVAL


def _until_stopped(batches: Iterator[Any], run: Run) -> Iterator[Any]:
    for batch in batches:
        yield batch
        if run.stopping:
            return


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
    measure = _Measure(model, loss, metrics)
    return measure(_epoch_of(_as_batches(data, batch_size, False, 0), 0))


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
    compiled = _Compiled(lambda inputs: _call(model, inputs))
    with training(False):
        for batch in dataset.batch(batch_size):
            outputs.append(compiled(batch))
    return _join(outputs)


class _Measure:
    """Loss and metrics over batches, as one compiled step."""

    def __init__(self, model: Module, loss: Loss | None, metrics: Any) -> None:
        import copy

        self._mean = Mean("loss")
        # own sums, so that validation does not disturb the training numbers
        self._metrics = [copy.deepcopy(metric) for metric in _as_metrics(metrics)]
        if loss is None and not self._metrics:
            raise fb.ArgumentError("evaluate: neither a loss nor metrics. Give at least one.")

        def step(batch: Any, count: Any) -> Any:
            inputs, target, weights = _parts(batch)
            prediction = _call(model, inputs)
            if loss is not None:
                self._mean.add(_loss_of(loss, prediction, target, weights), count)
            for metric in self._metrics:
                _update(metric, prediction, target, count)
            return prediction

        self._loss = loss
        self._step = _Compiled(step)

    def __call__(self, batches: Iterable[Any]) -> dict[str, float]:
        used = ([self._mean] if self._loss is not None else []) + self._metrics
        for metric in used:
            metric.reset()
        empty = True
        with training(False):
            for batch in batches:
                batch = _tensors(batch)
                self._step(batch, _rows(batch))
                empty = False
        if empty:
            raise fb.DataError("evaluate: no batches. Give at least one example.")
        return {metric.name: metric.result() for metric in used}


def _training_step(run: Run, loss: Loss) -> Callable[[Any], Any]:
    """The compiled step: called with a batch, returns its loss."""
    model, optimizer = run.model, run.optimizer
    mean, *others = run._metrics

    def step(batch: Any, count: Any) -> Any:
        inputs, target, weights = _parts(batch)
        prediction = _call(model, inputs)
        value = _loss_of(loss, prediction, target, weights)
        parameters = model.parameters()
        if not parameters:
            raise fb.ArgumentError(
                f"fit: {type(model).__name__} has no trainable parameters. "
                "Are its layers attributes of the module, and not all frozen?"
            )
        optimizer.update(model, fb.gradients(value, parameters))
        mean.add(value, count)
        for metric in others:
            _update(metric, prediction, target, count)
        return value

    compiled = _Compiled(step)

    def call(batch: Any) -> Any:
        batch = _tensors(batch)
        with training():
            return compiled(batch, _rows(batch))

    return call


class _Compiled:
    """`fb.graph` of a function of a batch (any nesting) and a few numbers."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._structure: Any = None
        self._graph: Any = None

    def __call__(self, batch: Any, *numbers: Any) -> Any:
        structure = _structure(batch)
        if self._graph is None or structure != self._structure:
            self._structure = structure
            self._graph = self._compile(batch, len(numbers))
        return self._graph(*_leaves(batch), *numbers)

    def _compile(self, example: Any, numbers: int) -> Any:
        leaves = len(_leaves(example))
        function = self._function

        def step(*values: Any) -> Any:
            batch = _rebuild(example, iter(values[:leaves]))
            return function(batch, *values[leaves:])

        return fb.graph(step)


class _Interrupts:
    """Turns the first SIGINT into a request to stop; the second one raises KeyboardInterrupt."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._previous: Any = None
        self._installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._run.stopping:
            raise KeyboardInterrupt
        self._run.stop("interrupted")

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._previous = signal.getsignal(signal.SIGINT)
        if callable(self._previous):  # an ignored signal stays ignored
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)


# Batches


def _as_dataset(data: Any, what: str) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple):
        return Dataset(data)
    raise fb.ArgumentError(
        f"fit: {what} needs arrays or a Dataset, not {type(data).__name__}. "
        "Split the data yourself and give validation=... ."
    )


def _as_batches(data: Any, size: int, shuffle: bool, seed: int) -> Any:
    if isinstance(data, Batches):
        return data
    if isinstance(data, (tuple, Dataset)):
        dataset = data if isinstance(data, Dataset) else Dataset(data)
        if len(dataset) == 0:
            raise fb.DataError("fit: the data have no examples. Give at least one row.")
        return dataset.batch(size, shuffle=shuffle, seed=seed)
    if isinstance(data, (fb.Tensor, np.ndarray)) or not isinstance(data, Iterable):
        raise fb.ArgumentError(
            f"fit: data is a {type(data).__name__}. Give (x, y), a fb.data.Dataset, or an iterable "
            "of batches."
        )
    return data


def _epoch_of(batches: Any, epoch: int) -> Iterator[Any]:
    return batches.epoch(epoch) if isinstance(batches, Batches) else iter(batches)


def _tensors(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return {key: _tensors(value) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(_tensors(value) for value in batch)
    return cast_floating(batch)


def _parts(batch: Any) -> tuple[Any, Any, Any]:
    """(inputs, target, weights) of a batch."""
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        what = f"{len(batch)} parts" if isinstance(batch, tuple) else type(batch).__name__
        raise fb.DataError(
            f"fit: a batch has {what}. It is (inputs, target) or (inputs, target, weights)."
        )
    return batch[0], batch[1], batch[2] if len(batch) == 3 else None


def _call(model: Any, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _rows(batch: Any) -> int:
    """Number of examples of a batch: rows of its first array that has any."""
    for leaf in _leaves(batch):
        if len(leaf.shape):
            return int(leaf.shape[0])
    return 1


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, Mapping):
        return [leaf for value in tree.values() for leaf in _leaves(value)]
    if isinstance(tree, tuple):
        return [leaf for value in tree for leaf in _leaves(value)]
    return [tree]


def _structure(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return tuple((key, _structure(value)) for key, value in tree.items())
    if isinstance(tree, tuple):
        return tuple(_structure(value) for value in tree)
    return None


def _rebuild(tree: Any, values: Iterator[Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _rebuild(value, values) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_rebuild(value, values) for value in tree)
    return next(values)


def _join(outputs: list[Any]) -> Any:
    first = outputs[0]
    if isinstance(first, Mapping):
        return {key: _join([o[key] for o in outputs]) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(_join([o[i] for o in outputs]) for i in range(len(first)))
    return fb.concat(outputs, axis=0)


# Loss and metrics


def _loss_of(loss: Loss, prediction: Any, target: Any, weights: Any) -> Any:
    value = (
        loss(prediction, target) if weights is None else loss(prediction, target, weights=weights)
    )
    if not isinstance(value, (fb.Tensor, fb.Variable)) or len(value.shape) != 0:
        got = spec_text(value) if isinstance(value, fb.Tensor) else type(value).__name__
        raise fb.ShapeError(
            f"fit: the loss returned {got}. It must return one number (a 0-d tensor): "
            "fb.mean(...) averages over the batch."
        )
    if "float" not in dtype_name(value.dtype):
        raise fb.DTypeError(f"fit: the loss returned {spec_text(value)}. It must be floating.")
    return value


def _as_metrics(metrics: Any) -> list[Metric]:
    named = metrics.items() if isinstance(metrics, Mapping) else [(None, m) for m in metrics]
    made: list[Metric] = []
    for name, metric in named:
        if isinstance(metric, Metric):
            made.append(metric)
            metric.name = name or metric.name
        elif callable(metric) and not isinstance(metric, type):
            made.append(Mean(name, metric))
        else:
            hint = f" Did you mean {metric.__name__}()?" if isinstance(metric, type) else ""
            raise fb.ArgumentError(
                f"fit: metric {metric!r} is neither a Metric nor a function of prediction and "
                f"target.{hint}"
            )
    names = ["loss", *(metric.name for metric in made)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise fb.ArgumentError(
            f"fit: two numbers are called {twice[0]!r}. Name them: metrics={{'name': metric}}."
        )
    return made


def _update(metric: Metric, prediction: Any, target: Any, count: Any) -> None:
    if type(metric) is Mean:  # the count is an input of the graph: the last batch may be smaller
        metric.add(metric.values(prediction, target), count)
    else:
        metric.update(prediction, target)
