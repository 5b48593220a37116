"""What a connector may offer beside the contract: searches for an application, and payloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from nudge_sync.base.arrays import Float32
from nudge_sync.connector.contract import Hits, PointId


@runtime_checkable
class ServingCollection(Protocol):
    """A collection that also serves an application's searches, as quickly as its own client would.

    Searches go at the database's default consistency, and what sort of collection it is, is asked
    once. Connectors may do without; experiments then search by `Collection.search`, and under no
    filter. A filter is what the database's own client takes; None admits every point.
    """

    def serve_search(self, query: Float32, k: int, filter_: Any = None) -> Hits:
        """Return the `k` best points that pass the filter, for one query, (d,).

        Scores are those of `Collection.search`. Fewer than `k` only where no more points pass.
        """
        ...

    def select_ids(self, ids: Sequence[PointId], filter_: Any = None) -> list[PointId]:
        """Return those of `ids` that exist and pass the filter, in any order."""
        ...


@runtime_checkable
class PayloadReader(Protocol):
    """A collection that also reads some payload fields of its points, to be shown to people.

    Connectors may do without; points then go by their ids alone.
    """

    def read_payloads(
        self, ids: Sequence[PointId], fields: Sequence[str]
    ) -> dict[PointId, Mapping[str, Any]]:
        """Return what `fields`, top-level ones, hold at those of `ids` that exist, by id.

        A field that a point lacks is left out, or None.
        """
        ...
