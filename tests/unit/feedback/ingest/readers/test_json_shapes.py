"""Tables in JSON, and what is a row and no document."""

import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers.json_shapes import expand_document, name_shape

ROWS = [{"query_id": "q1", "point": 4}, {"query_id": "q2", "point": 5}]
TABLES = {
    "by lists": {"query_id": ["q1", "q2"], "point": [4, 5]},
    "by row numbers": {"query_id": {"0": "q1", "1": "q2"}, "point": {"0": 4, "1": 5}},
    "split": {"columns": ["query_id", "point"], "index": [0, 1], "data": [["q1", 4], ["q2", 5]]},
    "wrapped": {"version": 1, "events": ROWS},
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_row_by_row(name):
    assert expand_document(TABLES[name]) == ROWS


@pytest.mark.parametrize(
    "row",
    [
        {"query_id": "q1", "shown": [1, 2]},
        {"query": {"id": "q1", "text": "a"}, "point": {"id": 4}},
        {"query_vector": [1, 0], "shown": [1, 2]},
        {"_source": {"query_id": "q1"}},
        {"event_attributes": {"object": {"object_id": 4}}, "query_id": "q1"},
    ],
)
def test_a_row_is_no_document(row):
    assert name_shape(row) is None
    assert expand_document(row) is None


@pytest.mark.parametrize("document", [{}, {"model": "m"}, {"q1": {"d1": 0.5}}, {"data": []}])
def test_what_is_unknown_is_named(document):
    with pytest.raises(InputError, match="unknown shape"):
        expand_document(document)
