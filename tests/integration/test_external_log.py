"""Searches and events in collections of the application's own, whose fields the settings map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

import nudge_sync_milvus
import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync.config import CollectionSettings, EventLog, FeedbackSettings, SearchLog
from nudge_sync.errors import ConfigError
from nudge_sync.feedback.erase import FeedbackSelector, delete_feedback, export_rows
from nudge_sync.feedback.judgements import load_judgements, read_judgements
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync_qdrant_edge import connect
from tests.support.applications import MemoryApplication
from tests.support.sample_collection import (
    DIMENSION,
    QUERIES,
    SampleCollection,
    open_sample_collection,
)
from tests.support.workspace import make_workspace

SEARCHES = SearchLog(
    collection="search_log",
    query_id="qid",
    text="q",
    time="ts",
    shown="hits",
    session="who.session",
    client="who.client",
)
EVENTS = EventLog(
    collection="click_log", query_id="qid", point="doc", action="kind", position="rank", time="at"
)
MAPPED = FeedbackSettings(searches=SEARCHES, events=EVENTS)


def make_search_rows(sample_collection: SampleCollection, rows: range) -> list[dict[str, Any]]:
    return [
        {
            "qid": f"q{row}",
            "q": f"question {row}",
            "ts": 1_700_000_000 + row,
            "hits": [399, sample_collection.data.answers[row], 398],
            "who": {"session": f"s{row}", "client": f"c{row % 50}"},
        }
        for row in rows
    ]


def make_event_rows(sample_collection: SampleCollection, rows: range) -> list[dict[str, Any]]:
    return [
        {
            "qid": f"q{row}",
            "doc": str(sample_collection.data.answers[row]),
            "kind": "click" if row % 2 else "relevant",
            "rank": 2,
            "at": "2023-11-14T22:13:20Z",
        }
        for row in rows
    ]


def fill(
    sample_collection: SampleCollection, name: str, vectors: Any, payloads: list[dict[str, Any]]
) -> None:
    """What an application does that logs by itself."""
    ids = [1000 + row for row in range(len(payloads))]
    if sample_collection.engine == "memory":
        assert isinstance(sample_collection.application, MemoryApplication)
        sample_collection.application.store.create(name, vectors.shape[1])
        sample_collection.application.store.upsert(name, ids, vectors, payloads)
        return
    database: Any = sample_collection.database
    homes = {
        "qdrant-edge": nudge_sync_qdrant_edge,
        "qdrant-local": nudge_sync_qdrant,
        "qdrant": nudge_sync_qdrant,
    }
    # Servers keep what an earlier run left.
    if sample_collection.engine == "qdrant" and database.connection.client.collection_exists(name):
        database.connection.client.delete_collection(name)
    if sample_collection.engine == "milvus":
        database.records(name).drop()
    homes.get(sample_collection.engine, nudge_sync_milvus).ingest(
        database, name, ids, vectors, payloads
    )


def log_everything(sample_collection: SampleCollection, rows: range = range(QUERIES)) -> None:
    fill(
        sample_collection,
        "search_log",
        sample_collection.data.queries[rows],
        make_search_rows(sample_collection, rows),
    )
    fill(
        sample_collection,
        "click_log",
        np.ones((len(rows), 2), np.float32),
        make_event_rows(sample_collection, rows),
    )


@pytest.fixture
def sample_collection(tmp_path: Path) -> Iterator[SampleCollection]:
    with open_sample_collection("memory", tmp_path) as sample:
        yield sample


def import_judgements(sample_collection: SampleCollection, rows: range) -> Any:
    """The judgements of the same feedback, had it been imported."""
    target = sample_collection.target()
    search_rows, acts = (
        make_search_rows(sample_collection, rows),
        make_event_rows(sample_collection, rows),
    )
    target.queries.put(
        [
            to_search_record(
                Search(
                    one["qid"],
                    sample_collection.data.queries[row],
                    one["q"],
                    one["ts"],
                    tuple(one["hits"]),
                    session_id=one["who"]["session"],
                    client_id=one["who"]["client"],
                )
            )
            for row, one in zip(rows, search_rows, strict=True)
        ]
    )
    target.events.put(
        [
            to_event_record(Event(one["qid"], one["kind"], int(one["doc"]), 2, timestamp=1.7e9))
            for one in acts
        ]
    )
    return read_judgements(target.queries, target.events, FeedbackSettings(), DIMENSION)


def test_a_mapped_log_says_what_an_import_of_it_would(
    any_sample_collection: SampleCollection, tmp_path: Path
):
    rows = range(QUERIES)
    log_everything(any_sample_collection, rows)
    found = load_judgements(any_sample_collection.target(), CollectionSettings(feedback=MAPPED))
    with open_sample_collection("memory", tmp_path / "other") as other:
        expected = import_judgements(other, rows)
    assert found.query_ids == expected.query_ids
    assert found.point_ids == expected.point_ids
    np.testing.assert_allclose(found.query_vectors, expected.query_vectors, atol=1e-6)
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-6)
    assert (found.weights > 0).sum() > QUERIES / 2
    assert any_sample_collection.target().queries.count() == 0


def test_logged_and_own_feedback_are_one(sample_collection: SampleCollection):
    log_everything(sample_collection, range(10))
    sample_collection.add_judgements([0, 20])
    both = open_feedback(sample_collection.target(), MAPPED)
    assert (both.queries.count(), both.events.count()) == (11, 12)
    [mine] = both.queries.get(["q0"])
    assert mine.document["text"] == ""
    [logged, _] = both.queries.get(["q3", "q20", "q99"])
    assert (logged.document["text"], logged.document["session_id"]) == ("question 3", "s3")
    [one] = [record for batch in both.queries.scan({"client_id": "c4"}) for record in batch]
    assert one.key == "q4"
    between = {"timestamp": (1_700_000_002.0, 1_700_000_004.0)}
    assert both.queries.count(between) == 2
    assert both.count_external({"client_id": "c4"}) == {"search_log": 1}


def test_what_is_held_on_a_client_whose_searches_are_in_a_log(sample_collection: SampleCollection):
    fill(
        sample_collection,
        "search_log",
        sample_collection.data.queries[:10],
        make_search_rows(sample_collection, range(10)),
    )
    sample_collection.add_judgements([2, 3])
    target = sample_collection.target()
    queries, events = target.queries, target.events
    events.put(
        [to_event_record(Event("q7", "relevant", 5)), to_event_record(Event("q8", "click", 5))]
    )
    both = open_feedback(target, FeedbackSettings(searches=SEARCHES))
    for whom, name in (
        (FeedbackSelector(client="c2"), "q2"),
        (FeedbackSelector(session="s7"), "q7"),
    ):
        asked = whom.find_query_ids(both)
        rows = list(export_rows(queries, events, whom, asked))
        assert {row["query_id"] for row in rows} == {name}
        assert both.count_external(whom.to_filter(), asked) == {"search_log": 1}
        gone = delete_feedback(queries, events, whom, asked)
        assert (gone.searches, gone.events) == (name == "q2", 1)
        assert not list(export_rows(queries, events, whom, asked))
    left = [one.document["query_id"] for batch in events.scan() for one in batch]
    assert (sorted(left), queries.count()) == (["q3", "q8"], 1)


def test_what_a_log_holds_on_a_client_whose_searches_are_ours(sample_collection: SampleCollection):
    fill(
        sample_collection,
        "click_log",
        np.ones((10, 2), np.float32),
        make_event_rows(sample_collection, range(10)),
    )
    target = sample_collection.target()
    mine = {"q3": "alice", "q4": "bob", "q5": "alice"}
    vector = sample_collection.data.queries[0]
    target.queries.put(
        [to_search_record(Search(name, vector, client_id=who)) for name, who in mine.items()]
    )
    both = open_feedback(target, FeedbackSettings(events=EVENTS))
    alice = FeedbackSelector(client="alice")
    assert both.count_external(alice.to_filter(), alice.find_query_ids(both)) == {"click_log": 2}
    early = FeedbackSelector(before="2023-11-14")
    assert both.count_external(early.to_filter(), early.find_query_ids(both)) == {}
    late = FeedbackSelector(before="2023-11-15")
    assert both.count_external(late.to_filter(), late.find_query_ids(both)) == {"click_log": 10}
    query = FeedbackSelector(query="q4")
    assert both.count_external(query.to_filter(), query.find_query_ids(both)) == {"click_log": 1}


def test_clicks_may_stand_in_the_search_itself(sample_collection: SampleCollection):
    rows = [{"clicked": [3, 4]}, {"clicked": []}, {}, {"clicked": 5}, {"clicked": [None]}]
    fill(sample_collection, "search_log", sample_collection.data.queries[: len(rows)], rows)
    fields = EventLog(collection="search_log", query_id="qid", point="clicked")
    for at, row in enumerate(rows):
        row["qid"] = at
    own = FeedbackSettings(searches=SearchLog(collection="search_log"), events=fields)
    found = open_feedback(sample_collection.target(), own)
    acts = [record.document for batch in found.events.scan() for record in batch]
    said = [(one["query_id"], one["object_id"]) for one in acts if "query_id" in one]
    assert said == [("0", 3), ("0", 4), ("3", 5)]
    assert {one["action_name"] for one in acts if "query_id" in one} == {"click"}
    read = read_judgements(found.queries, found.events, own, DIMENSION)
    assert (read.funnel[0].name, read.funnel[0].removed) == ("records", 1)
    keys = {record.key for batch in found.queries.scan(vectors=False) for record in batch}
    assert keys == {"1000", "1001", "1002", "1003", "1004"}


WRONG = {
    "no such collection": ({"collection": "absent"}, {}, "collection = .absent.*no collection"),
    "no such field": ({"shown": "hitz"}, {}, r"searches\] shown = .hitz.*they have: hits, q, qid"),
    "no such nested field": ({"query_id": "who.id"}, {}, "query_id = .who.id"),
    "no such vector": ({"vector": "title"}, {}, f"need vectors of {DIMENSION}.*none at all"),
    "other vectors": ({"collection": "click_log"}, {}, "none of the first"),
    "no such point": ({}, {"point": "document"}, r"events\] point = .document"),
    "no such action": ({}, {"action": "verb"}, r"events\] action = .verb.*they have: at, doc"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_there_is_named(sample_collection: SampleCollection, name: str):
    own, acts, message = WRONG[name]
    log_everything(sample_collection, range(10))
    settings = FeedbackSettings(
        searches=SEARCHES.model_copy(update=own), events=EVENTS.model_copy(update=acts)
    )
    with pytest.raises(ConfigError, match=message):
        load_judgements(sample_collection.target(), CollectionSettings(feedback=settings))


def test_vectors_of_another_size_are_named(sample_collection: SampleCollection):
    fill(
        sample_collection,
        "search_log",
        np.ones((3, 2), np.float32),
        make_search_rows(sample_collection, range(3)),
    )
    settings = CollectionSettings(feedback=FeedbackSettings(searches=SEARCHES))
    with pytest.raises(ConfigError, match=f"need vectors of {DIMENSION} numbers.*have 2"):
        load_judgements(sample_collection.target(), settings)


def test_a_milvus_schema_with_types(tmp_path: Path):
    with open_sample_collection("milvus-lite", tmp_path) as world:
        client = MilvusClient(world.application.uri, dedicated=True)
        schema = client.create_schema(enable_dynamic_field=False)
        schema.add_field("qid", DataType.VARCHAR, is_primary=True, max_length=40)
        schema.add_field("asked", DataType.FLOAT_VECTOR, dim=DIMENSION)
        schema.add_field("other", DataType.FLOAT_VECTOR, dim=2)
        schema.add_field("ts", DataType.INT64)
        schema.add_field("q", DataType.VARCHAR, max_length=99, nullable=True)
        schema.add_field("hits", DataType.ARRAY, element_type=DataType.INT64, max_capacity=9)
        schema.add_field("who", DataType.JSON)
        index = client.prepare_index_params()
        for field in ("asked", "other"):
            index.add_index(field, index_type="FLAT", metric_type="IP")
        client.create_collection("search_log", schema=schema, index_params=index)
        client.insert(
            "search_log",
            [
                row | {"asked": world.data.queries[at].tolist(), "other": [0.0, 1.0]}
                for at, row in enumerate(make_search_rows(world, range(5)))
            ],
        )
        client.insert(
            "search_log",
            make_search_rows(world, range(5, 6))[0]
            | {"q": None, "asked": [1.0] * 32, "other": [0.0, 1.0]},
        )
        client.close()
        fields = SEARCHES.model_copy(update={"vector": "asked", "query_id": ""})
        found = open_feedback(world.target(), FeedbackSettings(searches=fields))
        records = {one.key: one for batch in found.queries.scan() for one in batch}
    assert sorted(records) == ["q0", "q1", "q2", "q3", "q4", "q5"]
    one = records["q3"]
    assert one.vector.tobytes() == world.data.queries[3].tobytes()
    assert one.document["shown"] == [399, world.data.answers[3], 398]
    said = {name: one.document[name] for name in ("text", "session_id", "timestamp")}
    assert said == {"text": "question 3", "session_id": "s3", "timestamp": 1_700_000_003}
    assert records["q5"].document["text"] == ""


FILE = """
[feedback.searches]
collection = "search_log"
query_id = "qid"
text = "q"
time = "ts"
shown = "hits"
session = "who.session"
client = "who.client"
[feedback.events]
collection = "click_log"
query_id = "qid"
point = "doc"
action = "kind"
time = "at"
"""


def test_the_command_line_learns_from_a_log_and_leaves_it_alone(tmp_path: Path):
    workspace = make_workspace(tmp_path / "shop")
    section = {"path": str(workspace.folder / "shards"), "sync": False}
    rows = range(QUERIES)
    database = connect(section)
    world = SampleCollection("qdrant-edge", database, workspace.data, lambda: database, None)
    acts = [one | {"kind": "relevant"} for one in make_event_rows(world, rows)]
    fill(world, "search_log", workspace.data.queries, make_search_rows(world, rows))
    fill(world, "click_log", np.ones((QUERIES, 2), np.float32), acts)
    before = [list(database.documents(name, "")) for name in ("search_log", "click_log")]
    database.close()
    workspace.write_config(FILE)
    counted = {"queries": QUERIES, "events": QUERIES}
    assert workspace.run("check")["collections"]["docs"]["feedback"] == counted
    assert workspace.run("feedback", "stats")["searches"] == QUERIES
    label = {"query_id": "q1", "action": "relevant", "point": 7}
    (tmp_path / "label.jsonl").write_text(json.dumps(label))
    stored = workspace.run("feedback", "import", str(tmp_path / "label.jsonl"))
    assert (stored["accepted"], stored["without_search"]) == (1, 0)
    why = workspace.run("feedback", "judgements", "--point", str(workspace.data.answers[0]))
    assert "q0" in {one["query_id"] for one in why["judgements"]}
    done = workspace.run("apply", "--yes")
    assert done["gate"]["passed"]
    assert done["written"] > 0
    told = workspace.run("explain", str(workspace.data.answers[0]))
    assert all(one["text"] == f"question {one['query_id'][1:]}" for one in told["pulls"])
    assert told["pulls"]
    there = {"search_log": QUERIES // 50, "click_log": QUERIES // 50}
    left = workspace.run("forget", "--client", "c4", "--yes", code=1)
    assert left == {"collection": "docs", "searches": 0, "events": 0, "left": there}
    out, said = workspace.start_process("feedback", "export", "--client", "c1").communicate()
    assert [(row["query_id"], row["object_id"]) for row in map(json.loads, out.splitlines())] == [
        ("q1", 7)
    ], said
    left = workspace.run("forget", "--client", "c1", "--yes", code=1)
    assert left == {"collection": "docs", "searches": 0, "events": 1, "left": there}
    assert workspace.run("forget", "--client", "nobody", "--yes")["left"] == {}
    out, said = workspace.start_process("feedback", "export", "--client", "c4").communicate()
    assert (out, '"search_log" holds' in said) == ("", True), said
    database = connect(section)
    after = [list(database.documents(name, "")) for name in ("search_log", "click_log")]
    names = {path.name for path in (workspace.folder / "shards").iterdir()}
    database.close()
    assert json.dumps(after, default=plain) == json.dumps(before, default=plain)
    assert "docs__nudge_queries" not in names


def plain(record: Any) -> Any:
    return [record.key, record.document, record.vector.tobytes().hex()]
