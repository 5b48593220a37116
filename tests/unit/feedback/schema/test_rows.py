"""Rows that are parsed, and rows that are refused and why."""

import json
import re
from time import time

import numpy as np
import pytest

from nudge_sync.feedback.schema.fields import normalise_row
from nudge_sync.feedback.schema.moments import parse_timestamp
from nudge_sync.feedback.schema.rows import (
    is_search_without_vector,
    parse_json_row,
    parse_row,
    parse_storable_row,
)
from nudge_sync.feedback.schema.values import MAX_GRADE, MAX_POSITION, BadRow
from nudge_sync.store.schema import LAST_MOMENT
from tests.support.feedback_files import DIMENSION, EVENT, SEARCH

BAD_ROWS = {
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
    "point too large": ("unknown point", EVENT | {"point": 2**70}),
    "point of wrong type": ("wrong type", EVENT | {"point": {"a": 1}}),
    "point a fraction": ("wrong type", EVENT | {"point": 1.5}),
    "position zero": ("out of range", EVENT | {"position": 0}),
    "position too large": ("out of range", EVENT | {"position": MAX_POSITION + 1}),
    "position text": ("wrong type", EVENT | {"position": "first"}),
    "position nan": ("wrong type", EVENT | {"position": float("nan")}),
    "grade nan": ("out of range", EVENT | {"grade": float("nan")}),
    "grade huge": ("out of range", EVENT | {"grade": 1e300}),
    "grade a huge integer": ("out of range", EVENT | {"grade": 10**400}),
    "grade text": ("wrong type", EVENT | {"grade": "good"}),
    "session a list": ("wrong type", EVENT | {"session": [1]}),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_refused_for_a_reason(name):
    reason, bad = BAD_ROWS[name]
    text = bad if isinstance(bad, str) else json.dumps(bad)
    with pytest.raises(BadRow) as refusal:
        parse_storable_row(parse_json_row(text), DIMENSION)
    assert refusal.value.reason == reason


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
def test_times(when, expected):
    assert parse_storable_row(SEARCH | {"time": when}, DIMENSION).timestamp == expected


def test_a_timestamp_ends_with_the_year_9999():
    assert parse_timestamp("9999-12-31T23:59:59Z") == LAST_MOMENT / 1000 - 1
    assert parse_timestamp(LAST_MOMENT - 1) < LAST_MOMENT / 1000
    with pytest.raises(BadRow, match="outside the years 1970 to 9999"):
        parse_timestamp(LAST_MOMENT * 1_000_000)


def test_what_is_dated_in_the_future_is_refused_and_says_so():
    soon = parse_storable_row(SEARCH | {"time": time() + 3600}, DIMENSION)
    assert soon.timestamp > time()
    with pytest.raises(BadRow, match="more than a day ahead"):
        parse_storable_row(SEARCH | {"time": time() + 48 * 3600}, DIMENSION)


def test_positions_and_grades_have_bounds_of_their_own():
    event = parse_storable_row(EVENT | {"position": MAX_POSITION, "grade": -MAX_GRADE}, DIMENSION)
    assert (event.position, event.grade) == (MAX_POSITION, -MAX_GRADE)


def test_an_array_of_one_vector_is_named_by_its_shape():
    with pytest.raises(BadRow, match=re.escape("shape (1, 4), the collection has 4")):
        parse_storable_row(SEARCH | {"query_vector": np.ones((1, 4))}, DIMENSION)


def test_what_is_too_large_is_counted_as_it_is_stored():
    row = SEARCH | {"text": "é" * 10_001}
    with pytest.raises(BadRow, match=r"60000 bytes of JSON .* outside ASCII takes 6"):
        parse_storable_row(row, DIMENSION)
    assert parse_row(row, DIMENSION).text == row["text"]


def test_ubi_words():
    row = {
        "query_id": "q1",
        "action_name": "click",
        "client_id": "c",
        "timestamp": "2024-01-01T00:00:00Z",
        "event_attributes": {"object": {"object_id": "7"}, "position": {"ordinal": 3}},
    }
    event = parse_storable_row(normalise_row(row), DIMENSION)
    assert (event.object_id, event.position, event.client_id) == ("7", 3, "c")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"query_id": "a", "text": "wings"}, True),
        ({"type": "search", "query_id": "a"}, True),
        (SEARCH, False),
        (EVENT, False),
        ({"type": "event", "query_id": "a"}, False),
    ],
)
def test_a_search_without_a_vector_is_recognised(row, expected):
    assert is_search_without_vector(row) == expected
