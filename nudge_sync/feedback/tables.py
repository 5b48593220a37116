"""Rows from tables: CSV and Parquet, read a piece at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.feedback.rows import BadRow
from nudge_sync.feedback.sources import Row, Source, check_lasting, line_count, lines

_DELIMITERS = ",;\t"
_NUMBERS = ("position", "grade", "time", "timestamp")
_BATCH = 1000


def csv_lines(path: Path) -> Source:
    """The rows of a CSV file: a header, then one row a line; an empty field says nothing.

    The header names the fields as JSON lines do, with `,`, `;` or tabs between. A field that
    begins with `[` is a JSON list. Raises InputError for a file without `query_id` in its header.
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
        # Line by line: an open quote spoils its own row, not all that follow it.
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise BadRow("not CSV", str(error)) from None


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
    if name not in _NUMBERS or "_" in field:
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
    """A column of moments as seconds since 1970 (UTC where it names no zone); others as is."""
    if not arrow.types.is_timestamp(column.type):
        return column
    whole = column.cast(arrow.timestamp("us", column.type.tz), safe=False).cast(arrow.int64())
    return arrow.compute.divide(whole.cast(arrow.float64(), safe=False), 1e6)


def _row(path: Path, line: int, content: Mapping[str, Any] | BadRow) -> Row:
    if isinstance(content, BadRow):
        return Row(str(path), line, content.detail, content)
    return Row(str(path), line, json.dumps(content, default=str), content)
