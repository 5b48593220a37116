"""Freezing the builders into a `Log`, sorted so that the order of the records does not matter.

Goes part by part: the rows are distributed over partitions by where they belong, and each partition
is put in order in memory. Columns that are large come out of temporary files and go into others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base import spooled
from nudge_sync.base.arrays import Float32, Int32, Int64, pair_key
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.partitions import Partitions, choose_bounds, count_partitions
from nudge_sync.base.spooled import SpooledColumn, list_parts, release_pages
from nudge_sync.feedback.log.builder import Encoders, EventsBuilder
from nudge_sync.feedback.log.columns import Actions, Log, Searches
from nudge_sync.feedback.log.id_encoding import IntegerInterner, inverse_permutation
from nudge_sync.feedback.log.searches_builder import NO_VECTOR, SearchesBuilder
from nudge_sync.feedback.log.strings import PackedStrings

_LIST_BATCH_SIZE = 2**17
"""Lists of shown points that are moved at a time."""
_LISTS_SHARE = 8
"""So many fewer searches than other rows are distributed at a time, since each has a list."""


def freeze_log(
    events_builder: EventsBuilder, searches_builder: SearchesBuilder, encoders: Encoders
) -> Log:
    """Return the log, and empty the builders and the encoders. Raises DiskFull."""
    query_id_count, encoders.query_ids = len(encoders.query_ids), IntegerInterner()
    point_ids, point_rows = encoders.points.sort()
    session_ids, session_rows = encoders.sessions.take_sorted()
    client_ids, client_rows = encoders.clients.take_sorted()
    query_ids, order = searches_builder.query_ids.build().sort()
    new_rows = inverse_permutation(order)
    del order
    search_rows = _find_search_rows(searches_builder.query_number, new_rows, query_id_count)
    rows = _RowMaps(search_rows, point_rows, session_rows, client_rows)
    vectors, vector_hashes = _freeze_vectors(searches_builder)
    searches = _freeze_searches(searches_builder, query_ids, new_rows, vector_hashes, rows)
    del new_rows
    labels, behaviour = _freeze_actions(events_builder, rows)
    return Log(
        searches,
        labels,
        behaviour,
        point_ids,
        session_ids,
        client_ids,
        vectors,
        events_builder.action_counts,
        events_builder.unweighted_events,
    )


@dataclass(frozen=True, slots=True)
class _RowMaps:
    """For each number that an encoder gave, the row that it stands for in the log."""

    search: Int32
    point: Int32
    session: Int32
    client: Int32


def _find_search_rows(query_number: SpooledColumn, new_rows: Int32, count: int) -> Int32:
    """Return for each query id that events name the row of its search, or -1, (count,).

    Of several searches with one id it is the last that was read.
    """
    rows = np.full(count, -1, np.int32)
    for part in list_parts(len(query_number)):
        numbers = query_number.read(part.start, part.stop)
        is_named = numbers >= 0
        rows[numbers[is_named]] = new_rows[part][is_named]
    return rows


def _freeze_searches(
    builder: SearchesBuilder,
    query_ids: PackedStrings,
    new_rows: Int32,
    vector_hashes: Int64,
    rows: _RowMaps,
) -> Searches:
    """Return the searches in the order of `new_rows`, (s,), the new row of each."""
    partitions, entries = _distribute_searches(builder, new_rows, vector_hashes, rows)
    columns = {name: SpooledColumn(dtype) for name, dtype in _SEARCH_COLUMNS.items()}
    shown_starts = SpooledColumn(np.int64)
    lists = [SpooledColumn(dtype) for dtype in entries.dtypes]
    shown_starts.extend([0])
    for number in range(len(partitions)):
        row, length, *values = partitions.read(number)
        order = np.argsort(row)
        for column, value in zip(columns.values(), values, strict=True):
            column.extend(value[order])
        shown_starts.extend(len(lists[0]) + np.cumsum(length[order], dtype=np.int64))
        for column, value in zip(lists, entries.read(number), strict=True):
            column.extend(_reorder_lists(value, length, order))
        release_pages()
    return Searches(
        query_ids=query_ids,
        **{name: column.to_array() for name, column in columns.items()},
        shown_starts=shown_starts.to_array(),
        shown=lists[0].to_array(),
        propensities=lists[1].to_array() if len(lists) > 1 else None,
    )


_SEARCH_COLUMNS = {
    "vector_row": np.int32, "time": np.float64, "session": np.int32, "client": np.int32
}  # fmt: skip


def _distribute_searches(
    builder: SearchesBuilder, new_rows: Int32, vector_hashes: Int64, rows: _RowMaps
) -> tuple[Partitions, Partitions]:
    """Return the searches by their new rows, and what they showed: by the same partitions.

    The columns of the searches are the new row, how many points were shown, and `_SEARCH_COLUMNS`.
    """
    taken = (builder.time, builder.session.take(), builder.client.take())
    shown, propensities = builder.shown.take(), builder.propensities
    builder.time, builder.propensities = SpooledColumn(np.float64), None
    count = count_partitions(max(len(new_rows), len(shown) // _LISTS_SHARE))
    rows_each = max(1, -(-len(new_rows) // count))
    partitions = Partitions(count, [np.int32, np.int32, *_SEARCH_COLUMNS.values()])
    entries = Partitions(count, [np.int32] if propensities is None else [np.int32, np.float32])
    begin = 0
    for part in list_chunks(len(new_rows), max(1, spooled.ROWS_PER_PART // _LISTS_SHARE)):
        bounds = part.start, part.stop
        partition = new_rows[part] // rows_each
        length = builder.shown_count.read(*bounds)
        hashes = builder.vector_hash.read(*bounds)
        time, session, client = (column.read(*bounds) for column in taken)
        partitions.add(
            partition,
            new_rows[part],
            length,
            _find_rows(vector_hashes, hashes),
            time,
            rows.session[session],
            rows.client[client],
        )
        end = begin + int(length.sum())
        logged = [] if propensities is None else [propensities.read(begin, end)]
        entry_points = rows.point[shown.read(begin, end)]
        entries.add(np.repeat(partition, length), entry_points, *logged)
        begin = end
    return partitions, entries


def _freeze_actions(builder: EventsBuilder, rows: _RowMaps) -> tuple[Actions, Actions]:
    """Return the labels and the behaviour, each sorted."""
    partitions = _distribute_events(builder, rows)
    labels, behaviour = (
        [SpooledColumn(dtype) for dtype in _ACTION_DTYPES] for _ in ("labels", "behaviour")
    )
    for is_label, *values in partitions:
        columns = dict(zip(Actions.__slots__, values, strict=True))
        for kept, sorted_columns in ((is_label, labels), (~is_label, behaviour)):
            sorted_rows = _sort_rows(columns, np.flatnonzero(kept))
            for column, value in zip(sorted_columns, values, strict=True):
                column.extend(value[sorted_rows])
    return _to_actions(labels), _to_actions(behaviour)


_ACTION_DTYPES = (
    np.int32, np.int32, np.float64, np.int32, np.float64, np.int32, np.int32
)  # fmt: skip
"""Of the columns of `Actions`, in their order."""


def _to_actions(columns: Sequence[SpooledColumn]) -> Actions:
    return Actions(*(column.to_array() for column in columns))


def _distribute_events(builder: EventsBuilder, rows: _RowMaps) -> Partitions:
    """Return whether each event is a label, and its columns, in the order of searches and points.

    Events on searches that are not stored come before all others.
    """
    columns = (
        builder.is_label, builder.search.take(), builder.point.take(), builder.weight,
        builder.rank, builder.time, builder.session.take(), builder.client.take(),
    )  # fmt: skip
    builder.weight = builder.time = SpooledColumn(np.float64)
    parts = list_parts(len(columns[0]))
    step = max(1, len(parts))
    keys = [
        pair_key(
            *(
                to_row[column.read(part.start, part.stop)[::step]]
                for to_row, column in zip((rows.search, rows.point), columns[1:3], strict=True)
            )
        )
        for part in parts
    ]
    sample = np.concatenate([np.zeros(0, np.int64), *keys])
    bounds = choose_bounds(sample, count_partitions(len(columns[0])))
    partitions = Partitions(len(bounds) + 1, [np.bool_, *_ACTION_DTYPES])
    for part in parts:
        is_label, search, point, weight, rank, time, session, client = (
            column.read(part.start, part.stop) for column in columns
        )
        search, point = rows.search[search], rows.point[point]
        partitions.add(
            np.searchsorted(bounds, pair_key(search, point), side="right"),
            is_label, search, point, weight, rank, time, rows.session[session],
            rows.client[client],
        )  # fmt: skip
    return partitions


def _freeze_vectors(searches_builder: SearchesBuilder) -> tuple[Float32, Int64]:
    """Return the vectors in the order of their digests, (v, d), and the hash of each, (v,)."""
    vector_by_hash = searches_builder.vector_by_hash
    hashes = sorted(vector_by_hash, key=lambda hash_: vector_by_hash[hash_][0])
    usable = [hash_ for hash_ in hashes if vector_by_hash[hash_][1].any()]
    matrix = np.zeros((len(usable), searches_builder.dimension), np.float32)
    for row, hash_ in enumerate(usable):
        matrix[row] = vector_by_hash.pop(hash_)[1]
    return matrix, np.array(usable, np.int64)


def _find_rows(values: Int64, wanted: Int64) -> Int32:
    """Return for each wanted value the row of `values` that holds it, or -1, (w,)."""
    if not len(values):
        return np.full(len(wanted), -1, np.int32)
    order = np.argsort(values)
    sorted_values = values[order]
    indices = np.minimum(np.searchsorted(sorted_values, wanted), len(sorted_values) - 1)
    hit = (sorted_values[indices] == wanted) & (wanted != NO_VECTOR)
    return np.where(hit, order[indices], -1).astype(np.int32)


def _reorder_lists(values: NDArray[Any], lengths: Int32, order: Int64) -> NDArray[Any]:
    """Return lists laid end to end in another order.

    values: (n,), the lists end to end.  lengths: (s,), of each list.  order: (s,), of the lists.
    """
    begins = (np.cumsum(lengths, dtype=np.int64) - lengths)[order]
    sizes = lengths[order]
    ends = np.cumsum(sizes, dtype=np.int64)
    result = np.empty(len(values), values.dtype)
    # All at once, the indices would take several times the memory of the lists.
    for start in range(0, len(order), _LIST_BATCH_SIZE):
        chunk = slice(start, start + _LIST_BATCH_SIZE)
        chunk_sizes = sizes[chunk]
        first = np.cumsum(chunk_sizes, dtype=np.int64) - chunk_sizes
        indices = np.arange(int(chunk_sizes.sum())) + np.repeat(begins[chunk] - first, chunk_sizes)
        last = int(ends[chunk][-1])
        result[last - len(indices) : last] = values[indices]
    return result


def _sort_rows(columns: dict[str, NDArray[Any]], rows: Int64) -> Int64:
    """Return the rows in the order of all columns."""
    key = pair_key(columns["search"][rows], columns["point"][rows])
    order = np.argsort(key)
    key, rows = key[order], rows[order]
    same = np.zeros(len(key) + 1, np.bool_)
    same[1:-1] = key[1:] == key[:-1]
    tied = np.flatnonzero(same[1:] | same[:-1])
    other_columns = [columns[name][rows[tied]] for name in Actions.__slots__[2:]]
    # A grade of 0 gives a weight of 0.0 or -0.0, which compare equal.
    tie_order = np.lexsort(
        [np.signbit(columns["weight"][rows[tied]]), *other_columns[::-1], key[tied]]
    )
    rows[tied] = rows[tied][tie_order]
    return rows
