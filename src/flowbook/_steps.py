"""The compiled steps of training and measuring: one graph from a batch to its loss, with gradients,
optimizer and metrics inside.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import flowbook as fb

from ._batches import call_model, leaves_of, parts_of, rebuild, rows_of, structure_of, tensors
from ._state import dtype_name, named_variables, spec_text
from ._switch import training_switch
from .metrics import Mean, Metric
from .nn import Module, training
from .optim import Optimizer

if TYPE_CHECKING:
    from ._inspection import Inspection

Loss = Callable[..., Any]


class Measure:
    """Loss and metrics over batches, as one compiled step."""

    def __init__(self, model: Module, loss: Loss | None, metrics: Any) -> None:
        import copy

        self._mean = Mean("loss")
        # own sums, so that validation does not disturb the training numbers
        self._metrics = [copy.deepcopy(metric) for metric in as_metrics(metrics)]
        if loss is None and not self._metrics:
            raise fb.ArgumentError("evaluate: neither a loss nor metrics. Give at least one.")

        def step(batch: Any, count: Any) -> Any:
            inputs, target, weights = parts_of(batch)
            prediction = call_model(model, inputs)
            if loss is not None:
                self._mean.add(loss_of(loss, prediction, target, weights), count)
            for metric in self._metrics:
                update(metric, prediction, target, count)
            return prediction

        self._loss = loss
        self._step = Compiled(step)

    def __call__(self, batches: Iterable[Any]) -> dict[str, float]:
        used = ([self._mean] if self._loss is not None else []) + self._metrics
        for metric in used:
            metric.reset()
        empty = True
        with training(False):
            for batch in batches:
                batch = tensors(batch)
                self._step(batch, rows_of(batch))
                empty = False
        if empty:
            raise fb.DataError("evaluate: no batches. Give at least one example.")
        return {metric.name: metric.result() for metric in used}


class TrainingStep:
    """The compiled step: called with a batch of tensors and its number of rows, returns its loss.

    Args:
        model: The model.
        optimizer: The optimizer.
        loss: The loss function.
        mean: The mean loss of an epoch.
        others: Metrics.
        finite: Raise NonFiniteError, and change nothing, where the loss is not finite.
        gradients: ... or a gradient. That costs a pass over the gradients.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss,
        mean: Mean,
        others: Sequence[Metric],
        *,
        finite: bool = False,
        gradients: bool = False,
    ) -> None:
        def step(batch: Any, count: Any) -> Any:
            inputs, target, weights = parts_of(batch)
            prediction = call_model(model, inputs)
            value = loss_of(loss, prediction, target, weights)
            parameters = model.parameters()
            if not parameters:
                raise fb.ArgumentError(
                    f"fit: {type(model).__name__} has no trainable parameters. "
                    "Are its layers attributes of the module, and not all frozen?"
                )
            found = fb.gradients(value, parameters)
            optimizer.update(model, found)
            mean.add(value, count)
            for metric in others:
                update(metric, prediction, target, count)
            if not gradients:
                return value
            # Zero, or NaN where an entry of a gradient is not finite: no sum can overflow.
            sums = [fb.sum(gradient * 0) for gradient in found]
            return value, sum(fb.astype(s, value.dtype) for s in sums)

        self._model, self._gradients = model, gradients
        self._compiled = Compiled(step, finite)

    def __call__(self, batch: Any, count: int) -> Any:
        token = training_switch.set(True)
        try:
            found = self._compiled(batch, count)
        finally:
            training_switch.reset(token)
        return found[0] if self._gradients else found

    def accept_all(self) -> None:
        """From now on a step takes effect whatever its loss is."""
        self._compiled.only_finite(False)

    def inspect(self, batch: Any, count: int) -> Inspection:
        """Statistics of all values of a step; it changes nothing, not even random numbers."""

        def names(core: Any, feeds: Sequence[int]) -> None:
            for path, variable in named_variables(self._model).items():
                for value in core.values_of(variable):
                    core.set_name(value, path)

        with training():
            return self._compiled.inspect(batch, count, names=names)


class Compiled:
    """`fb.graph` of a function of a batch (any nesting) and a few numbers.

    Args:
        function: The function.
        finite: Raise NonFiniteError, and change nothing, where a number that it returns is not
            finite.
    """

    def __init__(self, function: Callable[..., Any], finite: bool = False) -> None:
        self._function, self._finite = function, finite
        self._structure: Any = None
        self._graph: Any = None

    def __call__(self, batch: Any, *numbers: Any) -> Any:
        structure = structure_of(batch)
        if self._graph is None or structure != self._structure:
            self._structure = structure
            self._graph = self._compile(batch, len(numbers))
        return self._graph(*leaves_of(batch), *numbers)

    def only_finite(self, on: bool) -> None:
        """Sets `finite` for the calls to come."""
        self._finite = on
        if self._graph is not None:
            self._graph.only_finite(on)

    def inspect(self, batch: Any, *numbers: Any, names: Callable[..., None]) -> Inspection:
        """Statistics of all values of a call like the last one, which changes nothing."""
        found: Inspection = self._graph.inspect_call(*leaves_of(batch), *numbers, names=names)
        return found

    def _compile(self, example: Any, numbers: int) -> Any:
        leaves = len(leaves_of(example))
        function = self._function

        def step(*values: Any) -> Any:
            batch = rebuild(example, iter(values[:leaves]))
            return function(batch, *values[leaves:])

        names = [*_names_of(example), *(f"count_{i}" if i else "count" for i in range(numbers))]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        step.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, kind) for name in names]
        )
        graph = fb.graph(step)
        graph.only_finite(self._finite)
        return graph


def _names_of(batch: Any) -> list[str]:
    """Names of a batch's tensors, for messages and drawings: `inputs`, `target`, `inputs_0`, ..."""
    parts = batch if isinstance(batch, tuple) else (batch,)
    labels = ["inputs", "target", "weights", *(f"part_{i}" for i in range(3, len(parts)))]
    names = []
    for label, part in zip(labels, parts, strict=False):
        count = len(leaves_of(part))
        names += [label] if count == 1 else [f"{label}_{i}" for i in range(count)]
    return names


def loss_of(loss: Loss, prediction: Any, target: Any, weights: Any) -> Any:
    """What the loss function says, checked: one floating number."""
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


def as_metrics(metrics: Any) -> list[Metric]:
    """Metrics and functions, by name or not, as metrics with different names."""
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
            if isinstance(metric, str):  # as Keras has them
                meant = "".join(word.capitalize() for word in metric.split("_"))
                known = isinstance(getattr(fb.metrics, meant, None), type)
                hint = f" Did you mean fb.metrics.{meant}()?" if known else ""
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


def update(metric: Metric, prediction: Any, target: Any, count: Any) -> None:
    """Adds a batch of `count` examples to a metric."""
    if type(metric) is Mean:  # the count is an input of the graph: the last batch may be smaller
        metric.add(metric.values(prediction, target), count)
    else:
        metric.update(prediction, target)
