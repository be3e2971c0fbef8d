"""`Module`: a tree of layers that owns Variables.

A module is a plain Python object. Variables, modules, and lists, tuples or dicts of them found at
its attributes are its state; nothing is registered. It prints as a tree with shapes and counts,
copies and pickles as values, and creates its Variables on the first call where they depend on the
input's shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

import flowbook as fb

from .. import _core
from .._state import (
    Stateful,
    children,
    dtype_name,
    named_variables,
    size_of,
    spec_text,
    trainable_variables,
)
from ._scopes import entered
from ._training import training as training_context

_ITEM_SIZES = {"bool": 1, "complex64": 8, "complex128": 16, "bfloat16": 2}


class Module(Stateful):
    """Base class of layers and models.

    Subclasses create sub-modules and Variables in `__init__` and compute in `forward`. What
    depends on the shape of the input is created in `build`, which runs once, before the first
    `forward`, outside of any graph that is being recorded.

    Calling the module (`model(x)`) runs `forward`. The keyword `training=True` turns the training
    switch on for that call; without it the switch stays as it is (off, unless `fb.fit` or
    `with fb.nn.training():` turned it on).

    Example:
        >>> class Classifier(fb.nn.Module):
        ...     def __init__(self, classes):
        ...         self.hidden = fb.nn.Dense(16, activation=fb.nn.relu)
        ...         self.out = fb.nn.Dense(classes)
        ...     def forward(self, x):
        ...         return self.out(self.hidden(x))
        >>> model = Classifier(3)
        >>> model(fb.asarray(np.ones((2, 4), np.float32))).shape
        (2, 3)
        >>> list(model.named_variables())
        ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']
    """

    _built: bool = False
    _hints = "Module"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the module's output; subclasses define it.

        Raises:
            NotImplementedError: If the subclass has no `forward`.
        """
        raise NotImplementedError(
            f"{type(self).__name__}: no forward(). Define `def forward(self, x): ...` in the class."
        )

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Creates the Variables whose shapes depend on the inputs; the default creates none.

        Receives what `forward` receives. Only shapes and dtypes may be used: while a graph records,
        the inputs have no values yet.
        """

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if not self._built:
            with fb.outside_graph():
                self.build(*args, **kwargs)
            self._built = True
        program = _core.current_program()
        if program is None:
            return self._run(args, kwargs, training)
        with entered(program, self):
            return self._run(args, kwargs, training)

    def _run(self, args: Any, kwargs: Any, training: bool | None) -> Any:
        if training is None:
            return self.forward(*args, **kwargs)
        with training_context(training):
            return self.forward(*args, **kwargs)

    # State

    def _children(self) -> Iterable[tuple[str, Any]]:
        return [(f".{name}", value) for name, value in vars(self).items() if name != "_built"]

    def variables(self) -> list[fb.Variable]:
        """All Variables of the module, in path order, shared ones once.

        Returns:
            Trainable and other Variables alike. A layer that builds on its first call has none
            before it.

        Example:
            >>> len(fb.nn.Dense(3, inputs=2).variables())
            2
        """
        return list(named_variables(self).values())

    def parameters(self) -> list[fb.Variable]:
        """The Variables that an optimizer changes: those with `trainable=True`.

        Example:
            >>> [tuple(p.shape) for p in fb.nn.Dense(3, inputs=2).parameters()]
            [(2, 3), (3,)]
        """
        return list(trainable_variables(self).values())

    def named_variables(self) -> dict[str, fb.Variable]:
        """All Variables by path, such as `layers[0].weight`; shared ones at their first path.

        Example:
            >>> list(fb.nn.Sequential(fb.nn.Dense(3, inputs=2)).named_variables())
            ['layers[0].weight', 'layers[0].bias']
        """
        return named_variables(self)

    def named_parameters(self) -> dict[str, fb.Variable]:
        """The trainable Variables by path.

        Example:
            >>> list(fb.nn.Dense(3, inputs=2).freeze().named_parameters())
            []
        """
        return trainable_variables(self)

    def modules(self) -> Iterator[tuple[str, Module]]:
        """Yields `(path, module)` for this module (path "") and all below it, shared ones once.

        Example:
            >>> model = fb.nn.Sequential(fb.nn.Dense(3), fb.nn.ReLU())
            >>> [path for path, _ in model.modules()]
            ['', 'layers[0]', 'layers[1]']
        """
        seen: set[int] = set()

        def visit(owner: Any, path: str) -> Iterator[tuple[str, Module]]:
            if id(owner) in seen or not isinstance(owner, (Module, list, tuple, dict)):
                return
            seen.add(id(owner))
            if isinstance(owner, Module):
                yield path.lstrip("."), owner
            for part, value in children(owner):
                yield from visit(value, path + part)

        return visit(self, "")

    def freeze(self) -> Module:
        """Makes every Variable of the module untrainable and returns the module.

        Example:
            >>> fb.nn.Dense(3, inputs=2).freeze().parameters()
            []
        """
        for variable in self.variables():
            variable.trainable = False
        return self

    def unfreeze(self) -> Module:
        """Makes every floating Variable of the module trainable and returns the module.

        Example:
            >>> len(fb.nn.Dense(3, inputs=2).freeze().unfreeze().parameters())
            2
        """
        for variable in self.variables():
            if dtype_name(variable.dtype).startswith(("float", "bfloat", "complex")):
                variable.trainable = True
        return self

    @property
    def count(self) -> int:
        """Number of trainable scalars.

        Example:
            >>> fb.nn.Dense(3, inputs=2).count
            9
        """
        return sum(size_of(v.shape) for v in self.parameters())

    # Display

    def describe(self) -> str:
        """The module in one short line, without its children; subclasses add their settings.

        Example:
            >>> fb.nn.Dropout(0.5).describe()
            'Dropout(0.5)'
        """
        return type(self).__name__

    def _totals(self) -> str:
        variables = self.variables()
        if any(not m._built and type(m).build is not Module.build for _, m in self.modules()):
            unbuilt = "; some layers build on the first call"
        else:
            unbuilt = ""
        total = sum(size_of(v.shape) for v in variables)
        free = self.count
        size = sum(size_of(v.shape) * _item_size(v) for v in variables)
        frozen = f" ({free:,} trainable)" if free != total else ""
        noun = "parameter" if total == 1 else "parameters"
        return f"{total:,} {noun}{frozen}, {_bytes_text(size)}{unbuilt}"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """(tree prefix, path component, description, count) for the lines below the first."""
        rows: list[tuple[str, str, str, str]] = []
        seen: dict[int, str] = {id(self): "the top"}

        def visit(owner: Any, path: str, indent: str) -> None:
            entries = list(_display_children(owner))
            for i, (part, value) in enumerate(entries):
                last = i == len(entries) - 1
                prefix = indent + ("└─ " if last else "├─ ")
                label, here = part.lstrip("."), (path + part).lstrip(".")
                if not isinstance(value, (Module, fb.Variable)):
                    rows.append((prefix, label, _function_name(value), ""))
                    continue
                if id(value) in seen:
                    rows.append((prefix, label, f"shared with {seen[id(value)]}", ""))
                    continue
                seen[id(value)] = here
                if isinstance(value, fb.Variable):
                    mark = "" if value.trainable else ", frozen"
                    count = f"{size_of(value.shape):,}"
                    rows.append((prefix, label, spec_text(value) + mark, count))
                else:
                    rows.append((prefix, label, value.describe(), ""))
                    visit(value, path + part, indent + ("   " if last else "│  "))

        visit(self, "", "")
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        head = f"{self.describe()}: {self._totals()}"
        left = [f"{prefix}{label}" for prefix, label, _, _ in rows]
        wide = max((len(text) for text in left), default=0)
        middle = max((len(row[2]) for row in rows), default=0)
        right = max((len(row[3]) for row in rows), default=0)
        lines = [
            f"{text:<{wide}}  {row[2]:<{middle}}  {row[3]:>{right}}".rstrip()
            for text, row in zip(left, rows, strict=True)
        ]
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        """The tree as nested lists that open and close; no script, style sheet or kernel needed."""
        seen: dict[int, str] = {id(self): "the top"}
        return (
            '<div class="flowbook-view" style="font-size:13px">'
            f"<div><b>{escape(self.describe())}</b>: {escape(self._totals())}</div>"
            f"{_html_children(self, '', 0, seen)}</div>"
        )


_OPEN = 2  # levels of a tree that are open at first
_LINES = 40  # entries of a module that are shown; longer lists are cut


def _html_children(owner: Any, path: str, depth: int, seen: dict[int, str]) -> str:
    """What a module holds, one line each; modules that hold something open and close."""
    lines = []
    entries = list(_display_children(owner))
    for part, value in entries[:_LINES]:
        label, here = part.lstrip("."), (path + part).lstrip(".")
        name = f"<code>{escape(label)}</code>"
        if not isinstance(value, (Module, fb.Variable)):
            lines.append(f"<div>{name} {escape(_function_name(value))}</div>")
            continue
        if id(value) in seen:
            lines.append(f"<div>{name} shared with {escape(seen[id(value)])}</div>")
            continue
        seen[id(value)] = here
        if isinstance(value, fb.Variable):
            mark = "" if value.trainable else ", frozen"
            spec = escape(spec_text(value) + mark)
            count = f'<span style="opacity:0.7">{size_of(value.shape):,}</span>'
            lines.append(f"<div>{name} <code>{spec}</code> {count}</div>")
            continue
        total = sum(size_of(v.shape) for v in value.variables())
        count = f' <span style="opacity:0.7">{total:,} parameters</span>' if total else ""
        head = f"{name} {escape(value.describe())}{count}"
        inner = _html_children(value, path + part, depth + 1, seen)
        if not inner:
            lines.append(f"<div>{head}</div>")
            continue
        state = " open" if depth + 1 < _OPEN else ""
        lines.append(
            f'<details{state}><summary style="cursor:pointer">{head}</summary>{inner}</details>'
        )
    if len(entries) > _LINES:
        lines.append(f"<div>and {len(entries) - _LINES} more</div>")
    return f'<div style="padding-left:18px">{"".join(lines)}</div>' if lines else ""


def _display_children(owner: Any) -> Iterator[tuple[str, Any]]:
    """Modules and Variables directly below `owner`, looking through containers.

    Functions, too, where they stand in a list, as between the layers of a `Sequential`.
    """
    listed = isinstance(owner, (list, tuple))
    for part, value in children(owner):
        if isinstance(value, (Module, fb.Variable)) or (listed and callable(value)):
            yield part, value
        elif isinstance(value, (list, tuple, dict)):
            for inner, item in _display_children(value):
                yield part + inner, item


def _function_name(f: Any) -> str:
    return str(getattr(f, "__name__", None) or type(f).__name__)


def _item_size(variable: fb.Variable) -> int:
    name = dtype_name(variable.dtype)
    if name in _ITEM_SIZES:
        return _ITEM_SIZES[name]
    return int("".join(c for c in name if c.isdigit())) // 8


def _bytes_text(size: int) -> str:
    """Bytes with a decimal unit: `39 kB`."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
