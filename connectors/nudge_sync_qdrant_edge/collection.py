"""The user's vectors in one shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qdrant_edge import CountRequest

from nudge_sync.connector import (
    CollectionFacts,
    Float32,
    Health,
    Hits,
    PointId,
    Points,
    WriteReport,
    check_write,
)
from nudge_sync.errors import UnsupportedCollection
from nudge_sync_qdrant_common.cosine import refuse_rescaled
from nudge_sync_qdrant_edge.client import Shards
from nudge_sync_qdrant_edge.errors import translate_errors
from nudge_sync_qdrant_edge.guarded_write import GuardedWrite
from nudge_sync_qdrant_edge.layout import resolve_layout
from nudge_sync_qdrant_edge.query import PointReader, check_filter


class EdgeCollection:
    """See `nudge_sync.connector.Collection`.

    **The window of `write`.** Rows go 100 at a time; between their compare and their write lie
    some milliseconds. Only threads of this process that share the shard can write in them: the
    engine locks every other process out. What such a thread upserts in them is overwritten,
    unless `payload_mark` is set: rows are then marked in their payload before the compare, and
    written on the condition that the mark is still there, which an upsert takes away (an update of
    vectors alone does not). The mark is removed afterwards; a crash may leave it, and it does no
    harm.
    """

    def __init__(
        self,
        shards: Shards,
        name: str,
        vector: str,
        mark: str | None = None,
        hnsw_ef: int | None = None,
    ) -> None:
        self._shards = shards
        self._name = name
        self._layout = resolve_layout(name, vector, shards.read_config(name))
        self._reader = PointReader(shards, name, self._layout, hnsw_ef=hnsw_ef)
        self._mark = mark

    def describe(self) -> CollectionFacts:
        """See `Collection.describe`."""
        shard = self._shards.get(self._name)
        with translate_errors(self._name):
            points = shard.count(CountRequest(exact=True))
        return CollectionFacts(
            name=self._name,
            collection=self._name,
            vector=self._layout.vector,
            dimension=self._layout.dimension,
            metric=self._layout.metric,
            integer_ids=points > 0 and not self._reader.has_uuids(),
            points=points,
            precision=self._layout.precision,
            rescales=False,
            problems=self._layout.problems,
            exact_search=True,
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`."""
        return self._reader.read(ids)

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection.scan`."""
        return self._reader.scan(batch_size)

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See `Collection.search`."""
        return self._reader.search(queries, k, exact=exact)

    def serve_search(self, query: Float32, k: int, filter_: Any = None) -> Hits:
        """See `ServingCollection.serve_search`; a qdrant-edge `Filter`."""
        return self._reader.serve_search(query, k, check_filter(filter_))

    def select_ids(self, ids: Sequence[PointId], filter_: Any = None) -> list[PointId]:
        """See `ServingCollection.select_ids`; a qdrant-edge `Filter`."""
        return self._reader.select_ids(ids, check_filter(filter_))

    def read_payloads(
        self, ids: Sequence[PointId], fields: Sequence[str]
    ) -> dict[PointId, Mapping[str, Any]]:
        """See `PayloadReader.read_payloads`."""
        return self._reader.read_payloads(ids, fields)

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection.write`, and the class for the window.

        Raises InputError for a row that a cosine collection would rescale.
        """
        if self._layout.problems:
            raise UnsupportedCollection("; ".join(self._layout.problems))
        points, expected = check_write(points, expected, self._layout.dimension)
        if self._layout.metric == "cosine":
            refuse_rescaled(points, f'"{self._name}"')
        guarded_write = GuardedWrite(
            self._shards, self._name, self._layout.vector, self._reader, mark=self._mark
        )
        return guarded_write.write(points, expected)

    def health(self) -> Health:
        """See `Collection.health`. Always ready: only the application optimises its shard."""
        self._shards.get(self._name)
        return Health(ready=True)
