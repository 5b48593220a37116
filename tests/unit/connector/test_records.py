"""Which records may be stored, and which ones a `where` or a swap is about."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.connector import Record
from nudge_sync.connector.records import check_records, has_generation, is_match
from nudge_sync.errors import InputError


@pytest.mark.parametrize(
    "record",
    [
        Record("", {}),
        Record("a", {}, np.zeros(3, np.float32)),
        Record("a", {}, np.array([1, np.inf], np.float32)),
    ],
)
def test_records_that_cannot_be_stored(record):
    with pytest.raises(InputError):
        check_records([record], 2)


def test_a_vector_needs_a_dimension():
    with pytest.raises(InputError, match="0 finite numbers"):
        check_records([Record("a", {}, np.empty(0, np.float32))], 0)


def test_of_the_same_key_the_last_record_is_stored():
    records = [Record("a", {"n": 1}), Record("b", {}), Record("a", {"n": 2})]
    assert check_records(records, 2) == [Record("a", {"n": 2}), Record("b", {})]


@pytest.mark.parametrize(
    ("stored", "expected", "goes_on"),
    [
        ([], None, True),
        ([], 1, False),
        ([{"generation": 1}], 1, True),
        ([{"generation": 1}], 2, False),
        ([{"generation": 1}], None, False),
        ([{}], None, False),
        ([{}], 0, False),
        ([{"generation": "1"}], 1, False),
    ],
)
def test_when_a_swap_goes_on(stored, expected, goes_on):
    records = [Record("lease", document) for document in stored]
    assert has_generation(records, expected) is goes_on


@pytest.mark.parametrize(
    ("value", "wanted", "matches"),
    [
        ("x", "x", True),
        ("x", "X", False),
        (1, 1.0, True),
        (1, True, False),
        (True, 1, False),
        (False, False, True),
        (3, (3, 4), True),
        (4, (3, 4), False),
        (True, (0, 2), False),
        ("3", (3, 4), False),
        (None, "x", False),
        ([1], 1, False),
    ],
)
def test_what_a_where_matches(value, wanted, matches):
    assert is_match({"field": value}, {"field": wanted}) is matches
    assert is_match({"field": value, "other": 1}, {"field": wanted, "other": 2}) is False


def test_a_field_that_is_absent_matches_nothing_and_an_empty_where_everything():
    assert not is_match({}, {"field": "x"})
    assert is_match({}, {})
