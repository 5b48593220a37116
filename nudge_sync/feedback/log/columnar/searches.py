"""Searches of a table, column by column: the same rows give what they give one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int64
from nudge_sync.connector import Records, Where
from nudge_sync.feedback.log.builder import Encoders
from nudge_sync.feedback.log.columnar.distinct import (
    DistinctValues,
    parse_client,
    parse_session,
    read_names,
    read_times,
)
from nudge_sync.feedback.log.columnar.own_query_ids import OwnQueryIds
from nudge_sync.feedback.log.columnar.points import encode_points
from nudge_sync.feedback.log.columnar.shown import read_shown
from nudge_sync.feedback.log.columnar.table import VECTOR, LogTable
from nudge_sync.feedback.log.columnar.time_ranges import find_earliest, mark_in_ranges
from nudge_sync.feedback.log.columnar.vectors import (
    VectorRegister,
    read_sizes,
    refuse_vector_sizes,
)
from nudge_sync.feedback.log.former_searches import FormerSearches
from nudge_sync.feedback.log.searches_builder import NO_VECTOR, SearchColumns, SearchesBuilder
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.values import parse_query_id

_BATCH_NUMBERS = 2**23
"""Numbers in the vectors of a batch."""
_MAX_BATCH_ROWS = 2**16
_FIRST_ROWS = 1000
"""Among how many rows a vector of the right size is looked for."""


class TableSearches:
    """The searches of a table, one a row."""

    def __init__(self, table: LogTable, resolver: PointIdResolver, dimension: int) -> None:
        self._table = table
        self._resolver = resolver
        self._batch_rows = min(max(1, _BATCH_NUMBERS // dimension), _MAX_BATCH_ROWS)

    def count_missing(self, own: Records) -> int:
        """Return how many rows name no search that the sidecar keeps itself."""
        own_ids = OwnQueryIds(own)
        if not len(own_ids):
            return self._table.count("count(*)")
        columns = {"query_id": self._table.expressions["query_id"]}
        count = 0
        for batch in self._table.read_batches(columns, "", _MAX_BATCH_ROWS):
            query_ids = read_names(batch, "query_id", parse_query_id)
            count += int(np.count_nonzero(~_mark_own(query_ids, own_ids)))
        return count

    def add_to(
        self,
        builder: SearchesBuilder,
        encoders: Encoders,
        time_ranges: Sequence[Where],
        *,
        own: Records,
        former_searches: FormerSearches,
        progress: Callable[[int], None],
    ) -> int:
        """Hand the searches of some ranges of time to the builder, without those that the sidecar
        keeps itself; return how many rows cannot be read.

        time_ranges: filters that name nothing but a time; a row without a readable time counts as
        undated.  former_searches: leaves out those of a former space, and counts them.
        progress: is told how many rows came in.
        """
        own_ids, register = OwnQueryIds(own), VectorRegister(builder)
        unreadable = rows_read = 0
        columns = {role: sql for role, sql in self._table.expressions.items() if role != "text"}
        condition = self._table.build_time_condition(find_earliest(time_ranges))
        for batch in self._table.read_batches(columns, condition, self._batch_rows):
            if not rows_read:
                self._refuse_other_sizes(batch, builder.dimension)
            searches = _SearchBatch(batch, register)
            in_range = mark_in_ranges(searches.times, searches.has_time, time_ranges)
            rows = np.flatnonzero(in_range & searches.find_valid_rows())
            unreadable += int(np.count_nonzero(in_range)) - len(rows)
            self._resolver.infer_number_type(
                searches.shown.ids.select_values(searches.shown.find_entries(rows))
            )
            rows = rows[~_mark_own(searches.query_id, own_ids)[rows]]
            rows = former_searches.leave_out_rows(rows, searches.times)
            searches.add_to(builder, encoders, rows, self._resolver)
            rows_read += batch.num_rows
            progress(rows_read)
        return unreadable

    def _refuse_other_sizes(self, batch: Any, dimension: int) -> None:
        column = batch.column(VECTOR).slice(0, _FIRST_ROWS)
        sizes = set(read_sizes(column.drop_null()).tolist())
        refuse_vector_sizes(sizes, dimension, self._table.get_path(VECTOR), self._table.place)


class _SearchBatch:
    """The columns of a batch, parsed."""

    def __init__(self, batch: Any, register: VectorRegister) -> None:
        self.times, self.has_time = read_times(batch)
        self.query_id = read_names(batch, "query_id", parse_query_id)
        self.session = read_names(batch, "session", parse_session)
        self.client = read_names(batch, "client", parse_client)
        self.shown = read_shown(batch)
        self.vectors = register.read(batch.column(VECTOR))

    def find_valid_rows(self) -> NDArray[np.bool_]:
        """Return which rows are searches, (n,)."""
        is_valid = self.has_time & self.shown.is_valid & (self.vectors.hashes != NO_VECTOR)
        for column in (self.query_id, self.session, self.client):
            is_valid = is_valid & column.find_valid_rows()
        return np.asarray(is_valid)

    def add_to(
        self, builder: SearchesBuilder, encoders: Encoders, rows: Int64, resolver: PointIdResolver
    ) -> None:
        """Hand some rows, all of them searches, to the builder."""
        names = self.query_id.values
        query_ids = [names[code] for code in self.query_id.codes[rows].tolist()]
        numbers = builder.look_up_query_ids(query_ids)
        self.vectors.add_to(builder, rows[numbers >= 0])
        builder.add_columns(
            SearchColumns(
                query_ids=query_ids,
                query_number=numbers,
                session=self.session.encode(rows, encoders.sessions.encode),
                client=self.client.encode(rows, encoders.clients.encode),
                shown=self.shown.ids.encode(
                    self.shown.find_entries(rows),
                    lambda ids: encode_points(ids, encoders, resolver),
                ),
                shown_count=self.shown.sizes[rows],
                time=self.times[rows],
                vector_hash=self.vectors.hashes[rows],
            )
        )


def _mark_own(query_ids: DistinctValues, own_ids: OwnQueryIds) -> NDArray[np.bool_]:
    """Return which rows name a search of the sidecar's own, (n,)."""
    is_own = query_ids.is_valid.copy()
    valid_ids = [query_ids.values[code] for code in np.flatnonzero(is_own).tolist()]
    is_own[is_own] = own_ids.mark(valid_ids)
    return np.asarray(is_own[query_ids.codes])
