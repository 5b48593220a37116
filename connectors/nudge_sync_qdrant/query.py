"""Vectors out of a collection, by id or one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client.models import ReadConsistencyType
from qdrant_client.models import Record as StoredPoint

from nudge_sync.connector import PointId, Points
from nudge_sync.errors import Unreachable
from nudge_sync_qdrant.client import Session
from nudge_sync_qdrant.layout import Layout
from nudge_sync_qdrant_common.ids import FIRST_UUID, possible


class Reader:
    """Reads one vector of the points of a collection, `limit` points a request."""

    def __init__(
        self, session: Session, name: str, layout: Layout, *, limit: int, replicated: bool
    ) -> None:
        self._session = session
        self._name = name
        self._place = f'"{name}"'
        self._layout = layout
        self._limit = limit
        self._replicated = replicated

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection`. Asks all replicas, and raises Unreachable while they disagree."""
        wanted = possible(ids)
        found: dict[PointId, int] = {}
        blocks = [np.empty((0, self._layout.dimension), dtype=np.float32)]
        for start in range(0, len(wanted), self._limit):
            part = self._retrieve(wanted[start : start + self._limit])
            found |= {point_id: len(found) + row for row, point_id in enumerate(part.ids)}
            blocks.append(part.vectors)
        # type(): True and 1 are equal, but only one of them is an id.
        order = [i for i in ids if type(i) is not bool and i in found]
        vectors = np.concatenate(blocks)
        return Points(order, vectors[[found[i] for i in order]])

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection`."""
        offset: Any = None
        while True:
            with self._session.asking(self._place):
                found, offset = self._session.client.scroll(
                    self._name,
                    limit=min(batch_size, self._limit),
                    offset=offset,
                    with_payload=False,
                    with_vectors=self._with_vectors(),
                )
            points = self._points(found)
            if len(points):
                yield points
            if offset is None:
                return

    def finds_uuids(self) -> bool:
        """Whether any id is a UUID."""
        with self._session.asking(self._place):
            found, _ = self._session.client.scroll(
                self._name, limit=1, offset=FIRST_UUID, with_payload=False, with_vectors=False
            )
        return bool(found)

    def _retrieve(self, ids: list[PointId]) -> Points:
        found = self._stored(ids, ReadConsistencyType.ALL)
        if self._replicated and len(found) < len(ids):
            # `all` leaves out the points on which replicas differ, as if they were gone.
            known = set(found.ids)
            disputed = self._stored([i for i in ids if i not in known], None).ids
            if disputed:
                raise Unreachable(
                    f"{self._place}: replicas disagree on point {disputed[0]} just now"
                )
        return found

    def _stored(self, ids: list[PointId], consistency: ReadConsistencyType | None) -> Points:
        with self._session.asking(self._place):
            found = self._session.client.retrieve(
                self._name,
                ids,
                with_payload=False,
                with_vectors=self._with_vectors(),
                consistency=consistency,
            )
        return self._points(found)

    def _points(self, found: Sequence[StoredPoint]) -> Points:
        ids: list[PointId] = []
        vectors: list[Any] = []
        for point in found:
            vector: Any = point.vector
            if isinstance(vector, dict):
                vector = vector.get(self._layout.vector)
            if vector:
                ids.append(plain_id(point.id))
                vectors.append(vector)
        shape = (-1, self._layout.dimension)
        return Points(ids, np.array(vectors, dtype=np.float32).reshape(shape))

    def _with_vectors(self) -> bool | list[str]:
        return [self._layout.vector] if self._layout.vector else True


def plain_id(point_id: Any) -> PointId:
    """The id as the contract has it."""
    return point_id if isinstance(point_id, int) else str(point_id)
