from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sample_collection import (
    ALL_ENGINES,
    QUICK_ENGINES,
    SampleCollection,
    open_sample_collection,
)


@pytest.fixture(params=QUICK_ENGINES)
def sample_collection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SampleCollection]:
    """A small collection with feedback, on the engines that cost nothing to start."""
    with open_sample_collection(request.param, tmp_path) as sample:
        yield sample


@pytest.fixture(params=ALL_ENGINES)
def any_sample_collection(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[SampleCollection]:
    """The same on every engine there is."""
    server = ""
    if request.param == "milvus":
        server = request.getfixturevalue("milvus_server_uri")
    if request.param == "qdrant":
        server = os.environ.get("QDRANT_URL", "")
        if not server:
            pytest.skip("QDRANT_URL names no Qdrant server")
    with open_sample_collection(request.param, tmp_path, server=server) as sample:
        yield sample
