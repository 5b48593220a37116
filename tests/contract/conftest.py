"""Where engines keep their files while they are tested, and each Milvus there is."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

# Before any test module imports a part of the kit by itself.
pytest.register_assert_rewrite(
    "nudge_sync.testing.collections", "nudge_sync.testing.records.keeping"
)

_RAM_DISK = Path("/dev/shm")
_MIN_FREE_BYTES = 2 * 2**30


@pytest.fixture
def directory(tmp_path):
    """An empty directory, in memory where that is large enough: engines call fsync a lot."""
    if not _RAM_DISK.is_dir() or shutil.disk_usage(_RAM_DISK).free < _MIN_FREE_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="nudge-sync-", dir=_RAM_DISK) as path:
        yield Path(path)


@pytest.fixture(scope="module")
def milvus_lite_path(tmp_path_factory):
    """One Milvus Lite file for all tests of a module."""
    from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415

    path = str(tmp_path_factory.mktemp("lite") / "milvus.db")
    yield path
    server_manager_instance.release_server(path)


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.milvus_server)])
def milvus_uri(request):
    """Milvus Lite, then a server."""
    names = {"lite": "milvus_lite_path", "server": "milvus_server_uri"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def milvus_client(milvus_uri):
    """pymilvus's own client; the collection NAME is not there, before and after."""
    from pymilvus import MilvusClient  # noqa: PLC0415

    from tests.support.milvus_collections import NAME  # noqa: PLC0415

    client = MilvusClient(milvus_uri, dedicated=True)
    client.drop_collection(NAME)
    yield client
    client.drop_collection(NAME)
    client.close()


@pytest.fixture
def connect_milvus(milvus_uri, milvus_client):
    """A function that opens a database on the same Milvus; all are closed in the end."""
    from nudge_sync_milvus import MilvusDatabase, MilvusSettings  # noqa: PLC0415

    databases = []

    def open_database(**options):
        databases.append(MilvusDatabase(MilvusSettings(uri=milvus_uri), **options))
        return databases[-1]

    yield open_database
    for database in databases:
        database.close()
