"""The short form of `make chaos`: ten kills, spread over the engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos_rig import Rig, kill_for


def survived(rig: Rig, kills: int) -> None:
    toll = kill_for(rig, kills, seconds=90)
    assert toll.kills == kills
    assert toll.clean, toll


def test_killed_on_qdrant_edge(directory: Path) -> None:
    survived(Rig("qdrant-edge", directory), 4)


def test_killed_on_milvus_lite(directory: Path) -> None:
    survived(Rig("milvus-lite", directory), 3)


@pytest.mark.milvus_server
def test_killed_on_milvus(milvus_server_uri: str, tmp_path: Path) -> None:
    survived(Rig("milvus", tmp_path, milvus_server_uri), 3)
