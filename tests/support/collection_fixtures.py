"""Fixtures that hand a test an open collection, and close it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ram_disk import ram_folder
from tests.support.sample_collection import (
    ALL_ENGINES,
    QUICK_ENGINES,
    SampleCollection,
    open_sample_collection,
)
from tests.support.tracked_collection import TrackedCollection

REAL_ENGINES = ("qdrant-edge", "qdrant", pytest.param("milvus", marks=pytest.mark.milvus_server))
_SERVERS = {"milvus": "milvus_server_uri", "qdrant": "qdrant_server"}
"""Which fixture says where the server of an engine is."""


def find_server(request: pytest.FixtureRequest, engine: str) -> Any:
    """Return where the server of an engine is, "" if it is none; the test is skipped without it."""
    return request.getfixturevalue(_SERVERS[engine]) if engine in _SERVERS else ""


@pytest.fixture(params=QUICK_ENGINES)
def sample_collection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SampleCollection]:
    """Open a sample collection on each engine that costs nothing to start."""
    with open_sample_collection(request.param, tmp_path) as sample:
        yield sample


@pytest.fixture(params=ALL_ENGINES)
def any_sample_collection(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[SampleCollection]:
    """Open a sample collection on every engine there is."""
    server = find_server(request, request.param)
    with open_sample_collection(request.param, tmp_path, server=server) as sample:
        yield sample


@pytest.fixture
def tracked_collection(tmp_path: Path) -> Iterator[TrackedCollection]:
    """Open a tracked collection in memory."""
    tracked = TrackedCollection("memory", tmp_path, "")
    yield tracked
    tracked.database.close()


@pytest.fixture(params=REAL_ENGINES)
def any_tracked_collection(request: pytest.FixtureRequest) -> Iterator[TrackedCollection]:
    """Open a tracked collection on Qdrant's embedded engine, and on servers."""
    server = find_server(request, request.param)
    with ram_folder() as path:
        tracked = TrackedCollection(request.param, path, server)
        yield tracked
        tracked.database.close()
