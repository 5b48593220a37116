"""Qdrant Edge, through the raw shard."""

from __future__ import annotations

import json
from uuid import UUID

import numpy as np
import pytest

pytest.importorskip("qdrant_edge")

from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeVectorParams,
    Point,
    UpdateOperation,
)

from nudge_sync.connector import Metric, connect
from nudge_sync.testing.conformance import CollectionConformance, Engine, RecordsConformance

DISTANCES = {"cosine": Distance.Cosine, "dot": Distance.Dot, "euclid": Distance.Euclid}


class ShardBackdoor:
    """The raw shard, which the engine lets only one process open: so the connector's own."""

    def __init__(self, engine: Engine, vector: str) -> None:
        self.engine = engine
        self.vector = vector

    def create(self, name: str, dimension: int, metric: Metric, *, integer_ids: bool) -> None:
        self.drop(name)
        vectors = {
            self.vector: EdgeVectorParams(size=dimension, distance=DISTANCES[metric]),
            "other": EdgeVectorParams(size=3, distance=Distance.Dot),
        }
        self.engine.database._shards.create(name, EdgeConfig(vectors=vectors))

    def shard(self, name):
        return self.engine.database.shard(name)

    def upsert(self, name, ids, vectors):
        points = [
            Point(
                i if isinstance(i, int) else UUID(i),
                {self.vector: row.tolist(), "other": [0.1, -2.5, number]},
                {"page": str(i), "nested": {"tags": [1, None, "é"]}, "third": 1 / 3},
            )
            for number, (i, row) in enumerate(zip(ids, vectors, strict=True))
        ]
        self.shard(name).update(UpdateOperation.upsert_points(points))

    def delete(self, name, ids):
        self.shard(name).update(UpdateOperation.delete_points(list(ids)))

    def read(self, name, ids):
        found = self.shard(name).retrieve(list(ids), with_payload=False, with_vector=True)
        return {_plain(p.id): np.array(p.vector[self.vector], np.float32) for p in found}

    def rest(self, name, ids):
        found = self.shard(name).retrieve(list(ids), with_payload=True, with_vector=["other"])
        return {_plain(p.id): (json.dumps(p.payload), p.vector["other"]) for p in found}

    def count(self, name):
        return self.shard(name).count(CountRequest(exact=True))

    def drop(self, name):
        self.engine.database._shards.drop(name)


def _plain(point_id):
    return point_id if isinstance(point_id, int) else str(point_id)


def edge_engine(path, vector="", **section) -> Engine:
    def opened():
        return connect("qdrant-edge", {"path": str(path), "sync": False, **section})

    def reopen():
        engine.database.close()
        return opened()

    engine = Engine(opened(), None, reopen, vector, foreign_ids=["7", "x", -1, 2**64, "../x"])
    engine.backdoor = ShardBackdoor(engine, vector)
    return engine


class TestCollection(CollectionConformance):
    @pytest.fixture(params=["default", "named-and-marked"])
    def engine(self, directory, request):
        section = {"payload_mark": "_nudge_sync"} if request.param != "default" else {}
        engine = edge_engine(directory, "" if request.param == "default" else "title", **section)
        yield engine
        engine.database.close()


class TestRecords(RecordsConformance):
    @pytest.fixture
    def engine(self, directory):
        engine = edge_engine(directory)
        yield engine
        engine.database.close()
