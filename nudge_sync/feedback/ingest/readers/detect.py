"""What a file is, by its first bytes: one of the formats that are read, or one that is not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers.delimited import split_header
from nudge_sync.feedback.ingest.readers.json_lines import is_bulk_action
from nudge_sync.feedback.ingest.readers.json_shapes import is_row, name_shape
from nudge_sync.feedback.ingest.readers.ranklib import is_query_text, is_ranklib_line
from nudge_sync.feedback.ingest.readers.trec import is_comment, split_columns
from nudge_sync.feedback.schema.fields import find_fields
from nudge_sync.feedback.schema.values import BadRow

JSON_LINES = "JSON lines"
JSON_DOCUMENT = "JSON document"
DELIMITED = "CSV"
PARQUET = "Parquet"
QRELS = "TREC qrels"
QUERIES = "MS MARCO queries"
RANKLIB = "RankLib judgements"
PARQUET_MAGIC = b"PAR1"
_UTF8_MARK = b"\xef\xbb\xbf"
_TABLE_SUFFIXES = (".csv", ".tsv")
_RUN_COLUMNS = 6
_PREFERENCE_COLUMNS = 5
_QRELS_COLUMNS = (3, 4)
_MIN_RUN_RANKS = 3
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook: unpack it, or save the sheet as CSV"),
    (b"ARROW1", "an Arrow or Feather file: write it as Parquet"),
    (b"\xff\xff\xff\xff", "an Arrow stream, as Hugging Face keeps data sets: write it as Parquet"),
    (b"\x93NUMPY", "a NumPy array: query vectors go to --query-vectors"),
    (b"SQLite format 3", "an SQLite database: export the table as CSV"),
    (b"Obj\x01", "an Avro file: write it as Parquet"),
    (b"ORC", "an ORC file: write it as Parquet"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard: unpack it, or compress it with gzip"),
    (b"BZh", "compressed with bzip2: unpack it, or compress it with gzip"),
    (b"\xfd7zXZ", "compressed with xz: unpack it, or compress it with gzip"),
    (b"\x80\x04", "a Python pickle: write the rows as JSON lines"),
    (b"\xff\xfe", "text in UTF-16, not UTF-8: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16, not UTF-8: save it as UTF-8"),
    (b"<", "XML or HTML: rows of feedback are JSON lines, CSV or Parquet"),
)


@dataclass(frozen=True, slots=True)
class DetectedFormat:
    """The format that a file is read by, and what to call the file."""

    reader: str
    """One of the constants above, by which the reader is chosen."""
    name: str
    """As specific as is known, such as "OpenSearch bulk"."""


def detect_format(head: bytes, suffix: str = "") -> DetectedFormat:
    """Return the format of a file, by its first bytes.

    suffix: how the file's name ends, such as ".csv"; it decides only what the content leaves open.
    Raises InputError that says what the file is, for one that no reader takes.
    """
    if head.startswith(PARQUET_MAGIC) or suffix == ".parquet":
        return DetectedFormat(PARQUET, PARQUET)
    for magic, description in _FOREIGN:
        if head.startswith(magic):
            raise InputError(f"this is {description}")
    lines = [line for line in _list_lines(head) if line.strip()]
    first = lines[0].lstrip() if lines else ""
    if first.startswith("["):
        return DetectedFormat(JSON_DOCUMENT, "JSON array")
    if first.startswith("{"):
        return _detect_json(lines)
    if not lines:
        return _guess_by_suffix(suffix)
    return _detect_text(lines, suffix)


def detect_labels(head: bytes, suffix: str = "") -> DetectedFormat:
    """Return the format of a file that is known to hold labels: TREC qrels, if nothing else fits.

    Raises InputError as `detect_format` does.
    """
    lines = [line for line in _list_lines(head) if line.strip()]
    is_plain = bool(lines) and lines[0].lstrip()[:1] not in ("{", "[")
    is_binary = head.startswith(PARQUET_MAGIC) or suffix == ".parquet"
    if is_plain and not is_binary and not _is_special(lines) and not _is_labelled_table(lines):
        return DetectedFormat(QRELS, QRELS)
    return detect_format(head, suffix)


def _list_lines(head: bytes) -> list[str]:
    # Not `splitlines`: a text in a row may hold other separators, such as U+2028.
    text = head.removeprefix(_UTF8_MARK).decode("utf-8", "replace").removesuffix("\n")
    return [line.removesuffix("\r") for line in text.split("\n")] if text else []


def _detect_json(lines: Sequence[str]) -> DetectedFormat:
    first = _parse_object(lines[0])
    if first is None:
        is_broken_line = len(lines) > 1 and _parse_object(lines[1]) is not None
        if is_broken_line or (len(lines) == 1 and not _begins_document(lines[0])):
            return DetectedFormat(JSON_LINES, JSON_LINES)
        return DetectedFormat(JSON_DOCUMENT, _name_document("\n".join(lines)))
    if is_bulk_action(first):
        return DetectedFormat(JSON_LINES, "OpenSearch bulk")
    shape = name_shape(first)
    if shape is not None:
        return DetectedFormat(JSON_DOCUMENT, shape)
    if isinstance(first.get("_source"), dict):
        return DetectedFormat(JSON_LINES, "OpenSearch dump")
    is_document = len(lines) == 1 and bool(first) and not is_row(first)
    name = JSON_DOCUMENT if is_document else JSON_LINES
    return DetectedFormat(name, name)


def _name_document(text: str) -> str:
    """Return what a document is, as far as the beginning of its text tells."""
    document = _parse_object(text)
    name = name_shape(document) if document else None
    return name or JSON_DOCUMENT


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _begins_document(text: str) -> bool:
    """Return whether a long first line, of which only the beginning is known, is a document."""
    key = re.match(r'\{\s*"(\w+)"\s*:\s*[\[{]', text)
    return key is not None and find_fields([key[1]]).isdisjoint({"query_vector", "shown"})


def _detect_text(lines: Sequence[str], suffix: str) -> DetectedFormat:
    # First, since it may begin with a comment that names its columns.
    if _is_special(lines):
        return DetectedFormat(RANKLIB, RANKLIB)
    if _is_labelled_table(lines):
        return DetectedFormat(DELIMITED, "TSV" if "\t" in lines[0] else DELIMITED)
    columns = [split_columns(line) for line in lines if not is_comment(line)]
    if not columns:
        return _guess_by_suffix(suffix)
    counts = {len(parts) for parts in columns[: max(1, len(columns) - 1)]}
    if _is_run(columns, counts):
        raise InputError(
            "this is a TREC run: what a system returned, which nobody judged. Import the qrels "
            "with --qrels, or what people were shown as searches with `shown`"
        )
    if counts <= set(_QRELS_COLUMNS) and _NUMBER.fullmatch(columns[0][-1]):
        return DetectedFormat(QRELS, QRELS)
    if counts == {2} and "\t" in lines[0] and suffix != ".csv":
        return DetectedFormat(QUERIES, QUERIES)
    if _are_preferences(lines):
        raise InputError(
            "this is a file of TREC preference judgements: which of two documents is better, "
            "without a grade for each. Import qrels, whose lines are query id, 0, document id, "
            "grade"
        )
    return _guess_by_suffix(suffix)


def _guess_by_suffix(suffix: str) -> DetectedFormat:
    name = DELIMITED if suffix in _TABLE_SUFFIXES else JSON_LINES
    return DetectedFormat(name, name)


def _is_labelled_table(lines: Sequence[str]) -> bool:
    """Return whether the first line is a header that names a query and something else."""
    try:
        names, _ = split_header(lines[0])
    except BadRow:
        return False
    fields = find_fields(names)
    return len(names) > 1 and bool(fields & {"query_id", "text"}) and len(fields) > 1


def _is_special(lines: Sequence[str]) -> bool:
    rows = [line for line in lines if not is_comment(line)]
    return is_query_text(lines[0]) or (bool(rows) and is_ranklib_line(rows[0]))


def _are_preferences(lines: Sequence[str]) -> bool:
    """Return whether lines have trec_eval's five columns: query, group, judge, document, value."""
    rows = [line.split() for line in lines if not is_comment(line)]
    # The last line may be cut.
    rows = rows[: max(1, len(rows) - 1)]
    return {len(row) for row in rows} == {_PREFERENCE_COLUMNS} and all(
        row[2].isdecimal() and _NUMBER.fullmatch(row[4]) for row in rows
    )


def _is_run(columns: Sequence[Sequence[str]], counts: set[int]) -> bool:
    if counts == {_RUN_COLUMNS}:
        return columns[0][3].isdecimal() and _NUMBER.fullmatch(columns[0][4]) is not None
    # MS MARCO's runs have three columns as some qrels do, the last of which counts from 1.
    if counts != {3}:
        return False
    ranks = [parts[2] for parts in columns if len(parts) == 3 and parts[0] == columns[0][0]]  # noqa: PLR2004
    is_counted = ranks == [str(rank) for rank in range(1, len(ranks) + 1)]
    return len(ranks) >= _MIN_RUN_RANKS and is_counted
