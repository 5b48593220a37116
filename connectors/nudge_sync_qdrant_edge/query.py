"""Reads, scans and searches of one vector of a shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_edge import (
    Filter,
    HasIdCondition,
    QuantizationSearchParams,
    Query,
    QueryBatchRequest,
    QueryRequest,
    ScrollRequest,
    SearchParams,
)
from qdrant_edge import Record as EdgePoint

from nudge_sync.connector import Float32, Hits, PointId, Points, check_queries
from nudge_sync.errors import InputError
from nudge_sync_qdrant_common.ids import (
    FIRST_UUID,
    order_points,
    select_possible_ids,
    to_point_id,
)
from nudge_sync_qdrant_common.layout import OVERSAMPLING, Layout
from nudge_sync_qdrant_common.stored_points import collect_points
from nudge_sync_qdrant_edge.client import Shards
from nudge_sync_qdrant_edge.errors import translate_errors

MAX_REQUEST_ROWS = 1000
"""Points of one request: the engine holds the answer as Python objects."""
_MAX_REQUEST_QUERIES = 64
"""Queries of one request."""


class PointReader:
    """Reads one vector of the points of a shard; see `EdgeCollection`."""

    def __init__(
        self, shards: Shards, name: str, layout: Layout, *, hnsw_ef: int | None = None
    ) -> None:
        self._shards = shards
        self._name = name
        self._layout = layout
        self._hnsw_ef = hnsw_ef

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`."""
        shard = self._shards.get(self._name)
        possible_ids = select_possible_ids(ids)
        present_ids: list[PointId] = []
        blocks = [np.empty((0, self._layout.dimension), dtype=np.float32)]
        with translate_errors(self._name):
            for start in range(0, len(possible_ids), MAX_REQUEST_ROWS):
                batch: list[int | UUID | str] = [*possible_ids[start : start + MAX_REQUEST_ROWS]]
                stored = shard.retrieve(
                    batch, with_payload=False, with_vector=[self._layout.vector]
                )
                part = self._to_points(stored)
                present_ids += part.ids
                blocks.append(part.vectors)
        return order_points(ids, Points(present_ids, np.concatenate(blocks)))

    def scan(self, batch_size: int) -> Iterator[Points]:
        """See `Collection.scan`."""
        offset: PointId | UUID | None = None
        while True:
            request = ScrollRequest(
                offset=offset,
                limit=batch_size,
                with_payload=False,
                with_vector=[self._layout.vector],
            )
            shard = self._shards.get(self._name)
            with translate_errors(self._name):
                stored, offset = shard.scroll(request)
                points = self._to_points(stored)
            if len(points):
                yield points
            if offset is None:
                return

    def search(self, queries: Float32, k: int, *, exact: bool) -> Hits:
        """See `Collection.search`."""
        check_queries(queries, self._layout.dimension)
        shard = self._shards.get(self._name)
        if k < 1:
            return Hits([[] for _ in queries], [np.empty(0, dtype=np.float32) for _ in queries])
        hits = Hits([], [])
        sign = -1.0 if self._layout.metric == "euclid" else 1.0
        with translate_errors(self._name):
            for start in range(0, len(queries), _MAX_REQUEST_QUERIES):
                part = queries[start : start + _MAX_REQUEST_QUERIES]
                requests = [self._build_query(row, k, exact=exact) for row in part]
                for answers in shard.query_batch(QueryBatchRequest(requests)):
                    hits.ids.append([to_point_id(answer.id) for answer in answers])
                    scores = np.array([answer.score for answer in answers], dtype=np.float32)
                    hits.scores.append(sign * scores)
        return hits

    def serve_search(self, query: Float32, k: int, filter_: Filter | None) -> Hits:
        """See `ServingCollection.serve_search`."""
        check_queries(query[None], self._layout.dimension)
        shard = self._shards.get(self._name)
        if k < 1:
            return Hits([[]], [np.empty(0, dtype=np.float32)])
        request = self._build_query(query, k, exact=False, filter_=filter_)
        with translate_errors(self._name):
            answers = shard.query(request)
        sign = -1.0 if self._layout.metric == "euclid" else 1.0
        scores = np.array([answer.score for answer in answers], dtype=np.float32)
        return Hits([[to_point_id(answer.id) for answer in answers]], [sign * scores])

    def select_ids(self, ids: Sequence[PointId], filter_: Filter | None) -> list[PointId]:
        """See `ServingCollection.select_ids`."""
        shard = self._shards.get(self._name)
        selected: list[PointId] = []
        possible_ids = select_possible_ids(ids)
        for start in range(0, len(possible_ids), MAX_REQUEST_ROWS):
            part = possible_ids[start : start + MAX_REQUEST_ROWS]
            conditions: list[Any] = [HasIdCondition(set(part))]
            if filter_ is not None:
                conditions.append(filter_)
            request = ScrollRequest(
                limit=len(part),
                filter=Filter(must=conditions),
                with_payload=False,
                with_vector=False,
            )
            with translate_errors(self._name):
                stored, _ = shard.scroll(request)
            selected += [to_point_id(point.id) for point in stored]
        return selected

    def read_payloads(
        self, ids: Sequence[PointId], fields: Sequence[str]
    ) -> dict[PointId, Mapping[str, Any]]:
        """See `PayloadReader.read_payloads`."""
        shard = self._shards.get(self._name)
        payloads: dict[PointId, Mapping[str, Any]] = {}
        possible_ids = select_possible_ids(ids)
        for start in range(0, len(possible_ids), MAX_REQUEST_ROWS):
            part: list[int | UUID | str] = [*possible_ids[start : start + MAX_REQUEST_ROWS]]
            with translate_errors(self._name):
                stored = shard.retrieve(part, with_payload=[*fields], with_vector=False)
            payloads |= {to_point_id(point.id): point.payload or {} for point in stored}
        return payloads

    def has_uuids(self) -> bool:
        """Return whether any id is a UUID."""
        shard = self._shards.get(self._name)
        with translate_errors(self._name):
            uuids, _ = shard.scroll(ScrollRequest(offset=UUID(FIRST_UUID), limit=1))
        return bool(uuids)

    def _to_points(self, stored: Sequence[EdgePoint]) -> Points:
        return collect_points(stored, self._layout.vector, self._layout.dimension)

    def _build_query(
        self, row: Float32, k: int, *, exact: bool, filter_: Filter | None = None
    ) -> QueryRequest:
        return QueryRequest(
            limit=k,
            query=Query.Nearest(row.tolist(), self._layout.vector or None),
            params=SearchParams(
                exact=exact,
                hnsw_ef=self._hnsw_ef,
                quantization=QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING),
            ),
            with_vector=False,
            with_payload=False,
            filter=filter_,
        )


def check_filter(filter_: Any) -> Filter | None:
    """Return a filter as the engine has it. Raises InputError for anything else."""
    if filter_ is None or isinstance(filter_, Filter):
        return filter_
    raise InputError("a filter of the embedded engine is a qdrant_edge.Filter")
