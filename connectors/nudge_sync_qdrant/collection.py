"""One vector of one collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from uuid import uuid4

import numpy as np
from qdrant_client.models import (
    CollectionInfo,
    CollectionStatus,
    FieldCondition,
    Filter,
    MatchValue,
    OptimizersConfigDiff,
    OptimizersStatusOneOf1,
    PayloadSchemaType,
    PointVectors,
    QuantizationSearchParams,
    QueryRequest,
    SearchParams,
    WriteOrdering,
)

from nudge_sync.connector import (
    CollectionFacts,
    Float32,
    Health,
    Hits,
    PointId,
    Points,
    WriteReport,
)
from nudge_sync.errors import InputError, Unauthorised, UnsupportedCollection
from nudge_sync_qdrant.client import Connection, PointNotFound
from nudge_sync_qdrant.layout import resolve_layout
from nudge_sync_qdrant.query import PointReader, to_point_id
from nudge_sync_qdrant_common import guarded_write
from nudge_sync_qdrant_common.cosine import refuse_rescaled
from nudge_sync_qdrant_common.ids import select_possible_ids

_MAX_REQUEST_ROWS = 1000
_WRITE_BATCH_ROWS = 200
"""Few, because a row is open to being overwritten from its batch's read to its batch's update, and
the client takes longer to turn vectors into JSON than the server to store them.
"""
_MAX_REQUEST_BYTES = 8 * 2**20
"""Of a request's vectors as JSON; a server takes 32 MiB unless told otherwise."""
_JSON_NUMBER_BYTES = 22
_MAX_REQUEST_QUERIES = 64


