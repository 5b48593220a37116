"""Vectors out of a collection, by id or one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client.models import ReadConsistencyType
from qdrant_client.models import Record as StoredPoint

from nudge_sync.connector import PointId, Points
from nudge_sync.errors import Unreachable
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.layout import Layout
from nudge_sync_qdrant_common.ids import FIRST_UUID, select_possible_ids


class PointReader:
    """Reads one vector of the points of a collection, `limit` points a request."""

    def __init__(
        self, connection: Connection, name: str, layout: Layout, *, row_limit: int, replicated: bool
    ) -> None:
        self._connection = connection
        self._name = name
        self._subject = f'"{name}"'
        self._layout = layout
        self._row_limit = row_limit
        self._replicated = replicated

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection`. Asks all replicas, and raises Unreachable while they disagree."""
        possible_ids = select_possible_ids(ids)
        row_by_id: dict[PointId, int] = {}
        blocks = [np.empty((0, self._layout.dimension), dtype=np.float32)]
        for start in range(0, len(possible_ids), self._row_limit):
            part = self._retrieve(possible_ids[start : start + self._row_limit])
            row_by_id |= {point_id: len(row_by_id) + row for row, point_id in enumerate(part.ids)}
            blocks.append(part.vectors)
        # type(): True and 1 are equal, but only one of them is an id.
        present_ids = [i for i in ids if type(i) is not bool and i in row_by_id]
        vectors = np.concatenate(blocks)
        return Points(present_ids, vectors[[row_by_id[i] for i in present_ids]])

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection`."""
        offset: Any = None
        while True:
            with self._connection.translate_errors(self._subject):
                stored, offset = self._connection.client.scroll(
                    self._name,
                    limit=min(batch_size, self._row_limit),
                    offset=offset,
                    with_payload=False,
                    with_vectors=self._vector_selector(),
                )
            points = self._to_points(stored)
            if len(points):
                yield points
            if offset is None:
                return

    def has_uuids(self) -> bool:
        """Whether any id is a UUID."""
        with self._connection.translate_errors(self._subject):
            uuids, _ = self._connection.client.scroll(
                self._name, limit=1, offset=FIRST_UUID, with_payload=False, with_vectors=False
            )
        return bool(uuids)

    def _retrieve(self, ids: list[PointId]) -> Points:
        points = self._fetch(ids, ReadConsistencyType.ALL)
        if self._replicated and len(points) < len(ids):
            # `all` leaves out the points on which replicas differ, as if they were gone.
            found_ids = set(points.ids)
            disputed_ids = self._fetch([i for i in ids if i not in found_ids], None).ids
            if disputed_ids:
                raise Unreachable(
                    f"{self._subject}: replicas disagree on point {disputed_ids[0]} just now"
                )
        return points

    def _fetch(self, ids: list[PointId], consistency: ReadConsistencyType | None) -> Points:
        with self._connection.translate_errors(self._subject):
            stored = self._connection.client.retrieve(
                self._name,
                ids,
                with_payload=False,
                with_vectors=self._vector_selector(),
                consistency=consistency,
            )
        return self._to_points(stored)

    def _to_points(self, stored: Sequence[StoredPoint]) -> Points:
        ids: list[PointId] = []
        vectors: list[Any] = []
        for point in stored:
            vector: Any = point.vector
            if isinstance(vector, dict):
                vector = vector.get(self._layout.vector)
            if vector:
                ids.append(to_point_id(point.id))
                vectors.append(vector)
        shape = (-1, self._layout.dimension)
        return Points(ids, np.array(vectors, dtype=np.float32).reshape(shape))

    def _vector_selector(self) -> bool | list[str]:
        return [self._layout.vector] if self._layout.vector else True


def to_point_id(point_id: Any) -> PointId:
    """The id as the contract has it."""
    return point_id if isinstance(point_id, int) else str(point_id)
