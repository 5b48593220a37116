"""A directory of Qdrant Edge shards as a nudge-sync database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams

from nudge_sync.connector import DatabaseFacts, Metric, Record, validate_settings
from nudge_sync.errors import ConfigError
from nudge_sync_qdrant_edge.client import Shards
from nudge_sync_qdrant_edge.collection import EdgeCollection
from nudge_sync_qdrant_edge.errors import translate_errors
from nudge_sync_qdrant_edge.log_documents import scan_log_documents
from nudge_sync_qdrant_edge.records import EdgeRecords
from nudge_sync_qdrant_edge.settings import EdgeSettings

_DISTANCES = {"cosine": Distance.Cosine, "dot": Distance.Dot, "euclid": Distance.Euclid}
"""Metrics in the engine's words."""


def connect(
    section: Mapping[str, Any], *, shards: Mapping[str, EdgeShard] | None = None
) -> EdgeDatabase:
    """Return the database in the directory `path`, which is made with its first collection.

    shards: collections that this process has open already, by name; their directories have to be
    `path/name`. They are used as they are and not closed. Raises ConfigError.
    """
    settings = validate_settings(EdgeSettings, section, "database")
    path = settings.path.expanduser()
    if path.exists() and not path.is_dir():
        raise ConfigError(f"database.path: {path} is a file; name the folder of the shards")
    return EdgeDatabase(
        path, shards, sync=settings.sync, mark=settings.payload_mark, hnsw_ef=settings.hnsw_ef
    )


class EdgeDatabase:
    """See `nudge_sync.connector.Database`.

    One directory, one subdirectory a collection, each open in this process alone.
    """

    def __init__(
        self,
        path: Path,
        shards: Mapping[str, EdgeShard] | None = None,
        *,
        sync: bool = True,
        mark: str | None = None,
        hnsw_ef: int | None = None,
    ) -> None:
        self.path = path
        self._shards = Shards(path, shards or {}, sync=sync)
        self._mark = mark
        self._hnsw_ef = hnsw_ef

    def describe(self) -> DatabaseFacts:
        """See `Database.describe`. A swap is atomic because the engine lets one process in."""
        return DatabaseFacts(
            product="Qdrant Edge",
            version=version("qdrant-edge-py"),
            atomic_swap=True,
            storage_path=self.path,
        )

    def collection(self, name: str, vector: str = "") -> EdgeCollection:
        """See `Database.collection`."""
        return EdgeCollection(self._shards, name, vector, self._mark, self._hnsw_ef)

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> EdgeRecords:
        """See `Database.records`."""
        return EdgeRecords(self._shards, name, dimension, indexed)

    def create_collection(
        self, name: str, dimension: int, metric: Metric = "cosine", vector: str = ""
    ) -> None:
        """Make a new, empty collection, as an application does. Raises InputError."""
        params = EdgeVectorParams(size=dimension, distance=_DISTANCES[metric])
        self._shards.create(name, EdgeConfig(vectors={vector: params}))

    def shard(self, name: str) -> EdgeShard:
        """Return the open shard, for the application in this process. Raises CollectionNotFound."""
        return self._shards.lend(name)

    def size(self, name: str) -> int:
        """See `SizedDatabase.size`."""
        shard = self._shards.find(name)
        if shard is None:
            return 0
        with translate_errors(name):
            return shard.info().points_count

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader.documents`."""
        return scan_log_documents(self._shards, name, vector, batch_size)

    def close(self) -> None:
        """See `Database.close`."""
        self._shards.close()
