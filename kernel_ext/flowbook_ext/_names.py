"""Names in the code of a cell: what it reads and what it stores, without running any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any


def dotted(node: ast.AST) -> str | None:
    """`model.layers[0].w` for an expression made of names, attributes and constant subscripts."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else None
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        inner = dotted(node.value)
        return f"{inner}[{node.slice.value!r}]" if inner else None
    return None


def lookup(path: ast.AST, scopes: list[Mapping[str, Any]]) -> Any:
    """The object that a dotted expression names, without calling anything of the user's.

    Raises:
        LookupError: If there is no such object, or finding it would run code.
    """
    if isinstance(path, ast.Name):
        for scope in scopes:
            if path.id in scope:
                return scope[path.id]
        raise LookupError(path.id)
    if isinstance(path, ast.Attribute):
        owner = lookup(path.value, scopes)
        attributes = getattr(owner, "__dict__", {})
        if path.attr in attributes:
            return attributes[path.attr]
        if isinstance(getattr(type(owner), path.attr, None), property):
            raise LookupError(path.attr)
        try:
            return getattr(owner, path.attr)
        except Exception as error:
            raise LookupError(path.attr) from error
    if isinstance(path, ast.Subscript) and isinstance(path.slice, ast.Constant):
        owner = lookup(path.value, scopes)
        if type(owner) in (list, tuple, dict):
            try:
                return owner[path.slice.value]
            except (IndexError, KeyError, TypeError) as error:
                raise LookupError from error
    raise LookupError


def names_read(tree: ast.AST, scopes: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Every named object that a piece of code reads: path as written -> object."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and isinstance(
            node.ctx, ast.Load
        ):
            path = dotted(node)
            if path is None or path in found:
                continue
            try:
                found[path] = lookup(node, scopes)
            except LookupError:
                continue
    return found


def names_stored(tree: ast.Module) -> list[str]:
    """Names in the order in which the cell's top level last stores them."""
    order: dict[str, None] = {}
    for statement in tree.body:
        for node in _top_level(statement):
            names: list[str] = []
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names = [node.id]
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names = [node.name]
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [(a.asname or a.name).partition(".")[0] for a in node.names]
            for name in names:
                order.pop(name, None)
                order[name] = None
    return list(order)


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Walks a statement without entering functions, classes and comprehensions."""
    yield node
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        return
    for child in ast.iter_child_nodes(node):
        yield from _top_level(child)
