"""The table that CI ends with adds up coverage's counts for each package."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from tests.support.source_code import ROOT


@pytest.fixture
def table() -> ModuleType:
    path = ROOT / "tools" / "coverage_by_package.py"
    spec = importlib.util.spec_from_file_location("coverage_by_package", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def count(statements: int, missing: int, branches: int = 0, missing_branches: int = 0) -> dict:
    counts = {
        "num_statements": statements,
        "missing_lines": missing,
        "num_branches": branches,
        "missing_branches": missing_branches,
    }
    return {"summary": {**counts, "percent_covered": 1.0}}


FILES = {
    "nudge_sync/store/lease.py": count(60, 0, 20, 4),
    "nudge_sync/store/upkeep/gc.py": count(40, 10, 0, 0),
    "nudge_sync/cycle.py": count(10, 0),
    "nudge_sync/feedback/clicks/bias/pbm.py": count(5, 5),
    "connectors/nudge_sync_milvus/client.py": count(0, 0),
}


def test_files_are_added_up_by_package(table: ModuleType) -> None:
    sums = table.sum_by_package(FILES)
    assert list(sums)[-1] == "total"
    assert set(sums) == {
        "nudge_sync",
        "nudge_sync.store",
        "nudge_sync.feedback",
        "nudge_sync_milvus",
        "total",
    }
    assert sums["nudge_sync.store"] == {
        "lines": 100,
        "missed lines": 10,
        "branches": 20,
        "missed branches": 4,
    }
    assert sums["total"]["lines"] == 115


def test_the_share_counts_lines_and_branches(table: ModuleType) -> None:
    lines = table.format_table(table.sum_by_package(FILES)).splitlines()
    shares = {line.split()[0]: line.split()[-1] for line in lines}
    assert shares["nudge_sync.store"] == f"{1 - 14 / 120:.1%}"
    assert shares["nudge_sync.feedback"] == "0.0%"
    assert shares["nudge_sync_milvus"] == "-"
    assert len({len(line) for line in lines}) == 1
