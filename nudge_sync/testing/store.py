"""What the database in memory holds, and what an application does to it; for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import numpy as np

from nudge_sync.connector import Float32, Health, Metric, PointId, Replication
from nudge_sync.errors import CollectionNotFound


@dataclass
class VectorTable:
    """One vector of every point: (n, d), and the id of each row."""

    dimension: int
    metric: Metric = "cosine"
    rescales: bool = False
    """Whether what is written is brought to unit length in float32, as some engines do."""
    ids: list[PointId] = field(default_factory=list)
    row: dict[PointId, int] = field(default_factory=dict)
    """Where each id is in the matrix."""
    matrix: Float32 = field(init=False)
    """The vectors, with rows to spare at the end."""

    def __post_init__(self) -> None:
        self.matrix = np.empty((0, self.dimension), dtype=np.float32)

    @property
    def vectors(self) -> Float32:
        """All vectors, by row."""
        return self.matrix[: len(self.ids)]

    def set(self, point_id: PointId, vector: Float32) -> None:
        """Insert or replace a vector."""
        if point_id not in self.row:
            self.row[point_id] = len(self.ids)
            self.ids.append(point_id)
            self._grow()
        stored = vector / np.linalg.norm(vector) if self.rescales else vector
        self.matrix[self.row[point_id]] = stored

    def discard(self, point_id: PointId) -> None:
        """Remove a vector, if there is one; the last row moves into its row."""
        row = self.row.pop(point_id, None)
        if row is None:
            return
        last = self.ids.pop()
        if last != point_id:
            self.matrix[row] = self.matrix[len(self.ids)]
            self.ids[row] = last
            self.row[last] = row

    def _grow(self) -> None:
        if len(self.ids) > len(self.matrix):
            larger = np.empty((max(16, 2 * len(self.ids)), self.dimension), dtype=np.float32)
            larger[: len(self.matrix)] = self.matrix
            self.matrix = larger


@dataclass
class StoredCollection:
    """An application's collection."""

    tables: dict[str, VectorTable]
    integer_ids: bool
    payloads: dict[PointId, Any] = field(default_factory=dict)
    """One for each point, whichever vectors it has."""


class MemoryStore:
    """What a server holds; the methods are what an application does to it."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.collections: dict[str, StoredCollection] = {}
        self.aliases: dict[str, str] = {}
        """Alias to collection."""
        self.records: dict[str, dict[str, tuple[str, Float32 | None]]] = {}
        """Collection of records, key, and a document's JSON text with the vector."""
        self.dimensions: dict[str, int] = {}
        """Of the vectors that each collection of records was made for."""
        self.replications: dict[str, Replication] = {}
        """Copies of each collection, of either sort, where that was said; nothing is copied."""
        self.nodes = 3
        """How many copies there can be of one."""
        self.health = Health(ready=True)
        """What every collection says of itself."""

    def create(
        self,
        name: str,
        dimension: int,
        metric: Metric = "cosine",
        *,
        integer_ids: bool = True,
        rescales: bool = False,
        others: dict[str, int] | None = None,
        replicas: int | None = None,
    ) -> None:
        """Make a new, empty collection with a default vector.

        others: further vectors, by name, with their dimensions.
        replicas: how many copies it says there are of it; None: it says nothing.
        """
        tables = {"": VectorTable(dimension, metric, rescales)}
        tables |= {other: VectorTable(size, "dot") for other, size in (others or {}).items()}
        self.collections[name] = StoredCollection(tables, integer_ids)
        if replicas is not None:
            self.replications[name] = Replication(replicas, replicas, replicas)

    def upsert(
        self,
        name: str,
        ids: Sequence[PointId],
        vectors: Float32,
        payloads: Sequence[Any] | None = None,
        vector: str = "",
    ) -> None:
        """Insert or replace vectors (n, d), and payloads where they are given."""
        with self.lock:
            stored = self.find(name)
            for row, point_id in enumerate(ids):
                stored.tables[vector].set(point_id, vectors[row])
                payload = payloads[row] if payloads is not None else None
                if payload is not None or point_id not in stored.payloads:
                    stored.payloads[point_id] = payload or {}

    def delete(self, name: str, ids: Sequence[PointId]) -> None:
        """Remove points."""
        with self.lock:
            stored = self.find(name)
            for point_id in ids:
                stored.payloads.pop(point_id, None)
                for table in stored.tables.values():
                    table.discard(point_id)

    def find(self, name: str) -> StoredCollection:
        """Return the collection, which may be named by an alias. Raises CollectionNotFound."""
        try:
            return self.collections[self.aliases.get(name, name)]
        except KeyError as error:
            raise CollectionNotFound(f'there is no collection "{name}"') from error
