import json
import re
from pathlib import Path
from time import time

import numpy as np
import pytest

from nudge_sync.config import FeedbackSettings
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import open_json_lines
from nudge_sync.feedback.ingest.importer import Destination, RowsRefused, import_rows
from nudge_sync.feedback.ingest.qrels import open_qrels
from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles
from nudge_sync.feedback.ingest.seen_keys import SeenKeys
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.rows import BadRow, parse_storable_row

DIMENSION = 4
SEARCH = {"query_id": "q1", "query_vector": [3, 0, 0, 4], "text": "wing", "time": 1_700_000_000}
EVENT = {"query_id": "q1", "action": "relevant", "point": 7, "position": 2, "session": "s1"}


@pytest.fixture
def destination(new_records, ids_only) -> Destination:
    return Destination(new_records(), new_records(), ids_only(range(10), DIMENSION))


def write(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_good_rows_become_a_judgement(tmp_path, destination):
    report = import_rows([open_json_lines(write(tmp_path / "f", SEARCH, EVENT))], destination)
    assert report.summary() | {"lines": 0} == {
        "accepted": 2,
        "rejected": 0,
        "reasons": {},
        "lines": 0,
        "searches": 1,
        "events": 1,
        "unchanged": 0,
        "without_search": 0,
        "rejects_file": None,
    }
    judged = read_judgements(destination.queries, destination.events, FeedbackSettings(), DIMENSION)
    assert judged.query_ids == ["q1"]
    assert judged.point_ids == [7]
    np.testing.assert_allclose(judged.query_vectors, [[0.6, 0, 0, 0.8]], atol=1e-7)
    kept = destination.queries.get(["q1"])[0]
    np.testing.assert_array_equal(kept.vector, [3, 0, 0, 4])
    assert kept.document["timestamp"] == 1_700_000_000.0


def test_importing_twice_changes_nothing(tmp_path, destination):
    source = open_json_lines(write(tmp_path / "f", EVENT, SEARCH))
    import_rows([source], destination)
    puts = destination.queries.puts, destination.events.puts
    again = import_rows([source], destination)
    assert (destination.queries.puts, destination.events.puts) == puts
    assert (again.accepted, again.rejected, again.unchanged) == (2, 0, 2)


BAD = {
    "not json": ("not JSON", "{"),
    "a list": ("not JSON", "[1]"),
    "deep": ("not JSON", "[" * 100_000),
    "a number of 5000 digits": ("not JSON", '{"query_id": ' + "9" * 5000 + "}"),
    "no query id": ("missing field", {"query_vector": [1, 0, 0, 0]}),
    "empty query id": ("missing field", {"query_id": "", "query_vector": [1, 0, 0, 0]}),
    "query id of wrong type": ("wrong type", {"query_id": [1], "query_vector": [1, 0, 0, 0]}),
    "query id true": ("wrong type", {"query_id": True, "query_vector": [1, 0, 0, 0]}),
    "unknown kind": ("wrong type", SEARCH | {"type": "banana"}),
    "kind unhashable": ("wrong type", SEARCH | {"type": ["search"]}),
    "half a surrogate": ("wrong type", '{"query_id": "\\ud800", "query_vector": [1, 0, 0, 0]}'),
    "no vector": ("missing field", {"type": "search", "query_id": "a"}),
    "short vector": ("wrong dimension", {"query_id": "a", "query_vector": [1, 0]}),
    "empty vector": ("wrong dimension", {"query_id": "a", "query_vector": []}),
    "nan": ("not finite", '{"query_id": "a", "query_vector": [NaN, 0, 0, 0]}'),
    "infinity": ("not finite", '{"query_id": "a", "query_vector": [-Infinity, 0, 0, 0]}'),
    "too large for float32": ("not finite", {"query_id": "a", "query_vector": [1e300, 0, 0, 0]}),
    "huge integer": ("not finite", {"query_id": "a", "query_vector": [10**400, 0, 0, 0]}),
    "zero": ("zero vector", {"query_id": "a", "query_vector": [0, 0, 0, 0]}),
    "vanishing": ("zero vector", {"query_id": "a", "query_vector": [1e-300, 0, 0, 0]}),
    "vector of text": ("wrong type", {"query_id": "a", "query_vector": ["1", 0, 0, 0]}),
    "vector of truths": ("wrong type", {"query_id": "a", "query_vector": [True, 0, 0, 0]}),
    "nested vector": ("wrong type", {"query_id": "a", "query_vector": [[1, 0, 0, 0]]}),
    "vector as text": ("wrong type", {"query_id": "a", "query_vector": "1,0,0,0"}),
    "text that is a list": ("wrong type", SEARCH | {"text": ["x"]}),
    "long text": ("too large", SEARCH | {"text": "x" * 70_000}),
    "long text outside ASCII": ("too large", SEARCH | {"text": "é" * 10_001}),
    "shown is no list": ("wrong type", SEARCH | {"shown": 3}),
    "shown holds null": ("wrong type", SEARCH | {"shown": [None]}),
    "propensities do not fit": ("out of range", SEARCH | {"shown": [1], "propensities": [1, 1]}),
    "propensity zero": ("out of range", SEARCH | {"shown": [1], "propensities": [0]}),
    "bad time": ("unparsable time", SEARCH | {"time": "yesterday"}),
    "negative time": ("unparsable time", SEARCH | {"time": -1}),
    "time nan": ("unparsable time", EVENT | {"time": float("nan")}),
    "time true": ("unparsable time", EVENT | {"time": True}),
    "search of another century": ("unparsable time", SEARCH | {"time": 20_000_000_000}),
    "event of another century": ("unparsable time", EVENT | {"time": "2999-01-01"}),
    "the last day of all": ("unparsable time", SEARCH | {"time": "9999-12-31"}),
    "time far": ("unparsable time", EVENT | {"time": 10**400}),
    "time a list": ("unparsable time", EVENT | {"time": [1]}),
    "no action": ("missing field", {"query_id": "q1", "point": 1}),
    "action a number": ("wrong type", EVENT | {"action": 5}),
    "no point": ("missing field", {"query_id": "q1", "action": "click"}),
    "unknown point": ("unknown point", EVENT | {"point": 11}),
    "point id as odd text": ("unknown point", EVENT | {"point": "../../etc"}),
    "point with quotes": ("unknown point", EVENT | {"point": "' or 1 == 1 --"}),
    "point too large": ("unknown point", EVENT | {"point": 2**70}),
    "point of wrong type": ("wrong type", EVENT | {"point": {"a": 1}}),
    "point a fraction": ("wrong type", EVENT | {"point": 1.5}),
    "position zero": ("out of range", EVENT | {"position": 0}),
    "position text": ("wrong type", EVENT | {"position": "first"}),
    "position nan": ("wrong type", EVENT | {"position": float("nan")}),
    "grade nan": ("out of range", EVENT | {"grade": float("nan")}),
    "grade huge": ("out of range", EVENT | {"grade": 1e300}),
    "grade a huge integer": ("out of range", EVENT | {"grade": 10**400}),
    "grade text": ("wrong type", EVENT | {"grade": "5"}),
    "session a list": ("wrong type", EVENT | {"session": [1]}),
    "same search again": ("duplicate", SEARCH),
    "same event again": ("duplicate", EVENT),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_and_stops_nothing(tmp_path, destination, name):
    reason, bad = BAD[name]
    path = write(tmp_path / "f", SEARCH, EVENT, bad, EVENT | {"point": 8})
    rejects = tmp_path / "rejects"
    report = import_rows([open_json_lines(path)], destination, rejects_path=rejects)
    assert (report.accepted, report.reasons) == (3, {reason: 1})
    assert report.lines == {reason: [f"{path}:3"]}
    entry = json.loads(rejects.read_text())
    assert (entry["line"], entry["reason"]) == (3, reason)
    assert entry["raw"] == (bad if isinstance(bad, str) else json.dumps(bad))


@pytest.mark.parametrize("name", BAD)
def test_strict_stores_nothing(tmp_path, destination, name):
    path = write(tmp_path / "f", SEARCH, EVENT, BAD[name][1])
    with pytest.raises(RowsRefused, match=BAD[name][0]) as caught:
        import_rows([open_json_lines(path)], destination, strict=True)
    assert caught.value.report.rejected == 1
    assert not destination.queries.kept
    assert not destination.events.kept


def test_bytes_that_are_not_utf8(tmp_path, destination):
    path = tmp_path / "f"
    path.write_bytes(b'\xef\xbb\xbf{"query_id": 5, "query_vector": [1, 0, 0, 0]}\r\n\xff\xfe\n\n')
    report = import_rows([open_json_lines(path)], destination)
    assert report.reasons == {"not UTF-8": 1}
    assert list(destination.queries.kept) == ["5"]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14 23:13:20+01:00", 1_700_000_000.0),
        ("2023-11-14T22:13:20", 1_700_000_000.0),
        (1_700_000_000_000, 1_700_000_000.0),
        (None, 0.0),
    ],
)
def test_times(tmp_path, destination, when, expected):
    import_rows([open_json_lines(write(tmp_path / "f", SEARCH | {"time": when}))], destination)
    assert destination.queries.kept["q1"].document["timestamp"] == expected


