"""Rows of feedback from CSV and Parquet, read a part at a time."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.ingest.text_files import count_lines, read_lines, refuse_pipe
from nudge_sync.feedback.schema.rows import MILLISECONDS_THRESHOLD, BadRow

_DELIMITERS = ",;\t"
_TIME_FIELDS = ("time", "timestamp")
_NUMBER_FIELDS = ("position", "event_attributes.position.ordinal", "grade", *_TIME_FIELDS)
_COMPACT_DATE = re.compile(r"[0-9]{8}")
_BATCH_SIZE = 1000
_FIELD_LIMIT_LOCK = Lock()


def open_csv(path: Path) -> Source:
    """Return the rows of a CSV file: a header, then one row a line.

    The header names the fields as JSON lines do, separated by `,`, `;` or tabs. An empty field is
    left out, one that begins with `[` is a JSON list, and eight digits in place of a time are a
    day. Reading raises InputError if the header has no `query_id` or the file cannot be read.
    """

    def read_rows() -> Iterator[SourceRow]:
        numbered_lines = read_lines(path)
        header, delimiter = _parse_header(path, next(numbered_lines, (1, ""))[1])
        for line, text in numbered_lines:
            if isinstance(text, BadRow):
                yield SourceRow(str(path), line, text.detail, text)
            elif text.strip():
                yield SourceRow(str(path), line, text, _parse_line(text, header, delimiter))

    return Source(read_rows, lambda: count_lines(path), (path,))


def open_parquet(path: Path) -> Source:
    """Return the rows of a Parquet file, whose columns are named as the fields of JSON lines.

    Rows are numbered from 1; one batch at a time is in memory. Raises ConfigError if pyarrow is
    missing. Reading raises InputError if the file cannot be read or has no column `query_id`.
    """
    arrow, pq = _import_pyarrow()

    def open_file() -> Any:
        refuse_pipe(path)
        try:
            return pq.ParquetFile(path)
        except (arrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: not readable as Parquet ({error})") from None

    def read_rows() -> Iterator[SourceRow]:
        with open_file() as file:
            _check_columns(path, file.schema_arrow.names)
            line = 0
            try:
                for batch in file.iter_batches(batch_size=_BATCH_SIZE):
                    for content in _read_batch(batch, arrow):
                        line += 1
                        yield _to_source_row(path, line, content)
            except (arrow.ArrowException, OSError) as error:
                raise InputError(f"{path}: damaged after row {line} ({error})") from None

    return Source(read_rows, lambda: _count_rows(open_file), (path,))


def _parse_header(path: Path, text: str | BadRow) -> tuple[list[str], str]:
    if isinstance(text, BadRow):
        raise InputError(f"{path}: the header is {text.reason}")
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        names = [name.strip().lower() for name in _split_fields(text, delimiter)]
    except BadRow as bad:
        raise InputError(f"{path}: the header is {bad}") from None
    _check_columns(path, names)
    return names, delimiter


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if "query_id" not in names:
        columns = ", ".join(names)[:200] or "nothing"
        raise InputError(f"{path}: a column query_id is expected, the columns are {columns}")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: two columns have the same name")


def _split_fields(text: str, delimiter: str) -> list[str]:
    if "\0" in text:
        raise BadRow("not CSV", "a NUL byte")
    try:
        with _raise_field_limit(len(text)):
            # Line by line, so that an open quote spoils its own row and none that follows.
            return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise BadRow("not CSV", str(error)) from None


@contextmanager
def _raise_field_limit(size: int) -> Iterator[None]:
    """Let the csv module read fields of `size` characters, as long as vectors can be.

    Its limit is one for the whole process, hence the lock.
    """
    with _FIELD_LIMIT_LOCK:
        previous_limit = csv.field_size_limit()
        csv.field_size_limit(max(previous_limit, size))
        try:
            yield
        finally:
            csv.field_size_limit(previous_limit)


def _parse_line(text: str, header: Sequence[str], delimiter: str) -> Mapping[str, Any] | BadRow:
    try:
        fields = _split_fields(text, delimiter)
        cells = zip(header, fields, strict=False)
        row = {name: _parse_value(name, field) for name, field in cells if field.strip()}
    except BadRow as bad:
        return bad
    if len(fields) != len(header):
        return BadRow("not CSV", f"{len(fields)} fields, the header has {len(header)}")
    return row


def _parse_value(name: str, field: str) -> Any:
    if field.startswith("["):
        try:
            return json.loads(field)
        except (ValueError, RecursionError) as error:
            raise BadRow("not JSON", f"{name}: {error}") from None
    is_day = name in _TIME_FIELDS and _COMPACT_DATE.fullmatch(field.strip())
    if name not in _NUMBER_FIELDS or "_" in field or is_day:
        return field
    try:
        return float(field)
    except ValueError:
        return field


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: ICN001, PLC0415
        from pyarrow import parquet as pq  # noqa: PLC0415
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install 'nudge-sync[feedback]'") from None
    return pyarrow, pq


def _count_rows(open_file: Any) -> int:
    with open_file() as file:
        return int(file.metadata.num_rows)


def _read_batch(batch: Any, arrow: Any) -> Iterator[Mapping[str, Any] | BadRow]:
    columns = [_to_seconds(column, arrow) for column in batch.columns]
    batch = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):
        for row in range(batch.num_rows):
            yield _read_row(batch.slice(row, 1))


def _read_row(batch: Any) -> Mapping[str, Any] | BadRow:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return BadRow("not UTF-8", str(error))
    except (ValueError, OverflowError) as error:
        return BadRow("wrong type", f"a moment that Python cannot hold: {error}")
    return row


def _to_seconds(column: Any, arrow: Any) -> Any:
    """Return a column of timestamps or dates in seconds since 1970, and any other as it is.

    A timestamp without a zone is in UTC; a date is its midnight in UTC.
    """
    if arrow.types.is_timestamp(column.type):
        timestamp_type, units_per_second = arrow.timestamp("us", column.type.tz), 1e6
    elif arrow.types.is_date(column.type):
        timestamp_type, units_per_second = arrow.timestamp("s"), 1.0
    else:
        return column
    ticks = (
        column.cast(timestamp_type, safe=False)
        .cast(arrow.int64())
        .cast(arrow.float64(), safe=False)
    )
    seconds = arrow.compute.divide(ticks, units_per_second)
    # A number this large would be taken for milliseconds.
    is_too_large = arrow.compute.greater_equal(seconds, MILLISECONDS_THRESHOLD)
    return arrow.compute.if_else(is_too_large, float("inf"), seconds)


def _to_source_row(path: Path, line: int, content: Mapping[str, Any] | BadRow) -> SourceRow:
    if isinstance(content, BadRow):
        return SourceRow(str(path), line, content.detail, content)
    return SourceRow(str(path), line, json.dumps(content, default=str), content)
