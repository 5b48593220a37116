"""Reads, scans and searches of one vector of a collection, in requests of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from pydantic import ValidationError
from qdrant_client.models import (
    CollectionInfo,
    Filter,
    HasIdCondition,
    QuantizationSearchParams,
    QueryRequest,
    SearchParams,
)
from qdrant_client.models import Record as StoredPoint

from nudge_sync.connector import Float32, Hits, PointId, Points, check_queries
from nudge_sync.errors import InputError, Unreachable
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.consistency import Consistency, read_available, read_decisively
from nudge_sync_qdrant.grpc_points import fetch_points
from nudge_sync_qdrant_common.ids import (
    FIRST_UUID,
    order_points,
    select_possible_ids,
    to_point_id,
)
from nudge_sync_qdrant_common.layout import OVERSAMPLING, Layout
from nudge_sync_qdrant_common.stored_points import collect_points

ReadCopies: TypeAlias = Callable[[Connection, str, Callable[[Consistency], Points]], Points]
"""Asks as many copies as it takes; see `consistency`."""
MAX_REQUEST_ROWS = 1000
"""Points of one request."""
MAX_QUERY_BYTES = 8 * 2**20
"""Of a request's vectors as JSON; a server takes 32 MiB unless told otherwise."""
JSON_NUMBER_BYTES = 22
"""The longest that a float32 gets as JSON text, with its comma."""
_MAX_REQUEST_QUERIES = 64
"""Queries of one request: the server runs them at once and holds all their answers."""