def test_what_is_dated_in_the_future_is_refused_and_says_so(tmp_path, destination):
    ahead = [SEARCH | {"query_id": str(hours), "time": time() + 3600 * hours} for hours in (1, 48)]
    report = import_rows([open_json_lines(write(tmp_path / "f", *ahead))], destination)
    assert list(destination.queries.kept) == ["1"]
    [(_, bad)] = report.refusals
    assert "more than a day ahead" in str(bad)


def test_an_array_of_one_vector_is_named_by_its_shape():
    with pytest.raises(BadRow, match=re.escape("shape (1, 4), the collection has 4")):
        parse_storable_row(SEARCH | {"query_vector": np.ones((1, 4))}, DIMENSION)


def test_what_is_too_large_is_counted_as_it_is_stored():
    with pytest.raises(BadRow, match=r"60000 bytes of JSON .* outside ASCII takes 6"):
        parse_storable_row(SEARCH | {"text": "é" * 10_001}, DIMENSION)


REJECTS = {
    "itself": "f",
    "by another way": "folder/../f",
    "through a link": "link",
    "under another name": "twin",
}


@pytest.mark.parametrize("name", REJECTS)
@pytest.mark.parametrize("strict", [False, True])
def test_refused_rows_never_go_into_a_file_that_is_read(tmp_path, destination, name, strict):
    path = write(tmp_path / "f", SEARCH, "{")
    before = path.read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "twin").hardlink_to(path)
    rejects = tmp_path / REJECTS[name]
    sources = [open_json_lines(write(tmp_path / "other", SEARCH)), open_json_lines(path)]
    with pytest.raises(InputError, match="name another file with --rejects"):
        import_rows(sources, destination, rejects_path=rejects, strict=strict)
    assert path.read_bytes() == before
    assert not destination.queries.kept