class QdrantCollection:
    """See `nudge_sync.connector.Collection`.

    Rows go 200 at a time; between their compare and their write lies one round trip. An
    application's write that lands in it is overwritten, unless `payload_mark` is set: rows are
    then marked in their payload before the compare, and written on the condition that the mark is
    still there, which an upsert takes away (`update_vectors` by the application does not). The
    mark is removed afterwards; a crash may leave it, and it does no harm.
    """

    def __init__(self, connection: Connection, name: str, vector: str) -> None:
        self._connection = connection
        self._name = name
        self._subject = f'"{name}"'
        info = self._fetch_info()
        self._layout = resolve_layout(name, vector, info)
        self._rescales = connection.is_local and self._layout.metric == "cosine"
        self._row_limit = compute_row_limit(self._layout.dimension, info)
        self._query_limit = compute_query_limit(info)
        replicated = (info.config.params.replication_factor or 1) > 1
        self._reader = PointReader(
            connection, name, self._layout, row_limit=self._row_limit, replicated=replicated
        )
        self._mark = connection.settings.payload_mark
        if self._mark:
            self._index_mark(info)

    def describe(self) -> CollectionFacts:
        """See `Collection`."""
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
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection`. Asks all replicas, and raises Unreachable while they disagree."""
        return self._reader.read(ids)

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection`."""
        return self._reader.scan(batch_size)

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See `Collection`."""
        if queries.ndim != 2 or queries.shape[1] != self._layout.dimension:  # noqa: PLR2004
            raise InputError(f"queries {queries.shape} should be (q, {self._layout.dimension})")
        if not np.isfinite(queries).all():
            raise InputError("a query is not finite")
        if k < 1:
            return Hits([[] for _ in queries], [np.empty(0, dtype=np.float32) for _ in queries])
        hits = Hits([], [])
        sign = -1.0 if self._layout.metric == "euclid" else 1.0
        for start in range(0, len(queries), self._query_limit):
            part = queries[start : start + self._query_limit]
            requests = [self._build_query(row, k, exact=exact) for row in part]
            with self._connection.translate_errors(self._subject):
                answers = self._connection.client.query_batch_points(self._name, requests)
            for answer in answers:
                hits.ids.append([to_point_id(point.id) for point in answer.points])
                scores = np.array([point.score for point in answer.points], dtype=np.float32)
                hits.scores.append(sign * scores)
        return hits

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection`."""
        if self._layout.problems:
            raise UnsupportedCollection("; ".join(self._layout.problems))
        points, expected = guarded_write.check_write(points, expected, self._layout.dimension)
        if self._layout.metric == "cosine":
            refuse_rescaled(points, self._subject)
        return guarded_write.write_batches(
            points, expected, min(_WRITE_BATCH_ROWS, self._row_limit), self._write_batch
        )

    def health(self) -> Health:
        """See `Collection`. Green is ready; yellow and grey are not, and red is not either."""
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

    def _write_batch(self, points: Points, expected: Float32) -> WriteReport:
        # Made before the compare, so that an update follows it at once.
        updates = self._build_updates(points)

        def update(pending: Points, pending_expected: Float32) -> None:
            if self._mark:
                self._update_marked(pending, pending_expected, updates)
            else:
                self._update_vectors([updates[point] for point in pending.ids])

        return guarded_write.compare_and_write(
            points,
            expected,
            read=self.read,
            update=update,
            subject=self._subject,
            rescales=self._rescales,
        )

    def _build_updates(self, points: Points) -> dict[PointId, PointVectors]:
        name, possible_ids = self._layout.vector, set(select_possible_ids(points.ids))
        return {
            point: PointVectors(id=point, vector={name: row.tolist()} if name else row.tolist())
            for point, row in zip(points.ids, points.vectors, strict=True)
            if point in possible_ids
        }

    def _update_vectors(self, vectors: list[PointVectors], condition: Filter | None = None) -> None:
        try:
            with self._connection.translate_errors(self._subject):
                result = self._connection.client.update_vectors(
                    self._name,
                    vectors,
                    wait=True,
                    ordering=WriteOrdering.STRONG,
                    update_filter=condition,
                )
        except PointNotFound:
            return  # Others of the batch may have been written: the read-back sorts it out.
        self._connection.require_completed(self._subject, result)

    def _update_marked(
        self, points: Points, expected: Float32, updates: Mapping[PointId, PointVectors]
    ) -> None:
        token = uuid4().hex
        self._set_mark(points.ids, token)
        try:
            live = self.read(points.ids)
            comparison = guarded_write.compare_rows(points, expected, live, rescales=self._rescales)
            if comparison.pending:
                mark_condition = FieldCondition(key=str(self._mark), match=MatchValue(value=token))
                pending = [updates[points.ids[row]] for row in comparison.pending]
                self._update_vectors(pending, Filter(must=[mark_condition]))
        finally:
            self._remove_mark(points.ids)

    def _set_mark(self, ids: Sequence[PointId], token: str) -> None:
        try:
            with self._connection.translate_errors(self._subject):
                result = self._connection.client.set_payload(
                    self._name,
                    {str(self._mark): token},
                    points=[*ids],
                    wait=True,
                    ordering=WriteOrdering.STRONG,
                )
        except PointNotFound:
            return  # A row that went unmarked is not written, and tried again.
        self._connection.require_completed(self._subject, result)

    def _remove_mark(self, ids: Sequence[PointId]) -> None:
        try:
            with self._connection.translate_errors(self._subject):
                self._connection.client.delete_payload(
                    self._name,
                    [str(self._mark)],
                    points=[*ids],
                    wait=True,
                    ordering=WriteOrdering.STRONG,
                )
        except PointNotFound:
            return

    def _index_mark(self, info: CollectionInfo) -> None:
        """A server in strict mode may refuse a condition on a field that is not indexed."""
        strict = info.config.strict_mode_config
        if self._mark in info.payload_schema or strict is None or not strict.enabled:
            return
        with self._connection.translate_errors(self._subject):
            self._connection.client.create_payload_index(
                self._name, str(self._mark), PayloadSchemaType.KEYWORD, wait=True
            )

    def _build_query(self, row: Float32, k: int, *, exact: bool) -> QueryRequest:
        # Local mode is always exact, and warns of parameters.
        rescored = QuantizationSearchParams(rescore=True)
        params = (
            None if self._connection.is_local else SearchParams(exact=exact, quantization=rescored)
        )
        return QueryRequest(
            query=row.tolist(),
            using=self._layout.vector or None,
            limit=k,
            params=params,
            with_payload=False,
            with_vector=False,
        )

    def _fetch_info(self) -> CollectionInfo:
        with self._connection.translate_errors(self._subject):
            return self._connection.client.get_collection(self._name)

    def _resolve_alias(self) -> str:
        try:
            with self._connection.translate_errors("the server"):
                aliases = self._connection.client.get_aliases().aliases
        except Unauthorised:
            # A token for this collection alone may not list aliases.
            return self._name
        collection_by_alias = {each.alias_name: each.collection_name for each in aliases}
        return collection_by_alias.get(self._name, self._name)


def compute_query_limit(info: CollectionInfo) -> int:
    """How many queries one request may hold, by what strict mode allows."""
    strict = info.config.strict_mode_config
    server_limit = strict.search_max_batchsize if strict is not None and strict.enabled else None
    return min(_MAX_REQUEST_QUERIES, server_limit or _MAX_REQUEST_QUERIES)


def compute_row_limit(dimension: int, info: CollectionInfo) -> int:
    """How many rows one request may hold, by bytes and by what strict mode allows."""
    limits = [_MAX_REQUEST_ROWS, max(1, _MAX_REQUEST_BYTES // (_JSON_NUMBER_BYTES * dimension))]
    strict = info.config.strict_mode_config
    if strict is not None and strict.enabled:
        limits += [each for each in (strict.upsert_max_batchsize, strict.max_query_limit) if each]
    return min(limits)
