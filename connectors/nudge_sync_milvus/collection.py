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
from nudge_sync_milvus.client import Wire
from nudge_sync_milvus.columns import vectors_of
from nudge_sync_milvus.create import LoadState, load_state
from nudge_sync_milvus.filters import key_can_exist
from nudge_sync_milvus.guarded_write import Change, Rewrite, checked
from nudge_sync_milvus.layout import METRICS, Index, Layout, index_of, layout
from nudge_sync_milvus.query import WINDOW, Rows, Table, by_keys, pages
from nudge_sync_milvus.search import (
    FULL_PRECISION,
    hits_of,
    nearest,
    search_batches,
    search_params,
    search_request,
    similarity,
)
from nudge_sync_milvus.settings import Settings

ROW_ROOM = 512
PENDING_SHARE = 0.1
PENDING_ROWS = 10_000


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
        wire: Wire,
        name: str,
        vector: str,
        *,
        settings: Settings,
        partial: bool,
        request_bytes: int,
    ) -> None:
        self._wire = wire
        self._name = name
        self._vector = vector
        self._settings = settings
        self._partial = partial
        self._request_bytes = request_bytes

    def describe(self) -> CollectionFacts:
        """See the contract. A collection that is not loaded has a problem, and no exact count."""
        shape = self._shape()
        index = index_of(self._wire, shape)
        try:
            points, loaded = self._wire.count(shape.collection), True
        except Unreachable:
            if self._loaded(shape):
                raise
            points, loaded = self._estimate(shape), False
        return CollectionFacts(
            name=self._name,
            collection=shape.collection,
            vector="" if shape.default_vector else shape.vector,
            dimension=shape.dimension,
            metric=METRICS.get(index.metric, "cosine"),
            integer_ids=shape.integer_keys,
            points=points,
            precision="float32",
            rescales=False,
            problems=(
                *self._problems(shape),
                *_index_problems(shape, index, loaded=loaded),
            ),
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See the contract. Strong consistency."""
        shape = self._shape()
        possible = {key: None for key in ids if _possible(shape, key)}
        found: dict[PointId, Float32] = {}
        for rows in self._rows(shape, list(possible)):
            points = _points(rows, shape)
            found.update(zip(points.ids, points.vectors, strict=True))
        kept = [key for key in ids if _possible(shape, key) and key in found]
        vectors = np.array([found[key] for key in kept], dtype=np.float32)
        return Points(kept, vectors.reshape(-1, shape.dimension))

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See the contract. Pages by key; what a page lost is found by its key and read."""
        shape = self._shape()
        at_once = self._at_once(shape)
        for rows in pages(self._wire, _table(shape), [shape.vector], at_once=at_once):
            points = _points(rows, shape)
            for start in range(0, len(points), batch_size):
                part = slice(start, start + batch_size)
                yield Points(points.ids[part], points.vectors[part])

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See the contract, and the class."""
        shape = self._shape()
        index = index_of(self._wire, shape)
        metric = _metric(shape, index)
        if queries.ndim != 2 or queries.shape[1] != shape.dimension:  # noqa: PLR2004
            raise InputError(
                f"expected queries of shape (q, {shape.dimension}), got {queries.shape}"
            )
        if not len(queries) or k < 1:
            return Hits([[] for _ in queries], [np.empty(0, np.float32) for _ in queries])
        if k > WINDOW or (exact and index.kind != "FLAT"):
            batches = self.scan(self._at_once(shape))
            return nearest(queries, k, metric, batches)
        return self._indexed(shape, index, queries, k)

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See the contract, and the class for the window."""
        shape = self._shape()
        checked(points, expected, shape.dimension)
        problems = list(self._problems(shape))
        if problems:
            raise UnsupportedCollection("; ".join(problems))
        rows = [row for row, key in enumerate(points.ids) if _possible(shape, key)]
        report = WriteReport(missing=[key for key in points.ids if not _possible(shape, key)])
        work = Rewrite(self._wire, shape, partial=self._partial, request_bytes=self._request_bytes)
        changes = [
            Change([points.ids[row] for row in run], points.vectors[run], expected[run])
            for run in (
                rows[start : start + work.at_once] for start in range(0, len(rows), work.at_once)
            )
        ]
        for part in work.chunks(changes):
            report.written.extend(part.written)
            report.drifted.extend(part.drifted)
            report.missing.extend(part.missing)
        return report

    def health(self) -> Health:
        """Not ready while a tenth of the rows, or 10,000, wait to be indexed.

        Until then Milvus searches them by brute force or through a coarse interim index: slower,
        and with fewer hits (half of them were missing on random vectors).
        """
        shape = self._shape()
        if not self._loaded(shape):
            return Health(ready=False, reason=_not_loaded(shape))
        index = index_of(self._wire, shape)
        if index.failure:
            return Health(ready=False, reason=f"the index failed: {index.failure}")
        allowed = min(PENDING_ROWS, int(PENDING_SHARE * index.rows))
        if index.pending > allowed:
            reason = f"{index.pending} of {index.rows} rows wait to be indexed"
            return Health(ready=False, reason=reason)
        return Health(ready=True)

    def _shape(self) -> Layout:
        return layout(self._wire, self._name, self._vector)

    def _at_once(self, shape: Layout) -> int:
        return max(1, min(WINDOW, self._request_bytes // (4 * shape.dimension + ROW_ROOM)))

    def _rows(self, shape: Layout, ids: Sequence[PointId]) -> Iterator[Rows]:
        at_once = self._at_once(shape)
        return by_keys(self._wire, _table(shape), ids, [shape.vector], at_once=at_once)

    def _problems(self, shape: Layout) -> Iterator[str]:
        if shape.auto_id:
            yield (
                f'collection "{self._name}" makes its primary keys by itself (auto_id); an upsert '
                "would fail or change them: copy it into a collection with keys of your own"
            )
        if shape.structs and not self._partial:
            yield (
                f'collection "{self._name}" has struct fields, which only Milvus 2.6.2 and later '
                "can leave alone in an upsert: update the server"
            )

    def _loaded(self, shape: Layout) -> bool:
        return bool(load_state(self._wire, shape.collection) == LoadState.LoadStateLoaded)

    def _estimate(self, shape: Layout) -> int:
        request = milvus_pb2.GetCollectionStatisticsRequest(collection_name=shape.collection)
        stats = self._wire.call("GetCollectionStatistics", request).stats
        return next((int(pair.value) for pair in stats if pair.key == "row_count"), 0)

    def _indexed(self, shape: Layout, index: Index, queries: Float32, k: int) -> Hits:
        metric = _metric(shape, index)
        again = index.kind not in FULL_PRECISION
        wanted = min(WINDOW, 2 * k) if again else k
        params = search_params(index, wanted, self._settings.ef, self._settings.search_params)
        hits = Hits([], [])
        for batch in search_batches(queries, wanted):
            answer = self._wire.call("Search", search_request(shape, index, batch, wanted, params))
            part = hits_of(answer.results, metric)
            part = self._rescored(shape, part, batch, k, metric) if again else part
            hits.ids.extend(part.ids)
            hits.scores.extend(part.scores)
        return hits

    def _rescored(
        self, shape: Layout, hits: Hits, queries: Float32, k: int, metric: Metric
    ) -> Hits:
        points = self.read(list({key: None for keys in hits.ids for key in keys}))
        place = {key: row for row, key in enumerate(points.ids)}
        better = Hits([], [])
        for query, keys in zip(queries, hits.ids, strict=True):
            known = [key for key in keys if key in place]
            rows = points.vectors[[place[key] for key in known]].reshape(-1, shape.dimension)
            scores = similarity(query[None, :], rows, metric)[0]
            order = np.argsort(-scores, kind="stable")[:k]
            better.ids.append([known[row] for row in order])
            better.scores.append(scores[order])
        return better


def _table(shape: Layout) -> Table:
    return Table(shape.collection, shape.key, shape.integer_keys)


def _possible(shape: Layout, key: PointId) -> bool:
    return key_can_exist(key, integers=shape.integer_keys, max_bytes=shape.key_bytes)


def _points(rows: Rows, shape: Layout) -> Points:
    if not len(rows):
        return Points([], np.empty((0, shape.dimension), dtype=np.float32))
    vectors, valid = vectors_of(rows.columns[shape.vector])
    if valid.all():
        return Points(rows.keys, np.array(vectors, dtype=np.float32))
    kept = np.flatnonzero(valid)
    return Points([rows.keys[row] for row in kept], vectors[kept])


def _index_problems(shape: Layout, index: Index, *, loaded: bool) -> Iterator[str]:
    if not index.kind:
        yield f'field "{shape.vector}" has no index; create one and load the collection'
    elif index.metric not in METRICS:
        yield f'metric {index.metric} of field "{shape.vector}" is not supported'
    if not loaded:
        yield _not_loaded(shape)


def _metric(shape: Layout, index: Index) -> Metric:
    metric = METRICS.get(index.metric)
    if metric is None:
        raise UnsupportedCollection(
            f'field "{shape.vector}" of collection "{shape.name}" has no index with metric '
            "COSINE, IP or L2; create one and load the collection"
        )
    return metric


def _not_loaded(shape: Layout) -> str:
    return f'collection "{shape.name}" is not loaded; load it'
