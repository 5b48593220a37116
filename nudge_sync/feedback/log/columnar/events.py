"""Events of a table, column by column: the same rows give what they give one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nudge_sync.connector import Where
from nudge_sync.feedback.log.builder import (
    Encoders,
    EventColumns,
    EventsBuilder,
    apply_grades,
)
from nudge_sync.feedback.log.columnar.column_types import quote_text
from nudge_sync.feedback.log.columnar.distinct import (
    parse_client,
    parse_session,
    read_column,
    read_names,
    read_times,
)
from nudge_sync.feedback.log.columnar.points import encode_points, look_up_points, read_point_ids
from nudge_sync.feedback.log.columnar.table import LogTable
from nudge_sync.feedback.log.columnar.time_ranges import find_earliest, mark_in_ranges
from nudge_sync.feedback.schema.fields import HOLES
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.values import (
    parse_grade,
    parse_position,
    parse_query_id,
)

_BATCH_ROWS = 2**18
_DEFAULT_ACTION = "click"


class TableEvents:
    """The events of a table. Each row is one, or one for each point of a list."""

    def __init__(self, table: LogTable, resolver: PointIdResolver) -> None:
        self._table = table
        self._resolver = resolver

    def count(self) -> int:
        """Return how many there are, those that cannot be read among them."""
        point = self._table.expressions["point"]
        if self._table.is_list("point"):
            return self._table.count(f"sum(len({point}))")
        return self._table.count(f"count({_drop_holes(point)})")

    def add_to(
        self,
        builder: EventsBuilder,
        encoders: Encoders,
        time_ranges: Sequence[Where],
        progress: Callable[[int], None],
    ) -> int:
        """Hand the events of some ranges of time to the builder; return how many of them cannot be
        read.

        time_ranges: filters that name nothing but a time; a row without a readable time counts as
        undated.  progress: is told how many rows came in.
        """
        unreadable = rows_read = 0
        for batch in self._read_batches(find_earliest(time_ranges)):
            events = _EventBatch(batch)
            in_range = mark_in_ranges(events.times, events.has_time, time_ranges)
            rows = np.flatnonzero(in_range & events.find_valid_rows())
            unreadable += int(np.count_nonzero(in_range)) - len(rows)
            look_up_points(events.point.select_values(rows), self._resolver)
            events.add_to(builder, encoders, rows, self._resolver)
            rows_read += batch.num_rows
            progress(rows_read)
        return unreadable

    def _read_batches(self, start: float) -> Iterator[Any]:
        columns = dict(self._table.expressions)
        conditions = [self._table.build_time_condition(start)]
        point = columns["point"]
        if self._table.is_list("point"):
            columns["point"] = f"unnest({point})"
        else:
            # A row without a point is a search on which nobody acted, and no unreadable event.
            conditions.append(f"{_drop_holes(point)} IS NOT NULL")
        return self._table.read_batches(
            columns, " AND ".join(filter(None, conditions)), _BATCH_ROWS
        )


class _EventBatch:
    """The columns of a batch, parsed."""

    def __init__(self, batch: Any) -> None:
        self.times, self.has_time = read_times(batch)
        self.query_id = read_names(batch, "query_id", parse_query_id)
        self.action = read_names(batch, "action", lambda value: value or _DEFAULT_ACTION)
        self.point = read_point_ids(batch.column("point"))
        self.position = read_column(batch, "position", parse_position)
        self.grade = read_column(batch, "grade", parse_grade)
        self.session = read_names(batch, "session", parse_session)
        self.client = read_names(batch, "client", parse_client)

    def find_valid_rows(self) -> Any:
        """Return which rows are events, (n,)."""
        is_valid = self.has_time
        columns = (self.query_id, self.action, self.point, self.position, self.grade)
        for column in (*columns, self.session, self.client):
            is_valid = is_valid & column.find_valid_rows()
        return is_valid

    def add_to(
        self,
        builder: EventsBuilder,
        encoders: Encoders,
        rows: Any,
        resolver: PointIdResolver,
    ) -> None:
        """Hand some rows, all of them events, to the builder."""
        action_weights = builder.count_actions(
            self.action.values, np.bincount(self.action.codes[rows], minlength=len(self.action))
        )
        rows = rows[~np.isnan(action_weights[self.action.codes[rows]])]
        action_codes = self.action.codes[rows]
        grades = self.grade.to_numbers(np.nan, np.float64)[self.grade.codes[rows]]
        weights = apply_grades(action_weights[action_codes], grades)
        builder.add_columns(
            EventColumns(
                search=self.query_id.encode(rows, encoders.encode_query_ids),
                point=self.point.encode(rows, lambda ids: encode_points(ids, encoders, resolver)),
                session=self.session.encode(rows, encoders.sessions.encode),
                client=self.client.encode(rows, encoders.clients.encode),
                weight=weights,
                time=self.times[rows],
                rank=self.position.to_numbers(0, np.int32)[self.position.codes[rows]],
                is_label=builder.mark_labels(self.action.values, action_codes, weights),
            )
        )


def _drop_holes(sql: str) -> str:
    holes = ", ".join(map(quote_text, sorted(HOLES)))
    return f"CASE WHEN trim(CAST({sql} AS VARCHAR)) NOT IN ({holes}) THEN {sql} END"
