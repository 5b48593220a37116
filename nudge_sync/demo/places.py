"""Where the demo runs: an embedded engine in a temporary folder, or a server."""

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

EMBEDDED = "qdrant-edge"
_ADDRESS = {"qdrant": "url", "milvus": "uri"}


@contextmanager
def opened(engine: str, url: str | None) -> Iterator[Database]:
    """The database to run on; the embedded one is gone afterwards."""
    with TemporaryDirectory(prefix="nudge-sync-demo-") as folder:
        database = connect(engine, _section(engine, url, Path(folder)))
        try:
            yield database
        finally:
            database.close()


def _section(engine: str, url: str | None, folder: Path) -> dict[str, Any]:
    if engine == EMBEDDED:
        # A folder that is thrown away need not survive a power cut.
        return {"path": str(folder), "sync": False}
    if engine not in _ADDRESS:
        raise ConfigError(f"the demo runs on {EMBEDDED}, {' or '.join(_ADDRESS)}")
    if not url:
        raise ConfigError(f"--on {engine} needs --url, such as http://localhost:6333")
    return {_ADDRESS[engine]: url}


def fill(
    engine: str, database: Database, name: str, vectors: Float32, payloads: Sequence[Any]
) -> None:
    """A new collection `name` with points 0, 1, ... Raises ConfigError where there is one."""
    try:
        database.collection(name)
    except CollectionNotFound:
        ids = list(range(len(vectors)))
        _connector(engine).ingest(database, name, ids, vectors, payloads, metric="cosine")
        return
    raise ConfigError(f"there is a collection {name!r} already; say another one: --collection NAME")


def _connector(engine: str) -> Any:
    """The module that the connector's entry point names: the core imports no connector itself."""
    point = next(iter(entry_points(group=ENTRY_POINT_GROUP, name=engine)))
    return sys.modules[point.load().__module__.partition(".")[0]]
