"""The database that the demo runs on: an embedded engine in a temporary folder, or a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nudge_sync.connector import (
    ENTRY_POINT_GROUP,
    Database,
    Float32,
    connect,
)
from nudge_sync.errors import CollectionNotFound, ConfigError
from nudge_sync.store.target import Target, list_companions

EMBEDDED_ENGINE = "qdrant-edge"
_ADDRESS_KEYS = {"qdrant": "url", "milvus": "uri"}


@contextmanager
def open_demo_database(engine: str, url: str | None) -> Iterator[Database]:
    """Open the database to run on; an embedded one is gone afterwards.

    Raises ConfigError for an engine that the demo does not know, a server without `url`, and a
    `url` without a server.
    """
    with TemporaryDirectory(prefix="nudge-sync-demo-") as folder:
        database = connect(engine, _build_section(engine, url, Path(folder)))
        try:
            yield database
        finally:
            database.close()


def _build_section(engine: str, url: str | None, folder: Path) -> dict[str, Any]:
    if engine == EMBEDDED_ENGINE and url:
        raise ConfigError(f"--url needs --on {' or --on '.join(_ADDRESS_KEYS)}")
    if engine == EMBEDDED_ENGINE:
        # A folder that is thrown away need not survive a power cut.
        return {"path": str(folder), "sync": False}
    if engine not in _ADDRESS_KEYS:
        raise ConfigError(f"the demo runs on {EMBEDDED_ENGINE}, {' or '.join(_ADDRESS_KEYS)}")
    if not url:
        raise ConfigError(f"--on {engine} needs --url, such as http://localhost:6333")
    return {_ADDRESS_KEYS[engine]: url}


def create_demo_collection(
    engine: str, database: Database, collection_name: str, vectors: Float32, payloads: Sequence[Any]
) -> None:
    """Create a collection of `vectors` (n, d) with the ids 0, 1, ...

    Raises ConfigError where the database has a collection of that name.
    """
    try:
        database.collection(collection_name)
    except CollectionNotFound:
        ids = list(range(len(vectors)))
        _import_connector(engine).ingest(
            database, collection_name, ids, vectors, payloads, metric="cosine"
        )
        return
    raise ConfigError(
        f"there is a collection {collection_name!r} already; say another one: --collection NAME"
    )


def drop_demo_collections(target: Target) -> None:
    """Drop the collection that the demo made, and what was kept beside it."""
    for name in (*list_companions(target).values(), target.facts.collection):
        target.database.records(name).drop()


def _import_connector(engine: str) -> Any:
    """Return the module that the connector's entry point names: the core imports no connector."""
    entry_point = next(iter(entry_points(group=ENTRY_POINT_GROUP, name=engine)))
    return sys.modules[entry_point.load().__module__.partition(".")[0]]
