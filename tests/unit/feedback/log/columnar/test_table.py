"""Tables whose place, columns or types are not what the settings say, and what is read of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nudge_sync.errors import ConfigError
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import EventLog, FeedbackSettings
from nudge_sync.store.target import Target
from tests.support.sample_collection import DIMENSION, open_sample_collection
from tests.support.table_log import write_table

TYPES = {
    "query id": "VARCHAR",
    "doc": "STRUCT(id INTEGER, title VARCHAR)",
    "at": "TIMESTAMP",
    "rank": "INTEGER",
    "who": "BLOB",
}
ROWS = [("q1", {"id": 3, "title": "a"}, "2026-05-01", 1, None)]
FIELDS = {"query_id": "query id", "point": "doc.id", "time": "at"}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with open_sample_collection("memory", tmp_path / "sample") as sample:
        yield sample.target()


@pytest.fixture
def database(tmp_path: Path) -> str:
    write_table(tmp_path / "log.duckdb", "events", TYPES, ROWS)
    return str(tmp_path / "log.duckdb")


def count_events(target: Target, **fields: str) -> int:
    settings = FeedbackSettings(events=EventLog(**(FIELDS | fields)))
    feedback = open_feedback(target, settings)
    log = load_log(feedback.queries, feedback.events, settings, DIMENSION)
    return len(log.behaviour)


def test_names_differ_in_case_and_hold_spaces(target: Target, database: str):
    fields = {"query_id": "Query ID", "point": "doc.ID", "position": "RANK"}
    assert count_events(target, database=database, table="main.events", **fields) == 1


WRONG = {
    "column": (
        {"point": "document"},
        r'events\] point = "document": events has no such column; it',
    ),
    "near column": ({"position": "rang"}, 'position = "rang": .*did you mean "rank"'),
    "nested field": ({"point": "doc.idd"}, 'did you mean "doc.id"'),
    "object for an id": ({"point": "doc"}, r'point = "doc": a column of type STRUCT\(.*cannot be'),
    "bytes for a name": ({"client": "who"}, 'client = "who": a column of type BLOB cannot be that'),
    "day for a rank": ({"position": "at"}, 'position = "at": a column of type TIMESTAMP'),
    "table": ({"table": "clicks"}, r"\[feedback.events\] clicks: .*clicks does not exist"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_table_has_not_is_named(target: Target, database: str, name: str):
    fields, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        count_events(target, **({"database": database, "table": "events"} | fields))


def test_files_that_are_not_there_or_not_what_their_name_says(target: Target, tmp_path: Path):
    with pytest.raises(ConfigError, match="No files found"):
        count_events(target, files=str(tmp_path / "*.parquet"))
    (tmp_path / "log.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ConfigError, match=r"log\.parquet"):
        count_events(target, files=str(tmp_path / "log.parquet"))
    with pytest.raises(ConfigError, match=r"log\.duckdb"):
        count_events(target, database=str(tmp_path / "log.duckdb"), table="events")
    assert not (tmp_path / "log.duckdb").exists()


def test_an_older_file_may_lack_a_column(target: Target, tmp_path: Path):
    write_table(tmp_path / "1.parquet", "t", TYPES, ROWS)
    newer = TYPES | {"session": "VARCHAR"}
    write_table(tmp_path / "2.parquet", "t", newer, [(*ROWS[0], "s1")])
    assert count_events(target, files=str(tmp_path / "*.parquet"), session="session") == 2


def test_only_row_groups_of_the_time_asked_for_are_read(target: Target, tmp_path: Path):
    rows = [("q1", {"id": 3}, day, 1, None) for day in ("2001-01-01", "2026-05-01")]
    for number, row in enumerate(rows):
        write_table(tmp_path / f"{number}.parquet", "t", TYPES, [row])
    # What is left of the older file is what DuckDB needs to see that it can leave out the rest.
    older = tmp_path / "0.parquet"
    content = older.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    older.write_bytes(content[:4] + bytes(len(content) - footer - 4) + content[-footer:])
    files = str(tmp_path / "*.parquet")
    settings = FeedbackSettings(events=EventLog(**FIELDS, files=files), history_days=5000)
    feedback = open_feedback(target, settings)
    assert len(load_log(feedback.queries, feedback.events, settings, DIMENSION).behaviour) == 1


@pytest.mark.parametrize("type_", ["BIGINT", "DOUBLE", "VARCHAR"])
def test_a_number_that_is_a_day_is_asked_for_as_one(target: Target, tmp_path: Path, type_: str):
    days = [20260501, 202605010900, 20260501090000, 20010101]
    rows = [("q1", 3, day) for day in days]
    types = {"query id": "VARCHAR", "doc": "INTEGER", "at": type_}
    write_table(tmp_path / "log.parquet", "t", types, rows)
    fields = {"query_id": "query id", "point": "doc", "time": "at"}
    settings = FeedbackSettings(
        events=EventLog(**fields, files=str(tmp_path / "log.parquet")), history_days=5000
    )
    feedback = open_feedback(target, settings)
    log = load_log(feedback.queries, feedback.events, settings, DIMENSION)
    assert log.behaviour.time.tolist() == [1_777_593_600.0, 1_777_626_000.0, 1_777_626_000.0]


def test_without_duckdb_the_message_says_what_to_install(tmp_path: Path):
    program = """
import sys
sys.modules["duckdb"] = None
from nudge_sync.feedback.log.columnar.connection import import_engine
try:
    import_engine()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("ConfigError")
    assert "pip install 'nudge-sync[columnar]'" in done.stdout
