"""Signatures and annotations of ops for `inspect` and the generated stubs, from their records."""

from __future__ import annotations

import inspect
from typing import Any

# What each kind of attribute takes, as Python's type checkers should see it.
ANNOTATIONS = {
    "bool": "bool",
    "int": "int",
    "float": "float",
    "string": "str",
    "axes": "int | Sequence[int] | None",
    "shape": "int | Dim | Sequence[int | Dim]",
    "dim": "int | Dim",
    "dtype": "DTypeLike",
    "ints": "int | Sequence[int]",
    "scalar": "bool | int | float",
}


def of_op(op: Any) -> inspect.Signature:
    """The signature of an op function."""
    from . import _core

    record = _core.op_record(op)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = []
    for i, x in enumerate(record["inputs"]):
        if record["random"] and i == 0:
            continue  # the key may be given by name; the generator's is the default
        parameters.append(
            inspect.Parameter(
                x["name"],
                kind,
                annotation="Sequence[TensorLike]" if record["variadic"] else "TensorLike",
            )
        )
    for a in record["attrs"]:
        if record["random"] and a["name"] == "stream":
            continue
        parameters.append(
            inspect.Parameter(
                a["name"],
                inspect.Parameter.KEYWORD_ONLY if record["random"] else kind,
                default=a["default"],
                annotation=ANNOTATIONS[a["kind"]],
            )
        )
    if record["random"]:
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters] + [
            inspect.Parameter("key", inspect.Parameter.KEYWORD_ONLY, default=None)
        ]
    several = record["fixed_outputs"] != 1
    return inspect.Signature(
        parameters, return_annotation="tuple[Tensor, ...]" if several else "Tensor"
    )
