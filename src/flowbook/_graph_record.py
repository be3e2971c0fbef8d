"""What the drawings of one graph are made from: its record, of which most is kept between runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._diff import difference
from ._optimised import optimised_record
from ._record import record_of
from ._record_notes import stale_words

if TYPE_CHECKING:
    from ._inspection import Inspection
    from ._profile import Profile

Record = dict[str, Any]


class GraphRecord:
    """The record of a graph, with its nodes as columns.

    Args:
        graph: The native graph.
        outputs: Numbers of the values that are named results.
    """

    def __init__(self, graph: Any, outputs: Mapping[str, int]) -> None:
        self._graph = graph
        self._outputs = outputs
        self._recorded: tuple[int, str, Record] | None = None
        self._derivation: tuple[tuple[Any, Any], Record] | None = None

    def recorded(self, name: str) -> Record:
        """What the recorded nodes alone tell; made again when there are more of them."""
        key = self._graph.node_count(), name
        if self._recorded is None or self._recorded[:2] != key:
            self._recorded = (*key, record_of(self._graph, name, list(self._outputs.items())))
            self._derivation = None
        return self._recorded[2]

    def whole(
        self,
        name: str,
        *,
        stats: Mapping[str, Any],
        executable: Any = None,
        previous: Record | None = None,
        profile: Profile | None = None,
        inspection: Inspection | None = None,
        stale: Mapping[str, int] | None = None,
    ) -> Record:
        """The record with all that is known of the graph.

        Args:
            name: Its name.
            stats: Times in milliseconds and planned bytes.
            executable: What runs, for `optimised`.
            previous: The record of the same cell's graph before, for `diff`.
            profile: Times of its steps.
            inspection: Statistics of its values.
            stale: Inputs that mean another object now, and since which cell.
        """
        recorded = self.recorded(name)
        nodes = recorded["nodes"]
        record = {**recorded, "stats": {**stats, "nodes": len(nodes)}}
        if profile is not None:
            nodes = nodes.with_fields(profile.node_times())
        if inspection is not None:
            nodes = nodes.with_fields(inspection.node_fields())
        record["nodes"] = nodes
        record.update(self._derived(recorded, executable, previous))
        if inspection is not None and inspection.nonfinite is not None:
            record["nonfinite"] = inspection.nonfinite
        if stale:
            record["stale"] = stale_words(stale)
        return record

    def _derived(self, recorded: Record, executable: Any, previous: Record | None) -> Record:
        """What follows from the plan and from the version before; kept while they are the same."""
        sources = (executable, previous)
        if self._derivation is None or any(
            a is not b for a, b in zip(self._derivation[0], sources, strict=True)
        ):
            found: Record = {}
            if executable is not None:
                found["optimised"] = optimised_record(executable, recorded["nodes"])
            if previous is not None:
                found["diff"] = difference(previous, recorded)
            self._derivation = (sources, found)
        return self._derivation[1]
