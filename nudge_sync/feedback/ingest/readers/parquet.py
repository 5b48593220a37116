"""Parquet, whose columns are named as the fields of JSON lines, read a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.feedback.ingest.readers.delimited import check_columns
from nudge_sync.feedback.ingest.readers.json_lines import format_row
from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.ingest.text_files import refuse_pipe
from nudge_sync.feedback.schema.moments import MILLISECONDS_THRESHOLD
from nudge_sync.feedback.schema.values import BadRow

_BATCH_SIZE = 1000
_FOREIGN_TYPE = re.compile("decimal|uuid")
"""What the names of Arrow types contain whose values JSON does not have."""


def read_parquet(path: Path) -> Iterator[RawRow]:
    """Yield the rows of a Parquet file, numbered from 1; one batch at a time is in memory.

    Raises ConfigError if pyarrow is missing, and InputError if the file cannot be read or no
    column names a query.
    """
    arrow, _ = _import_pyarrow()
    with _open_parquet(path) as file:
        check_columns(file.schema_arrow.names)
        line = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH_SIZE):
                for content in _read_batch(batch, arrow):
                    line += 1
                    yield RawRow(line, format_row(content), content)
        except (arrow.ArrowException, OSError) as error:
            raise InputError(f"damaged after row {line} ({error})") from None


def count_parquet_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file. Raises as `read_parquet` does."""
    with _open_parquet(path) as file:
        return int(file.metadata.num_rows)


def _open_parquet(path: Path) -> Any:
    arrow, pq = _import_pyarrow()
    refuse_pipe(path)
    try:
        return pq.ParquetFile(path)
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"not readable as Parquet ({error})") from None


def _import_pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: ICN001, PLC0415
        from pyarrow import parquet as pq  # noqa: PLC0415
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install 'nudge-sync[feedback]'") from None
    return pyarrow, pq


def _read_batch(batch: Any, arrow: Any) -> Iterator[Mapping[str, Any] | BadRow]:
    columns = [_to_seconds(column, arrow) for column in batch.columns]
    batch = arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = [_read_row(batch.slice(row, 1)) for row in range(batch.num_rows)]
    foreign = {
        field.name for field in batch.schema if _FOREIGN_TYPE.search(str(field.type)) is not None
    }
    for row in rows:
        if not isinstance(row, BadRow):
            row |= {name: _replace_foreign(row[name]) for name in foreign}
        yield row


def _read_row(batch: Any) -> dict[str, Any] | BadRow:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return BadRow("not UTF-8", str(error))
    except (ValueError, OverflowError) as error:
        return BadRow("wrong type", f"a moment that Python cannot hold: {error}")
    return row


def _replace_foreign(value: Any) -> Any:
    """Return a value, also one in lists and structs, as JSON would have it: UUIDs as text, and
    numbers of a DECIMAL column as integers where they are whole, and else as floats.
    """
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_replace_foreign(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _replace_foreign(entry) for key, entry in value.items()}
    return value


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
