"""Numbers and lists of ids, however written."""

import pytest

from nudge_sync.feedback.schema.values import (
    BadRow,
    parse_grade,
    parse_id_list,
    parse_list,
    parse_point_ids,
    parse_position,
    parse_query_id,
)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[007, 12e4, 3f2a]", ["007", "12e4", "3f2a"]),
        ("{007,12e4,3f2a}", ["007", "12e4", "3f2a"]),
        ("[12e4, 5, 7.0, 1.50]", ["12e4", 5, 7, "1.50"]),
        ("[1_000, 0x1f]", ["1_000", "0x1f"]),
        ('["007", "12e4"]', ["007", "12e4"]),
        ("['007', '12e4']", ["007", "12e4"]),
        ("[1, 2]", [1, 2]),
        ("[1 2 3]", [1, 2, 3]),
        ("(1, -2)", [1, -2]),
        ("[1, null]", [1, None]),
        ("[1, None]", [1, None]),
        ("1|2", ["1", "2"]),
        ("[]", []),
    ],
)
def test_ids_in_a_text_stay_as_they_are_written(text, expected):
    assert parse_id_list(text) == expected


@pytest.mark.parametrize("bracketed", ["[{}]", "[{} x]", "{{{}}}"])
def test_digits_that_python_makes_no_integer_of_are_an_id_of_their_own(bracketed):
    digits = "9" * 5000
    assert parse_id_list(bracketed.format(digits))[0] == digits


@pytest.mark.parametrize("text", ["[1, 2", "[[1, 2] 3]", "[" * 100_000])
def test_half_a_list_is_refused(text):
    with pytest.raises(BadRow, match="not JSON"):
        parse_list(text)


def test_points_may_be_objects():
    assert parse_point_ids([{"id": 1, "score": 0.5}, {"doc_id": "b"}], "shown") == (1, "b")
    for bad in (5, [None], [{}], [[1]], {"1": 2}):
        with pytest.raises(BadRow):
            parse_point_ids(bad, "shown")
