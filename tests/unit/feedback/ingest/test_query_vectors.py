"""Searches and events joined with query vectors from a file."""

import numpy as np
import pytest

from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.rows import embed_source
from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.feedback.ingest.importer import import_rows
from nudge_sync.feedback.ingest.query_vectors import join_query_vectors
from tests.support.feedback_files import DIMENSION, read_documents, write_lines, write_parquet

HEADER = "query_id,point_id,action,position,time,grade,session,client"
CLICK = "q1,7,click,2,1700000000,,s1,c1"
SHOWN = {"query_id": "q1", "query_vector": [0, 0, 0, 1], "shown": [7, 8], "text": "wings"}


def test_queries_that_a_table_names_become_searches_once(tmp_path, destination, query_files):
    events = write_lines(tmp_path / "a.csv", HEADER, CLICK, "q9,7,click,1,,,,")
    click = {"query_id": "q1", "point_id": 9, "action": "click"}
    more = write_parquet(tmp_path / "b.parquet", [click])
    report = import_rows(
        [join_query_vectors([open_source(events), open_source(more)], query_files)], destination
    )
    assert (report.events, report.searches, report.rejected) == (3, 1, 0)
    assert report.without_search == 1
    np.testing.assert_array_equal(destination.queries.kept["q1"].vector, [1, 0, 0, 0])
    again = import_rows(
        [join_query_vectors([open_source(events), open_source(more)], query_files)], destination
    )
    assert (again.accepted, again.unchanged) == (4, 4)


def test_a_table_that_names_a_logged_search_leaves_it_as_it_is(tmp_path, destination, query_files):
    import_rows([open_source(write_lines(tmp_path / "searches.jsonl", SHOWN))], destination)
    before = dict(destination.queries.kept)
    clicks = write_lines(tmp_path / "clicks.csv", HEADER, CLICK, "q2,7,click,1,,,,")
    report = import_rows([join_query_vectors([open_source(clicks)], query_files)], destination)
    assert (report.events, report.searches, report.unchanged) == (2, 1, 0)
    assert destination.queries.kept["q1"] is before["q1"]
    assert "q2" in destination.queries.kept


UBI_QUERIES = (
    {
        "application": "shop",
        "query_id": "q1",
        "client_id": "c1",
        "user_query": "delta wings",
        "query_attributes": {},
        "query_response_id": "r1",
        "query_response_hit_ids": ["3", "4"],
        "timestamp": "2023-11-14T22:13:20.000Z",
    },
    {
        "_index": "ubi_queries",
        "_source": {"query_id": "5f", "user_query": "swept wings", "timestamp": 1700000000000},
    },
)

UBI_EVENT = {
    "application": "shop",
    "action_name": "click",
    "query_id": "q1",
    "client_id": "c1",
    "timestamp": "2023-11-14T22:13:25Z",
    "message_type": "INFO",
    "user_query": "delta wings",
    "event_attributes": {
        "object": {"object_id": "4", "object_id_field": "sku"},
        "position": {"ordinal": 2},
        "session_id": "s1",
    },
}


def test_ubi_queries_find_their_vectors_by_id_or_text(tmp_path, destination, query_files):
    files = [
        write_lines(tmp_path / "ubi_queries.jsonl", *UBI_QUERIES),
        write_lines(
            tmp_path / "ubi_events.jsonl", UBI_EVENT, {"_source": UBI_EVENT | {"query_id": "5f"}}
        ),
    ]
    report = import_rows(
        [join_query_vectors(list(map(open_source, files)), query_files)], destination
    )
    assert (report.searches, report.events, report.rejected, report.without_search) == (2, 2, 0, 0)
    search = destination.queries.kept["q1"]
    assert search.document["shown"] == [3, 4]
    assert (search.document["text"], search.document["timestamp"]) == ("delta wings", 1.7e9)
    np.testing.assert_array_equal(search.vector, [1, 0, 0, 0])
    np.testing.assert_array_equal(destination.queries.kept["5f"].vector, [0, 0, 1, 0])
    event = read_documents(destination.events)[0]
    assert (event["object_id"], event["position"], event["session_id"]) == (4, 2, "s1")
    assert (event["client_id"], event["timestamp"]) == ("c1", 1_700_000_005.0)


def test_ubi_events_alone_leave_the_stored_search_as_it_is(tmp_path, destination, query_files):
    searches = write_lines(tmp_path / "q", *UBI_QUERIES)
    import_rows([join_query_vectors([open_source(searches)], query_files)], destination)
    before = dict(destination.queries.kept)
    events = open_source(write_lines(tmp_path / "e", UBI_EVENT))
    report = import_rows([join_query_vectors([events], query_files)], destination)
    assert (report.accepted, report.without_search) == (1, 0)
    assert destination.queries.kept == before


def test_a_search_without_a_vector_is_named(tmp_path, destination, query_files):
    path = write_lines(tmp_path / "f", UBI_QUERIES[0] | {"query_id": "zz"}, "{", UBI_EVENT)
    report = import_rows([join_query_vectors([open_source(path)], query_files)], destination)
    assert report.lines == {"unknown query": [f"{path}:1"], "not JSON": [f"{path}:2"]}
    assert (report.events, report.searches) == (1, 1)


def test_an_empty_line_among_the_ids_is_the_vector_of_no_query(tmp_path, destination, query_files):
    query_files.ids.write_text("q1\n\nred shoes\n", encoding="utf-8")
    clicks = write_lines(tmp_path / "f.csv", HEADER, CLICK, "unknown,8,click,1,,,,")
    report = import_rows([join_query_vectors([open_source(clicks)], query_files)], destination)
    assert (report.events, report.without_search) == (2, 1)
    assert list(destination.queries.kept) == ["q1"]


CLICK_LOG = [
    {
        "query_id": "q1", "query": "delta wings", "shown": [7, 8, 9], "session": "s1",
        "client": "c1", "time": 1_700_000_000 + point, "action": "click", "point": point,
    }
    for point in (7, 9)
]  # fmt: skip


@pytest.mark.parametrize("without", [(), ("shown",), ("query",), ("shown", "session", "time")])
def test_a_row_for_each_click_tells_of_its_search_however_it_gets_its_vector(
    tmp_path, destination, query_files, without
):
    rows = [{name: row[name] for name in row if name not in without} for row in CLICK_LOG]
    path = write_lines(tmp_path / "log.jsonl", *rows)
    report = import_rows([join_query_vectors([open_source(path)], query_files)], destination)
    assert (report.searches, report.events, report.rejected) == (1, 2, 0)
    document = destination.queries.kept["q1"].document
    assert document["text"] == rows[0].get("query", "")
    assert document["shown"] == rows[0].get("shown", [])
    assert document["timestamp"] == rows[0].get("time", 0.0)
    assert (document["session_id"], document["client_id"]) == (rows[0].get("session", ""), "c1")
    if "query" in rows[0]:
        model = Embedder("model:embed", lambda texts: np.eye(len(texts), DIMENSION))
        destination.queries.kept.clear()
        import_rows([embed_source(open_source(path), model)], destination)
        embedded = destination.queries.kept["q1"].document
        assert document == {name: embedded[name] for name in document}
