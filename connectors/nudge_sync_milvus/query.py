"""Rows of one collection, read by key or page by page, through messages of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.connector import PointId
from nudge_sync_milvus.client import Wire
from nudge_sync_milvus.columns import keys_of, named, picked
from nudge_sync_milvus.errors import MessageTooLarge
from nudge_sync_milvus.filters import after, among, both, chunks, up_to

WINDOW = 16_384
"""Milvus's largest limit."""


EARLIEST = 1
"""A timestamp that asks for no waiting."""


@dataclass(frozen=True, slots=True)
class Table:
    """Where to read: a collection and its primary key field."""

    collection: str
    key: str
    integer_keys: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Some columns of some rows, as the server sent them."""

    keys: list[PointId]
    columns: dict[str, Any]

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, places: Sequence[int]) -> Rows:
        """Those rows, in that order."""
        if list(places) == list(range(len(self))):
            return self
        columns = {name: picked(column, places) for name, column in self.columns.items()}
        return Rows([self.keys[place] for place in places], columns)


def by_keys(
    wire: Wire,
    table: Table,
    keys: Sequence[PointId],
    fields: Sequence[str],
    *,
    at_once: int,
    partition: str = "",
    since: int = 0,
) -> Iterator[Rows]:
    """The rows with these keys, in the server's order, at most `at_once` a request.

    An answer that is too large for one message is asked for again in halves.
    """
    for run in chunks(keys, min(at_once, WINDOW)):
        try:
            answer = wire.query(
                table.collection,
                among(table.key, run),
                [table.key, *fields],
                partition=partition,
                since=since,
            )
        except MessageTooLarge:
            if len(run) == 1:
                raise
            half = (len(run) + 1) // 2
            yield from by_keys(
                wire, table, run, fields, at_once=half, partition=partition, since=since
            )
        else:
            yield rows_of(table, answer)


def pages(
    wire: Wire, table: Table, fields: Sequence[str], *, at_once: int, where: str = ""
) -> Iterator[Rows]:
    """Every row that `where` selects, once, in runs of about `at_once`, by ranges of keys.

    A page cut off by a limit has been seen to lose rows, so each range's keys are asked for again
    without a limit, and what the page left out is read by key.
    """
    at_once = min(at_once, WINDOW)
    last: PointId | None = None
    while True:
        beyond = both(after(table.key, last, integers=table.integer_keys), where)
        page, seen, at_once = _page(wire, table, fields, beyond, at_once)
        full = len(page) >= at_once
        end = max(page.keys, key=_order) if full else None
        yield _once(page)
        span = both(beyond, up_to(table.key, end))
        answer = wire.query(table.collection, span, [table.key], since=seen)
        lost = set(rows_of(table, answer).keys) - set(page.keys)
        yield from by_keys(wire, table, sorted(lost, key=_order), fields, at_once=at_once)
        if not full:
            return
        last = end


def _page(
    wire: Wire, table: Table, fields: Sequence[str], filter_: str, at_once: int
) -> tuple[Rows, int, int]:
    """A page, the moment it shows as far as the server tells it, and its largest size."""
    while True:
        try:
            answer = wire.query(
                table.collection, filter_, [table.key, *fields], limit=at_once, ordered=True
            )
        except MessageTooLarge:
            if at_once == 1:
                raise
            at_once = (at_once + 1) // 2
        else:
            return rows_of(table, answer), answer.session_ts or EARLIEST, at_once


def rows_of(table: Table, answer: Any) -> Rows:
    """The rows of an answer."""
    columns = {str(column.field_name): column for column in answer.fields_data}
    key = named(answer, table.key)
    return Rows(keys_of(key) if key is not None else [], columns)


def _once(page: Rows) -> Rows:
    places = np.sort(np.array(list({key: place for place, key in enumerate(page.keys)}.values())))
    return page if len(places) == len(page) else page.only([int(place) for place in places])


def _order(key: PointId) -> tuple[int, str]:
    return (key, "") if isinstance(key, int) else (0, key)
