"""Writes what editors, type checkers and readers need and the live package already knows.

    make_api.py PACKAGE_PARENT --stubs DIR --docs DIR

Imports flowbook from PACKAGE_PARENT and writes, from signatures and docstrings alone,

* stubs for the native module (`_core/*.pyi`) and for each namespace that re-exports native ops
  (`__init__.pyi`), because ops get their signatures from records that no type checker can read;
* one Markdown page per public namespace.

Nothing written here is committed: the build runs this after the bindings are linked.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import keyword
import re
import sys
import types
from pathlib import Path

HEADER = "# Generated from the op records and docstrings when flowbook is built.\n"
IMPORTS = "from typing import Any, Callable, Sequence\n"
# What a public namespace may hold besides its own names.
NAMESPACES = [
    "",
    "nn",
    "nn.init",
    "optim",
    "losses",
    "metrics",
    "data",
    "random",
    "linalg",
    "memory",
]


def signature_of(thing: object) -> inspect.Signature | None:
    """Returns the signature, also of what pybind11 only describes in the docstring's first line."""
    try:
        found = inspect.signature(thing)  # type: ignore[arg-type]
        kinds = [p.kind for p in found.parameters.values()]
        if kinds[-2:] != [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
            return found
    except (TypeError, ValueError):
        pass
    line = re.match(r"\w+\((.*)\)(?: -> .*)?$", (thing.__doc__ or "").split("\n")[0])
    return parse_signature(line.group(1)) if line else None


def parse_signature(text: str) -> inspect.Signature | None:
    """Reads pybind11's `self: T, x: Dict[str, int], n: int = 3`; None where names are not plain."""
    found: list[inspect.Parameter] = []
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for part in re.split(r",\s*(?![^\[(]*[\])])", text) if text else []:
        match = re.fullmatch(r"(\w+)(?:: (.*?))?(?:\s*=\s*(.*))?", part.strip())
        if part.strip() == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif part.strip() == "/":
            continue
        elif match is None or any(p.name == match.group(1) for p in found):
            return None
        else:
            default: object = inspect.Parameter.empty
            if match.group(3) is not None:
                try:
                    default = ast.literal_eval(match.group(3))
                except (SyntaxError, ValueError):
                    default = ...
            hint = match.group(2) or inspect.Parameter.empty
            if keyword.iskeyword(match.group(1)):
                return None  # callable by position only: no signature that Python could write
            found.append(inspect.Parameter(match.group(1), kind, default=default, annotation=hint))
    try:
        return inspect.Signature(found)
    except ValueError:
        return None


def annotation(value: object) -> str:
    """Returns how a stub spells an annotation; what cannot be imported there becomes Any."""
    if value is inspect.Parameter.empty:
        return "Any"
    text = value if isinstance(value, str) else getattr(value, "__name__", str(value))
    return (
        text
        if re.fullmatch(r"(bool|int|float|str|bytes|None|Tensor|object)( \| \w+)*", text)
        else "Any"
    )


def literal(value: object) -> str:
    """Returns a default that any stub can hold."""
    simple = value is None or isinstance(value, (bool, int, float, str))
    text = repr(value)
    return text if simple and text not in ("inf", "-inf", "nan") else "..."


def parameters(signature: inspect.Signature | None, method: bool) -> str:
    """Returns the text between the parentheses of a stub's function."""
    if signature is None:
        return "self, *args: Any, **kwargs: Any" if method else "*args: Any, **kwargs: Any"
    parts: list[str] = []
    starred = False
    for index, p in enumerate(signature.parameters.values()):
        if not p.name.isidentifier() or keyword.iskeyword(p.name):
            return parameters(None, method)
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: Any")
            starred = True
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: Any")
        elif method and index == 0:
            parts.append(p.name)
        else:
            default = "" if p.default is p.empty else f" = {literal(p.default)}"
            parts.append(f"{p.name}: {annotation(p.annotation)}{default}")
    return ", ".join(parts)


def doc_lines(thing: object, indent: str) -> list[str]:
    """Returns the docstring as an indented literal, or nothing."""
    text = inspect.getdoc(thing)
    if not text or thing.__doc__ == object.__doc__:
        return []
    # pybind11 repeats the signature in its first line.
    own = re.escape(getattr(thing, "__name__", ""))
    text = re.sub(rf"\A{own}\(.*\) -> .*\n*", "", text).strip()
    if not text:
        return []
    text = text.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    body = text.replace("\n", "\n" + indent)
    end = f"\n{indent}" if "\n" in text else ""
    return [re.sub(r"[ \t]+$", "", f'{indent}"""{body}{end}"""', flags=re.M)]


def stub_function(name: str, thing: object, returns: str = "Any", indent: str = "") -> list[str]:
    method = bool(indent)
    head = f"{indent}def {name}({parameters(signature_of(thing), method)}) -> {returns}:"
    body = doc_lines(thing, indent + "    ")
    return [head, *body] if body else [head + " ..."]


def stub_class(name: str, thing: type) -> list[str]:
    bases = [
        b.__name__
        for b in thing.__bases__
        if b is not object
        and not b.__module__.startswith("pybind11")
        and b.__module__ in ("builtins", thing.__module__)
    ]
    lines = [f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"]
    body = doc_lines(thing, "    ")
    if "__new__" in vars(thing) and "__init__" not in vars(thing):
        body.append("    def __init__(self, *args: Any, **kwargs: Any) -> None: ...")
    for key, member in sorted(vars(thing).items()):
        public = not key.startswith("_") or (
            key.startswith("__") and key not in {"__doc__", "__module__", "__new__", "__dict__",
                                                 "__weakref__", "__getattribute__", "__reduce_ex__"}
        )  # fmt: skip
        if not public:
            continue
        if isinstance(member, property) or inspect.isgetsetdescriptor(member):
            # As an attribute: which of them can be set is only known to the setter.
            body += [f"    {key}: Any", *doc_lines(member, "    ")]
        elif isinstance(member, staticmethod):
            body += ["    @staticmethod", f"    def {key}(*args: Any, **kwargs: Any) -> Any: ..."]
        elif key == "__hash__" and member is None:
            body += ["    __hash__: None  # type: ignore[assignment]"]
        elif callable(member):
            body += stub_function(key, member, indent="    ")
        elif not key.startswith("__"):
            body += [f"    {key}: Any"]
    return [*lines, *(body or ["    ..."])]


def is_op(thing: object) -> bool:
    ops = sys.modules["flowbook._core"].ops  # type: ignore[attr-defined]
    return type(thing) is type(ops.add)


def stub_module(module: types.ModuleType) -> str:
    """Returns the stub of a native module or submodule."""
    lines = [HEADER + IMPORTS]
    if module.__name__ != "flowbook._core":
        lines.append("from flowbook._core import Tensor\n")
    for name, thing in sorted(vars(module).items()):
        if name.startswith("__") or isinstance(thing, types.ModuleType):
            continue
        if keyword.iskeyword(name):
            continue
        if isinstance(thing, type):
            lines += stub_class(name, thing)
        elif is_op(thing) and (thing.__text_signature__ or "").startswith("(key"):
            # Its public form takes the key from the generator; the native one is given it.
            lines.append(f"def {name}(*args: Any, **kwargs: Any) -> Tensor: ...")
        elif is_op(thing):
            lines += stub_function(name, thing, "Tensor")
        elif callable(thing):
            lines += stub_function(name, thing)
        else:
            kind = type(thing).__name__
            lines.append(f"{name}: {kind if kind in ('int', 'str', 'float', 'bool') else 'Any'}")
    for name, thing in sorted(vars(module).items()):
        if isinstance(thing, types.ModuleType) and thing.__name__.startswith(module.__name__ + "."):
            lines.append(f"from flowbook._core import {name} as {name}")
    lines.append("__version__: str\n")
    return "\n".join(lines)


def public_names(module: types.ModuleType) -> list[str]:
    declared = getattr(module, "__all__", None)
    names = declared if declared is not None else [n for n in vars(module) if not n.startswith("_")]
    return sorted(set(names) - {"annotations"})


def origin(thing: object, name: str) -> str | None:
    """Returns the Python module that defines `thing` as `name`, if a stub can import it there."""
    home = getattr(thing, "__module__", None)
    if not isinstance(home, str) or not home.startswith("flowbook"):
        return None
    module = sys.modules.get(home)
    return home if module is not None and getattr(module, name, None) is thing else None


def stub_namespace(module: types.ModuleType) -> str:
    """Returns the stub of a Python namespace: ops spelled out, everything else imported."""
    lines = [HEADER + IMPORTS, "from flowbook._core import Tensor as Tensor\n"]
    functions: list[str] = []
    for name in public_names(module):
        thing = getattr(module, name, None)
        if name == "Tensor":
            continue
        if isinstance(thing, types.ModuleType):
            if thing.__name__ == f"{module.__name__}.{name}":
                lines.append(f"from {module.__name__} import {name} as {name}")
        elif is_op(thing):
            functions += stub_function(name, thing, "Tensor")
        elif (home := origin(thing, name)) is not None and home != module.__name__:
            lines.append(f"from {home} import {name} as {name}")
        elif isinstance(thing, type):
            functions += stub_class(name, thing)
        elif callable(thing):
            functions += stub_function(name, thing)
        else:
            functions.append(f"{name}: Any")
    if module.__name__ == "flowbook":
        functions.append("__version__: str")
        functions.append("def load_ipython_extension(ipython: Any) -> None: ...")
    return "\n".join([*lines, "", *functions, ""])


def holds_ops(module: types.ModuleType) -> bool:
    return any(is_op(getattr(module, name, None)) for name in public_names(module))


def page(module: types.ModuleType) -> str:
    """Returns the Markdown page of a namespace."""
    alias = module.__name__.replace("flowbook", "fb", 1)
    lines = [f"# {module.__name__}\n", inspect.getdoc(module) or "", ""]
    for name in public_names(module):
        thing = getattr(module, name, None)
        if isinstance(thing, types.ModuleType) or not callable(thing):
            continue
        signature = signature_of(thing)
        lines.append(f"## {alias}.{name}\n")
        lines.append(
            f"```python\n{alias}.{name}{signature if signature is not None else '(...)'}\n```\n"
        )
        doc = inspect.getdoc(thing)
        if doc:
            lines.append(
                re.sub(
                    r"^(Args|Returns|Raises|Example|Examples|Source):", r"**\1**\n", doc, flags=re.M
                )
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parent", type=Path)
    parser.add_argument("--stubs", type=Path)
    parser.add_argument("--docs", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(options.parent))

    core = importlib.import_module("flowbook._core")
    namespaces = []
    for name in NAMESPACES:
        try:
            namespaces.append(importlib.import_module(f"flowbook.{name}" if name else "flowbook"))
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith("flowbook"):
                raise

    if options.stubs:
        native = options.stubs / "_core"
        native.mkdir(parents=True, exist_ok=True)
        (native / "__init__.pyi").write_text(stub_module(core), encoding="utf-8")
        for name, thing in vars(core).items():
            if isinstance(thing, types.ModuleType) and thing.__name__ == f"flowbook._core.{name}":
                (native / f"{name}.pyi").write_text(stub_module(thing), encoding="utf-8")
        for module in namespaces:
            if holds_ops(module) and (module.__file__ or "").endswith("__init__.py"):
                folder = options.stubs.joinpath(*module.__name__.split(".")[1:])
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "__init__.pyi").write_text(stub_namespace(module), encoding="utf-8")
    if options.docs:
        options.docs.mkdir(parents=True, exist_ok=True)
        for module in namespaces:
            (options.docs / f"{module.__name__}.md").write_text(page(module), encoding="utf-8")


if __name__ == "__main__":
    main()
