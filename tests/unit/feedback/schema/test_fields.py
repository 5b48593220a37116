"""Spellings of fields, and rows brought under one name each."""

import pytest

from nudge_sync.feedback.schema.fields import find_field, normalise_row
from nudge_sync.feedback.schema.values import BadRow


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("query-id", "query_id"),
        ("QueryId", "query_id"),
        ("\ufeffquery_id", "query_id"),
        ("event_attributes.object.object_id", "point"),
        ("event_attributes_position_ordinal", "position"),
        ("Doc ID", "point"),
        ("@timestamp", "time"),
        ("_id", None),
        ("_score", None),
        ("", None),
        ("Unnamed: 0", None),
    ],
)
def test_a_name_is_known_in_many_spellings(name, field):
    assert find_field(name) == field


ROWS = {
    "nested": ({"query": {"id": "a", "text": "b"}}, {"query_id": "a", "text": "b"}),
    "better name": ({"object_id": 2, "point": 1}, {"point": 1}),
    "better name with a hole": ({"object_id": 2, "point": None}, {"point": 2}),
    "hole": ({"query_id": "a", "grade": float("nan")}, {"query_id": "a", "grade": None}),
    "text is no hole": ({"text": "null"}, {"text": "null"}),
    "unknown": ({"query_id": "a", "colour": "red"}, {"query_id": "a"}),
    "mongodb": (
        {"query_id": {"$oid": "a"}, "time": {"$date": "2026-01-01"}},
        {"query_id": "a", "time": "2026-01-01"},
    ),
    "mongodb, canonical": (
        {"query_id": "a", "time": {"$date": {"$numberLong": "1777626015000"}}},
        {"query_id": "a", "time": "1777626015000"},
    ),
    "score": ({"qid": "a", "docid": 1, "score": 2}, {"query_id": "a", "point": 1, "grade": 2}),
    "score of an action": (
        {"qid": "a", "docid": 1, "score": 2, "action": "click"},
        {"query_id": "a", "point": 1, "action": "click"},
    ),
    "label beside rank and score": (
        {"qid": "a", "docid": 1, "rank": 3, "score": 2, "label": 1},
        {"query_id": "a", "point": 1, "position": 3, "grade": 1},
    ),
    "relevant": (
        {"qid": "a", "docid": 1, "relevant": "yes"},
        {"query_id": "a", "point": 1, "grade": 1.0},
    ),
    "clicked": (
        {"qid": "a", "docid": 1, "clicked": 1},
        {"query_id": "a", "point": 1, "action": "click"},
    ),
    "not clicked": (
        {"qid": "a", "docid": 1, "clicked": False},
        {"query_id": "a", "point": 1, "not_clicked": True},
    ),
    "points clicked": ({"qid": "a", "clicked": 4}, {"query_id": "a", "clicked": [4]}),
    "two lists": (
        {"query_response_hit_ids": [1], "query_response_object_ids": [2]},
        {"shown": [2], "other_shown": [1]},
    ),
    "an empty list": (
        {"query_response_hit_ids": [1], "query_response_object_ids": []},
        {"shown": [1]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_brought_under_one_name_each(name):
    raw, expected = ROWS[name]
    assert normalise_row(raw) == expected
    assert normalise_row(dict(reversed(raw.items()))) == expected


def test_a_score_beside_a_rank_is_no_judgement():
    with pytest.raises(BadRow, match="no judgement"):
        normalise_row({"qid": "a", "docno": 1, "rank": 1, "score": 12.5})


def test_what_is_neither_a_list_nor_a_truth_is_refused():
    with pytest.raises(BadRow, match="relevant must be"):
        normalise_row({"qid": "a", "docid": 1, "relevant": {"a": 1}})
