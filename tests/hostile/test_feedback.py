"""Feedback that is broken or hostile: each bad row named, counted, and stopping nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Record
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import open_json_lines
from nudge_sync.feedback.ingest.importer import Destination, RowsRefused, import_rows
from nudge_sync.feedback.ingest.qrels import open_qrels
from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.stats import summarise_log
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.broken_npy_files import BROKEN_ARRAYS

DIMENSION = 4
VECTOR = [0.5, -0.5, 0.5, 0.5]


def make_destination(*, integers: bool = True) -> Destination:
    database = MemoryDatabase()
    database.store.create("docs", DIMENSION, integer_ids=integers)
    ids: list[Any] = [1, 2, 3] if integers else ["1", "a'b", 'a"b', "\u202e", "x" * 65_536]
    database.store.upsert("docs", ids, np.eye(len(ids), DIMENSION, dtype=np.float32) + 0.1)
    return Destination(
        database.records("docs__nudge_queries", DIMENSION),
        database.records("docs__nudge_events"),
        database.collection("docs"),
    )


def search(**fields: Any) -> dict[str, Any]:
    return {"query_id": "q1", "query_vector": VECTOR, **fields}


def event(**fields: Any) -> dict[str, Any]:
    return {"query_id": "q1", "action": "click", "point": 1, **fields}


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


SEARCHES: list[dict[str, Any]] = [
    *(search(query_vector=bad) for bad in (
        [], [1.0], VECTOR[:3], [*VECTOR, 1.0], [0, 0, 0, 0], [1e-300] * 4, [0.0, -0.0, 0.0, 0.0],
        [float("nan")] * 4, [float("inf"), 0, 0, 0], [-float("inf"), 1, 1, 1], [1e39, 0, 0, 0],
        [10**400, 0, 0, 0], ["1", "2", "3", "4"], [None] * 4, [True] * 4, [[1], [2], [3], [4]],
        "1,2,3,4", {"0": 1}, 5, True, [1, 2, 3, {"a": 1}], [1.0] * 100_000, "../vectors.npy",
    )),
    *(search(query_id=bad) for bad in (None, "", [], {}, True, 1.5, "\ud800", "q" * 70_000)),
    without(search(), "query_id"),
    *(search(text=bad) for bad in ([], {}, 1.5, "\udfff", "t" * 70_000)),
    *(search(time=bad) for bad in (
        "yesterday", "2026-13-01", "2026-02-30T00:00:00", [], {}, True, -1,
        float("inf"), 1e300, 10**400, "9999999999999999", "2026-01-01T00:00:00+99:99", "\u0000",
    )),
    *(search(shown=bad) for bad in (
        "1,,2", 5, {"1": 2}, [None], [True], [[1]], [1.5], [""], [{}], [2**64], ["\ud800"],
        list(range(50_000)),
    )),
    *(search(shown=[1, 2], propensities=bad) for bad in (
        [0.5], [0.5, 0.5, 0.5], [0, 1], [1.1, 0.5], [-0.1, 0.5], ["a", "b"], [None, None],
        [float("nan"), 0.5], "0.5,0.5", 0.5,
    )),
    *(search(experiment=bad, arm="control") for bad in (1, [], {}, True, "\ud800", "e" * 201)),
    *(search(experiment="canary:1", arm=bad) for bad in (None, "", "Control", 1, [], {}, True)),
    *(search(experiment="canary:1", arm="interleaved", shown=[1, 2], teams=bad) for bad in (
        "both", ["both"], ["both"] * 3, ["both", "none"], [1, 2], [["both"], "both"], {}, True,
    )),
    *(search(experiment="canary:1", arm="control", shown=[1, 2], moved=bad) for bad in (
        [True], [1, 0], ["true", "false"], [None, None], {"1": True}, "yes",
    )),
    *(search(experiment="canary:1", arm="control", fallback=bad) for bad in (
        1, ["error"], True, "\udfff", "f" * 201,
    )),
    *(search(shown=[1], **fields) for fields in (
        {"arm": "control"}, {"teams": ["both"]}, {"moved": [True]}, {"fallback": "error"},
    )),
    *(search(session=bad) for bad in ([], {}, 1.5, True, "\ud800")),
    *(search(client=bad) for bad in ([1], {"a": 1}, 0.1, False)),
    *(search(type=bad) for bad in ("Search", "DROP", 1, [], {})),
]  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    without(event(), "query_id"),
    without(event(), "action"),
    without(event(), "point"),
    *(event(query_id=bad) for bad in (None, "", [], 1.5, True, "\ud800", "q" * 70_000)),
    *(event(action=bad) for bad in (None, "", 1, [], {}, True, "\udc00", "a" * 70_000)),
    *(event(point=bad) for bad in (
        None, "", [], {}, True, 1.5, 4, -1, -(2**63), 2**63, 2**64, 10**400, 1e308,
        float("nan"), float("inf"), "four", "1 or 1=1", "1'; --", '1" or ""=="', "../1",
        "/etc/passwd", "%00", "1]) or id not in [0", "\\", '\\"', "`", "\u202e",
        "\u0000", "\ud800", "1\n2", "\u0661", "0x1", "1e0", "x" * 65_536, "'" * 30_000, "null",
        '{"$gt": 0}', "${jndi:ldap://x}",
    )),
    *(event(position=bad) for bad in (
        -1, 1.5, "1.5", True, [], {}, float("inf"), 10**7, 10**400, "top",
    )),
    *(event(grade=bad) for bad in (
        "high", [], {}, float("inf"), -float("inf"), 1e7, -1e7, 10**400,
    )),
    *(event(time=bad) for bad in ("now", -5, 1e21, [], True, "0000-00-00", float("-inf"))),
    *(event(session=bad) for bad in ([], 1.5, {"a": 1}, True)),
    *(event(client=bad) for bad in ([], 1.5, {"a": 1}, True)),
    *(event(type=bad) for bad in ("search", "delete", 0, [])),
    without(event(event_attributes={"object": {"object_id": []}}), "point"),
    without(event(event_attributes={"object": 5}), "point"),
    without(event(event_attributes=[1]), "point"),
    event(event_attributes={"position": {"ordinal": "first"}}),
]  # fmt: skip
TEXTS: list[bytes] = [
    b"{", b"}", b"[]", b"[1, 2]", b"null", b"1", b'"q1"', b"{]", b"{'query_id': 'q1'}", b"{,}",
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b'{"query_id": "\xff"}', b'{"a":' * 5000, b"[" * 100_000,
    b'{"query_id": "q1", "query_vector": [1,2,3,', b"q1 0 1 1", b"q1,click,1", b"NaN", b"Infinity",
    b'{"query_id": NaN, "action": "click", "point": 1}', b"\x80\x04\x95.", b"cos\nsystem\n",
    b'{"query_id": "q1", "query_vector": ' + b"9" * 5000 + b"}",
    b'{"query_id": "q1", "action": "click", "point": ' + b"1" * 5000 + b"}",
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>",
    b"--- !!python/none",
]  # fmt: skip
ROWS = [json.dumps(row).encode() for row in [*SEARCHES, *EVENTS]] + TEXTS
GOOD = [json.dumps(search(query_id="good")).encode(), json.dumps(event(query_id="good")).encode()]


def import_lines(path: Path, lines: list[bytes], destination: Destination, **options: Any):
    path.write_bytes(b"\n".join(lines) + b"\n")
    return import_rows([open_json_lines(path)], destination, **options)


def test_the_corpus_is_large():
    assert len(ROWS) >= 200
    assert len(set(ROWS)) == len(ROWS)


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_bad_row_is_named_and_stops_nothing(tmp_path, number):
    destination, rejects = make_destination(), tmp_path / "rejects.jsonl"
    bad = [line for line in ROWS[number].split(b"\n") if line]
    lines = [GOOD[0], *bad, GOOD[1]]
    report = import_lines(tmp_path / "rows", lines, destination, rejects_path=rejects)
    assert (report.accepted, report.rejected) == (2, len(bad))
    assert [len(found) for found in report.lines.values()] == list(report.reasons.values())
    assert all(name.startswith(str(tmp_path / "rows")) for s in report.lines.values() for name in s)
    refused = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert [entry["line"] for entry in refused] == list(range(2, 2 + len(bad)))
    assert (destination.queries.count(), destination.events.count()) == (1, 1)


def test_all_of_them_at_once_and_strictly(tmp_path):
    destination = make_destination()
    lines = [line for row in ROWS for line in row.split(b"\n") if line]
    report = import_lines(tmp_path / "rows", [*GOOD, *lines], destination)
    assert (report.accepted, report.rejected) == (2, len(lines))
    json.dumps(report.summary())
    strict = make_destination()
    with pytest.raises(RowsRefused):
        import_lines(tmp_path / "rows", [*GOOD, *lines], strict, strict=True)
    assert (strict.queries.count(), strict.events.count()) == (0, 0)


@pytest.mark.parametrize("point", ["a'b", 'a"b', "\u202e", "x" * 30_000 * 2][:3])
def test_odd_ids_that_do_exist_are_taken(tmp_path, point):
    destination = make_destination(integers=False)
    report = import_lines(tmp_path / "rows", [json.dumps(event(point=point)).encode()], destination)
    assert report.accepted == 1


def test_an_endless_line_is_one_bad_row(tmp_path):
    destination = make_destination()
    report = import_lines(tmp_path / "rows", [b" " * (17 * 2**20), *GOOD], destination)
    assert (report.accepted, dict(report.reasons)) == (2, {"too large": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = sorted({*search(), *event(), "time", "shown", "session", "client", "grade", "position",
                 "type", "propensities", "event_attributes", "text", "object_id",
                 "experiment", "arm", "teams", "moved", "fallback"})  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8)
        | st.builds(lambda name, value: search(**{name: value}), st.sampled_from(FIELDS), JSON)
        | st.builds(lambda name, value: event(**{name: value}), st.sampled_from(FIELDS), JSON),
        max_size=6,
    )
)
def test_any_json_is_taken_or_named(tmp_path, rows):
    destination = make_destination()
    report = import_lines(
        tmp_path / "rows", [json.dumps(row).encode() for row in rows], destination
    )
    assert report.rows == len(rows)
    assert report.accepted + report.rejected + report.left_out.total() >= len(rows)
    read_judgements(
        destination.queries, destination.events, FeedbackSettings(min_sessions=1), DIMENSION
    )
    again = import_lines(tmp_path / "rows", [json.dumps(row).encode() for row in rows], destination)
    assert again.unchanged == again.accepted == report.accepted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=st.binary(max_size=200))
def test_any_bytes_are_rows_or_named(tmp_path, content):
    path = tmp_path / "rows"
    path.write_bytes(content)
    import_rows([open_json_lines(path)], make_destination())


@pytest.mark.parametrize("number", range(len(BROKEN_ARRAYS)))
def test_a_vector_file_that_is_none(tmp_path, number):
    vectors, ids, answers = (tmp_path / name for name in ("v.npy", "ids.txt", "qrels.txt"))
    vectors.write_bytes(BROKEN_ARRAYS[number])
    ids.write_text("q1\nq2\n", encoding="utf-8")
    answers.write_text("q1 0 1 1\n", encoding="utf-8")
    destination = make_destination()
    with pytest.raises(InputError):
        import_rows([open_qrels(answers, QueryVectorFiles(vectors, ids))], destination)
    assert destination.queries.count() == 0


QRELS = [
    b"q1", b"q1 0", b"q1 0 1", b"q1 0 1 1 1", b"q1 0 1 high", b"q1 0 1 inf",
    b"q1 0 1 1e999", b"q9 0 1 1", b"q1 0 99 1", b"\xff 0 1 1", b"q1\t\t1\t", b"q1 0 '1' 1",
    b"q1 0 ../1 1", b"q1 0 1 1_0e_3_", b"q1 0 \xe2\x80\xae 1", b"\x00 0 1 1", b"q1 0 1 0x10",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(QRELS)))
def test_a_bad_line_of_qrels(tmp_path, number):
    vectors, ids, answers = (tmp_path / name for name in ("v.npy", "ids.txt", "qrels.txt"))
    np.save(vectors, np.array([VECTOR, VECTOR[::-1]], np.float32))
    ids.write_text("q1\nq2\n", encoding="utf-8")
    answers.write_bytes(b"q1 0 1 1\n" + QRELS[number] + b"\nq2 0 2 1\n")
    report = import_rows([open_qrels(answers, QueryVectorFiles(vectors, ids))], make_destination())
    assert (report.searches, report.events, report.rejected) == (2, 2, 1)


DOCUMENTS: list[Any] = [
    {},
    {"query_id": "q1"},
    {"action_name": "click"},
    {"query_id": 1, "action_name": "click", "object_id": 1},
    {"query_id": "q1", "action_name": ["click"], "object_id": 1},
    {"query_id": "q1", "action_name": "click", "object_id": None},
    {"query_id": "q1", "action_name": "click", "object_id": [1]},
    {"query_id": "q1", "action_name": "click", "object_id": True},
    {"query_id": "q1", "action_name": "click", "object_id": {"a": 1}},
    {"query_id": "q1", "action_name": "click", "object_id": 1, "position": "first"},
    {"query_id": "q1", "action_name": "click", "object_id": 1, "position": 2**40},
    {"query_id": "q1", "action_name": "click", "object_id": 1, "position": -1},
    {"query_id": "q1", "action_name": "relevant", "object_id": 1, "grade": "high"},
    {"query_id": "q1", "action_name": "relevant", "object_id": 1, "grade": 1e300},
    {"query_id": "q1", "action_name": "click", "object_id": 1, "timestamp": "now"},
    {"query_id": "q1", "action_name": "click", "object_id": 1, "timestamp": -1e300},
    {"query_id": "q1", "action_name": "click", "object_id": 1, "session_id": None},
    {"query_id": "q1", "action_name": "click", "object_id": 1, "client_id": ["a"]},
    {"shown": "1,2", "query_id": "q1"},
    {"shown": [None], "query_id": "q1"},
    {"shown": [{}], "query_id": "q1"},
    {"shown": {"1": 2}, "query_id": "q1"},
    {"timestamp": {}, "query_id": "q1"},
    {"session_id": 4, "query_id": "q1"},
]


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_a_stored_record_of_another_shape_is_left_out_and_counted(number):
    destination = make_destination()
    vector = np.array(VECTOR, np.float32)
    destination.queries.put([Record("bad", DOCUMENTS[number], vector)])
    destination.events.put([Record("bad", DOCUMENTS[number])])
    good = {"query_id": "good", "action_name": "relevant", "object_id": 2}
    destination.queries.put([Record("good", {"query_id": "good"}, vector)])
    destination.events.put([Record("good", good)])
    found = read_judgements(
        destination.queries, destination.events, CollectionSettings().feedback, DIMENSION
    )
    assert (found.query_ids, found.point_ids) == (["good"], [2])
    assert found.funnel[0].name == "records"
    assert found.funnel[0].removed in {1, 2}
    log = load_log(destination.queries, destination.events, FeedbackSettings(), DIMENSION)
    summarise_log(log, FeedbackSettings(), 10).summary()


VECTORS: list[Callable[[], Any]] = [
    lambda: np.full(DIMENSION, np.nan, np.float32),
    lambda: np.full(DIMENSION, np.inf, np.float32),
    lambda: np.zeros(DIMENSION, np.float32),
    lambda: np.full(DIMENSION, 1e-45, np.float32),
    lambda: np.full(DIMENSION, 3e38, np.float32),
    lambda: None,
]


@pytest.mark.parametrize("number", range(len(VECTORS)))
def test_a_stored_query_without_direction_is_left_out(number):
    destination = make_destination()
    good_vector = np.ones(DIMENSION, np.float32)
    destination.queries.put([Record("q", {"query_id": "q"}, good_vector)])
    # Past `put`, which refuses a vector that is not finite: another program wrote it.
    stored = destination.queries._records()
    stored["q"] = (stored["q"][0], VECTORS[number]())
    destination.events.put(
        [Record("e", {"query_id": "q", "action_name": "relevant", "object_id": 2})]
    )
    found = read_judgements(destination.queries, destination.events, FeedbackSettings(), DIMENSION)
    assert np.isfinite(found.query_vectors).all()
    assert len(found) in {0, 1}
