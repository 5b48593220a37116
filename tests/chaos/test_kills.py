"""Ten kills, spread over the engines: `make chaos` in short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.chaos_runner import ChaosRunner
from tests.support.qdrant_server.node import start_qdrant
from tests.support.ram_disk import ram_folder


def assert_survives(runner: ChaosRunner, kills: int) -> None:
    for _ in range(10 * kills):  # A process may be done before it is killed.
        if runner.report.kills < kills:
            runner.kill_once()
    report = runner.finish()
    assert report.kills == kills
    assert report.is_clean, report


@pytest.mark.parametrize(("engine", "kills"), [("qdrant-edge", 4), ("milvus-lite", 3)])
def test_killed_together_with_its_engine(engine: str, kills: int) -> None:
    with ram_folder() as path:
        assert_survives(ChaosRunner(engine, path), kills)


def test_killed_on_qdrant(qdrant_server: dict[str, Any], tmp_path: Path) -> None:
    assert_survives(ChaosRunner("qdrant", tmp_path, qdrant_server), 3)


def test_a_qdrant_server_is_killed_and_comes_back(qdrant_binary: str, tmp_path: Path) -> None:
    with start_qdrant(qdrant_binary) as node:
        runner = ChaosRunner("qdrant", tmp_path, node.section, seed=1)
        runner.kill_database(node.kill, node.start)
    assert runner.report.is_clean, runner.report


@pytest.mark.milvus_server
def test_killed_on_milvus(milvus_server_uri: str, tmp_path: Path) -> None:
    assert_survives(ChaosRunner("milvus", tmp_path, milvus_server_uri), 3)
