"""Logs in JSON files mean what the same rows mean when they are imported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nudge_sync.errors import ConfigError
from nudge_sync.feedback.erase import FeedbackSelector
from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from nudge_sync.store.target import Target
from tests.support.feedback_files import write_lines
from tests.support.sample_collection import DIMENSION, open_sample_collection
from tests.support.unit_vectors import normalise_rows

NOW = 1_790_000_000
UUID = "F47AC10B-58CC-4372-A567-0E02B2C3D479"
VECTOR = [1.5, *[0.25] * (DIMENSION - 1)]
SEARCH_NAMES = {"query_id": "query_id", "vector": "query_vector", "time": "time", "shown": "shown"}
EVENT_NAMES = {"query_id": "query_id", "point": "point", "time": "time"}
WHO = {"client": "client", "session": "session"}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with open_sample_collection("memory", tmp_path / "sample") as sample:
        yield sample.target()


def map_files(
    searches: Path | None = None, events: Path | None = None, **names: str
) -> FeedbackSettings:
    return FeedbackSettings(
        searches=None if searches is None else SearchLog(files=str(searches), **SEARCH_NAMES),
        events=None if events is None else EventLog(**{"files": str(events)} | EVENT_NAMES | names),
    )


def load(target: Target, settings: FeedbackSettings) -> Log:
    feedback = open_feedback(target, settings)
    return load_log(feedback.queries, feedback.events, settings, DIMENSION)


IDS = {
    "a UUID": UUID,
    "a day": "2026-05-01",
    "a time of day": "12:30:00",
    "a moment": "2026-05-01T09:00:00+02:00",
    "21 digits": 123456789012345678912,
    "20 digits": 12345678901234567891,
    "a whole float": 7.0,
    "digits": "007",
}


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_an_id_is_what_is_written(target: Target, tmp_path: Path, name: str, suffix: str):
    id_ = IDS[name]
    text = str(int(id_)) if isinstance(id_, float) else str(id_)
    search = {"query_id": id_, "query_vector": VECTOR, "time": NOW, "shown": [1]}
    event = {"query_id": text, "point": 1, "client": text, "session": text, "time": NOW}
    searches = write_lines(tmp_path / "searches.jsonl", search)
    lines = [",".join(event), ",".join(map(str, event.values()))] if suffix == "csv" else [event]
    events = write_lines(tmp_path / f"events.{suffix}", *lines)
    settings = map_files(searches, events, **WHO)
    log = load(target, settings)
    assert list(log.searches.query_ids) == [text]
    assert log.behaviour.search.tolist() == [0]
    assert list(log.client_ids) == list(log.session_ids) == ["", text]
    feedback = open_feedback(target, settings)
    client = FeedbackSelector(client=text)
    left = feedback.count_external(client.to_filter(), client.find_query_ids(feedback))
    assert left == {str(events): 1}


def test_ids_that_differ_in_the_last_of_many_digits_are_two(target: Target, tmp_path: Path):
    ids = [123456789012345678912, 123456789012345678913]
    rows = [{"query_id": id_, "query_vector": VECTOR, "time": NOW, "shown": [1]} for id_ in ids]
    log = load(target, map_files(write_lines(tmp_path / "s.jsonl", *rows)))
    assert list(log.searches.query_ids) == list(map(str, ids))


EVENT_ROWS: list[dict[str, Any]] = [
    {"query_id": "q", "point": 1, "time": NOW},
    {"query_id": 7.0, "point": 2.0, "time": NOW + 0.25, "client": 3.0, "session": 7},
    {"query_id": "7.0", "point": "3", "time": str(NOW), "client": None},
    {"query_id": 'ä"\n', "point": 4, "time": "2026-05-01T09:00:00.5+02:00", "client": "\U0001f600"},
    {"query_id": "q", "point": 5, "time": "Fri, 01 May 2026 09:00:00 GMT", "position": 2.0},
    {"query_id": "q", "point": 6, "time": 20260501, "grade": True},
    {"query_id": "q", "point": 7, "time": "2026-05-01", "grade": False},
    {"query_id": "q", "point": 8, "time": 0, "grade": 1.5},
    {"query_id": "q", "point": 9, "grade": "2,5", "action": "relevant"},
    {"query_id": "q", "point": 14, "time": "NULL", "session": "nan", "client": " \\N "},
    {"query_id": "q", "point": 15, "position": "NaN", "grade": "True", "action": "relevant"},
    {"query_id": "q", "point": 10, "time": "05-01-2026"},
    {"query_id": "q", "point": 11, "time": "soon"},
    {"query_id": "q", "point": 12, "time": NOW, "position": True},
    {"query_id": None, "point": 13, "time": NOW},
]


@pytest.mark.parametrize("layout", ["lines", "array"])
def test_rows_mean_what_an_import_of_them_stores(target: Target, tmp_path: Path, layout: str):
    path = tmp_path / "events.json"
    rows = [{"action": "click", **row} for row in EVENT_ROWS]
    path.write_text(
        json.dumps(rows) if layout == "array" else "\n".join(map(json.dumps, rows)), "utf-8"
    )
    import_rows([open_source(path)], Destination(target.queries, target.events, target.collection))
    names = WHO | {"position": "position", "grade": "grade", "action": "action"}
    log = open_feedback(target, map_files(events=path, **names)).events.log
    stored, read = (
        [record.document for batch in records.scan(None, vectors=False) for record in batch]
        for records in (target.events, log)
    )
    assert len(stored) == 11
    unreadable = [document for document in read if document["timestamp"] is None]
    assert len(unreadable) == len(EVENT_ROWS) - len(stored)
    assert sort_documents(stored) == sort_documents(
        document for document in read if document["timestamp"] is not None
    )


def sort_documents(documents: Any) -> list[str]:
    return sorted(json.dumps(document, sort_keys=True) for document in documents)


def test_vectors_and_lists_are_found_however_they_are_written(target: Target, tmp_path: Path):
    row = {"query_vector": VECTOR, "time": NOW}
    rows = [
        {**row, "query_id": "a", "shown": [1, 2.0, "3"]},
        {**row, "query_id": "b", "shown": [{"id": 1, "score": 0.5}, {"doc_id": "2"}, {"_id": 3}]},
        {**row, "query_id": "c", "shown": "1|2|3"},
        {**row, "query_id": "d", "shown": "[1, 2, 3]", "query_vector": str(VECTOR)},
        {**row, "query_id": "e", "shown": [1, 2, 3], "query_vector": [*VECTOR[:-1], None]},
    ]
    event = {"time": NOW, "query_id": "a"}
    points: list[Any] = [[1, "2", 3.0], [{"id": 1}, {"doc_id": "2"}, {"point_id": 3}], 1, "2", 3.0]
    events = [{**event, "point": point} for point in points]
    searches = write_lines(tmp_path / "s.jsonl", *rows)
    log = load(target, map_files(searches, write_lines(tmp_path / "e.jsonl", *events)))
    assert list(log.searches.query_ids) == ["a", "b", "c", "d"]
    assert log.unreadable_records == 1
    np.testing.assert_allclose(log.query_vectors, normalise_rows(np.array([VECTOR])), rtol=1e-6)
    assert sorted(log.point_ids[code] for code in log.behaviour.point) == sorted([1, 2, 3] * 3)


def test_later_rows_need_not_be_like_the_first(target: Target, tmp_path: Path):
    like = {"query_id": 1, "query_vector": [1] * DIMENSION, "time": NOW, "shown": [1]}
    rows = [{**like, "query_id": number} for number in range(25_000)]
    rows.append({"query_id": "x", "query_vector": VECTOR, "time": NOW + 0.5, "shown": ["2"]})
    clicks = [{"query_id": id_, "point": 2, "time": NOW} for id_ in ("24999", "x")]
    searches = write_lines(tmp_path / "s.jsonl", *rows)
    log = load(target, map_files(searches, write_lines(tmp_path / "e.jsonl", *clicks)))
    assert (len(log.searches.query_ids), log.unreadable_records) == (25_001, 0)
    assert (log.searches.query_ids[-1], log.searches.time[-1]) == ("x", NOW + 0.5)
    clicked = [log.searches.query_ids[code] for code in log.behaviour.search]
    assert clicked == ["24999", "x"]
    vectors = normalise_rows(np.array([[1] * DIMENSION, VECTOR]))
    np.testing.assert_allclose(log.query_vectors, vectors, rtol=1e-6)


def test_fields_of_objects_are_found_by_name_and_their_absence_is_named(
    target: Target, tmp_path: Path
):
    row = {"event": {"ID": UUID, "at": NOW, "who": {"name": "2026-05-01"}}, "point": 1}
    path = write_lines(tmp_path / "e.jsonl", row)
    names = {"query_id": "event.id", "time": "event.at"}
    log = load(target, map_files(events=path, **names, client="event.who.name"))
    assert list(log.client_ids) == ["2026-05-01"]
    assert log.behaviour.time.tolist() == [NOW]
    with pytest.raises(ConfigError, match=r'did you mean "event\.who\.name"'):
        load(target, map_files(events=path, **names, client="event.who.nam"))
    with pytest.raises(ConfigError, match=r'client = "event\.who": a column of type STRUCT'):
        load(target, map_files(events=path, **names, client="event.who"))
