"""Files of feedback as sources of rows: the format of each is detected, its fields are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers.delimited import read_delimited
from nudge_sync.feedback.ingest.readers.detect import (
    DELIMITED,
    JSON_DOCUMENT,
    JSON_LINES,
    PARQUET,
    QRELS,
    QUERIES,
    RANKLIB,
    DetectedFormat,
    detect_format,
    detect_labels,
)
from nudge_sync.feedback.ingest.readers.json_documents import read_json_documents
from nudge_sync.feedback.ingest.readers.json_lines import read_json_lines
from nudge_sync.feedback.ingest.readers.parquet import count_parquet_rows, read_parquet
from nudge_sync.feedback.ingest.readers.ranklib import read_ranklib
from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.ingest.readers.trec import read_query_texts, read_trec_qrels
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.ingest.text_files import (
    PEEK_BYTES,
    count_lines,
    is_pipe,
    open_stream,
)
from nudge_sync.feedback.schema.fields import find_fields, normalise_row
from nudge_sync.feedback.schema.values import BadRow

Reader: TypeAlias = Callable[[BufferedReader], Iterator[RawRow]]
Detect: TypeAlias = Callable[[bytes, str], DetectedFormat]

_READERS: dict[str, Reader] = {
    JSON_LINES: read_json_lines,
    JSON_DOCUMENT: read_json_documents,
    DELIMITED: read_delimited,
    QRELS: read_trec_qrels,
    QUERIES: read_query_texts,
    RANKLIB: read_ranklib,
}


def open_source(path: Path) -> Source:
    """Return the rows of a file, in whatever format its first bytes show.

    Reading raises InputError if the file cannot be read, or is in a format that is not.
    """
    return _open(path, detect_format)


def open_labels(path: Path) -> Source:
    """Return the rows of a file of labels: TREC qrels, unless it is a table or JSON.

    Reading raises InputError as that of `open_source` does.
    """
    return _open(path, detect_labels)


def open_json_lines(path: Path) -> Source:
    """Return the rows of a file with one JSON object a line; empty lines are skipped.

    Reading raises InputError if the file cannot be read.
    """
    return _open(path, lambda *_: DetectedFormat(JSON_LINES, JSON_LINES))


def name_format(path: Path) -> str:
    """Return what a file is, such as "OpenSearch bulk", or "" for a pipe, which is read only once.

    Raises InputError as reading does.
    """
    return "" if is_pipe(path) else _detect(path, detect_format).name


def _open(path: Path, detect: Detect) -> Source:
    def read_rows() -> Iterator[SourceRow]:
        with open_stream(path) as stream:
            try:
                file_format = detect(stream.peek(PEEK_BYTES), path.suffix.lower())
                if file_format.reader != PARQUET:
                    yield from _name_fields(path, _READERS[file_format.reader](stream))
                    return
            except InputError as error:
                raise _name_file(path, error) from None
        try:
            yield from _name_fields(path, read_parquet(path))
        except InputError as error:
            raise _name_file(path, error) from None

    def estimate_rows() -> int:
        if is_pipe(path):
            return 0
        is_parquet = _detect(path, detect).reader == PARQUET
        try:
            return count_parquet_rows(path) if is_parquet else count_lines(path)
        except InputError as error:
            raise _name_file(path, error) from None

    return Source(read_rows, estimate_rows, (path,))


def _detect(path: Path, detect: Detect) -> DetectedFormat:
    with open_stream(path) as stream:
        try:
            return detect(stream.peek(PEEK_BYTES), path.suffix.lower())
        except InputError as error:
            raise _name_file(path, error) from None


def _name_file(path: Path, error: InputError) -> InputError:
    message = str(error)
    return error if message.startswith(f"{path}: ") else InputError(f"{path}: {message}")


def _name_fields(path: Path, rows: Iterable[RawRow]) -> Iterator[SourceRow]:
    source = str(path)
    names_queries = any("quer" in part.lower() for part in path.parts[-3:])
    for row in rows:
        content = row.content
        if isinstance(content, BadRow):
            yield SourceRow(source, row.line, row.text, content)
            continue
        if names_queries:
            content = _name_query_id(content)
        yield SourceRow(source, row.line, row.text, _normalise(content), row.is_incidental)


def _normalise(content: Mapping[str, Any]) -> Mapping[str, Any] | BadRow:
    try:
        return normalise_row(content)
    except BadRow as bad:
        return bad


def _name_query_id(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row of a list of queries, whose `_id` or `id` is the query's."""
    id_name = next((name for name in ("_id", "id") if name in content), None)
    if id_name is None or find_fields(content) & {"query_id", "point"}:
        return content
    return {"query_id": content[id_name], **content}
