from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import (
    CollectionFacts,
    Float32,
    Health,
    Hits,
    Metric,
    PointId,
    Points,
    WriteReport,
)
from nudge_sync.errors import InputError, Unreachable, UnsupportedCollection
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.columns import extract_vectors
from nudge_sync_milvus.create import LoadState, get_load_state
from nudge_sync_milvus.filters import is_possible_key
from nudge_sync_milvus.guarded_write import GuardedWrite, WriteChunk, check_write
from nudge_sync_milvus.layout import METRICS, Layout, VectorIndex, describe_index, resolve_layout
from nudge_sync_milvus.query import MAX_QUERY_ROWS, CollectionRef, Rows, read_rows, scan_rows
from nudge_sync_milvus.search import (
    FULL_PRECISION_INDEXES,
    build_search_request,
    choose_search_params,
    parse_hits,
    search_exact,
    similarity,
    split_queries,
)
from nudge_sync_milvus.settings import MilvusSettings

_ROW_OVERHEAD_BYTES = 512
_MAX_PENDING_SHARE = 0.1
_MAX_PENDING_ROWS = 10_000


class MilvusCollection:
    """One FLOAT_VECTOR field of one Milvus collection.

    Words: a point is an entity, its id the primary key, a payload the entity's scalar, JSON, array
    and dynamic fields, a vector a vector field.

    **The window of `write`.** Milvus has no conditional write. Rows go in chunks of at most 2,000:
    read (Strong), compared, upserted, read back; on a server two chunks at a time, since each read
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
        partial_update: bool,
        request_bytes: int,
    ) -> None:
        self._connection = connection
        self._name = name
        self._vector = vector
        self._settings = settings
        self._partial_update = partial_update
        self._request_bytes = request_bytes

    def describe(self) -> CollectionFacts:
        """See the contract. A collection that is not loaded has a problem, and no exact count."""
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
                *self._list_problems(layout),
                *_list_index_problems(layout, index, is_loaded=is_loaded),
            ),
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See the contract. Strong consistency."""
        layout = self._resolve_layout()
        possible_ids = {key: None for key in ids if _is_possible_id(layout, key)}
        vector_by_id: dict[PointId, Float32] = {}
        for rows in self._read_rows(layout, list(possible_ids)):
            points = _to_points(rows, layout)
            vector_by_id.update(zip(points.ids, points.vectors, strict=True))
        present_ids = [key for key in ids if _is_possible_id(layout, key) and key in vector_by_id]
        vectors = np.array([vector_by_id[key] for key in present_ids], dtype=np.float32)
        return Points(present_ids, vectors.reshape(-1, layout.dimension))

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See the contract. Pages by key; what a page lost is found by its key and read."""
        layout = self._resolve_layout()
        row_limit = self._compute_row_limit(layout)
        for rows in scan_rows(
            self._connection, _to_ref(layout), [layout.vector], row_limit=row_limit
        ):
            points = _to_points(rows, layout)
            for start in range(0, len(points), batch_size):
                span = slice(start, start + batch_size)
                yield Points(points.ids[span], points.vectors[span])

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See the contract, and the class."""
        layout = self._resolve_layout()
        index = describe_index(self._connection, layout)
        metric = _require_metric(layout, index)
        if queries.ndim != 2 or queries.shape[1] != layout.dimension:  # noqa: PLR2004
            raise InputError(
                f"expected queries of shape (q, {layout.dimension}), got {queries.shape}"
            )
        if not len(queries) or k < 1:
            return Hits([[] for _ in queries], [np.empty(0, np.float32) for _ in queries])
        if k > MAX_QUERY_ROWS or (exact and index.kind != "FLAT"):
            batches = self.scan(self._compute_row_limit(layout))
            return search_exact(queries, k, metric, batches)
        return self._search_index(layout, index, queries, k)

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See the contract, and the class for the window."""
        layout = self._resolve_layout()
        check_write(points, expected, layout.dimension)
        problems = list(self._list_problems(layout))
        if problems:
            raise UnsupportedCollection("; ".join(problems))
        rows = [row for row, key in enumerate(points.ids) if _is_possible_id(layout, key)]
        report = WriteReport(
            missing=[key for key in points.ids if not _is_possible_id(layout, key)]
        )
        guarded_write = GuardedWrite(
            self._connection,
            layout,
            partial_update=self._partial_update,
            request_bytes=self._request_bytes,
        )
        chunks = [
            WriteChunk([points.ids[row] for row in run], points.vectors[run], expected[run])
            for run in (
                rows[start : start + guarded_write.row_limit]
                for start in range(0, len(rows), guarded_write.row_limit)
            )
        ]
        for chunk_report in guarded_write.write_chunks(chunks):
            report.written.extend(chunk_report.written)
            report.drifted.extend(chunk_report.drifted)
            report.missing.extend(chunk_report.missing)
        return report

    def health(self) -> Health:
        """Not ready while a tenth of the rows, or 10,000, wait to be indexed.

        Until then Milvus searches them by brute force or through a coarse interim index: slower,
        and with fewer hits (half of them were missing on random vectors).
        """
        layout = self._resolve_layout()
        if not self._is_loaded(layout):
            return Health(ready=False, reason=_explain_not_loaded(layout))
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
        return max(
            1,
            min(
                MAX_QUERY_ROWS, self._request_bytes // (4 * layout.dimension + _ROW_OVERHEAD_BYTES)
            ),
        )

    def _read_rows(self, layout: Layout, ids: Sequence[PointId]) -> Iterator[Rows]:
        row_limit = self._compute_row_limit(layout)
        return read_rows(
            self._connection, _to_ref(layout), ids, [layout.vector], row_limit=row_limit
        )

    def _list_problems(self, layout: Layout) -> Iterator[str]:
        if layout.auto_id:
            yield (
                f'collection "{self._name}" makes its primary keys by itself (auto_id); an upsert '
                "would fail or change them: copy it into a collection with keys of your own"
            )
        if layout.struct_fields and not self._partial_update:
            yield (
                f'collection "{self._name}" has struct fields, which only Milvus 2.6.2 and later '
                "can leave alone in an upsert: update the server"
            )

    def _is_loaded(self, layout: Layout) -> bool:
        return bool(
            get_load_state(self._connection, layout.collection) == LoadState.LoadStateLoaded
        )

    def _estimate_points(self, layout: Layout) -> int:
        request = milvus_pb2.GetCollectionStatisticsRequest(collection_name=layout.collection)
        stats = self._connection.call("GetCollectionStatistics", request).stats
        return next((int(pair.value) for pair in stats if pair.key == "row_count"), 0)

    def _search_index(self, layout: Layout, index: VectorIndex, queries: Float32, k: int) -> Hits:
        metric = _require_metric(layout, index)
        needs_rescore = index.kind not in FULL_PRECISION_INDEXES
        hit_count = min(MAX_QUERY_ROWS, 2 * k) if needs_rescore else k
        params = choose_search_params(
            index, hit_count, self._settings.ef, self._settings.search_params
        )
        hits = Hits([], [])
        for batch in split_queries(queries, hit_count):
            answer = self._connection.call(
                "Search", build_search_request(layout, index, batch, hit_count, params)
            )
            batch_hits = parse_hits(answer.results, metric)
            batch_hits = (
                self._rescore(layout, batch_hits, batch, k, metric) if needs_rescore else batch_hits
            )
            hits.ids.extend(batch_hits.ids)
            hits.scores.extend(batch_hits.scores)
        return hits

    def _rescore(
        self, layout: Layout, hits: Hits, queries: Float32, k: int, metric: Metric
    ) -> Hits:
        points = self.read(list({key: None for keys in hits.ids for key in keys}))
        row_by_id = {key: row for row, key in enumerate(points.ids)}
        rescored = Hits([], [])
        for query, keys in zip(queries, hits.ids, strict=True):
            known_keys = [key for key in keys if key in row_by_id]
            vectors = points.vectors[[row_by_id[key] for key in known_keys]].reshape(
                -1, layout.dimension
            )
            scores = similarity(query[None, :], vectors, metric)[0]
            order = np.argsort(-scores, kind="stable")[:k]
            rescored.ids.append([known_keys[row] for row in order])
            rescored.scores.append(scores[order])
        return rescored


def _to_ref(layout: Layout) -> CollectionRef:
    return CollectionRef(layout.collection, layout.key_field, layout.integer_keys)


def _is_possible_id(layout: Layout, key: PointId) -> bool:
    return is_possible_key(key, integers=layout.integer_keys, max_bytes=layout.max_key_bytes)


def _to_points(rows: Rows, layout: Layout) -> Points:
    if not len(rows):
        return Points([], np.empty((0, layout.dimension), dtype=np.float32))
    vectors, valid = extract_vectors(rows.columns[layout.vector])
    if valid.all():
        return Points(rows.keys, np.array(vectors, dtype=np.float32))
    valid_rows = np.flatnonzero(valid)
    return Points([rows.keys[row] for row in valid_rows], vectors[valid_rows])


def _list_index_problems(layout: Layout, index: VectorIndex, *, is_loaded: bool) -> Iterator[str]:
    if not index.kind:
        yield f'field "{layout.vector}" has no index; create one and load the collection'
    elif index.metric not in METRICS:
        yield f'metric {index.metric} of field "{layout.vector}" is not supported'
    if not is_loaded:
        yield _explain_not_loaded(layout)


def _require_metric(layout: Layout, index: VectorIndex) -> Metric:
    metric = METRICS.get(index.metric)
    if metric is None:
        raise UnsupportedCollection(
            f'field "{layout.vector}" of collection "{layout.name}" has no index with metric '
            "COSINE, IP or L2; create one and load the collection"
        )
    return metric


def _explain_not_loaded(layout: Layout) -> str:
    return f'collection "{layout.name}" is not loaded; load it'
