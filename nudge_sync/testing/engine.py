"""What a connector's author hands to the conformance kit, and the collections it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import numpy as np

from nudge_sync.connector import (
    Collection,
    CollectionFacts,
    Database,
    Float32,
    Metric,
    PointId,
    is_same_vector,
)

DIMENSION = 24
"""Of the kit's vectors."""
POINTS = 60
"""Of each of the kit's collections."""


class Backdoor(Protocol):
    """The database's own client, which does what an application does.

    The kit fills collections and looks at them through it, so that a connector never checks
    itself. Every call waits until what it did can be read.
    """

    def create(self, name: str, dimension: int, metric: Metric, *, integer_ids: bool) -> None:
        """Make an empty collection; one left by an earlier test is emptied or replaced.

        Where the database has them, with a second vector and a payload or scalar fields, so that
        `rest` has something to show.
        """
        ...

    def upsert(self, name: str, ids: Sequence[PointId], vectors: Float32) -> None:
        """Insert or replace points: vectors (n, d), a second vector and a payload of its own."""
        ...

    def delete(self, name: str, ids: Sequence[PointId]) -> None:
        """Remove points."""
        ...

    def read(self, name: str, ids: Sequence[PointId]) -> Mapping[PointId, Float32]:
        """Return the stored vectors of those of `ids` that exist."""
        ...

    def rest(self, name: str, ids: Sequence[PointId]) -> Mapping[PointId, Any]:
        """Return all else those points hold (payload, other vectors), comparable by ==."""
        ...

    def count(self, name: str) -> int:
        """Return how many points there are, exactly."""
        ...

    def drop(self, name: str) -> None:
        """Remove the collection; nothing happens where there is none."""
        ...


def uuids(count: int) -> list[PointId]:
    """Return string ids that every engine can hold, in no order."""
    return [
        str(UUID(int=(row * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128))
        for row in range(1, count + 1)
    ]


@dataclass
class Engine:
    """An open database, its backdoor, and what the kit has to know of it."""

    database: Database
    """The one under test; the kit puts another one here when it calls `reopen`."""
    backdoor: Backdoor
    reopen: Callable[[], Database]
    """Closes `database` and opens it again, as after a restart of the sidecar."""
    vector: str = ""
    """The vector that the backdoor's collections are about, as the connector is asked for it."""
    metrics: Sequence[Metric] = ("cosine", "dot", "euclid")
    """Those that the database has."""
    string_ids: Callable[[int], list[PointId]] = uuids
    """Makes that many string ids that the database can hold."""
    foreign_ids: Sequence[PointId] = field(default_factory=list)
    """Ids that a collection of integer ids cannot hold."""
    alias: Callable[[str, str], None] | None = None
    """Points the alias (first) to a collection (second), where the database has aliases."""


@dataclass
class Case:
    """A collection of POINTS points, made through the backdoor."""

    engine: Engine
    name: str
    metric: Metric
    ids: list[PointId]
    vectors: Float32
    """(POINTS, DIMENSION), as stored."""
    collection: Collection
    facts: CollectionFacts

    def stored(self, ids: Sequence[PointId]) -> Float32:
        """Return (n, d): the vectors that the backdoor finds; every id has to be there."""
        vectors_by_id = self.engine.backdoor.read(self.name, ids)
        return np.array([vectors_by_id[point_id] for point_id in ids], dtype=np.float32)

    def same(self, left: Float32, right: Float32) -> bool:
        """Return whether both are the same vectors: bit for bit, unless the collection rescales."""
        same_form = left.shape == right.shape and left.dtype == right.dtype == np.float32
        return same_form and bool(is_same_vector(left, right, rescales=self.facts.rescales).all())


def prepared(engine: Engine, metric: Metric, *, integer_ids: bool) -> Case:
    """Return a case, with a collection just made.

    The collection stays: whoever opened the engine drops it in the end.
    """
    name = f"nudge_kit_{metric}_{'integer' if integer_ids else 'string'}"
    ids: list[PointId] = [*range(100, 100 + POINTS)] if integer_ids else engine.string_ids(POINTS)
    engine.backdoor.create(name, DIMENSION, metric, integer_ids=integer_ids)
    engine.backdoor.upsert(name, ids, unit_rows(POINTS, seed=0))
    collection = engine.database.collection(name, engine.vector)
    empty = np.empty((0, DIMENSION), dtype=np.float32)
    case = Case(engine, name, metric, ids, empty, collection, collection.describe())
    case.vectors = case.stored(ids)
    return case


def unit_rows(count: int, seed: int, dimension: int = DIMENSION) -> Float32:
    """Return random rows (count, dimension) of unit length."""
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    unit: Float32 = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
