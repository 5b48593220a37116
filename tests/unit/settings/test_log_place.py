"""Where a log may lie: one place, of a kind that can be read, and no secret in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nudge_sync.connector.settings import SettingsTable, validate_settings
from nudge_sync.errors import ConfigError
from nudge_sync.settings.feedback import EventLog, SearchLog

FIELDS = {"query_id": "q", "point": "p"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, "name one place"),
    "two": ({"collection": "clicks", "files": "a.csv"}, "name one place"),
    "no table": ({"database": "log.duckdb"}, "database and table go together"),
    "no database": ({"table": "events"}, "database and table go together"),
    "kind of file": ({"files": "log.xls"}, "should end in one of .parquet"),
    "two kinds": ({"files": ["a.csv", "b.parquet"]}, "files of one kind only"),
    "other server": ({"database": "mysql://host/shop", "table": "t"}, "a file of DuckDB"),
    "password": ({"database": "postgresql://me:geheim@host/shop", "table": "t"}, "PGPASSWORD"),
    "parameter": ({"database": "postgresql://host/shop?password=x", "table": "t"}, "PGPASSWORD"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_place_that_is_none_is_refused(name: str):
    place, message = WRONG[name]
    with pytest.raises(ConfigError, match=message) as refused:
        validate_settings(EventLog, FIELDS | place, "feedback.events")
    assert "geheim" not in str(refused.value)


def test_searches_in_a_table_need_an_id_and_a_vector():
    with pytest.raises(ConfigError, match="need query_id and vector"):
        validate_settings(SearchLog, {"files": "a.parquet", "vector": "v"}, "feedback.searches")


def test_paths_count_from_the_folder_of_the_file(tmp_path: Path):
    files = ["log/*.jsonl.gz", "/var/log/*.jsonl"]
    table = SettingsTable(FIELDS | {"files": files}, tmp_path)
    place = validate_settings(EventLog, table, "feedback.events")
    assert place.list_files() == (f"{tmp_path}/log/*.jsonl.gz", "/var/log/*.jsonl")
    table = SettingsTable(FIELDS | {"files": "s3://logs/*.parquet"}, tmp_path)
    place = validate_settings(EventLog, table, "feedback.events")
    assert (place.list_files(), place.place) == (("s3://logs/*.parquet",), "s3://logs/*.parquet")
    table = SettingsTable(FIELDS | {"database": "log.duckdb", "table": "t"}, tmp_path)
    assert (
        validate_settings(EventLog, table, "feedback.events").database == f"{tmp_path}/log.duckdb"
    )
