"""The user's vectors in one collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import (
    CollectionFacts,
    Float32,
    Health,
    Hits,
    PointId,
    Points,
    WriteReport,
    check_queries,
    check_write,
)
from nudge_sync.errors import Unreachable, UnsupportedCollection
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.create import LoadState, get_load_state
from nudge_sync_milvus.guarded_write import GuardedWrite
from nudge_sync_milvus.layout import (
    METRICS,
    Layout,
    UpsertSupport,
    describe_index,
    explain_not_loaded,
    list_index_problems,
    list_problems,
    require_metric,
    resolve_layout,
)
from nudge_sync_milvus.log_documents import read_row_payloads
from nudge_sync_milvus.query import (
    MAX_QUERY_ROWS,
    compute_row_limit,
    read_rows,
    scan_rows,
    to_points,
    to_ref,
)
from nudge_sync_milvus.search import search_exact, search_index
from nudge_sync_milvus.serving import SearchServer, check_expression
from nudge_sync_milvus.settings import MilvusSettings

_ROW_OVERHEAD_BYTES = 512
"""Bytes assumed for a row's key and the message around it."""
_PARALLEL_CALLS = 3
"""Calls of `write`, `read` or `search` under way at once: while some read back, and wait for the
server's clock to tick, others compare and upsert."""
_MAX_PENDING_SHARE = 0.1
"""Of the rows: with more that wait to be indexed, the collection is not ready."""
_MAX_PENDING_ROWS = 10_000
"""With more rows than this that wait to be indexed, the collection is not ready."""


