"""What an import stores, what it leaves alone, and what it refuses."""

import json

import numpy as np
import pytest

from nudge_sync.feedback.ingest.formats import open_json_lines
from nudge_sync.feedback.ingest.importer import RowsRefused, import_rows
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.feedback_files import DIMENSION, EVENT, SEARCH, read_documents, write_lines


def test_good_rows_become_a_judgement(tmp_path, destination):
    report = import_rows([open_json_lines(write_lines(tmp_path / "f", SEARCH, EVENT))], destination)
    assert {name: value for name, value in report.summary().items() if value} == {
        "accepted": 2,
        "rows": 2,
        "searches": 1,
        "events": 1,
    }
    assert report.problem is None
    judged = read_judgements(destination.queries, destination.events, FeedbackSettings(), DIMENSION)
    assert judged.query_ids == ["q1"]
    assert judged.point_ids == [7]
    np.testing.assert_allclose(judged.query_vectors, [[0.6, 0, 0, 0.8]], atol=1e-7)
    kept = destination.queries.get(["q1"])[0]
    np.testing.assert_array_equal(kept.vector, [3, 0, 0, 4])
    assert kept.document["timestamp"] == 1_700_000_000.0


def test_importing_twice_changes_nothing(tmp_path, destination):
    source = open_json_lines(write_lines(tmp_path / "f", EVENT, SEARCH))
    import_rows([source], destination)
    puts = destination.queries.puts, destination.events.puts
    again = import_rows([source], destination)
    assert (destination.queries.puts, destination.events.puts) == puts
    assert (again.accepted, again.rejected, again.unchanged) == (2, 0, 2)


BAD_ROWS = {
    "not json": ("not JSON", "{"),
    "deep": ("not JSON", "[" * 100_000),
    "no query id": ("missing field", {"query_vector": [1, 0, 0, 0]}),
    "half a surrogate": ("wrong type", '{"query_id": "\\ud800", "query_vector": [1, 0, 0, 0]}'),
    "short vector": ("wrong dimension", {"query_id": "a", "query_vector": [1, 0]}),
    "nan": ("not finite", '{"query_id": "a", "query_vector": [NaN, 0, 0, 0]}'),
    "zero": ("zero vector", {"query_id": "a", "query_vector": [0, 0, 0, 0]}),
    "long text": ("too large", SEARCH | {"text": "x" * 70_000}),
    "bad time": ("unparsable time", SEARCH | {"time": "yesterday"}),
    "position below zero": ("out of range", EVENT | {"position": -1}),
    "unknown point": ("unknown point", EVENT | {"point": 11}),
    "point id as odd text": ("unknown point", EVENT | {"point": "../../etc"}),
    "point with quotes": ("unknown point", EVENT | {"point": "' or 1 == 1 --"}),
    "same search again": ("duplicate", SEARCH),
    "same event again": ("duplicate", EVENT),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_and_stops_nothing(tmp_path, destination, name):
    reason, bad = BAD_ROWS[name]
    path = write_lines(tmp_path / "f", SEARCH, EVENT, bad, EVENT | {"point": 8})
    rejects = tmp_path / "rejects"
    report = import_rows([open_json_lines(path)], destination, rejects_path=rejects)
    assert (report.accepted, report.reasons) == (3, {reason: 1})
    assert report.lines == {reason: [f"{path}:3"]}
    entry = json.loads(rejects.read_text())
    assert (entry["line"], entry["reason"]) == (3, reason)
    assert entry["raw"] == (bad if isinstance(bad, str) else json.dumps(bad))


@pytest.mark.parametrize("name", BAD_ROWS)
def test_strict_stores_nothing(tmp_path, destination, name):
    path = write_lines(tmp_path / "f", SEARCH, EVENT, BAD_ROWS[name][1])
    with pytest.raises(RowsRefused, match=BAD_ROWS[name][0]) as caught:
        import_rows([open_json_lines(path)], destination, strict=True)
    assert caught.value.report.rejected == 1
    assert (caught.value.report.accepted, caught.value.report.without_search) == (0, 0)
    assert not destination.queries.kept
    assert not destination.events.kept


def test_events_may_come_before_their_search(tmp_path, destination):
    first = import_rows([open_json_lines(write_lines(tmp_path / "a", EVENT))], destination)
    assert first.without_search == 1
    second = import_rows([open_json_lines(write_lines(tmp_path / "b", SEARCH))], destination)
    assert second.without_search == 0
    assert (
        len(read_judgements(destination.queries, destination.events, FeedbackSettings(), DIMENSION))
        == 1
    )


def test_ids_are_stored_as_the_collection_holds_them(tmp_path, destination):
    rows = [SEARCH | {"shown": ["7", 8, "99"]}, EVENT | {"point": "7"}]
    import_rows([open_json_lines(write_lines(tmp_path / "f", *rows))], destination)
    assert read_documents(destination.queries)[0]["shown"] == [7, 8, 99]
    assert read_documents(destination.events)[0]["object_id"] == 7


def test_a_search_that_comes_again_with_another_content_replaces_the_stored_one(
    tmp_path, destination
):
    for text in ("wing", "wings"):
        path = write_lines(tmp_path / "f", SEARCH | {"text": text})
        assert import_rows([open_json_lines(path)], destination).unchanged == 0
    assert [search["text"] for search in read_documents(destination.queries)] == ["wings"]
