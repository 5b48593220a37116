"""An empty collection of a server or of Qdrant Edge, for benchmarks that fill its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from pymilvus import MilvusClient

import nudge_sync_milvus
import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync.connector import Database, Float32
from tests.support.milvus_server import find_or_start_milvus
from tests.support.qdrant_server.address import find_or_start_qdrant, open_client


@contextmanager
def open_qdrant(name: str, dimension: int) -> Iterator[Database]:
    """Yield the Qdrant server in QDRANT_URL, or from QDRANT_BINARY, with a collection of a point.

    Everything whose name begins with `name` is dropped before and after.
    """
    with find_or_start_qdrant() as section, closing(open_client(section)) as client:

        def list_names() -> list[str]:
            return [found.name for found in client.get_collections().collections]

        with (
            _drop_around(name, list_names, client.delete_collection),
            closing(nudge_sync_qdrant.connect(section)) as database,
        ):
            nudge_sync_qdrant.ingest(database, name, [0], _make_point(dimension))
            yield database


@contextmanager
def open_milvus(name: str, dimension: int) -> Iterator[Database]:
    """Yield the Milvus server in MILVUS_URI, or from the wheel, with a collection of a point.

    Everything whose name begins with `name` is dropped before and after.
    """
    with (
        find_or_start_milvus() as uri,
        closing(MilvusClient(uri, dedicated=True)) as client,
        _drop_around(name, client.list_collections, client.drop_collection),
        closing(nudge_sync_milvus.connect({"uri": uri})) as database,
    ):
        nudge_sync_milvus.ingest(database, name, [0], _make_point(dimension), [{}])
        yield database


@contextmanager
def open_edge(name: str, dimension: int, folder: Path) -> Iterator[Database]:
    """Yield Qdrant Edge in a folder, with a collection of a point where there was nothing yet."""
    folder.mkdir(parents=True, exist_ok=True)
    is_new = not any(folder.iterdir())
    with closing(nudge_sync_qdrant_edge.connect({"path": str(folder)})) as database:
        if is_new:
            nudge_sync_qdrant_edge.ingest(database, name, [0], _make_point(dimension))
        yield database


@contextmanager
def _drop_around(
    prefix: str, list_names: Callable[[], list[str]], drop: Callable[[str], object]
) -> Iterator[None]:
    def drop_all() -> None:
        for name in list_names():
            if name.startswith(prefix):
                drop(name)

    drop_all()
    try:
        yield
    finally:
        drop_all()


def _make_point(dimension: int) -> Float32:
    return np.ones((1, dimension), np.float32)
