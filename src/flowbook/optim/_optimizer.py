"""`Optimizer`: owns named Variables (step, learning rate, slots) and turns gradients into updates.

`update` is written with ops, so it runs eagerly and inside graphs alike: the schedule is computed
from the `step` Variable, all parameters change through one multi-tensor op, and the results are
assigned. Slots are created at the first update, next to the parameters they belong to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import flowbook as fb

from .._state import Stateful, dtype_name, flatten, named_variables, spec_text, trainable_variables
from ._clip import clip_by_global_norm
from ._schedules import Schedule

Rate = Any  # a number, a Schedule, or a function of the step


class Optimizer(Stateful):
    """Base class of optimizers.

    Subclasses name their slots and define `_apply`. The state consists of Variables: `step` (0-d
    int64, finished updates), `lr` (0-d float32: the learning rate, or the peak of the schedule) and
    one Variable per slot and parameter. `fb.save` stores them at paths like `m.layers[0].weight`.

    Args:
        learning_rate: A number, a schedule such as `fb.optim.cosine(...)`, or a function from the
            step (0-d float32 tensor) to the rate, written with ops.
        clip_norm: Upper bound of the joint 2-norm of the gradients, None for no bound.
        decay_mask: Function from a parameter to whether weight decay applies to it; None for all.

    Raises:
        ArgumentError: If a setting is out of its range.
    """

    slot_names: tuple[str, ...] = ()
    _hints = "Optimizer"

    def __init__(
        self,
        learning_rate: Rate,
        *,
        clip_norm: float | None = None,
        decay_mask: Callable[[fb.Variable], bool] | None = None,
    ) -> None:
        if isinstance(learning_rate, Schedule):
            self.schedule: Schedule | None = learning_rate
        elif callable(learning_rate) and not isinstance(learning_rate, (fb.Tensor, fb.Variable)):
            self.schedule = Schedule(1.0, learning_rate)
        else:
            self.schedule = None
        peak = self.schedule.peak if self.schedule is not None else float(learning_rate)
        self._require(math.isfinite(peak) and peak >= 0, "learning_rate", peak, "0 or more")
        if clip_norm is not None:
            self._require(clip_norm > 0, "clip_norm", clip_norm, "positive")
        self.clip_norm = clip_norm
        self.decay_mask = decay_mask
        with fb.outside_graph():
            self.step = fb.Variable(np.asarray(0, np.int64), name="step", trainable=False)
            self.lr = fb.Variable(np.asarray(peak, np.float32), name="lr", trainable=False)
            self.step.kind = self.lr.kind = "optimizer"  # in the accounting of memory
        self._paths: dict[fb.Variable, str] = {}
        self._slots: dict[str, dict[fb.Variable, fb.Variable]] = {n: {} for n in self.slot_names}

    # What subclasses define

    def _apply(
        self,
        params: list[fb.Tensor],
        grads: list[fb.Tensor],
        slots: dict[str, list[fb.Tensor]],
        step: fb.Tensor,
        lr: fb.Tensor,
        decay: bool,
    ) -> tuple[list[fb.Tensor], dict[str, list[fb.Tensor]]]:
        """New parameters and slots; `step` counts from 1, `decay` says whether weights decay."""
        raise NotImplementedError(f"{type(self).__name__}: no _apply().")

    def _settings(self) -> list[str]:
        """The settings that the optimizer prints after its learning rate."""
        return []

    # Use

    def bind(self, params: Any) -> list[fb.Variable]:
        """Creates the slots for `params` now instead of at the first update.

        Loading a saved optimizer needs this: it gives the slots their places and names.

        Args:
            params: A Module, a Variable, or lists, tuples and dicts of Variables.

        Returns:
            The parameters, in the order in which `update` expects their gradients.

        Raises:
            ArgumentError: If `params` holds no Variable, or one that is not floating.

        Example:
            >>> opt = fb.optim.Adam(1e-3)
            >>> _ = opt.bind(fb.nn.Dense(3, inputs=2))
            >>> list(opt.named_variables())
            ['step', 'lr', 'm.weight', 'm.bias', 'v.weight', 'v.bias']
        """
        variables = self._parameters(params)
        fresh = {path: v for path, v in variables.items() if v not in self._paths}
        for path, variable in fresh.items():
            if "float" not in dtype_name(variable.dtype):
                raise fb.ArgumentError(
                    f"{type(self).__name__}: parameter {path} is {spec_text(variable)}. "
                    "Only floating parameters can be trained."
                )
            taken = set(self._paths.values())
            name, number = path or variable.name or "parameter", 1
            while name in taken:
                number += 1
                name = f"{path or variable.name or 'parameter'}_{number}"
            self._paths[variable] = name
            with fb.outside_graph():
                for slot, cells in self._slots.items():
                    zeros = fb.full(tuple(variable.shape), 0, dtype=variable.dtype)
                    cells[variable] = fb.Variable(zeros, name=f"{slot}.{name}", trainable=False)
                    cells[variable].kind = "optimizer"
        return list(variables.values())

    def update(self, params: Any, grads: Any) -> None:
        """Moves the parameters one step along the gradients.

        Runs eagerly or, while a graph records, becomes part of the graph.

        Args:
            params: A Module (its parameters), a Variable, or lists, tuples, dicts of Variables.
            grads: The gradients in the same order: tensors in lists, tuples or dicts, each with the
                shape of its parameter.

        Raises:
            ArgumentError: If the numbers of parameters and gradients differ.
            ShapeError: If a gradient has another shape than its parameter.

        Example:
            >>> w = fb.Variable(np.ones(2, np.float32), name="w")
            >>> fb.optim.SGD(0.5).update([w], [fb.asarray([1.0, 2.0])])
            >>> w.numpy()
            array([0.5, 0. ], dtype=float32)
        """
        variables = self.bind(params)
        gradients = flatten(grads)
        self._check(variables, gradients)
        if not variables:
            return
        if self.clip_norm is not None:
            gradients, _ = clip_by_global_norm(gradients, self.clip_norm)
        step = self.step.value + 1
        lr = self.rate()
        for group, decay in self._groups(variables):
            slots = {s: [cells[variables[i]] for i in group] for s, cells in self._slots.items()}
            new, new_slots = self._apply(
                [variables[i].value for i in group],
                [gradients[i] for i in group],
                {s: [v.value for v in cells] for s, cells in slots.items()},
                step,
                lr,
                decay,
            )
            for i, value in zip(group, new, strict=True):
                variables[i].assign(value)
            for slot, values in new_slots.items():
                for cell, value in zip(slots[slot], values, strict=True):
                    cell.assign(value)
        self.step.assign(step)

    def rate(self) -> fb.Tensor:
        """The learning rate that the next update uses, as a 0-d float32 tensor.

        Example:
            >>> round(float(fb.optim.SGD(fb.optim.linear(0.1, steps=10)).rate()), 6)
            0.1
        """
        if self.schedule is None:
            return self.lr.value
        return self.lr.value * self.schedule.factor(self.step.value)

    def reset(self) -> None:
        """Sets `step` and all slots to zero; the learning rate stays.

        Example:
            >>> opt = fb.optim.SGD(0.1)
            >>> opt.update([fb.Variable(np.ones(2, np.float32))], [fb.asarray([1.0, 2.0])])
            >>> opt.reset()
            >>> int(opt.step)
            0
        """
        with fb.outside_graph():
            for variable in self.named_variables().values():
                if variable is not self.lr:
                    variable.assign(fb.full(tuple(variable.shape), 0, dtype=variable.dtype))

    def named_variables(self) -> dict[str, fb.Variable]:
        """The optimizer's Variables by path: `step`, `lr`, `m.layers[0].weight`, ...

        Example:
            >>> list(fb.optim.SGD(0.1).named_variables())
            ['step', 'lr']
        """
        return named_variables(self)

    # Inside

    def _children(self) -> Iterable[tuple[str, Any]]:
        yield ".step", self.step
        yield ".lr", self.lr
        for slot, cells in self._slots.items():
            for variable, cell in cells.items():
                yield f".{slot}.{self._paths[variable]}", cell

    def _parameters(self, params: Any) -> dict[str, fb.Variable]:
        if isinstance(params, fb.Variable):
            return {params.name or "": params}
        if not isinstance(params, (Stateful, list, tuple, Mapping)):
            if not isinstance(params, Iterable):
                raise fb.ArgumentError(
                    f"{type(self).__name__}: params is {params!r}. "
                    "Give a Module, or a list of Variables."
                )
            params = list(params)
        if isinstance(params, Stateful):
            return trainable_variables(params)
        found = named_variables(params)
        flat = flatten(params)
        if any(not isinstance(p, (fb.Variable, Stateful)) for p in flat):
            wrong = next(p for p in flat if not isinstance(p, (fb.Variable, Stateful)))
            raise fb.ArgumentError(
                f"{type(self).__name__}: params holds a {type(wrong).__name__}. "
                "Only Variables can be updated: fb.Variable(value)."
            )
        if any(isinstance(p, Stateful) for p in flat):
            return trainable_variables(params)
        # a bare list has no paths worth keeping: the Variables' own names are better
        return {v.name or path: v for path, v in found.items()} if _distinct(found) else found

    def _check(self, variables: Sequence[fb.Variable], gradients: Sequence[Any]) -> None:
        who = type(self).__name__
        if len(variables) != len(gradients):
            raise fb.ArgumentError(
                f"{who}: {len(variables)} parameters but {len(gradients)} gradients. "
                "Give one gradient per parameter, in the same order."
            )
        for variable, gradient in zip(variables, gradients, strict=True):
            if not isinstance(gradient, (fb.Tensor, fb.Variable)):
                raise fb.ArgumentError(
                    f"{who}: the gradient of {self._paths[variable]} is a "
                    f"{type(gradient).__name__}. Gradients are tensors."
                )
            if tuple(variable.shape) != tuple(gradient.shape):
                raise fb.ShapeError(
                    f"{who}: the gradient of {self._paths[variable]} is {spec_text(gradient)}, "
                    f"but the parameter is {spec_text(variable)}. They must have the same shape."
                )

    def _groups(self, variables: Sequence[fb.Variable]) -> list[tuple[list[int], bool]]:
        """Indices of the parameters that decay, and of those that don't."""
        everything = list(range(len(variables)))
        if self.decay_mask is None:
            return [(everything, True)]
        decays = [bool(self.decay_mask(v)) for v in variables]
        groups = [([i for i in everything if decays[i] is kind], kind) for kind in (True, False)]
        return [group for group in groups if group[0]]

    def _require(self, holds: bool, name: str, value: Any, what: str) -> None:
        if not holds:
            raise fb.ArgumentError(
                f"{type(self).__name__}: {name} is {value}. It must be finite and {what}."
            )

    def __repr__(self) -> str:
        lr = repr(self.schedule) if self.schedule is not None else f"{float(self.lr.numpy()):g}"
        settings = [lr, *self._settings()]
        if self.clip_norm is not None:
            settings.append(f"clip_norm={self.clip_norm:g}")
        step = int(self.step.numpy())
        state = f"step {step}" + (f", {len(self._paths)} parameters" if self._paths else "")
        return f"{type(self).__name__}({', '.join(settings)}): {state}"


def _distinct(variables: Mapping[str, fb.Variable]) -> bool:
    names = [v.name for v in variables.values()]
    return all(names) and len(set(names)) == len(names)
