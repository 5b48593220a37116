"""The short form of `make chaos`: ten kills, spread over the engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos_rig import Rig
from ram import folder


def survived(rig: Rig, kills: int) -> None:
    for _ in range(10 * kills):  # A process may be done before its time to die has come.
        if rig.toll.kills < kills:
            rig.kill_once()
    toll = rig.end()
    assert toll.kills == kills
    assert toll.clean, toll


@pytest.mark.parametrize(("engine", "kills"), [("qdrant-edge", 4), ("milvus-lite", 3)])
def test_killed_together_with_its_engine(engine: str, kills: int) -> None:
    with folder() as path:
        survived(Rig(engine, path), kills)


@pytest.mark.milvus_server
def test_killed_on_milvus(milvus_server_uri: str, tmp_path: Path) -> None:
    survived(Rig("milvus", tmp_path, milvus_server_uri), 3)
