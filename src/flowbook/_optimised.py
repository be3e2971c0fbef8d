"""What a recorded graph has become after optimisation, as data for the "before/after" views.

The compiler lowers a graph (folds, merges, expands, drops) and groups what runs in one pass. Here
the lowered nodes get the names, cells and scopes of the recorded nodes that they come from, and each
step that joins several nodes becomes a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._record import record_of

_LABEL = 5  # ops written on a group; more are counted


def optimised_record(executable: Any, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The graph that runs, in the form of `Graph.record()`.

    Args:
        executable: The native executable.
        recorded: The record of the graph it was compiled from.

    Returns:
        `nodes`: the lowered nodes, numbered on their own, each with its `origin` among the recorded
        nodes (None: added by the compiler) and its `step` (None: it costs nothing, as inputs and
        views do). `groups`: the steps that join several nodes, with `members` (recorded nodes) and
        `nodes` (lowered ones). `dropped`: recorded nodes that nothing computes any more.
        `summary`: all that in a line.
    """
    origin: Sequence[int] = executable.origin
    before = {node["id"]: node for node in recorded["nodes"]}
    step_of: dict[int, int] = {}
    groups: list[dict[str, Any]] = []
    steps = executable.steps()
    for number, step in enumerate(steps):
        for lowered in step["lowered"]:
            step_of[lowered] = number
        if len(step["lowered"]) > 1:
            members = list(dict.fromkeys(n for n in step["nodes"] if n >= 0))
            groups.append({
                "id": number, "members": members, "nodes": list(step["lowered"]),
                "label": step_label(step["ops"]),
            })  # fmt: skip
    extras = {}
    last_of = {n: i for i, n in enumerate(origin) if n >= 0}  # a composite's result is its last
    for i, n in enumerate(origin):
        old = before.get(n)
        extra: dict[str, Any] = {"origin": n if n >= 0 else None, "step": step_of.get(i)}
        if old is not None:
            extra |= {k: old[k] for k in ("scope", "cell", "exec", "line")}
            extra["name"] = old["name"] if last_of[n] == i else None
            if old["kind"] in ("gradient", "optimizer", "variable", "input", "capture"):
                extra["kind"] = old["kind"]
            forward = old["forward_of"]
            extra["forward_of"] = last_of.get(forward) if forward is not None else None
        extras[i] = extra
    lowered_record = record_of(executable.lowered, extras=extras)
    kept = set(origin)
    dropped = [i for i in before if i not in kept]
    made = {i for i, node in before.items() if node["kind"] not in _SOURCES}
    runs = sum(1 for node in lowered_record["nodes"] if node["step"] is not None)
    fused = sum(len(g["nodes"]) for g in groups)
    summary = f"{len(made):,} ops run as {len(steps):,} steps"
    if groups:
        summary += f": {fused:,} of {runs:,} fused into {len(groups):,}"
    gone = sum(i in made for i in dropped)
    if gone:
        summary += f", {gone:,} dropped or merged"
    return {
        "nodes": lowered_record["nodes"], "groups": groups, "dropped": dropped,
        "steps": len(steps), "summary": summary,
    }  # fmt: skip


_SOURCES = ("input", "capture", "variable", "constant")


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
