"""A directory of Qdrant Edge shards as a nudge-sync database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams, ScrollRequest

from nudge_sync.connector import DatabaseFacts, Metric, Record
from nudge_sync.connector.settings import validate_settings
from nudge_sync.errors import ConfigError, UnsupportedCollection
from nudge_sync_qdrant_common.log_documents import to_log_document
from nudge_sync_qdrant_edge.client import Shards, translate_errors
from nudge_sync_qdrant_edge.collection import EdgeCollection
from nudge_sync_qdrant_edge.records import EdgeRecords
from nudge_sync_qdrant_edge.settings import EdgeSettings

_DISTANCES = {"cosine": Distance.Cosine, "dot": Distance.Dot, "euclid": Distance.Euclid}


def connect(
    section: Mapping[str, Any], *, shards: Mapping[str, EdgeShard] | None = None
) -> EdgeDatabase:
    """The database in the directory `path`.

    shards: collections that this process has open already, by name; their directories have to be
    `path/name`. They are used as they are and not closed. Raises ConfigError.
    """
    settings = validate_settings(EdgeSettings, section, "database")
    path = settings.path.expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"database.path: {error}") from error
    return EdgeDatabase(path, shards, sync=settings.sync, mark=settings.payload_mark)


class EdgeDatabase:
    """One directory, one subdirectory a collection, open in this process alone."""

    def __init__(
        self,
        path: Path,
        shards: Mapping[str, EdgeShard] | None = None,
        *,
        sync: bool = True,
        mark: str | None = None,
    ) -> None:
        self._shards = Shards(path, shards or {}, sync=sync)
        self._mark = mark

    def describe(self) -> DatabaseFacts:
        """See `Database`. A swap is atomic because the engine lets one process in."""
        return DatabaseFacts(
            product="Qdrant Edge", version=version("qdrant-edge-py"), atomic_swap=True
        )

    def collection(self, name: str, vector: str = "") -> EdgeCollection:
        """See `Database`."""
        config = json.loads(self._shards.read_config(name))
        dense, sparse = config.get("vectors") or {}, config.get("sparse_vectors") or {}
        vector_name = next(iter(dense)) if not vector and len(dense) == 1 else vector
        if vector_name not in dense:
            raise UnsupportedCollection(
                _explain_missing_vector(name, vector_name, list(dense), list(sparse))
            )
        collection = EdgeCollection(self._shards, name, vector_name, dense[vector_name], self._mark)
        collection.describe()
        return collection

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> EdgeRecords:
        """See `Database`."""
        return EdgeRecords(self._shards, name, dimension, indexed)

    def create_collection(
        self, name: str, dimension: int, metric: Metric = "cosine", vector: str = ""
    ) -> None:
        """A new, empty collection: what an application does. Raises InputError."""
        params = EdgeVectorParams(size=dimension, distance=_DISTANCES[metric])
        self._shards.create(name, EdgeConfig(vectors={vector: params}))

    def shard(self, name: str) -> EdgeShard:
        """The open shard, for the application in the same process. Raises CollectionNotFound."""
        return self._shards.get(name)

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader`."""
        offset: Any = None
        while True:
            request = ScrollRequest(
                offset=offset,
                limit=batch_size,
                with_payload=True,
                with_vector=[vector] if vector else vector is not None,
            )
            shard = self._shards.get(name)
            with translate_errors(name):
                points, offset = shard.scroll(request)
                records = [to_log_document(point, vector) for point in points]
            if records:
                yield records
            if offset is None:
                return

    def close(self) -> None:
        """See `Database`."""
        self._shards.close()


def _explain_missing_vector(name: str, vector: str, dense: list[str], sparse: list[str]) -> str:
    known = ", ".join(json.dumps(each) for each in sorted(dense)) or "none"
    if vector in sparse:
        return (
            f'"{vector}" of "{name}" is a sparse vector, which cannot be turned; '
            f"its dense vectors: {known}"
        )
    if not vector:
        return f'"{name}" has no default vector; say which of its vectors to use: {known}'
    return f'"{name}" has no vector "{vector}"; it has: {known}'
