from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import EVERY, QUICK, World, opened


@pytest.fixture(params=QUICK)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A small collection with feedback, on the engines that cost nothing to start."""
    with opened(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=EVERY)
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The same on every engine there is."""
    server = ""
    if request.param == "milvus":
        server = request.getfixturevalue("milvus_server_uri")
    if request.param == "qdrant":
        server = os.environ.get("QDRANT_URL", "")
        if not server:
            pytest.skip("QDRANT_URL names no Qdrant server")
    with opened(request.param, tmp_path, server=server) as made:
        yield made
