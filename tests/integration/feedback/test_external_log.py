"""An application's own log of searches and clicks, in every database and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.judgements import load_judgements, read_judgements
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync_qdrant_edge import connect
from tests.support.external_log import (
    MAPPED_FEEDBACK,
    SEARCH_LOG,
    fill_log,
    log_everything,
    make_event_rows,
    make_search_rows,
)
from tests.support.sample_collection import (
    DIMENSION,
    QUERIES,
    SampleCollection,
    open_sample_collection,
)
from tests.support.workspace import make_workspace


def import_judgements(sample_collection: SampleCollection, rows: range) -> Any:
    """Import the same feedback, and return its judgements."""
    target = sample_collection.target()
    search_rows = make_search_rows(sample_collection, rows)
    event_rows = make_event_rows(sample_collection, rows)
    target.queries.put(
        [
            to_search_record(
                Search(
                    search["qid"],
                    sample_collection.data.queries[row],
                    search["q"],
                    search["ts"],
                    tuple(search["hits"]),
                    session_id=search["who"]["session"],
                    client_id=search["who"]["client"],
                )
            )
            for row, search in zip(rows, search_rows, strict=True)
        ]
    )
    target.events.put(
        [
            to_event_record(
                Event(event["qid"], event["kind"], int(event["doc"]), 2, timestamp=1.7e9)
            )
            for event in event_rows
        ]
    )
    return read_judgements(target.queries, target.events, FeedbackSettings(), DIMENSION)


def test_a_mapped_log_says_what_an_import_of_it_would(
    any_sample_collection: SampleCollection, tmp_path: Path
):
    rows = range(QUERIES)
    log_everything(any_sample_collection, rows)
    judgements = load_judgements(
        any_sample_collection.target(), CollectionSettings(feedback=MAPPED_FEEDBACK)
    )
    with open_sample_collection("memory", tmp_path / "other") as other:
        expected = import_judgements(other, rows)
    assert judgements.query_ids == expected.query_ids
    assert judgements.point_ids == expected.point_ids
    np.testing.assert_allclose(judgements.query_vectors, expected.query_vectors, atol=1e-6)
    np.testing.assert_allclose(judgements.weights, expected.weights, atol=1e-6)
    assert (judgements.weights > 0).sum() > QUERIES / 2
    assert any_sample_collection.target().queries.count() == 0


def test_a_milvus_schema_with_types(tmp_path: Path):
    with open_sample_collection("milvus-lite", tmp_path) as sample:
        client = MilvusClient(sample.application.uri, dedicated=True)
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
                row | {"asked": sample.data.queries[number].tolist(), "other": [0.0, 1.0]}
                for number, row in enumerate(make_search_rows(sample, range(5)))
            ],
        )
        client.insert(
            "search_log",
            make_search_rows(sample, range(5, 6))[0]
            | {"q": None, "asked": [1.0] * 32, "other": [0.0, 1.0]},
        )
        client.close()
        fields = SEARCH_LOG.model_copy(update={"vector": "asked", "query_id": ""})
        feedback = open_feedback(sample.target(), FeedbackSettings(searches=fields))
        records = {record.key: record for batch in feedback.queries.scan() for record in batch}
    assert sorted(records) == ["q0", "q1", "q2", "q3", "q4", "q5"]
    search = records["q3"]
    assert search.vector.tobytes() == sample.data.queries[3].tobytes()
    assert search.document["shown"] == [399, sample.data.answers[3], 398]
    values = {name: search.document[name] for name in ("text", "session_id", "timestamp")}
    assert values == {"text": "question 3", "session_id": "s3", "timestamp": 1_700_000_003}
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
    sample = SampleCollection("qdrant-edge", database, workspace.data, lambda: database, None)
    event_rows = [event | {"kind": "relevant"} for event in make_event_rows(sample, rows)]
    fill_log(sample, "search_log", workspace.data.queries, make_search_rows(sample, rows))
    fill_log(sample, "click_log", np.ones((QUERIES, 2), np.float32), event_rows)
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
    assert "q0" in {judgement["query_id"] for judgement in why["judgements"]}
    applied = workspace.run("apply", "--yes")
    assert applied["gate"]["passed"]
    assert applied["written"] > 0
    explanation = workspace.run("explain", str(workspace.data.answers[0]))
    assert all(pull["text"] == f"question {pull['query_id'][1:]}" for pull in explanation["pulls"])
    assert explanation["pulls"]
    there = {"search_log": QUERIES // 50, "click_log": QUERIES // 50}
    left = workspace.run("forget", "--client", "c4", "--yes", code=1)
    assert left == {"collection": "docs", "searches": 0, "events": 0, "left": there}
    out, log = workspace.start_process("feedback", "export", "--client", "c1").communicate()
    assert [(row["query_id"], row["object_id"]) for row in map(json.loads, out.splitlines())] == [
        ("q1", 7)
    ], log
    left = workspace.run("forget", "--client", "c1", "--yes", code=1)
    assert left == {"collection": "docs", "searches": 0, "events": 1, "left": there}
    assert workspace.run("forget", "--client", "nobody", "--yes")["left"] == {}
    out, log = workspace.start_process("feedback", "export", "--client", "c4").communicate()
    assert (out, '"search_log" holds' in log) == ("", True), log
    database = connect(section)
    after = [list(database.documents(name, "")) for name in ("search_log", "click_log")]
    names = {path.name for path in (workspace.folder / "shards").iterdir()}
    database.close()
    assert json.dumps(after, default=to_json) == json.dumps(before, default=to_json)
    assert "docs__nudge_queries" not in names


def to_json(record: Any) -> Any:
    return [record.key, record.document, record.vector.tobytes().hex()]
