"""Labels from files of their own, and from folders in the layout of BEIR and MTEB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nudge_sync.feedback.ingest.formats import open_labels, open_source
from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles, join_query_vectors
from nudge_sync.feedback.ingest.readers.folders import find_qrels_files, find_query_files
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.ingest.text_files import refuse_pipe
from nudge_sync.feedback.schema.rows import get_query_id
from nudge_sync.feedback.schema.values import BadRow

_UNKNOWN_QUERY = BadRow("unknown query", "no query with this id")


def open_qrels(qrels_file: Path, query_files: QueryVectorFiles) -> Source:
    """Return the labels in a file, and the queries that they name, with their vectors.

    The file is TREC qrels (query id, 0, document id, grade; the 0 may be left out), or a table or
    JSON with such fields. A label on a query that is not in `query_files` is a bad row. Reading
    raises InputError as `QueryVectorFiles.load` does, and if the labels cannot be read.
    """
    return _open_judged_queries([qrels_file], query_files)


def open_beir(folder: Path, query_files: QueryVectorFiles) -> Source:
    """Return the labels in every file below `qrels` of a BEIR or MTEB folder, and their queries.

    The files are read as `open_qrels` reads them. Raises InputError if there are none.
    """
    return _open_judged_queries(_find_labels(folder), query_files)


def open_beir_texts(folder: Path) -> Source:
    """Return the labels in every file below `qrels` of a BEIR or MTEB folder, and their queries.

    The queries come with their text from the files of queries, and without a vector.
    Raises InputError if there are no labels or no queries.
    """
    qrels_files = _find_labels(folder)
    query_files = find_query_files(folder)
    labels, queries = _open_all(qrels_files, open_labels), _open_all(query_files, open_source)

    def read_rows() -> Iterator[SourceRow]:
        judged_ids = _read_judged_ids(labels)
        known_ids = set()
        for row in queries.read_rows():
            query_id = _get_query_id(row)
            if isinstance(row.content, BadRow) or not query_id:
                yield row
            elif query_id in judged_ids:
                known_ids.add(query_id)
                yield replace(row, content={**row.content, "type": "search"}, is_incidental=True)
        yield from _refuse_unknown(labels, known_ids)

    files = (*query_files, *qrels_files)
    return Source(read_rows, lambda: queries.estimate_rows() + labels.estimate_rows(), files)


def _find_labels(folder: Path) -> list[Path]:
    files = find_qrels_files(folder)
    for path in files:
        refuse_pipe(path)
    return files


def _open_all(paths: Sequence[Path], open_file: Callable[[Path], Source]) -> Source:
    sources = list(map(open_file, paths))

    def read_rows() -> Iterator[SourceRow]:
        for source in sources:
            yield from source.read_rows()

    return Source(
        read_rows, lambda: sum(source.estimate_rows() for source in sources), tuple(paths)
    )


def _open_judged_queries(qrels_files: Sequence[Path], query_files: QueryVectorFiles) -> Source:
    return join_query_vectors(
        list(map(open_labels, qrels_files)), query_files, refuse_unknown_queries=True
    )


def _refuse_unknown(labels: Source, known_ids: set[str]) -> Iterator[SourceRow]:
    for row in labels.read_rows():
        query_id = _get_query_id(row)
        is_unknown = bool(query_id) and query_id not in known_ids
        yield replace(row, content=_UNKNOWN_QUERY) if is_unknown else row


def _read_judged_ids(labels: Source) -> set[str]:
    return {_get_query_id(row) for row in labels.read_rows()} - {""}


def _get_query_id(row: SourceRow) -> str:
    """Return the id of the query that a row is about, or "" where none can be read."""
    if not isinstance(row.content, Mapping):
        return ""
    try:
        return get_query_id(row.content)
    except BadRow:
        return ""