class PointReader:
    """Reads one vector of the points of a collection; see `QdrantCollection`."""

    def __init__(
        self, connection: Connection, name: str, layout: Layout, info: CollectionInfo
    ) -> None:
        self._connection = connection
        self._name = name
        self._subject = f'"{name}"'
        self._layout = layout
        self.row_limit = compute_row_limit(layout.dimension, info)
        """Rows that a request of this collection may carry."""
        self._query_limit = compute_query_limit(info)

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`. Asks a majority, and raises Unreachable while copies disagree.

        Where a node is down, those that are left.
        """
        return self._read(ids, read_available)

    def read_for_write(self, ids: Sequence[PointId]) -> Points:
        """Return the stored vectors, to decide by them what is written, and what was.

        A node that is down is taken out of use by the cluster first, where it holds a copy.
        """
        return self._read(ids, read_decisively)

    def _read(self, ids: Sequence[PointId], read: ReadCopies) -> Points:
        possible_ids = select_possible_ids(ids)
        present_ids: list[PointId] = []
        blocks = [np.empty((0, self._layout.dimension), dtype=np.float32)]
        for start in range(0, len(possible_ids), self.row_limit):
            part = self._retrieve(possible_ids[start : start + self.row_limit], read)
            present_ids += part.ids
            blocks.append(part.vectors)
        return order_points(ids, Points(present_ids, np.concatenate(blocks)))

    def scan(self, batch_size: int) -> Iterator[Points]:
        """See `Collection.scan`."""
        offset: Any = None
        while True:
            with self._connection.translate_errors(self._subject):
                stored, offset = self._connection.client.scroll(
                    self._name,
                    limit=min(batch_size, self.row_limit),
                    offset=offset,
                    with_payload=False,
                    with_vectors=self._vector_selector(),
                )
            points = self._to_points(stored)
            if len(points):
                yield points
            if offset is None:
                return

    def search(self, queries: Float32, k: int, *, exact: bool) -> Hits:
        """See `Collection.search`."""
        check_queries(queries, self._layout.dimension)
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

    def serve_search(self, query: Float32, k: int, filter_: Filter | None) -> Hits:
        """See `ServingCollection.serve_search`."""
        check_queries(query[None], self._layout.dimension)
        if k < 1:
            return Hits([[]], [np.empty(0, dtype=np.float32)])
        request = self._build_query(query, k, exact=False)
        with self._connection.translate_errors(self._subject):
            points = self._connection.client.query_points(
                self._name,
                query=request.query,
                using=request.using,
                query_filter=filter_,
                search_params=request.params,
                limit=k,
                with_payload=False,
            ).points
        sign = -1.0 if self._layout.metric == "euclid" else 1.0
        scores = np.array([point.score for point in points], dtype=np.float32)
        return Hits([[to_point_id(point.id) for point in points]], [sign * scores])

    def select_ids(self, ids: Sequence[PointId], filter_: Filter | None) -> list[PointId]:
        """See `ServingCollection.select_ids`."""
        selected: list[PointId] = []
        possible_ids = select_possible_ids(ids)
        for start in range(0, len(possible_ids), MAX_REQUEST_ROWS):
            part = possible_ids[start : start + MAX_REQUEST_ROWS]
            conditions: list[Any] = [HasIdCondition(has_id=list(part))]
            if filter_ is not None:
                conditions.append(filter_)
            with self._connection.translate_errors(self._subject):
                stored, _ = self._connection.client.scroll(
                    self._name,
                    scroll_filter=Filter(must=conditions),
                    limit=len(part),
                    with_payload=False,
                    with_vectors=False,
                )
            selected += [to_point_id(point.id) for point in stored]
        return selected

    def read_payloads(
        self, ids: Sequence[PointId], fields: Sequence[str]
    ) -> dict[PointId, Mapping[str, Any]]:
        """See `PayloadReader.read_payloads`."""
        payloads: dict[PointId, Mapping[str, Any]] = {}
        possible_ids = select_possible_ids(ids)
        for start in range(0, len(possible_ids), MAX_REQUEST_ROWS):
            with self._connection.translate_errors(self._subject):
                stored = self._connection.client.retrieve(
                    self._name,
                    ids=possible_ids[start : start + MAX_REQUEST_ROWS],
                    with_payload=[*fields],
                    with_vectors=False,
                )
            payloads |= {to_point_id(point.id): point.payload or {} for point in stored}
        return payloads

    def has_uuids(self) -> bool:
        """Return whether any id is a UUID."""
        with self._connection.translate_errors(self._subject):
            uuids, _ = self._connection.client.scroll(
                self._name, limit=1, offset=FIRST_UUID, with_payload=False, with_vectors=False
            )
        return bool(uuids)

    def _retrieve(self, ids: list[PointId], read: ReadCopies) -> Points:
        if not ids:
            return Points([], np.empty((0, self._layout.dimension), dtype=np.float32))
        if not self._connection.is_cluster:
            return self._fetch(ids, None)
        points = read(self._connection, self._name, partial(self._fetch, ids))
        if len(points) < len(ids):
            # Left out are also the points on which copies differ, as if they were gone.
            present_ids = set(points.ids)
            disputed_ids = self._fetch([i for i in ids if i not in present_ids], None).ids
            if disputed_ids:
                raise Unreachable(
                    f"{self._subject}: replicas disagree on point {disputed_ids[0]} just now"
                )
        return points

    def _fetch(self, ids: list[PointId], consistency: Consistency) -> Points:
        with self._connection.translate_errors(self._subject):
            if self._connection.uses_grpc:
                return fetch_points(
                    self._connection.client,
                    self._name,
                    ids,
                    vector=self._layout.vector,
                    dimension=self._layout.dimension,
                    consistency=consistency,
                    timeout=self._connection.settings.timeout,
                )
            stored = self._connection.client.retrieve(
                self._name,
                ids,
                with_payload=False,
                with_vectors=self._vector_selector(),
                consistency=consistency,
            )
        return self._to_points(stored)

    def _to_points(self, stored: Sequence[StoredPoint]) -> Points:
        return collect_points(stored, self._layout.vector, self._layout.dimension)

    def _vector_selector(self) -> bool | list[str]:
        return [self._layout.vector] if self._layout.vector else True

    def _build_query(self, row: Float32, k: int, *, exact: bool) -> QueryRequest:
        # Local mode is always exact, and warns of parameters.
        params = None
        if not self._connection.is_local:
            params = SearchParams(
                exact=exact,
                hnsw_ef=self._connection.settings.hnsw_ef,
                quantization=QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING),
            )
        return QueryRequest(
            query=row.tolist(),
            using=self._layout.vector or None,
            limit=k,
            params=params,
            with_payload=False,
            with_vector=False,
        )


def parse_filter(filter_: Any) -> Filter | None:
    """Return a filter as the client has it. Raises InputError for anything else."""
    if filter_ is None or isinstance(filter_, Filter):
        return filter_
    try:
        return Filter.model_validate(filter_)
    except ValidationError as error:
        raise InputError(f"not a filter of Qdrant: {error.errors()[0]['msg']}") from None


def compute_query_limit(info: CollectionInfo) -> int:
    """Return how many queries one request may hold, by what strict mode allows."""
    strict = info.config.strict_mode_config
    server_limit = strict.search_max_batchsize if strict is not None and strict.enabled else None
    return min(_MAX_REQUEST_QUERIES, server_limit or _MAX_REQUEST_QUERIES)


def compute_row_limit(dimension: int, info: CollectionInfo) -> int:
    """Return how many rows one request may hold, by bytes and by what strict mode allows."""
    limits = [MAX_REQUEST_ROWS, max(1, MAX_QUERY_BYTES // (JSON_NUMBER_BYTES * dimension))]
    strict = info.config.strict_mode_config
    if strict is not None and strict.enabled:
        limits += [each for each in (strict.upsert_max_batchsize, strict.max_query_limit) if each]
    return min(limits)
