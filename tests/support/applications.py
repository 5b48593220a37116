"""What an application does to its own collection "docs", through each engine's own client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pymilvus import MilvusClient
from qdrant_client import QdrantClient
from qdrant_client.models import PointStruct
from qdrant_edge import Point, UpdateOperation

import nudge_sync_milvus
import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync.connector import Database, Float32, Metric
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore


class Application(Protocol):
    """What owns the collection "docs": it fills, updates and deletes, and may connect again."""

    def connect(self) -> Database: ...

    def fill(self, database: Database, vectors: Float32, metric: Metric) -> None: ...

    def recreate(self, database: Database, vectors: Float32, metric: Metric) -> None:
        """Drop the collection and fill one of the same name; its companions stay."""

    def upsert(self, database: Any, ids: Sequence[int], vectors: Float32) -> None: ...

    def delete(self, database: Any, ids: Sequence[int]) -> None: ...


class MemoryApplication:
    """An application on the database in memory."""

    def __init__(self, location: str) -> None:
        self.store = MemoryStore()

    def connect(self) -> Database:
        return MemoryDatabase(self.store)

    def fill(self, database: Database, vectors: Float32, metric: Metric) -> None:
        self.store.create("docs", vectors.shape[1], metric)
        self.upsert(database, range(len(vectors)), vectors)

    def recreate(self, database: Database, vectors: Float32, metric: Metric) -> None:
        self.fill(database, vectors, metric)

    def upsert(self, database: Any, ids: Sequence[int], vectors: Float32) -> None:
        self.store.upsert("docs", list(ids), vectors)

    def delete(self, database: Any, ids: Sequence[int]) -> None:
        self.store.delete("docs", ids)


class EdgeApplication:
    """An application on Qdrant's embedded engine."""

    def __init__(self, location: str) -> None:
        self.section = {"path": location}

    def connect(self) -> Database:
        return nudge_sync_qdrant_edge.connect(self.section)

    def fill(self, database: Any, vectors: Float32, metric: Metric) -> None:
        rows = list(range(len(vectors)))
        nudge_sync_qdrant_edge.ingest(database, "docs", rows, vectors, metric=metric)

    def recreate(self, database: Any, vectors: Float32, metric: Metric) -> None:
        database.records("docs").drop()
        self.fill(database, vectors, metric)

    def upsert(self, database: Any, ids: Sequence[int], vectors: Float32) -> None:
        points = [Point(i, {"": row.tolist()}, {}) for i, row in zip(ids, vectors, strict=True)]
        database.shard("docs").update(UpdateOperation.upsert_points(points))

    def delete(self, database: Any, ids: Sequence[int]) -> None:
        database.shard("docs").update(UpdateOperation.delete_points(list(ids)))


class LocalQdrantApplication:
    """An application on qdrant-client's own re-implementation of the server, in memory."""

    def __init__(self, location: str) -> None:
        self.section = {"location": ":memory:"}

    def connect(self) -> Database:
        return nudge_sync_qdrant.connect(self.section)

    def fill(self, database: Any, vectors: Float32, metric: Metric) -> None:
        rows = list(range(len(vectors)))
        nudge_sync_qdrant.ingest(database, "docs", rows, vectors, metric=metric)

    def recreate(self, database: Any, vectors: Float32, metric: Metric) -> None:
        database.connection.client.delete_collection("docs")
        LocalQdrantApplication.fill(self, database, vectors, metric)

    def upsert(self, database: Any, ids: Sequence[int], vectors: Float32) -> None:
        points = [
            PointStruct(id=i, vector=row.tolist()) for i, row in zip(ids, vectors, strict=True)
        ]
        database.connection.client.upsert("docs", points, wait=True)

    def delete(self, database: Any, ids: Sequence[int]) -> None:
        database.connection.client.delete("docs", list(ids), wait=True)


class QdrantApplication(LocalQdrantApplication):
    """An application on a Qdrant server."""

    def __init__(self, section: dict[str, Any]) -> None:
        self.section = section

    def fill(self, database: Any, vectors: Float32, metric: Metric) -> None:
        empty_qdrant(database.connection.client)
        super().fill(database, vectors, metric)


class MilvusApplication:
    """An application on a Milvus server, or on Milvus Lite."""

    def __init__(self, location: str) -> None:
        self.uri = location

    def connect(self) -> Database:
        return nudge_sync_milvus.connect({"uri": self.uri})

    def fill(self, database: Any, vectors: Float32, metric: Metric) -> None:
        with self.connect_client() as client:
            empty_milvus(client)
        self._ingest(database, vectors, metric)

    def recreate(self, database: Any, vectors: Float32, metric: Metric) -> None:
        with self.connect_client() as client:
            client.drop_collection("docs")
        self._ingest(database, vectors, metric)

    def _ingest(self, database: Any, vectors: Float32, metric: Metric) -> None:
        rows = list(range(len(vectors)))
        payloads = [{"row": row} for row in rows]
        nudge_sync_milvus.ingest(database, "docs", rows, vectors, payloads, metric=metric)

    def upsert(self, database: Any, ids: Sequence[int], vectors: Float32) -> None:
        rows = [{"id": i, "vector": row} for i, row in zip(ids, vectors, strict=True)]
        with self.connect_client() as client:
            client.upsert("docs", rows)

    def delete(self, database: Any, ids: Sequence[int]) -> None:
        with self.connect_client() as client:
            client.delete("docs", ids=list(ids))

    @contextmanager
    def connect_client(self) -> Iterator[MilvusClient]:
        """Open the application's own client; it is closed at the end."""
        client = MilvusClient(self.uri, dedicated=True)
        try:
            yield client
        finally:
            client.close()


def empty_qdrant(client: QdrantClient) -> None:
    """Drop "docs" and its companions, which an earlier test may have left."""
    for existing in client.get_collections().collections:
        if existing.name == "docs" or existing.name.startswith("docs__nudge_"):
            client.delete_collection(existing.name)


def empty_milvus(client: MilvusClient) -> None:
    """Drop "docs" and its companions, which an earlier test may have left."""
    for name in client.list_collections():
        if name == "docs" or name.startswith("docs__nudge_"):
            client.drop_collection(name)


def create_application(engine: str, folder: Path, server: Any = "") -> Application:
    """Return the application of an engine.

    server: where it is, for those that are one: of Milvus the address, of Qdrant the keys of
    `[database]`.
    """
    return {
        "memory": lambda: MemoryApplication(""),
        "qdrant-edge": lambda: EdgeApplication(str(folder)),
        "qdrant-local": lambda: LocalQdrantApplication(""),
        "qdrant": lambda: QdrantApplication(server),
        "milvus-lite": lambda: MilvusApplication(str(folder / "milvus.db")),
        "milvus": lambda: MilvusApplication(server),
    }[engine]()
