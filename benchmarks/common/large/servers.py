"""An empty collection of a server or of Qdrant Edge, for benchmarks that fill its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient

import nudge_sync_milvus
import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync.connector import Database
from tests.support.milvus_server import find_or_start_milvus
from tests.support.qdrant_server.address import find_or_start_qdrant, open_client


@contextmanager
def open_qdrant(name: str, dimension: int) -> Iterator[Database]:
    """Yield the Qdrant server in QDRANT_URL, or from QDRANT_BINARY, with a collection of a point.

    Everything whose name begins with `name` is dropped before and after.
    """
    with find_or_start_qdrant() as section:
        client = open_client(section)

        def drop() -> None:
            for collection in client.get_collections().collections:
                if collection.name.startswith(name):
                    client.delete_collection(collection.name)

        drop()
        database = nudge_sync_qdrant.connect(section)
        try:
            nudge_sync_qdrant.ingest(database, name, [0], _make_point(dimension))
            yield database
        finally:
            database.close()
            drop()
            client.close()


@contextmanager
def open_milvus(name: str, dimension: int) -> Iterator[Database]:
    """Yield the Milvus server in MILVUS_URI, or from the wheel, with a collection of a point.

    Everything whose name begins with `name` is dropped before and after.
    """
    with find_or_start_milvus() as uri:
        client = MilvusClient(uri, dedicated=True)

        def drop() -> None:
            for collection in client.list_collections():
                if collection.startswith(name):
                    client.drop_collection(collection)

        drop()
        database = nudge_sync_milvus.connect({"uri": uri})
        try:
            nudge_sync_milvus.ingest(database, name, [0], _make_point(dimension), [{}])
            yield database
        finally:
            database.close()
            drop()
            client.close()


@contextmanager
def open_edge(name: str, dimension: int, folder: Path) -> Iterator[Database]:
    """Yield Qdrant Edge in a folder, with a collection of a point where there was nothing yet."""
    folder.mkdir(parents=True, exist_ok=True)
    is_new = not any(folder.iterdir())
    database = nudge_sync_qdrant_edge.connect({"path": str(folder)})
    try:
        if is_new:
            nudge_sync_qdrant_edge.ingest(database, name, [0], _make_point(dimension))
        yield database
    finally:
        database.close()


def _make_point(dimension: int) -> Any:
    return np.ones((1, dimension), np.float32)
