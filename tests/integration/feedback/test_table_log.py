"""An application's log in files and in tables of other databases, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.sample_collection import QUERIES
from tests.support.table_log import write_table
from tests.support.workspace import Workspace, make_workspace

SEARCH_TYPES = {
    "qid": "VARCHAR",
    "vec": "FLOAT[32]",
    "q": "VARCHAR",
    "ts": "TIMESTAMPTZ",
    "hits": "UBIGINT[]",
    "who": "STRUCT(session VARCHAR, client VARCHAR)",
}
EVENT_TYPES = {
    "qid": "VARCHAR",
    "doc": "INTEGER",
    "kind": "VARCHAR",
    "rank": "TINYINT",
    "at": "TIMESTAMP",
}
NAMES = ("searches", "events")
FIELDS = """
[feedback.searches]
{searches}
query_id = "qid"
vector = "vec"
text = "q"
time = "ts"
shown = "hits"
session = "who.session"
client = "who.client"
[feedback.events]
{events}
query_id = "qid"
point = "doc"
action = "kind"
position = "rank"
time = "at"
"""


def make_rows(workspace: Workspace) -> tuple[list[Any], list[Any]]:
    answers = workspace.data.answers
    searches = [
        (
            f"q{row}",
            workspace.data.queries[row].tolist(),
            f"question {row}",
            "2026-05-01 09:00:00+02",
            [399, answers[row], 398],
            {"session": f"s{row}", "client": f"c{row % 50}"},
        )
        for row in range(QUERIES)
    ]
    events = [
        (f"q{row}", answers[row], "relevant", 2, "2026-05-01 07:00:20") for row in range(QUERIES)
    ]
    return searches, events


def write_logs(workspace: Workspace, kind: str) -> str:
    """Write both logs, and return the tables of the settings."""
    searches, events = make_rows(workspace)
    folder = workspace.folder / "log"
    folder.mkdir()
    if kind == "duckdb":
        path = folder / "log.duckdb"
        write_table(path, "searches", SEARCH_TYPES, searches)
        write_table(path, "events", EVENT_TYPES, events)
        places = [f'database = "log/log.duckdb"\ntable = "{name}"' for name in NAMES]
        return FIELDS.format(searches=places[0], events=places[1])
    for number, start in enumerate(range(0, QUERIES, 500)):
        part = slice(start, start + 500)
        write_table(folder / f"searches-{number}.{kind}", "t", SEARCH_TYPES, searches[part])
        write_table(folder / f"events-{number}.{kind}", "t", EVENT_TYPES, events[part])
    places = [f'files = "log/{name}-*.{kind}"' for name in NAMES]
    return FIELDS.format(searches=places[0], events=places[1])


@pytest.mark.parametrize("kind", ["parquet", "duckdb"])
def test_a_whole_cycle_learns_from_a_table_and_leaves_it_alone(tmp_path: Path, kind: str):
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config(write_logs(workspace, kind))
    log_folder = workspace.folder / "log"
    before = {path.name: path.read_bytes() for path in log_folder.iterdir()}
    counted = {"queries": QUERIES, "events": QUERIES}
    assert workspace.run("check")["collections"]["docs"]["feedback"] == counted
    stats = workspace.run("feedback", "stats")
    assert (stats["searches"], stats["actions"]) == (QUERIES, {"relevant": QUERIES})
    applied = workspace.run("apply", "--yes")
    assert applied["gate"]["passed"]
    assert applied["written"] > 0
    explanation = workspace.run("explain", str(workspace.data.answers[0]))
    assert explanation["pulls"]
    assert all(pull["text"] == f"question {pull['query_id'][1:]}" for pull in explanation["pulls"])
    left = workspace.run("forget", "--client", "c4", "--yes", code=1)
    suffix = f"-*.{kind}"
    names = NAMES if kind == "duckdb" else tuple(name + suffix for name in NAMES)
    counts = {Path(name).name: count for name, count in left["left"].items()}
    assert counts == dict.fromkeys(names, QUERIES // 50)
    assert (left["searches"], left["events"]) == (0, 0)
    workspace.run("rollback", "--yes")
    assert {path.name: path.read_bytes() for path in log_folder.iterdir()} == before


def test_texts_of_csv_and_json_mean_what_they_say(tmp_path: Path):
    workspace = make_workspace(tmp_path / "shop")
    searches, events = make_rows(workspace)
    folder = workspace.folder / "log"
    folder.mkdir()
    types = SEARCH_TYPES | {"vec": "FLOAT[]", "hits": "BIGINT[]"}
    write_table(folder / "searches.json", "t", types, searches[:100])
    write_table(folder / "events.csv", "t", EVENT_TYPES, [*events[:100], ("q5", 7, None, -1, None)])
    workspace.write_config(
        FIELDS.format(searches='files = "log/searches.json"', events='files = "log/events.csv"')
    )
    stats = workspace.run("feedback", "stats")
    assert (stats["searches"], stats["actions"]) == (100, {"relevant": 100})
    [records] = [stage for stage in stats["funnel"] if stage["name"] == "records"]
    assert records["removed"] == 1
