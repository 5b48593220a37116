"""JSON that is no lines."""

import io
import json

import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers import json_documents
from nudge_sync.feedback.ingest.readers.json_documents import read_json_documents
from nudge_sync.feedback.schema.values import BadRow


def to_stream(text: str) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(text.encode()))


def read(text: str) -> list:
    return [row.content for row in read_json_documents(to_stream(text))]


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


def test_a_mistake_ends_the_reading_where_it_stands():
    good, wrong = '{"query_id": "q1"},\n', '{"query_id": "q2" "text": "no comma"},\n'
    stream = to_stream("[" + good + wrong + good * 500_000 + "]")
    with pytest.raises(InputError, match=r"after row 1 .*Expecting ',' delimiter"):
        list(read_json_documents(stream))
    assert stream.tell() < 1_000_000


HARD_TO_CUT = (
    r'{"query_id": "\ud83d\ude00\n\"", '
    '"b": [-12.5e-7, true, null, NaN, -Infinity, {}, ""], "c" : 0.5}'
)


@pytest.mark.parametrize("part_size", range(1, len(HARD_TO_CUT)))
def test_a_value_may_be_cut_off_anywhere(monkeypatch: pytest.MonkeyPatch, part_size: int):
    monkeypatch.setattr(json_documents, "_PART_SIZE", part_size)
    expected = json.loads(f"[{HARD_TO_CUT}, {HARD_TO_CUT}]")
    assert repr(read(f"[{HARD_TO_CUT}, {HARD_TO_CUT}]")) == repr(expected)
