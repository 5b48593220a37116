"""Judgements without a header: TREC qrels and MS MARCO's, in three or four columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any

from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.ingest.text_files import read_lines
from nudge_sync.feedback.schema.fields import find_fields
from nudge_sync.feedback.schema.values import BadRow

_COLUMN_COUNTS = (3, 4)


def read_trec_qrels(stream: BufferedReader) -> Iterator[RawRow]:
    """Yield a label for each line: query id, 0 (may be left out), document id, grade.

    The header of BEIR's files is skipped, and so are comments, as trec_eval does.
    """
    for line, text in read_lines(stream):
        if isinstance(text, BadRow):
            yield RawRow(line, text.detail, text)
        elif text.strip() and not is_comment(text) and not (line == 1 and _is_header(text)):
            yield RawRow(line, text, _parse_judgement(text))


def read_query_texts(stream: BufferedReader) -> Iterator[RawRow]:
    """Yield a search for each line of query id and text, between them a tab, as MS MARCO has."""
    for line, text in read_lines(stream):
        if isinstance(text, BadRow):
            yield RawRow(line, text.detail, text)
        elif text.strip():
            query_id, _, query = text.partition("\t")
            content = {"type": "search", "query_id": query_id.strip(), "text": query.strip()}
            yield RawRow(line, text, content, is_incidental=True)


def split_columns(text: str) -> list[str]:
    """Return the columns of a line: between tabs if there are any, or else between blanks."""
    parts = text.split("\t") if "\t" in text else text.split()
    return [part.strip() for part in parts]


def is_comment(text: str) -> bool:
    """Return whether a line says something of the file to people, and nothing else."""
    return text.lstrip().startswith("#")


def _is_header(text: str) -> bool:
    return {"query_id", "point"} <= find_fields(split_columns(text))


def _parse_judgement(text: str) -> Mapping[str, Any] | BadRow:
    parts = split_columns(text)
    if len(parts) not in _COLUMN_COUNTS:
        return BadRow("missing field", "query id, [0,] document id and grade are expected")
    content = {"query_id": parts[0], "point": parts[-2], "grade": parts[-1]}
    missing = ", ".join(name for name, value in content.items() if not value)
    if missing:
        return BadRow("missing field", missing)
    return content
