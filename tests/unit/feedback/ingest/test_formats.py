"""Files read as what they hold, and JSON lines."""

import json

import pytest

from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.feedback.schema.values import BadRow
from tests.support.feedback_files import EVENT, write_lines, write_parquet


@pytest.mark.parametrize("name", ["f.csv", "F.CSV", "f.tsv", "f.parquet", "f.jsonl", "f", "f.txt"])
def test_a_file_is_read_as_what_it_holds(tmp_path, name):
    fields = {"query_id": "q1", "point": "7"}
    path = tmp_path / name
    if path.suffix == ".parquet":
        write_parquet(path, [fields])
    elif path.suffix.lower() in {".csv", ".tsv"}:
        write_lines(path, ",".join(fields), ",".join(fields.values()))
    else:
        write_lines(path, fields)
    [row] = open_source(path).read_rows()
    assert row.content == fields


def test_a_document_of_opensearch_is_unwrapped(tmp_path):
    lines = json.dumps({"_index": "ubi_events", "_source": EVENT}), "", "{"
    wrapped, broken = open_source(write_lines(tmp_path / "f", *lines)).read_rows()
    assert wrapped.content == EVENT
    assert isinstance(broken.content, BadRow)
    assert (broken.line, broken.raw) == (3, "{")
