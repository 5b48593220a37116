"""Files of lines, and pipes that can be read only once."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.rows import embed_source
from nudge_sync.feedback.ingest.formats import open_json_lines, open_source
from nudge_sync.feedback.ingest.importer import import_rows
from nudge_sync.feedback.ingest.qrels import open_qrels
from nudge_sync.feedback.ingest.query_vectors import join_query_vectors
from nudge_sync.feedback.ingest.text_files import (
    MAX_LINE_BYTES,
    count_lines,
    open_stream,
    read_lines,
)
from tests.support.feedback_files import write_lines

SEARCH_LINE = json.dumps({"query_id": "q1", "query_vector": [1, 0, 0, 0]})
EVENT_LINE = json.dumps({"query_id": "q1", "action": "click", "point": 7})


@pytest.fixture
def piped() -> Iterator[Callable[..., Path]]:
    """Lines that wait in a pipe whose other end is closed."""
    with ExitStack() as stack:

        def make_pipe(*lines: str) -> Path:
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            os.write(writer, "".join(line + "\n" for line in lines).encode())
            os.close(writer)
            return Path(f"/dev/fd/{reader}")

        yield make_pipe


def test_bytes_that_are_not_utf8(tmp_path, destination):
    path = tmp_path / "f"
    path.write_bytes(b'\xef\xbb\xbf{"query_id": 5, "query_vector": [1, 0, 0, 0]}\r\n\xff\xfe\n\n')
    report = import_rows([open_json_lines(path)], destination)
    assert report.reasons == {"not UTF-8": 1}
    assert list(destination.queries.kept) == ["5"]


def test_json_lines_and_csv_are_stored_as_they_come(destination, piped):
    sources = [
        open_json_lines(piped(SEARCH_LINE, EVENT_LINE)),
        open_source(piped("query_id,action,point", "q1,click,8", "q1,click,9")),
    ]
    report = import_rows(sources, destination)
    assert (report.searches, report.events, report.rejected) == (1, 3, 0)


def test_labels_and_tables_of_events_too(destination, piped, query_files):
    report = import_rows([open_qrels(piped("q1 0 7 1"), query_files)], destination)
    assert (report.searches, report.events) == (1, 1)
    events = open_source(piped(EVENT_LINE))
    report = import_rows([join_query_vectors([events], query_files)], destination)
    assert report.events == 1


def test_nothing_is_taken_where_it_would_be_read_twice(destination, piped):
    pipe = piped(SEARCH_LINE, EVENT_LINE)
    model = Embedder("model:embed", np.ones)
    for source in (open_json_lines(pipe), embed_source(open_source(pipe), model)):
        with pytest.raises(InputError, match="save it to a file first"):
            import_rows([source], destination, strict=True)
    assert import_rows([open_json_lines(pipe)], destination).accepted == 2


def test_parquet_is_refused(tmp_path, destination, piped):
    (tmp_path / "f.parquet").symlink_to(piped("PAR1"))
    with pytest.raises(InputError, match="save it to a file first"):
        import_rows([open_source(tmp_path / "f.parquet")], destination)


@pytest.mark.parametrize("piped_file", ["vectors", "ids"])
def test_query_vectors_and_ids_are_refused(tmp_path, destination, piped, query_files, piped_file):
    content = getattr(query_files, piped_file).read_bytes().decode("latin-1")
    query_files = replace(query_files, **{piped_file: piped(content)})
    (tmp_path / "qrels").write_text("q1 0 7 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="save it to a file first"):
        import_rows([open_qrels(tmp_path / "qrels", query_files)], destination)
    assert not destination.queries.kept


def test_the_lines_of_a_pipe_are_not_counted_and_those_of_a_file_are(tmp_path, piped):
    assert count_lines(piped("a", "b")) == 0
    assert count_lines(write_lines(tmp_path / "f", "a", "", "b")) == 3
    with pytest.raises(InputError, match="No such file"):
        count_lines(tmp_path / "absent")


def test_a_line_that_is_too_long_is_skipped_to_its_end(tmp_path):
    path = write_lines(tmp_path / "f", "x" * (2 * MAX_LINE_BYTES), "next")
    with open_stream(path) as stream:
        [(_, refused), (number, text)] = read_lines(stream)
    assert (refused.reason, number, text) == ("too large", 2, "next")


def test_a_compressed_file_is_read_as_it_was(tmp_path, destination):
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(gzip.compress(f"{SEARCH_LINE}\n{EVENT_LINE}\n".encode()))
    report = import_rows([open_source(path)], destination, strict=True)
    assert (report.searches, report.events, count_lines(path)) == (1, 1, 0)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"f\.jsonl\.gz"):
        import_rows([open_source(path)], destination)
