"""Rows from tables: CSV and Parquet, read a piece at a time."""

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
from nudge_sync.feedback.ingest.sources import Row, Source, check_lasting, line_count, lines
from nudge_sync.feedback.schema.rows import MILLISECONDS_FROM, BadRow

_DELIMITERS = ",;\t"
_TIMES = ("time", "timestamp")
_NUMBERS = ("position", "event_attributes.position.ordinal", "grade", *_TIMES)
_EIGHT_DIGITS = re.compile(r"[0-9]{8}")
_BATCH = 1000
_LIMIT = Lock()


def csv_lines(path: Path) -> Source:
    """The rows of a CSV file: a header, then one row a line; an empty field says nothing.

    The header names the fields as JSON lines do, with `,`, `;` or tabs between. A field that
    begins with `[` is a JSON list; eight digits are a day, where a time is expected.
    Raises InputError for a file without `query_id` in its header.
    """

    def rows() -> Iterator[Row]:
        numbered = lines(path)
        header, delimiter = _header(path, next(numbered, (1, ""))[1])
        for line, text in numbered:
            if isinstance(text, BadRow):
                yield Row(str(path), line, text.detail, text)
            elif text.strip():
                yield Row(str(path), line, text, _record(text, header, delimiter))

    return Source(rows, lambda: line_count(path), (path,))


def parquet(path: Path) -> Source:
    """The rows of a Parquet file, numbered from 1, with columns named as JSON lines name fields.

    One batch at a time is in memory. Raises InputError for a file that cannot be read or has no
    column `query_id`, ConfigError where pyarrow is missing.
    """
    arrow, pq = _pyarrow()

    def opened() -> Any:
        check_lasting(path)
        try:
            return pq.ParquetFile(path)
        except (arrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: not readable as Parquet ({error})") from None

    def rows() -> Iterator[Row]:
        with opened() as file:
            _check_names(path, file.schema_arrow.names)
            line = 0
            try:
                for batch in file.iter_batches(batch_size=_BATCH):
                    for content in _contents(batch, arrow):
                        line += 1
                        yield _row(path, line, content)
            except (arrow.ArrowException, OSError) as error:
                raise InputError(f"{path}: damaged after row {line} ({error})") from None

    return Source(rows, lambda: _row_count(opened), (path,))


def _header(path: Path, text: str | BadRow) -> tuple[list[str], str]:
    if isinstance(text, BadRow):
        raise InputError(f"{path}: the header is {text.reason}")
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        names = [name.strip().lower() for name in _fields(text, delimiter)]
    except BadRow as bad:
        raise InputError(f"{path}: the header is {bad}") from None
    _check_names(path, names)
    return names, delimiter


def _check_names(path: Path, names: Sequence[str]) -> None:
    if "query_id" not in names:
        found = ", ".join(names)[:200] or "nothing"
        raise InputError(f"{path}: a column query_id is expected, the columns are {found}")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: two columns have the same name")


def _fields(text: str, delimiter: str) -> list[str]:
    if "\0" in text:
        raise BadRow("not CSV", "a NUL byte")
    try:
        with _fields_up_to(len(text)):
            # Line by line: an open quote spoils its own row, not all that follow it.
            return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise BadRow("not CSV", str(error)) from None


@contextmanager
def _fields_up_to(size: int) -> Iterator[None]:
    """The csv module's limit is one for the whole process, and vectors are longer than that."""
    with _LIMIT:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, size))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _record(text: str, header: Sequence[str], delimiter: str) -> Mapping[str, Any] | BadRow:
    try:
        fields = _fields(text, delimiter)
        named = zip(header, fields, strict=False)
        row = {name: _value(name, field) for name, field in named if field.strip()}
    except BadRow as bad:
        return bad
    if len(fields) != len(header):
        return BadRow("not CSV", f"{len(fields)} fields, the header has {len(header)}")
    return row


def _value(name: str, field: str) -> Any:
    if field.startswith("["):
        try:
            return json.loads(field)
        except (ValueError, RecursionError) as error:
            raise BadRow("not JSON", f"{name}: {error}") from None
    is_day = name in _TIMES and _EIGHT_DIGITS.fullmatch(field.strip())
    if name not in _NUMBERS or "_" in field or is_day:
        return field
    try:
        return float(field)
    except ValueError:
        return field


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: ICN001, PLC0415
        from pyarrow import parquet as pq  # noqa: PLC0415
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install 'nudge-sync[feedback]'") from None
    return pyarrow, pq


def _row_count(opened: Any) -> int:
    with opened() as file:
        return int(file.metadata.num_rows)


def _contents(batch: Any, arrow: Any) -> Iterator[Mapping[str, Any] | BadRow]:
    columns = [_seconds(column, arrow) for column in batch.columns]
    batch = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):
        for at in range(batch.num_rows):
            yield _alone(batch.slice(at, 1))


def _alone(batch: Any) -> Mapping[str, Any] | BadRow:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return BadRow("not UTF-8", str(error))
    except (ValueError, OverflowError) as error:
        return BadRow("wrong type", f"a moment that Python cannot hold: {error}")
    return row


def _seconds(column: Any, arrow: Any) -> Any:
    """A column of moments as seconds since 1970 (UTC where it names no zone), of days as those of
    their midnights; others as is.
    """
    if arrow.types.is_timestamp(column.type):
        kind, unit = arrow.timestamp("us", column.type.tz), 1e6
    elif arrow.types.is_date(column.type):
        kind, unit = arrow.timestamp("s"), 1.0
    else:
        return column
    whole = column.cast(kind, safe=False).cast(arrow.int64()).cast(arrow.float64(), safe=False)
    found = arrow.compute.divide(whole, unit)
    # As a number it would be taken for milliseconds.
    far = arrow.compute.greater_equal(found, MILLISECONDS_FROM)
    return arrow.compute.if_else(far, float("inf"), found)


def _row(path: Path, line: int, content: Mapping[str, Any] | BadRow) -> Row:
    if isinstance(content, BadRow):
        return Row(str(path), line, content.detail, content)
    return Row(str(path), line, json.dumps(content, default=str), content)
