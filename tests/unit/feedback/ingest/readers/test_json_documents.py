"""JSON that is no lines."""

import io
import json

import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers.json_documents import read_json_documents
from nudge_sync.feedback.schema.values import BadRow


def read(text: str) -> list:
    stream = io.BufferedReader(io.BytesIO(text.encode()))
    return [row.content for row in read_json_documents(stream)]


ROWS = [{"query_id": str(number), "text": "x" * 50} for number in range(20_000)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=1),
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        json.dumps({"rows": ROWS}),
        "\ufeff" + json.dumps(ROWS[:10_000]) + "\n" + json.dumps(ROWS[10_000:]),
    ],
)
def test_rows_are_read_however_they_are_laid_out(text):
    assert read(text) == ROWS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"query_id": "q1"}, {"query_id"', "after row 1"),
        ('[{"query_id": "q1"}', "does not end; it has 1 rows"),
        ('{\n"query_id": "q1"\n', "after row 0"),
        ('{"model": "m", "version": 3}', "unknown shape, with the keys model, version"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_document_that_cannot_be_read_is_named(text, message):
    with pytest.raises(InputError, match=message):
        read(text)


def test_an_entry_that_is_no_object_is_a_bad_row():
    first, second = read('[1, {"query_id": "q1"}]')
    assert isinstance(first, BadRow)
    assert second == {"query_id": "q1"}
