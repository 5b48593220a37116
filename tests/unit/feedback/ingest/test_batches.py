"""Batches of rows as an application sends them."""

from time import time

import pytest

from nudge_sync.errors import Unreachable
from nudge_sync.feedback.ingest.batches import BatchImporter, parse_body
from nudge_sync.feedback.ingest.importer import RowsRefused
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.store.target import open_target
from tests.support.feedback_store import create_docs_database

CLICK = {"query_id": "q1", "action": "click", "point": 1}


@pytest.fixture
def database():
    return create_docs_database()


def test_a_row_dated_in_the_future_is_refused(database):
    batches = BatchImporter(lambda: database, {"docs": ""})
    rows = [CLICK | {"time": time() + 3600}, CLICK | {"time": time() + 7 * 86_400}]
    report = batches.store("docs", "event", rows, partial=True)
    assert (report.accepted, report.reasons) == (1, {"unparsable time": 1})


def test_a_batch_is_stored_whole_or_not_at_all(database):
    batches = BatchImporter(lambda: database, {"docs": ""})
    with pytest.raises(RowsRefused) as refusal:
        batches.store("docs", "event", [CLICK, {"query_id": "q1"}], partial=False)
    assert [(row.line, bad.reason) for row, bad in refusal.value.report.refusals] == [
        (1, "missing field")
    ]
    assert open_target(database, "docs").events.count() == 0
    assert batches.store("docs", "event", [CLICK], partial=False).accepted == 1


def test_a_batch_waits_for_others_and_then_may_be_sent_again(database, monkeypatch):
    monkeypatch.setattr("nudge_sync.feedback.ingest.batches._LOCK_TIMEOUT", 0.01)
    batches = BatchImporter(lambda: database, {"docs": ""})
    with batches.lock, pytest.raises(Unreachable) as refusal:
        batches.store("docs", "event", [CLICK], partial=False)
    assert refusal.value.transient


@pytest.mark.parametrize(
    ("body", "rows"), [(b'[{"a": 1}, 2]', [{"a": 1}, 2]), (b'{"a": 1}', [{"a": 1}]), (b"[]", [])]
)
def test_a_body_is_one_row_or_a_list_of_them(body, rows):
    assert parse_body(body) == rows


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(body):
    with pytest.raises(BadRow, match="not JSON"):
        parse_body(body)
