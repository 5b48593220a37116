"""Judgements from TREC qrels and from BEIR folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import open_json_lines
from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles
from nudge_sync.feedback.ingest.sources import Source, SourceRow, build_judgement
from nudge_sync.feedback.ingest.text_files import count_lines, read_lines, refuse_pipe
from nudge_sync.feedback.schema.rows import BadRow

_COLUMN_COUNTS = (3, 4)


def open_qrels(qrels_file: Path, query_files: QueryVectorFiles) -> Source:
    """Return the judgements in TREC qrels, and the queries with their vectors.

    A line of qrels: query id, 0 (may be left out), document id, grade. A judgement of a query
    that is not in `query_files` is a bad row. Reading raises InputError as
    `QueryVectorFiles.load` does, and if the qrels cannot be read.
    """
    return _open_judged_queries([qrels_file], query_files)


def open_beir(folder: Path, query_files: QueryVectorFiles) -> Source:
    """Return the judgements in every `qrels/*.tsv` of a BEIR folder, and the queries.

    The files are read as `open_qrels` reads them. Raises InputError if there are none.
    """
    return _open_judged_queries(_find_qrels_files(folder), query_files)


def open_beir_texts(folder: Path) -> Source:
    """Return the judgements in every `qrels/*.tsv` of a BEIR folder, and the judged queries.

    The queries come with their text from `queries.jsonl`, and without a vector.
    Raises InputError if there are no qrels.
    """
    qrels_files, queries_file = _find_qrels_files(folder), folder / "queries.jsonl"

    def read_rows() -> Iterator[SourceRow]:
        judged_ids = {query_id for path in qrels_files for query_id in _read_judged_ids(path)}
        known_ids = set()
        for row in open_json_lines(queries_file).read_rows():
            query_id = None if isinstance(row.content, BadRow) else str(row.content.get("_id"))
            if query_id is None or isinstance(row.content, BadRow):
                yield row
            elif query_id in judged_ids:
                known_ids.add(query_id)
                search = {"type": "search", "query_id": query_id, "text": row.content.get("text")}
                yield replace(row, content=search, is_vector_only=True)
        for path in qrels_files:
            yield from _read_judgements(path, known_ids)

    files = (queries_file, *qrels_files)
    return Source(read_rows, lambda: sum(map(count_lines, files)), files)


def _find_qrels_files(folder: Path) -> list[Path]:
    qrels_files = sorted((folder / "qrels").glob("*.tsv"))
    if not qrels_files:
        raise InputError(f"{folder}: no qrels/*.tsv in this folder")
    for path in qrels_files:
        refuse_pipe(path)
    return qrels_files


def _read_judged_ids(path: Path) -> Iterator[str]:
    for _, text in read_lines(path):
        if not isinstance(text, BadRow):
            yield text.partition("\t")[0].strip()


def _open_judged_queries(qrels_files: Sequence[Path], query_files: QueryVectorFiles) -> Source:
    searches = query_files.open_searches()

    def read_rows() -> Iterator[SourceRow]:
        yield from searches.read_rows()
        known_ids = set(query_files.load()[0])
        for path in qrels_files:
            yield from _read_judgements(path, known_ids)

    def estimate_rows() -> int:
        return searches.estimate_rows() + sum(map(count_lines, qrels_files))

    return Source(read_rows, estimate_rows, (*searches.files, *qrels_files))


def _read_judgements(path: Path, known_ids: set[str]) -> Iterator[SourceRow]:
    for line, text in read_lines(path):
        if isinstance(text, BadRow):
            yield SourceRow(str(path), line, text.detail, text)
        elif text.strip() and not (line == 1 and text.startswith("query-id")):
            yield SourceRow(str(path), line, text, _parse_judgement(text, known_ids))


def _parse_judgement(text: str, known_ids: set[str]) -> Mapping[str, Any] | BadRow:
    parts = text.split("\t") if "\t" in text else text.split()
    if len(parts) not in _COLUMN_COUNTS:
        return BadRow("missing field", "query id, [0,] document id and grade are expected")
    query_id, point, grade = parts[0].strip(), parts[-2].strip(), parts[-1]
    if query_id not in known_ids:
        return BadRow("unknown query", "no vector with this query id")
    try:
        return build_judgement(query_id, point, float(grade))
    except ValueError:
        return BadRow("wrong type", "grade must be a number")
