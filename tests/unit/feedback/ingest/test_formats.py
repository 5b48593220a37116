"""Files that can be read only once."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.embedding import Embedder, embed_source
from nudge_sync.feedback.ingest.formats import open_json_lines, open_source
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.qrels import open_qrels
from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles, join_query_vectors
from nudge_sync.feedback.ingest.tables import open_csv

DIMENSION = 4
SEARCH = json.dumps({"query_id": "q1", "query_vector": [1, 0, 0, 0]})
EVENT = json.dumps({"query_id": "q1", "action": "click", "point": 7})


@pytest.fixture
def destination(new_records, ids_only) -> Destination:
    return Destination(new_records(), new_records(), ids_only(range(10), DIMENSION))


@pytest.fixture
def piped() -> Iterator[Callable[..., Path]]:
    """Lines that wait in a pipe whose other end is closed."""
    with ExitStack() as stack:

        def made(*lines: str) -> Path:
            out, into = os.pipe()
            stack.callback(os.close, out)
            os.write(into, "".join(line + "\n" for line in lines).encode())
            os.close(into)
            return Path(f"/dev/fd/{out}")

        yield made


@pytest.fixture
def queries(tmp_path) -> QueryVectorFiles:
    np.save(tmp_path / "q.npy", np.eye(1, DIMENSION, dtype=np.float32))
    (tmp_path / "q.txt").write_text("q1\n", encoding="utf-8")
    return QueryVectorFiles(tmp_path / "q.npy", tmp_path / "q.txt")


def test_json_lines_and_csv_are_stored_as_they_come(destination, piped):
    sources = [
        open_json_lines(piped(SEARCH, EVENT)),
        open_csv(piped("query_id,action,point", "q1,click,8", "q1,click,9")),
    ]
    report = import_rows(sources, destination)
    assert (report.searches, report.events, report.rejected) == (1, 3, 0)


def test_labels_and_tables_of_events_too(destination, piped, queries):
    report = import_rows([open_qrels(piped("q1 0 7 1"), queries)], destination)
    assert (report.searches, report.events) == (1, 1)
    report = import_rows([join_query_vectors([piped(EVENT)], queries)], destination)
    assert report.events == 1


def test_nothing_is_taken_where_it_would_be_read_twice(destination, piped):
    pipe = piped(SEARCH, EVENT)
    model = Embedder("model:embed", np.ones)
    for source in (open_json_lines(pipe), embed_source(open_csv(pipe), model)):
        with pytest.raises(InputError, match="save it to a file first"):
            import_rows([source], destination, strict=True)
    assert import_rows([open_json_lines(pipe)], destination).accepted == 2


def test_parquet_is_refused(tmp_path, destination, piped):
    (tmp_path / "f.parquet").symlink_to(piped("PAR1"))
    with pytest.raises(InputError, match="save it to a file first"):
        import_rows([open_source(tmp_path / "f.parquet")], destination)


@pytest.mark.parametrize("piped_file", ["vectors", "ids"])
def test_query_vectors_and_ids_are_refused(tmp_path, destination, piped, queries, piped_file):
    content = getattr(queries, piped_file).read_bytes().decode("latin-1")
    query_files = replace(queries, **{piped_file: piped(content)})
    (tmp_path / "qrels").write_text("q1 0 7 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="save it to a file first"):
        import_rows([open_qrels(tmp_path / "qrels", query_files)], destination)
    assert not destination.queries.kept