class MilvusCollection:
    """See `nudge_sync.connector.Collection`: one FLOAT_VECTOR field of one Milvus collection.

    **The window of `write`.** Milvus has no conditional write. Rows go in chunks of at most 1,000:
    read (Strong), compared, upserted, read back. On a server two chunks at a time are between
    their read and the end of their upsert, and others are read back meanwhile, since each read
    waits for the server's clock to tick. Between a chunk's read and its upsert, 0.1 to 0.5 s on an
    idle server, an application's own write to one of its rows is not seen: its vector is
    overwritten and, before Milvus 2.6.2, so are its other fields, because the upsert then carries
    the whole row as it was read. A row deleted in that window is created again (with
    `partial_update`: only where the collection has no other required field; otherwise the request
    fails). From Milvus 2.6.2 and on Milvus Lite only the vector is sent, and the server merges
    it into the row, in a window of its own that is shorter (milvus issue 49980).
    What an application writes after the upsert stays, and is reported as drifted.

    **Partitions.** An upsert goes to the partition that the row was read from; a key that is in
    several partitions is left alone and reported as drifted. Collections with a partition key
    find theirs by themselves.

    **Keys that the server makes** (auto_id). An upsert gives a row a new one before Milvus 3.0.2,
    so such a collection is refused there. Elsewhere a write begins with one row, and ends there
    if the server did not keep its key.

    **Time to live.** Milvus counts a row's age from its last upsert: where the collection has
    `collection.ttl.seconds`, a row that is written lives as long again.

    **Keys.** Milvus 2.3 answers no query about the key 2**63 - 1: such a point counts as missing.

    **Search.** Scores of a quantised index are computed again from the stored vectors. `exact`
    reads every vector, except on a FLAT index; Milvus has no other way round an index.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        vector: str,
        *,
        settings: MilvusSettings,
        support: UpsertSupport,
        request_bytes: int,
    ) -> None:
        self._connection = connection
        self._name = name
        self._vector = vector
        self._settings = settings
        self._support = support
        self._request_bytes = request_bytes
        self._search_server = SearchServer(connection, name, vector, settings, self.read)

    def describe(self) -> CollectionFacts:
        """See `Collection.describe`. A collection that is not loaded has no exact count."""
        layout = self._resolve_layout()
        index = describe_index(self._connection, layout)
        try:
            points, is_loaded = self._connection.count(layout.collection), True
        except Unreachable:
            if self._is_loaded(layout):
                raise
            points, is_loaded = self._estimate_points(layout), False
        return CollectionFacts(
            name=self._name,
            collection=layout.collection,
            vector="" if layout.is_default_vector else layout.vector,
            dimension=layout.dimension,
            metric=METRICS.get(index.metric, "cosine"),
            integer_ids=layout.integer_keys,
            points=points,
            precision="float32",
            rescales=False,
            problems=(
                *list_problems(layout, self._support),
                *list_index_problems(layout, index, is_loaded=is_loaded),
            ),
            parallel_calls=1 if self._connection.is_lite else _PARALLEL_CALLS,
            exact_search=index.kind == "FLAT",
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`. Strong consistency."""
        layout = self._resolve_layout()
        possible_ids = {key: None for key in ids if layout.is_possible_id(key)}
        vector_by_id: dict[PointId, Float32] = {}
        for rows in read_rows(
            self._connection,
            to_ref(layout),
            list(possible_ids),
            [layout.vector],
            row_limit=self._compute_row_limit(layout),
        ):
            points = to_points(rows, layout)
            vector_by_id.update(zip(points.ids, points.vectors, strict=True))
        present_ids = [key for key in ids if layout.is_possible_id(key) and key in vector_by_id]
        vectors = np.array([vector_by_id[key] for key in present_ids], dtype=np.float32)
        return Points(present_ids, vectors.reshape(-1, layout.dimension))

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection.scan`. Pages by key; a row that a page lost is read by its key."""
        layout = self._resolve_layout()
        for rows in scan_rows(
            self._connection,
            to_ref(layout),
            [layout.vector],
            row_limit=self._compute_row_limit(layout),
        ):
            points = to_points(rows, layout)
            for start in range(0, len(points), batch_size):
                span = slice(start, start + batch_size)
                yield Points(points.ids[span], points.vectors[span])

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See `Collection.search`, and the class for what `exact` costs."""
        layout = self._resolve_layout()
        index = describe_index(self._connection, layout)
        metric = require_metric(layout, index)
        check_queries(queries, layout.dimension)
        if not len(queries) or k < 1:
            return Hits([[] for _ in queries], [np.empty(0, np.float32) for _ in queries])
        if k > MAX_QUERY_ROWS or (exact and index.kind != "FLAT"):
            return search_exact(queries, k, metric, self.scan(self._compute_row_limit(layout)))
        return search_index(
            self._connection,
            layout,
            index,
            queries,
            k,
            settings=self._settings,
            read=self.read,
        )

    def serve_search(self, query: Float32, k: int, filter_: Any = None) -> Hits:
        """See `ServingCollection.serve_search`; a filter is an expression in Milvus's language."""
        return self._search_server.search(query, k, check_expression(filter_))

    def select_ids(self, ids: Sequence[PointId], filter_: Any = None) -> list[PointId]:
        """See `ServingCollection.select_ids`; a filter is an expression in Milvus's language."""
        return self._search_server.select_ids(ids, check_expression(filter_))

    def read_payloads(
        self, ids: Sequence[PointId], fields: Sequence[str]
    ) -> dict[PointId, Mapping[str, Any]]:
        """See `PayloadReader.read_payloads`."""
        return read_row_payloads(self._connection, self._resolve_layout(), ids, fields)

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection.write`, and the class for the window."""
        layout = self._resolve_layout()
        problems = list(list_problems(layout, self._support))
        if problems:
            raise UnsupportedCollection("; ".join(problems))
        points, expected = check_write(points, expected, layout.dimension)
        guarded_write = GuardedWrite(
            self._connection,
            layout,
            partial_update=self._support.is_partial,
            request_bytes=self._request_bytes,
        )
        return guarded_write.write(points, expected)

    def health(self) -> Health:
        """See `Collection.health`. Not ready while a tenth of the rows, or 10,000, wait for it.

        Until then Milvus searches them by brute force or through a coarse interim index: slower,
        and with fewer hits (half of them were missing on random vectors).
        """
        layout = self._resolve_layout()
        if not self._is_loaded(layout):
            return Health(ready=False, reason=explain_not_loaded(layout))
        index = describe_index(self._connection, layout)
        if index.failure:
            return Health(ready=False, reason=f"the index failed: {index.failure}")
        max_pending = min(_MAX_PENDING_ROWS, int(_MAX_PENDING_SHARE * index.row_count))
        if index.pending_rows > max_pending:
            reason = f"{index.pending_rows} of {index.row_count} rows wait to be indexed"
            return Health(ready=False, reason=reason)
        return Health(ready=True)

    def _resolve_layout(self) -> Layout:
        return resolve_layout(self._connection, self._name, self._vector)

    def _compute_row_limit(self, layout: Layout) -> int:
        return compute_row_limit(4 * layout.dimension + _ROW_OVERHEAD_BYTES, self._request_bytes)

    def _is_loaded(self, layout: Layout) -> bool:
        return bool(
            get_load_state(self._connection, layout.collection) == LoadState.LoadStateLoaded
        )

    def _estimate_points(self, layout: Layout) -> int:
        request = milvus_pb2.GetCollectionStatisticsRequest(collection_name=layout.collection)
        stats = self._connection.call("GetCollectionStatistics", request).stats
        return next((int(pair.value) for pair in stats if pair.key == "row_count"), 0)
