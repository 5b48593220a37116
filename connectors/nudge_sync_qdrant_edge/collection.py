"""One vector of one shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from struct import Struct
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from qdrant_edge import (
    CountRequest,
    EdgeShard,
    FieldCondition,
    Filter,
    MatchValue,
    PointVectors,
    QuantizationSearchParams,
    Query,
    QueryBatchRequest,
    QueryRequest,
    ScrollRequest,
    SearchParams,
    UpdateOperation,
)
from qdrant_edge import Record as EdgePoint

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
from nudge_sync.errors import DatabaseError, InputError, UnsupportedCollection
from nudge_sync_qdrant_common import guarded_write
from nudge_sync_qdrant_common.cosine import refuse_rescaled
from nudge_sync_qdrant_common.ids import FIRST_UUID, select_possible_ids
from nudge_sync_qdrant_edge.client import Shards, translate_errors

_METRICS: dict[str, Metric] = {"Cosine": "cosine", "Dot": "dot", "Euclid": "euclid"}
_MAX_REQUEST_ROWS = 1000
_WRITE_BATCH_ROWS = 100
"""Few, because a row is open to being overwritten from its batch's read to its batch's update."""
_MAX_REQUEST_QUERIES = 64


class EdgeCollection:
    """See `nudge_sync.connector.Collection`.

    Rows go 100 at a time; between their compare and their write lie some milliseconds. Only
    threads of this process that share the shard can write in them: the engine locks every other
    process out.
    What such a thread upserts in them is overwritten, unless `mark` names a payload key: rows are
    then marked before the compare, and written on the condition that the mark is still there,
    which an upsert takes away (an update of vectors alone does not). It is removed afterwards; a
    crash may leave it, and it does no harm.
    """

    def __init__(
        self,
        shards: Shards,
        name: str,
        vector: str,
        config: Mapping[str, Any],
        mark: str | None = None,
    ) -> None:
        self._shards = shards
        self._name = name
        self._vector = vector
        self._config = config
        self._dimension = int(config["size"])
        self._subject = f'"{name}"'
        self._mark = mark

    def describe(self) -> CollectionFacts:
        """See `Collection`. Raises UnsupportedCollection for what the facts cannot express."""
        shard = self._shards.get(self._name)
        metric = _METRICS.get(self._config["distance"])
        if metric is None or self._config.get("multivector_config"):
            raise UnsupportedCollection(self._explain_unsupported())
        with translate_errors(self._name):
            points = shard.count(CountRequest(exact=True))
            uuids, _ = shard.scroll(ScrollRequest(offset=UUID(FIRST_UUID), limit=1))
        return CollectionFacts(
            name=self._name,
            collection=self._name,
            vector=self._vector,
            dimension=self._dimension,
            metric=metric,
            integer_ids=points > 0 and not uuids,
            points=points,
            precision=self._precision(),
            rescales=False,
            problems=self._list_problems(),
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection`."""
        shard = self._shards.get(self._name)
        possible_ids = select_possible_ids(ids)
        found_ids: list[PointId] = []
        blocks = [np.empty((0, self._dimension), dtype=np.float32)]
        with translate_errors(self._name):
            for start in range(0, len(possible_ids), _MAX_REQUEST_ROWS):
                batch: list[int | UUID | str] = [*possible_ids[start : start + _MAX_REQUEST_ROWS]]
                stored = shard.retrieve(
                    batch, with_payload=False, with_vector=self._vector_selector()
                )
                part = self._to_points(stored)
                found_ids += part.ids
                blocks.append(part.vectors)
        return _order_points(ids, Points(found_ids, np.concatenate(blocks)))

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection`."""
        offset: PointId | UUID | None = None
        while True:
            request = ScrollRequest(
                offset=offset,
                limit=batch_size,
                with_payload=False,
                with_vector=self._vector_selector(),
            )
            shard = self._shards.get(self._name)
            with translate_errors(self._name):
                stored, offset = shard.scroll(request)
                points = self._to_points(stored)
            if len(points):
                yield points
            if offset is None:
                return

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See `Collection`."""
        if queries.ndim != 2 or queries.shape[1] != self._dimension:  # noqa: PLR2004
            raise InputError(f"queries {queries.shape} should be (q, {self._dimension})")
        if not np.isfinite(queries).all():
            raise InputError("a query is not finite")
        shard = self._shards.get(self._name)
        hits = Hits([], [])
        if k < 1:
            return Hits([[] for _ in queries], [np.empty(0, dtype=np.float32) for _ in queries])
        with translate_errors(self._name):
            for start in range(0, len(queries), _MAX_REQUEST_QUERIES):
                self._search_batch(
                    shard, queries[start : start + _MAX_REQUEST_QUERIES], k, exact=exact, hits=hits
                )
        return hits

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection`."""
        if self._list_problems():
            raise UnsupportedCollection("; ".join(self._list_problems()))
        points, expected = guarded_write.check_write(points, expected, self._dimension)
        if self._config["distance"] == "Cosine":
            refuse_rescaled(points, self._subject)
        return guarded_write.write_batches(points, expected, _WRITE_BATCH_ROWS, self._write_batch)

    def _write_batch(self, points: Points, expected: Float32) -> WriteReport:
        # Made before the compare, so that an update follows it at once.
        updates = self._build_updates(points)

        def update(pending: Points, pending_expected: Float32) -> None:
            if self._mark:
                self._update_marked(pending, pending_expected, updates)
            else:
                self._apply_update(
                    UpdateOperation.update_vectors([updates[i] for i in pending.ids])
                )

        return guarded_write.compare_and_write(
            points, expected, read=self.read, update=update, subject=self._subject
        )

    def health(self) -> Health:
        """Always ready: nothing runs behind the caller's back; the application optimises."""
        self._shards.get(self._name)
        return Health(ready=True)

    def _build_updates(self, points: Points) -> dict[PointId, PointVectors]:
        name = self._vector
        # A row at a time: freeing its floats at once is twice as fast as one large `tolist`.
        lists = (row.tolist() for row in points.vectors)
        pairs, possible_ids = (
            zip(points.ids, lists, strict=True),
            set(select_possible_ids(points.ids)),
        )
        return {
            i: PointVectors(i, {name: row} if name else row)
            for i, row in pairs
            if i in possible_ids
        }

    def _update_marked(
        self, points: Points, expected: Float32, updates: Mapping[PointId, PointVectors]
    ) -> None:
        key, token = str(self._mark), uuid4().hex
        ids: list[int | UUID | str] = [*points.ids]
        self._apply_update(UpdateOperation.set_payload(ids, {key: token}))
        try:
            comparison = guarded_write.compare_rows(
                points, expected, self.read(points.ids), rescales=False
            )
            if comparison.pending:
                mark_condition = Filter(must=[FieldCondition(key, MatchValue(token))])
                pending = [updates[points.ids[row]] for row in comparison.pending]
                self._apply_update(UpdateOperation.update_vectors(pending, mark_condition))
        finally:
            self._apply_update(UpdateOperation.delete_payload(ids, [key]))

    def _apply_update(self, operation: UpdateOperation) -> None:
        try:
            self._shards.update(self._name, operation)
        except DatabaseError as error:
            # Raised after others of the batch were changed: the read-back sorts it out.
            if "No point with id" not in str(error):
                raise

    def _to_points(self, stored: Sequence[EdgePoint]) -> Points:
        ids: list[PointId] = []
        pack = Struct(f"={self._dimension}f").pack_into
        width = 4 * self._dimension
        # Four times faster than an array from the lists, and only one row's floats live at a time.
        buffer = bytearray(width * len(stored))
        for point in stored:
            vector: Any = point.vector
            if isinstance(vector, dict):
                vector = vector.get(self._vector)
            if vector:
                pack(buffer, width * len(ids), *vector)
                ids.append(to_point_id(point.id))
        matrix = np.frombuffer(buffer, dtype=np.float32).reshape(-1, self._dimension)
        return Points(ids, matrix[: len(ids)])

    def _search_batch(
        self, shard: EdgeShard, queries: Float32, k: int, *, exact: bool, hits: Hits
    ) -> None:
        params = SearchParams(exact=exact, quantization=QuantizationSearchParams(rescore=True))
        requests = [
            QueryRequest(
                limit=k,
                query=Query.Nearest(row.tolist(), self._vector or None),
                params=params,
                with_vector=False,
                with_payload=False,
            )
            for row in queries
        ]
        sign = -1.0 if self._config["distance"] == "Euclid" else 1.0
        for answers in shard.query_batch(QueryBatchRequest(requests)):
            point_ids = (answer.id for answer in answers)
            hits.ids.append([i if isinstance(i, int) else str(i) for i in point_ids])
            scores = np.array([answer.score for answer in answers], dtype=np.float32)
            hits.scores.append(sign * scores)

    def _vector_selector(self) -> list[str]:
        return [self._vector]

    def _precision(self) -> str:
        return str(self._config.get("datatype") or "float32")

    def _list_problems(self) -> tuple[str, ...]:
        if self._precision() == "float32":
            return ()
        subject = f'vector "{self._vector}" of "{self._name}" is stored as {self._precision()}'
        return (f"{subject}, which keeps no float32 bit for bit; a float32 vector would work",)

    def _explain_unsupported(self) -> str:
        subject = f'vector "{self._vector}" of "{self._name}"'
        if self._config.get("multivector_config"):
            return f"{subject} is a multi-vector; a single dense vector a point would work"
        return (
            f"{subject} uses {self._config['distance']} distance; Cosine, Dot and Euclid would work"
        )


def to_point_id(point_id: int | str | UUID) -> PointId:
    """The id as the contract has it."""
    return point_id if isinstance(point_id, int) else str(point_id)


def _order_points(ids: Sequence[PointId], points: Points) -> Points:
    if points.ids == list(ids):
        return points
    row_by_id = {point_id: number for number, point_id in enumerate(points.ids)}
    # type(): True and 1 are equal, but only one of them is an id.
    present_ids = [i for i in ids if type(i) is not bool and i in row_by_id]
    return Points(present_ids, points.vectors[[row_by_id[i] for i in present_ids]])