def test_refused_rows_never_make_a_file_that_is_read_next(tmp_path, destination):
    rejects = tmp_path / "rejects"
    sources = [open_json_lines(write(tmp_path / "f", "{")), open_json_lines(rejects)]
    with pytest.raises(InputError, match="name another file with --rejects"):
        import_rows(sources, destination, rejects_path=rejects)
    assert not rejects.exists()


def test_events_may_come_before_their_search(tmp_path, destination):
    first = import_rows([open_json_lines(write(tmp_path / "a", EVENT))], destination)
    assert first.without_search == 1
    second = import_rows([open_json_lines(write(tmp_path / "b", SEARCH))], destination)
    assert second.without_search == 0
    assert (
        len(read_judgements(destination.queries, destination.events, FeedbackSettings(), DIMENSION))
        == 1
    )


def test_ubi_words(tmp_path, destination):
    event = {
        "query_id": "q1",
        "action_name": "click",
        "client_id": "c",
        "timestamp": "2024-01-01T00:00:00Z",
        "event_attributes": {"object": {"object_id": "7"}, "position": {"ordinal": 3}},
    }
    import_rows([open_json_lines(write(tmp_path / "f", SEARCH, event))], destination)
    (kept,) = destination.events.kept.values()
    assert kept.document["object_id"] == 7
    assert kept.document["position"] == 3
    assert kept.document["client_id"] == "c"


def test_text_keys_and_uuids_and_numbers_find_their_points(ids_only):
    uuid = "0f2a6e8c-9f0d-4b57-8f0e-1f8f6f6a3a10"
    qdrant = PointIdResolver(ids_only([uuid, 5], 2))
    qdrant.look_up([uuid.upper(), "5", 6])
    assert [qdrant.get(id_) for id_ in (uuid.upper(), "5", 6)] == [uuid, 5, None]
    assert qdrant.guess("9") == 9
    varchar = PointIdResolver(ids_only(["5", "x"], 2))
    varchar.look_up([5, "x"])
    assert [varchar.get(5), varchar.get("x"), varchar.guess(9)] == ["5", "x", "9"]


def test_qrels(tmp_path, destination):
    np.save(tmp_path / "q.npy", np.eye(DIMENSION, dtype=np.float16))
    (tmp_path / "q.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "qrels").write_text("a 0 1 2\nb 0 2 0\nzz 0 1 1\nc 0 99 1\nd 0 1 x\nc\t3\t-1\n")
    query_files = QueryVectorFiles(tmp_path / "q.npy", tmp_path / "q.txt")
    source = open_qrels(tmp_path / "qrels", query_files)
    report = import_rows([source], destination)
    assert report.reasons == {"unknown query": 1, "unknown point": 1, "wrong type": 1}
    judged = read_judgements(destination.queries, destination.events, FeedbackSettings(), DIMENSION)
    assert judged.query_ids == ["a", "b", "c"]
    assert judged.weights.tolist() == [2.0, 0.0, -1.0]


def test_seen_remembers_across_its_parts(monkeypatch):
    monkeypatch.setattr("nudge_sync.feedback.ingest.seen_keys._MAX_RECENT", 8)
    seen = SeenKeys()
    assert all(seen.add(str(number)) for number in range(100))
    assert not any(seen.add(str(number)) for number in range(100))
