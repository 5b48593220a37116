"""Stored records that are no searches or events are left out and counted."""

import pytest

from nudge_sync.connector import Record
from nudge_sync.feedback.log.validation import RecordValidator

EVENT = {"query_id": "q", "action_name": "click", "object_id": 1}


def validate(kind, *documents):
    """Return how many of the documents come through, checked alone and beside a good one."""
    validator = RecordValidator()
    check = validator.validate_events if kind == "event" else validator.validate_searches
    good = EVENT if kind == "event" else {}
    alone = len(check([Record("k", document) for document in documents]).timestamp)
    together = len(check([Record("k", document) for document in (*documents, good)]).timestamp)
    assert together == alone + 1
    assert validator.unreadable_records == 2 * (len(documents) - alone)
    return alone


@pytest.mark.parametrize(
    "change",
    [
        {"query_id": 1},
        {"action_name": None},
        {"object_id": True},
        {"object_id": 1.5},
        {"timestamp": -1},
        {"timestamp": float("nan")},
        {"timestamp": 253_402_300_800.0},
        {"timestamp": None},
        {"position": -1},
        {"position": 1.0},
        {"grade": "2"},
        {"grade": 1e7},
        {"session_id": None},
        {"client_id": 3},
    ],
)
def test_what_is_no_event_is_left_out_and_counted(change):
    assert validate("event", EVENT | change) == 0
    assert validate("event", EVENT) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"shown": "1"},
        {"shown": [1, None]},
        {"shown": (1,)},
        {"timestamp": "now"},
        {"vector_digest": 5},
        {"shown": [1, 2], "propensities": [0.5]},
        {"shown": [1], "propensities": [0]},
        {"shown": [1], "propensities": [1.5]},
        {"shown": [1], "propensities": [True]},
        {"shown": [1], "propensities": [float("nan")]},
        {"shown": [1], "propensities": ["0.5"]},
        {"shown": [1], "propensities": 0.5},
        {"propensities": [0.5]},
        ["no mapping"],
    ],
)
def test_what_is_no_search_is_left_out_and_counted(document):
    assert validate("search", document) == 0


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"shown": None, "propensities": None},
        {"shown": [1, "2"], "propensities": []},
        {"shown": [1, "2"], "propensities": [1, 0.25]},
    ],
)
def test_searches_come_through_with_and_without_propensities(document):
    assert validate("search", document) == 1
