"""Moments, numbers and lists of ids, however written."""

import pytest

from nudge_sync.feedback.schema.values import (
    BadRow,
    parse_grade,
    parse_list,
    parse_point_ids,
    parse_position,
    parse_query_id,
    parse_timestamp,
)

MOMENTS = [
    1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000,
    "1700000000", "1700000000.0", "1700000000000", "2023-11-14T22:13:20Z",
    "2023-11-14 22:13:20 UTC", "2023-11-14T22:13:20.000000000Z", "2023-11-14 22:13:20+00",
    "2023-11-14T23:13:20+0100", "2023/11/14 22:13:20", "20231114221320",
    "Tue, 14 Nov 2023 22:13:20 GMT", "14/Nov/2023:22:13:20 +0000", "2023-11-14 22:13:20,000",
]  # fmt: skip


@pytest.mark.parametrize("value", MOMENTS)
def test_one_moment_in_many_spellings(value):
    assert parse_timestamp(value) == 1_700_000_000.0


@pytest.mark.parametrize("value", ["noon", "12:00", "14/11/2023", "99999999999999999999", True, -1])
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(BadRow, match="unparsable time"):
        parse_timestamp(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3.0),
        ("2,5", 2.5),
        (" 2.5 ", 2.5),
        (True, 1.0),
        ("1e1", 10.0),
        ("-1", -1.0),
        (None, None),
    ],
)
def test_grades(value, expected):
    assert parse_grade(value) == expected


@pytest.mark.parametrize("value", ["good", "1_0", "0x1", "", "inf", [1]])
def test_what_is_no_grade_is_refused(value):
    with pytest.raises(BadRow):
        parse_grade(value)


def test_positions_and_query_ids():
    assert (parse_position("2"), parse_position(2.0), parse_position("2.0")) == (2, 2, 2)
    assert parse_position(0, first=0) == 0
    assert (parse_query_id(7.0), parse_query_id(7), parse_query_id("7.0")) == ("7", "7", "7.0")
    for bad in (0, "0", 1.5, "1.5", True, 10**400):
        with pytest.raises(BadRow):
            parse_position(bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", [1, 2]),
        ("['a', 'b']", ["a", "b"]),
        ("[1 2 3]", [1, 2, 3]),
        ("{b,a}", ["b", "a"]),
        ("1|2", ["1", "2"]),
        ("1, 2", ["1", "2"]),
        ("7", ["7"]),
        ("[]", []),
        ("{}", [{}]),
    ],
)
def test_lists_as_text(text, expected):
    assert parse_list(text) == expected


@pytest.mark.parametrize("text", ["[1, 2", "[[1, 2] 3]", "[" * 100_000])
def test_half_a_list_is_refused(text):
    with pytest.raises(BadRow, match="not JSON"):
        parse_list(text)


def test_points_may_be_objects():
    assert parse_point_ids([{"id": 1, "score": 0.5}, {"doc_id": "b"}], "shown") == (1, "b")
    for bad in (5, [None], [{}], [[1]], {"1": 2}):
        with pytest.raises(BadRow):
            parse_point_ids(bad, "shown")
