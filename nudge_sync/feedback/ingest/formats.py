"""The format of a file of feedback, by its name, and the JSON lines that are the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.ingest.tables import open_csv, open_parquet
from nudge_sync.feedback.ingest.text_files import count_lines, read_lines
from nudge_sync.feedback.schema.rows import BadRow, parse_json_row

_TABLE_OPENERS = {".csv": open_csv, ".tsv": open_csv, ".parquet": open_parquet}


def open_source(path: Path) -> Source:
    """Return the rows of a file, read as its name ends: CSV, TSV, Parquet, or else JSON lines."""
    return _TABLE_OPENERS.get(path.suffix.lower(), open_json_lines)(path)


def is_table(path: Path) -> bool:
    """Return whether a file is read as a table: CSV, TSV or Parquet."""
    return path.suffix.lower() in _TABLE_OPENERS


def open_json_lines(path: Path) -> Source:
    """Return the rows of a file with one JSON object a line; empty lines are skipped.

    Reading raises InputError if the file cannot be read.
    """

    def read_rows() -> Iterator[SourceRow]:
        for line, text in read_lines(path):
            if isinstance(text, BadRow):
                yield SourceRow(str(path), line, text.detail, text)
            elif text.strip():
                yield SourceRow(str(path), line, text, _parse_content(text))

    return Source(read_rows, lambda: count_lines(path), (path,))


def _parse_content(text: str) -> Mapping[str, Any] | BadRow:
    try:
        row = parse_json_row(text)
    except BadRow as bad:
        return bad
    document = row.get("_source")
    # OpenSearch's dumps wrap each document.
    return document if isinstance(document, dict) and "query_id" not in row else row
