"""Freezing the builders into a `Log`, sorted so that the order of the records does not matter.

Goes column by column and lets go of each as soon as it is used, since the log may fill the memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Int32, Int64, pair_key
from nudge_sync.feedback.log.builder import Encoders, EventsBuilder
from nudge_sync.feedback.log.columns import Actions, Log, Searches
from nudge_sync.feedback.log.searches_builder import NO_VECTOR, SearchesBuilder
from nudge_sync.feedback.log.strings import PackedStrings

_LIST_BATCH_SIZE = 2**17
"""Lists of shown points that are moved at a time."""


def freeze_log(
    events_builder: EventsBuilder, searches_builder: SearchesBuilder, encoders: Encoders
) -> Log:
    """Return the log, and empty the builders and the encoders."""
    point_ids, point_rows = encoders.points.sort()
    session_ids, session_rows = encoders.sessions.take_sorted()
    client_ids, client_rows = encoders.clients.take_sorted()
    vectors, vector_rows = _freeze_vectors(searches_builder)
    query_ids, order = searches_builder.query_ids.build().sort()
    search_rows = _invert_numbers(
        _to_array(searches_builder.query_number)[order], len(encoders.query_ids)
    )
    rows = _RowMaps(search_rows, point_rows, session_rows, client_rows)
    searches = _freeze_searches(searches_builder, query_ids, order, vector_rows, rows)
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


def _freeze_searches(
    builder: SearchesBuilder,
    query_ids: PackedStrings,
    order: Int64,
    vector_rows: Int32,
    rows: _RowMaps,
) -> Searches:
    lengths = _to_array(builder.shown_count)
    propensities, builder.propensities = builder.propensities, None
    return Searches(
        query_ids=query_ids,
        vector_row=vector_rows[order],
        time=_to_array(builder.time)[order],
        session=rows.session[_to_array(builder.session.take())[order]],
        client=rows.client[_to_array(builder.client.take())[order]],
        shown_starts=_compute_starts(lengths[order]),
        shown=_reorder_lists(
            _to_array(builder.shown.take()), lengths, order, rows.point.__getitem__
        ),
        propensities=None
        if propensities is None
        else _reorder_lists(_to_array(propensities), lengths, order),
    )


def _freeze_actions(builder: EventsBuilder, rows: _RowMaps) -> tuple[Actions, Actions]:
    """Return the labels and the behaviour, each sorted."""
    is_label = _to_array(builder.is_label).astype(np.bool_)
    columns: dict[str, NDArray[Any]] = {
        "search": rows.search[_to_array(builder.search.take())],
        "point": rows.point[_to_array(builder.point.take())],
        "weight": _to_array(builder.weight),
        "rank": _to_array(builder.rank),
        "time": _to_array(builder.time),
        "session": rows.session[_to_array(builder.session.take())],
        "client": rows.client[_to_array(builder.client.take())],
    }
    label_rows = _sort_rows(columns, np.flatnonzero(is_label))
    labels = Actions(*(columns[name][label_rows] for name in Actions.__slots__))
    behaviour_rows = _sort_rows(columns, np.flatnonzero(~is_label))
    builder.weight = builder.time = array("d")
    behaviour = Actions(*(columns.pop(name)[behaviour_rows] for name in Actions.__slots__))
    return labels, behaviour


def _to_array(values: array[Any]) -> NDArray[Any]:
    """Return the values as an array that shares their memory."""
    return np.frombuffer(values, values.typecode) if values else np.zeros(0, values.typecode)


def _freeze_vectors(searches_builder: SearchesBuilder) -> tuple[Float32, Int32]:
    """Return the vectors in the order of their digests, (v, d), and the row of each search, (s,),
    or -1.
    """
    vector_by_hash = searches_builder.vector_by_hash
    hashes = sorted(vector_by_hash, key=lambda hash_: vector_by_hash[hash_][0])
    usable = [hash_ for hash_ in hashes if vector_by_hash[hash_][1].any()]
    matrix = np.zeros((len(usable), searches_builder.dimension), np.float32)
    for row, hash_ in enumerate(usable):
        matrix[row] = vector_by_hash.pop(hash_)[1]
    return matrix, _find_rows(np.array(usable, np.int64), _to_array(searches_builder.vector_hash))


def _find_rows(values: Int64, wanted: Int64) -> Int32:
    """Return for each wanted value the row of `values` that holds it, or -1, (w,)."""
    if not len(values):
        return np.full(len(wanted), -1, np.int32)
    order = np.argsort(values)
    sorted_values = values[order]
    indices = np.minimum(np.searchsorted(sorted_values, wanted), len(sorted_values) - 1)
    hit = (sorted_values[indices] == wanted) & (wanted != NO_VECTOR)
    return np.where(hit, order[indices], -1).astype(np.int32)


def _invert_numbers(numbers: Int32, count: int) -> Int32:
    """Return for each number below `count` the row that has it, or -1, (count,)."""
    rows = np.full(count, -1, np.int32)
    numbered_rows = np.flatnonzero(numbers >= 0)
    rows[numbers[numbered_rows]] = numbered_rows
    return rows


def _compute_starts(lengths: Int32) -> Int64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _reorder_lists(
    values: NDArray[Any],
    lengths: Int32,
    order: Int64,
    convert: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray,
) -> NDArray[Any]:
    """Return lists laid end to end, converted, in another order.

    values: (n,), the lists end to end.  lengths: (s,), of each list.  order: (s,), of the lists.
    """
    begins, sizes = _compute_starts(lengths)[:-1][order], lengths[order]
    ends = np.cumsum(sizes, dtype=np.int64)
    result = np.empty(len(values), values.dtype)
    # All at once, the indices would take several times the memory of the lists.
    for start in range(0, len(order), _LIST_BATCH_SIZE):
        chunk = slice(start, start + _LIST_BATCH_SIZE)
        chunk_sizes = sizes[chunk]
        first = np.cumsum(chunk_sizes, dtype=np.int64) - chunk_sizes
        indices = np.arange(int(chunk_sizes.sum())) + np.repeat(begins[chunk] - first, chunk_sizes)
        last = int(ends[chunk][-1])
        result[last - len(indices) : last] = convert(values[indices])
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
