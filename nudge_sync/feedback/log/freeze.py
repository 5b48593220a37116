"""What was gathered from records, into the one order it has whatever the order they came in.

Column by column, each given back as soon as it was used.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32
from nudge_sync.feedback.log.builder import NO_VECTOR, Asked, Events, Numbers
from nudge_sync.feedback.log.columns import Actions, Int32, Int64, Log, Searches

_LISTS = 2**17
"""Lists of what was shown, at a time."""


def assembled(events: Events, asked: Asked, numbers: Numbers) -> Log:
    """The log. Takes everything out of what is handed in."""
    points, point_places = numbers.points.ordered()
    sessions, session_places = numbers.sessions.ordered()
    clients, client_places = numbers.clients.ordered()
    vectors, vector = _vectors(asked)
    names, order = asked.names.all().ordered()
    rows = _rows(_column(asked.number)[order], len(numbers.searches))
    lengths = _column(asked.length)
    searches = Searches(
        names=names,
        vector=vector[order],
        time=_column(asked.time)[order],
        session=session_places[_column(asked.session.all())[order]],
        client=client_places[_column(asked.client.all())[order]],
        starts=_starts(lengths[order]),
        shown=_reordered(_column(asked.shown.all()), lengths, order, point_places),
    )
    is_label = _column(events.is_label).astype(np.bool_)
    said: dict[str, NDArray[Any]] = {
        "search": rows[_column(events.search.all())],
        "point": point_places[_column(events.point.all())],
        "weight": _column(events.weight),
        "position": _column(events.position),
        "time": _column(events.time),
        "session": session_places[_column(events.session.all())],
        "client": client_places[_column(events.client.all())],
    }
    of = _sorted(said, np.flatnonzero(is_label))
    labels = Actions(*(said[name][of] for name in Actions.__slots__))
    of = _sorted(said, np.flatnonzero(~is_label))
    events.weight = events.time = array("d")
    behaviour = Actions(*(said.pop(name)[of] for name in Actions.__slots__))
    return Log(
        searches,
        labels,
        behaviour,
        points,
        sessions,
        clients,
        vectors,
        events.counts,
        events.unused,
    )


def _column(values: array[Any]) -> NDArray[Any]:
    """The values as numbers that share their memory."""
    return np.frombuffer(values, values.typecode) if values else np.zeros(0, values.typecode)


def _vectors(asked: Asked) -> tuple[Float32, Int32]:
    """The vectors in the order of their digests, and for each search the row of its own, or -1."""
    kept = asked.vectors
    hashes = sorted(kept, key=lambda hash_: kept[hash_][0])
    usable = [hash_ for hash_ in hashes if kept[hash_][1].any()]
    matrix = np.zeros((len(usable), asked.dimension), np.float32)
    for row, hash_ in enumerate(usable):
        matrix[row] = kept.pop(hash_)[1]
    return matrix, _found(np.array(usable, np.int64), _column(asked.vector))


def _found(values: Int64, wanted: Int64) -> Int32:
    """For each of the wanted the row of `values` that holds it, or -1."""
    if not len(values):
        return np.full(len(wanted), -1, np.int32)
    order = np.argsort(values)
    ranked = values[order]
    at = np.minimum(np.searchsorted(ranked, wanted), len(ranked) - 1)
    hit = (ranked[at] == wanted) & (wanted != NO_VECTOR)
    return np.where(hit, order[at], -1).astype(np.int32)


def _rows(numbers: Int32, count: int) -> Int32:
    """For each number the row that has it, or -1."""
    rows = np.full(count, -1, np.int32)
    said = np.flatnonzero(numbers >= 0)
    rows[numbers[said]] = said
    return rows


def _starts(lengths: Int32) -> Int64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _reordered(shown: Int32, lengths: Int32, order: Int64, places: Int32) -> Int32:
    """The lists laid end to end in `shown`, each whole, in another order; numbers made places."""
    begins, sizes = _starts(lengths)[:-1][order], lengths[order]
    ends = np.cumsum(sizes, dtype=np.int64)
    found = np.empty(len(shown), np.int32)
    # All at once it would take eight times the memory of what is shown.
    for start in range(0, len(order), _LISTS):
        some = slice(start, start + _LISTS)
        of = sizes[some]
        first = np.cumsum(of, dtype=np.int64) - of
        at = np.arange(int(of.sum())) + np.repeat(begins[some] - first, of)
        last = int(ends[some][-1])
        found[last - len(at) : last] = places[shown[at]]
    return found


def _sorted(said: dict[str, NDArray[Any]], rows: Int64) -> Int64:
    """The rows in the order of all they say."""
    key = said["search"][rows].astype(np.int64) << 32 | said["point"][rows]
    order = np.argsort(key)
    key, rows = key[order], rows[order]
    same = np.zeros(len(key) + 1, np.bool_)
    same[1:-1] = key[1:] == key[:-1]
    tied = np.flatnonzero(same[1:] | same[:-1])
    rest = [said[name][rows[tied]] for name in Actions.__slots__[2:]]
    # A grade of 0 makes 0.0 or -0.0 of a weight, and these two are equal.
    by = np.lexsort([np.signbit(said["weight"][rows[tied]]), *rest[::-1], key[tied]])
    rows[tied] = rows[tied][by]
    return rows
