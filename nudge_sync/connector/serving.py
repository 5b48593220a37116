"""Searches of an application that a connector makes for it. Connectors may do without."""

from __future__ import annotations

from collections.abc import Sequence
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
