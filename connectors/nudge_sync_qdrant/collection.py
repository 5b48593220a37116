"""The user's vectors in one collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from qdrant_client.models import (
    CollectionInfo,
    CollectionStatus,
    OptimizersConfigDiff,
    OptimizersStatusOneOf1,
)

from nudge_sync.connector import (
    CollectionFacts,
    Float32,
    Health,
    Hits,
    PointId,
    Points,
    WriteReport,
    check_write,
    describe_near_names,
)
from nudge_sync.errors import (
    CollectionNotFound,
    NudgeSyncError,
    Unauthorised,
    UnsupportedCollection,
)
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.guarded_write import GuardedWrite, index_mark
from nudge_sync_qdrant.layout import resolve_layout
from nudge_sync_qdrant.query import PointReader, parse_filter
from nudge_sync_qdrant_common.cosine import refuse_rescaled

_PARALLEL_CALLS = 2
"""Calls of `write`, `read` or `search` under way at once: while one reads back, the other compares
and updates."""


class QdrantCollection:
    """See `nudge_sync.connector.Collection`.

    **The window of `write`.** Rows go 150 at a time; between their compare and their write lies
    one round trip. Two such batches at a time are in it, and others are read back meanwhile. An
    application's write that lands in it is overwritten, unless `payload_mark` is set: rows are then
    marked in their payload before the compare, and written on the condition that the mark is still
    there, which an upsert takes away (`update_vectors` by the application does not). The mark is
    removed afterwards; a crash may leave it, and it does no harm.
    """

    def __init__(self, connection: Connection, name: str, vector: str) -> None:
        self._connection = connection
        self._name = name
        self._subject = f'"{name}"'
        try:
            info = self._fetch_info()
        except CollectionNotFound as error:
            raise CollectionNotFound(f"{error}{self._describe_others()}") from error
        self._layout = resolve_layout(name, vector, info)
        self._rescales = connection.is_local and self._layout.metric == "cosine"
        self._reader = PointReader(connection, name, self._layout, info)
        index_mark(connection, name, info)

    def describe(self) -> CollectionFacts:
        """See `Collection.describe`."""
        info = self._fetch_info()
        layout = resolve_layout(self._name, self._layout.vector, info)
        points = info.points_count or 0
        return CollectionFacts(
            name=self._name,
            collection=self._resolve_alias(),
            vector=layout.vector,
            dimension=layout.dimension,
            metric=layout.metric,
            integer_ids=points > 0 and not self._reader.has_uuids(),
            points=points,
            precision=layout.precision,
            rescales=self._rescales,
            problems=layout.problems,
            parallel_calls=1 if self._connection.is_local else _PARALLEL_CALLS,
            exact_search=True,
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`, and `PointReader.read` for copies on several nodes."""
        return self._reader.read(ids)

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection.scan`."""
        return self._reader.scan(batch_size)

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See `Collection.search`."""
        return self._reader.search(queries, k, exact=exact)

    def serve_search(self, query: Float32, k: int, filter_: Any = None) -> Hits:
        """See `ServingCollection.serve_search`; a `Filter` of qdrant-client, or its JSON."""
        return self._reader.serve_search(query, k, parse_filter(filter_))

    def select_ids(self, ids: Sequence[PointId], filter_: Any = None) -> list[PointId]:
        """See `ServingCollection.select_ids`; a `Filter` of qdrant-client, or its JSON."""
        return self._reader.select_ids(ids, parse_filter(filter_))

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
            refuse_rescaled(points, self._subject)
        guarded_write = GuardedWrite(
            self._connection,
            self._name,
            self._layout.vector,
            self._reader,
            rescales=self._rescales,
        )
        return guarded_write.write(points, expected)

    def health(self) -> Health:
        """See `Collection.health`. Ready while the collection's status is green."""
        info = self._fetch_info()
        if isinstance(info.optimizer_status, OptimizersStatusOneOf1):
            return Health(
                ready=False, reason=f"the optimiser failed: {info.optimizer_status.error}"
            )
        if info.status == CollectionStatus.GREY:
            # Optimisations wait for an update since the server's last start, and would wait as
            # long as we do. An empty change of the settings is the documented way to wake them.
            # A token that may only write points may not, and then we wait for somebody else.
            with suppress(Unauthorised), self._connection.translate_errors(self._subject):
                self._connection.client.update_collection(
                    self._name, optimizers_config=OptimizersConfigDiff()
                )
        if info.status == CollectionStatus.GREEN:
            return Health(ready=True)
        return Health(ready=False, reason=f"the collection's status is {info.status.value}")

    def _fetch_info(self) -> CollectionInfo:
        with self._connection.translate_errors(self._subject):
            return self._connection.client.get_collection(self._name)

    def _describe_others(self) -> str:
        with suppress(NudgeSyncError), self._connection.translate_errors("all collections"):
            found = self._connection.client.get_collections().collections
            aliases = self._connection.client.get_aliases().aliases
            names = [*(each.name for each in found), *(each.alias_name for each in aliases)]
            return describe_near_names(self._name, names)
        return ""

    def _resolve_alias(self) -> str:
        """Return the real name of the collection, which may be the one that was asked for."""
        try:
            with self._connection.translate_errors("aliases"):
                aliases = self._connection.client.get_aliases().aliases
        except Unauthorised:
            # A token for this collection alone may not list aliases.
            return self._name
        collection_by_alias = {each.alias_name: each.collection_name for each in aliases}
        return collection_by_alias.get(self._name, self._name)
