"""What a recorded graph has become after optimisation, as data for the "before/after" views.

The compiler lowers a graph (folds, merges, expands, drops) and groups what runs in one pass. Here
the lowered nodes get the names, cells and scopes of the recorded nodes that they come from, and each
step that joins several nodes becomes a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._nodes import ABSENT, Nodes
from ._record import record_of

_LABEL = 5  # ops written on a group; more are counted
_SOURCES = ("input", "capture", "variable", "constant")


def optimised_record(executable: Any, recorded: Nodes) -> dict[str, Any]:
    """The graph that runs, in the form of `Graph.record()`.

    Args:
        executable: The native executable.
        recorded: The nodes of the graph that it was compiled from, all of them and in order.

    Returns:
        `nodes`: the lowered nodes, numbered on their own, each with its `origin` among the recorded
        nodes (None: added by the compiler) and its `step` (None: it costs nothing, as inputs and
        views do). `groups`: the steps that join several nodes, with `members` (recorded nodes) and
        `nodes` (lowered ones). `dropped`: recorded nodes that nothing computes any more.
        `summary`: all that in a line.
    """
    origin: np.ndarray = executable.origin
    start, lowered = executable.step_columns()  # those of step k: lowered[start[k] : start[k + 1]]
    step = np.full(len(origin), ABSENT, np.int32)
    step[lowered] = np.repeat(np.arange(len(start) - 1, dtype=np.int32), np.diff(start))
    nodes = _named(record_of(executable.lowered)["nodes"], recorded, origin)
    nodes = nodes.replaced(origin=np.where(origin < 0, np.int32(ABSENT), origin), step=step)
    groups = _groups(nodes, start.tolist(), lowered.tolist(), origin.tolist())

    dropped = np.setdiff1d(np.arange(len(recorded)), origin)
    made = ~recorded.where("kind", *_SOURCES)
    steps, runs = len(start) - 1, int(np.count_nonzero(step != ABSENT))
    ops = int(np.count_nonzero(made))
    summary = f"{ops:,} op{'s' * (ops != 1)} run as {steps:,} step{'s' * (steps != 1)}"
    if groups:
        fused = sum(len(g["nodes"]) for g in groups)
        summary += f": {fused:,} of {runs:,} fused into {len(groups):,}"
    gone = int(np.count_nonzero(made[dropped]))
    if gone:
        summary += f", {gone:,} dropped or merged"
    return {
        "nodes": nodes, "groups": groups, "dropped": dropped.tolist(), "steps": steps,
        "summary": summary,
    }  # fmt: skip


def _named(nodes: Nodes, recorded: Nodes, origin: np.ndarray) -> Nodes:
    """Lowered nodes with the places, names and roles of the recorded nodes that they come from."""
    known = np.flatnonzero(origin >= 0)
    old = origin[known]
    last = np.full(len(recorded) + 1, ABSENT, np.int32)  # a composite's result is its last
    last[old] = known
    words = list(nodes.words)
    numbers = {word: i for i, word in enumerate(words)}
    code = np.array([numbers.setdefault(w, len(numbers)) for w in recorded.words] + [-1], np.int32)
    words += list(numbers)[len(words) :]
    columns = {}

    def put(field: str, values: np.ndarray, where: np.ndarray | None = None) -> None:
        column = nodes.columns[field].copy()
        at = known if where is None else known[where]
        column[at] = values if where is None else values[where]
        columns[field] = column

    for field in ("scope", "cell"):
        put(field, code[recorded.columns[field][old]])
    for field in ("exec", "line"):
        put(field, recorded.columns[field][old])
    put("name", np.where(last[old] == known, code[recorded.columns["name"][old]], -1))
    was_source = recorded.where("kind", *_SOURCES)[old]
    number = recorded.where("kind", "constant")[old]
    computed = nodes.where("kind", "capture")[known] & ~was_source  # folded to a constant
    roles = recorded.where("kind", "gradient", "optimizer")[old] | was_source
    put("kind", code[recorded.columns["kind"][old]], roles & ~computed)
    put("op", code[recorded.columns["op"][old]], number)
    attributes = [*nodes.attributes, *recorded.attributes]
    attrs = recorded.columns["attrs"][old]
    put("attrs", attrs + len(nodes.attributes), number & (attrs >= 0))
    constant = np.int32(numbers.setdefault("constant", len(numbers)))
    words += list(numbers)[len(words) :]
    for field in ("op", "kind"):
        columns[field][known[computed]] = constant
    forward = recorded.columns["forward_of"][old]
    put("forward_of", last[np.where(forward == ABSENT, len(recorded), forward)])
    return nodes.replaced(words=words, attributes=attributes, **columns)


def _groups(
    nodes: Nodes, start: list[int], lowered: list[int], origin: list[int]
) -> list[dict[str, Any]]:
    """The steps that join several nodes."""
    ops: list[int] = nodes.columns["op"].tolist()
    labels: dict[tuple[int, ...], str] = {}  # blocks repeat
    groups = []
    for number in range(len(start) - 1):
        members = lowered[start[number] : start[number + 1]]
        if len(members) < 2:
            continue
        key = tuple(ops[i] for i in members)
        if key not in labels:
            labels[key] = step_label([nodes.words[op] for op in key])
        from_ = dict.fromkeys(origin[i] for i in members if origin[i] >= 0)
        groups.append(
            {"id": number, "members": list(from_), "nodes": members, "label": labels[key]}
        )
    return groups


def step_label(ops: Sequence[str]) -> str:
    """`multiply + add + relu` for the ops of a step, in order; repeats are counted."""
    words: list[str] = []
    for op in ops:
        if words and words[-1].partition(" ×")[0] == op:
            times = int(words[-1].partition(" ×")[2] or 1) + 1
            words[-1] = f"{op} ×{times}"
        else:
            words.append(op)
    if len(words) > _LABEL:
        words = [*words[: _LABEL - 1], f"{len(words) - _LABEL + 1} more"]
    return " + ".join(words)
