"""Rows of one collection, read by key or page by page, in messages of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.connector import PointId, Points
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.columns import extract_keys, extract_vectors, find_column, select_rows
from nudge_sync_milvus.errors import MessageTooLarge
from nudge_sync_milvus.filters import (
    build_after_filter,
    build_keys_filter,
    build_up_to_filter,
    join_filters,
    split_keys,
)
from nudge_sync_milvus.layout import Layout

MAX_QUERY_ROWS = 16_384
"""Milvus's largest limit."""
_NO_WAIT_TIMESTAMP = 1
"""A timestamp that asks for no waiting."""


@dataclass(frozen=True, slots=True)
class CollectionRef:
    """Where to read: a collection and its primary key field."""

    name: str
    key_field: str
    integer_keys: bool


@dataclass(frozen=True, slots=True)
class FetchedRows:
    """Some columns of some rows, as the server sent them."""

    keys: list[PointId]
    columns: dict[str, Any]

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, indices: Sequence[int]) -> FetchedRows:
        """Return those rows, in that order."""
        if list(indices) == list(range(len(self))):
            return self
        columns = {name: select_rows(column, indices) for name, column in self.columns.items()}
        return FetchedRows([self.keys[index] for index in indices], columns)


def to_ref(layout: Layout) -> CollectionRef:
    """Return where the collection of this layout is read."""
    return CollectionRef(layout.collection, layout.key_field, layout.integer_keys)


def to_points(rows: FetchedRows, layout: Layout) -> Points:
    """Return the rows that have a vector, with it."""
    if not len(rows):
        return Points([], np.empty((0, layout.dimension), dtype=np.float32))
    vectors, valid = extract_vectors(rows.columns[layout.vector])
    if valid.all():
        return Points(rows.keys, np.array(vectors, dtype=np.float32))
    valid_rows = np.flatnonzero(valid)
    return Points([rows.keys[row] for row in valid_rows], vectors[valid_rows])


def compute_row_limit(row_bytes: int, request_bytes: int, most: int = MAX_QUERY_ROWS) -> int:
    """Return how many rows of this size one message may hold: 1 to `most`."""
    return max(1, min(most, request_bytes // row_bytes))


def read_rows(
    connection: Connection,
    ref: CollectionRef,
    keys: Sequence[PointId],
    fields: Sequence[str],
    *,
    row_limit: int,
    partition: str = "",
    guarantee_timestamp: int = 0,
) -> Iterator[FetchedRows]:
    """Yield the rows with these keys, in the server's order, at most `row_limit` a request.

    partition, guarantee_timestamp: see `Connection.query`.
    An answer that is too large for one message is asked for again in halves.
    """
    for chunk in split_keys(keys, min(row_limit, MAX_QUERY_ROWS)):
        try:
            answer = connection.query(
                ref.name,
                build_keys_filter(ref.key_field, chunk),
                [ref.key_field, *fields],
                partition=partition,
                guarantee_timestamp=guarantee_timestamp,
            )
        except MessageTooLarge:
            if len(chunk) == 1:
                raise
            half = (len(chunk) + 1) // 2
            yield from read_rows(
                connection,
                ref,
                chunk,
                fields,
                row_limit=half,
                partition=partition,
                guarantee_timestamp=guarantee_timestamp,
            )
        else:
            yield parse_rows(ref, answer)


def scan_rows(
    connection: Connection,
    ref: CollectionRef,
    fields: Sequence[str],
    *,
    row_limit: int,
    where: str = "",
) -> Iterator[FetchedRows]:
    """Yield every row that the filter `where` selects, once, about `row_limit` a page.

    Pages go by ranges of keys. A page cut off by a limit has been seen to lose rows, so each
    range's keys are asked for again without a limit, and what the page left out is read by key.
    """
    row_limit = min(row_limit, MAX_QUERY_ROWS)
    last_key: PointId | None = None
    while True:
        remaining_filter = join_filters(
            build_after_filter(ref.key_field, last_key, integers=ref.integer_keys), where
        )
        page, page_timestamp, row_limit = _read_page(
            connection, ref, fields, remaining_filter, row_limit
        )
        is_full = len(page) >= row_limit
        end_key = max(page.keys, key=_sort_key) if is_full else None
        yield _drop_duplicates(page)
        page_filter = join_filters(remaining_filter, build_up_to_filter(ref.key_field, end_key))
        answer = connection.query(
            ref.name, page_filter, [ref.key_field], guarantee_timestamp=page_timestamp
        )
        lost_keys = set(parse_rows(ref, answer).keys) - set(page.keys)
        yield from read_rows(
            connection, ref, sorted(lost_keys, key=_sort_key), fields, row_limit=row_limit
        )
        if not is_full:
            return
        last_key = end_key


def _read_page(
    connection: Connection, ref: CollectionRef, fields: Sequence[str], filter_: str, row_limit: int
) -> tuple[FetchedRows, int, int]:
    """Return a page, the timestamp it shows as far as the server tells it, and its row limit."""
    while True:
        try:
            answer = connection.query(
                ref.name, filter_, [ref.key_field, *fields], limit=row_limit, ordered=True
            )
        except MessageTooLarge:
            if row_limit == 1:
                raise
            row_limit = (row_limit + 1) // 2
        else:
            return parse_rows(ref, answer), answer.session_ts or _NO_WAIT_TIMESTAMP, row_limit


def parse_rows(ref: CollectionRef, answer: Any) -> FetchedRows:
    """Return the rows of an answer."""
    columns = {str(column.field_name): column for column in answer.fields_data}
    key_column = find_column(answer, ref.key_field)
    return FetchedRows(extract_keys(key_column) if key_column is not None else [], columns)


def _drop_duplicates(page: FetchedRows) -> FetchedRows:
    indices = sorted({key: index for index, key in enumerate(page.keys)}.values())
    return page if len(indices) == len(page) else page.select(indices)


def _sort_key(key: PointId) -> tuple[int, str]:
    return (key, "") if isinstance(key, int) else (0, key)
