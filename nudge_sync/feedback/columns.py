"""Stored searches and events as columns of numbers, in an order of their own."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId, Records
from nudge_sync.feedback.sieve import EventColumns, SearchColumns, Sieve

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
Name = TypeVar("Name", int, str, int | str, bytes)

Progress: TypeAlias = Callable[[int, int], None]

NO_ONE = ""
_HUGE = 2**62
_CHUNK = 2**22
"""Values at a time."""
_LISTS = 2**17
"""Likewise, lists of what was shown."""


@dataclass(frozen=True, slots=True)
class Searches:
    """One row a search, sorted by query id."""

    names: list[str]
    vector: Int32
    """(s,): row of `Log.vectors`, or -1 where the vector is not usable."""
    time: Float64
    session: Int32
    client: Int32
    starts: Int64
    """(s + 1,): the points shown for search i are `shown[starts[i]:starts[i + 1]]`, best first."""
    shown: Int32


@dataclass(frozen=True, slots=True)
class Actions:
    """One row an event with a weighted action, sorted by all it says."""

    search: Int32
    """(e,): row of the search, or -1 where it is not stored."""
    point: Int32
    weight: Float64
    """(e,): the action's weight times the event's grade."""
    position: Int32
    """(e,): 1 is the top; 0 where it is not said."""
    time: Float64
    session: Int32
    client: Int32

    def __len__(self) -> int:
        return len(self.search)

    def only(self, keep: NDArray[Any]) -> Actions:
        """The rows of a mask, or those listed, in that order."""
        return Actions(*(getattr(self, name)[keep] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Log:
    """All feedback of a collection. The same records in any order give the same bits."""

    searches: Searches
    labels: Actions
    behaviour: Actions
    points: list[PointId]
    """Sorted by their text; columns `point` and `shown` hold rows of it."""
    sessions: list[str]
    clients: list[str]
    vectors: Float32
    """(v, d): each distinct query vector once, with length 1."""
    unused: int
    """Events whose action has no weight."""
    unreadable: int = 0
    """Records that are no searches or events as this version knows them; left out."""


LABELS = frozenset({"relevant", "not_relevant"})
"""Actions that say what they mean; so does every action with a weight of 0 or below."""


def read(
    queries: Records,
    events: Records,
    actions: Mapping[str, float],
    dimension: int,
    progress: Progress | None = None,
) -> Log:
    """The log that the records hold, streamed in batches: events first, then searches.

    progress: told after each batch how many events and how many searches were read.
    """
    names, points = Numbered[str](), PointCodes()
    sessions, clients = Numbered[str](), Numbered[str]()
    acts = _Events(actions, names, points, sessions, clients)
    sieve = Sieve()
    read_events = read_searches = 0
    for batch in events.scan(vectors=False):
        acts.take(sieve.events(batch))
        read_events += len(batch)
        if progress:
            progress(read_events, read_searches)
    asked = _Asked(dimension, len(names), names, points, sessions, clients)
    for batch in queries.scan():
        asked.take(sieve.searches(batch))
        read_searches += len(batch)
        if progress:
            progress(read_events, read_searches)
    return replace(_assembled(acts, asked), unreadable=sieve.unreadable)


class Numbered(dict[Name, int]):
    """Names and the number each was given when it was first met."""

    def __missing__(self, name: Name) -> int:
        number = self[name] = len(self)
        return number

    def of(self, names: Iterable[Name]) -> list[int]:
        """The numbers of `names`, new ones where needed."""
        return list(map(self.__getitem__, names))

    def ordered(self) -> tuple[list[Name], Int32]:
        """The names sorted by their text, and for each number its place among them."""
        names = sorted(self, key=str)
        places = np.empty(len(names), np.int32)
        places[[self[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        return names, places


class PointCodes:
    """Point ids as whole numbers: usual integers as they are, all others numbered below 0."""

    def __init__(self) -> None:
        self.others = Numbered[int | str]()

    def of(self, ids: Sequence[PointId]) -> Int64:
        """(n,): the code of each id."""
        if set(map(type, ids)) == {int}:
            codes = np.array(ids)
            if codes.dtype == np.int64 and codes.min() >= 0 and codes.max() < _HUGE:
                return codes
        return np.array([self._code(id_) for id_ in ids], np.int64)

    def ordered(self, codes: Int64) -> tuple[list[PointId], Int32]:
        """The ids of `codes` sorted by their text, and for each code its place among them."""
        others = list(self.others)
        ids = [code if code >= 0 else others[-1 - code] for code in codes.tolist()]
        order = sorted(range(len(ids)), key=lambda row: (str(ids[row]), isinstance(ids[row], str)))
        places = np.empty(len(ids), np.int32)
        places[order] = np.arange(len(ids), dtype=np.int32)
        return [ids[row] for row in order], places

    def _code(self, id_: PointId) -> int:
        return id_ if isinstance(id_, int) and 0 <= id_ < _HUGE else -1 - self.others[id_]


@dataclass(slots=True)
class _Events:
    actions: Mapping[str, float]
    names: Numbered[str]
    points: PointCodes
    sessions: Numbered[str]
    clients: Numbered[str]
    unused: int = 0
    columns: dict[str, array[Any]] = field(
        default_factory=lambda: {
            "search": array("i"),
            "point": array("q"),
            "weight": array("d"),
            "position": array("i"),
            "time": array("d"),
            "session": array("i"),
            "client": array("i"),
            "is_label": array("b"),
        }
    )

    def take(self, batch: EventColumns) -> None:
        used = [name in self.actions for name in batch.action_name]
        if not all(used):
            batch = batch.only(used)
            self.unused += len(used) - sum(used)
        columns = self.columns
        columns["search"].extend(self.names.of(batch.query_id))
        columns["point"].frombytes(self.points.of(batch.object_id).tobytes())
        columns["weight"].extend(self._weights(batch))
        columns["position"].extend([one or 0 for one in batch.position])
        columns["time"].extend(batch.timestamp)
        columns["session"].extend(self.sessions.of(batch.session_id))
        columns["client"].extend(self.clients.of(batch.client_id))
        says_it = {name: self._says_it(name) for name in set(batch.action_name)}
        columns["is_label"].extend([says_it[name] for name in batch.action_name])

    def _weights(self, batch: EventColumns) -> list[float]:
        weights = [self.actions[name] for name in batch.action_name]
        if set(map(type, batch.grade)) == {type(None)}:
            return weights
        return [
            weight * (1.0 if grade is None else grade)
            for weight, grade in zip(weights, batch.grade, strict=True)
        ]

    def _says_it(self, action: str) -> bool:
        return action in LABELS or self.actions[action] <= 0


@dataclass(slots=True)
class _Asked:
    dimension: int
    said_of: int
    """Numbers of `names` below this are those of searches with events."""
    names: Numbered[str]
    points: PointCodes
    sessions: Numbered[str]
    clients: Numbered[str]
    digests: Numbered[bytes] = field(default_factory=Numbered)
    vectors: dict[int, Float32] = field(default_factory=dict)
    """Number of the digest -> vector with length 1; only of searches with events."""
    columns: dict[str, array[Any]] = field(
        default_factory=lambda: {
            "name": array("i"),
            "digest": array("i"),
            "time": array("d"),
            "session": array("i"),
            "client": array("i"),
            "length": array("i"),
            "shown": array("q"),
        }
    )

    def take(self, batch: SearchColumns) -> None:
        columns, records = self.columns, batch.records
        names = self.names.of([record.key for record in records])
        columns["name"].extend(names)
        columns["digest"].extend(
            [self._vector(record.vector, name) for record, name in zip(records, names, strict=True)]
        )
        columns["time"].extend(batch.timestamp)
        columns["session"].extend(self.sessions.of(batch.session_id))
        columns["client"].extend(self.clients.of(batch.client_id))
        lists = [one or () for one in batch.shown]
        columns["length"].extend(map(len, lists))
        shown = self.points.of(list(chain.from_iterable(lists)))
        columns["shown"].frombytes(shown.tobytes())

    def _vector(self, vector: Float32 | None, name: int) -> int:
        if vector is None or vector.shape != (self.dimension,):
            return -1
        number = self.digests[blake2b(vector.tobytes(), digest_size=16).digest()]
        if name < self.said_of and number not in self.vectors:
            self.vectors[number] = unit(vector)
        return number


def unit(vector: Float32) -> Float32:
    """The vector with length 1, computed in float64; all zero where it has no direction."""
    wide = vector.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    if not np.isfinite(norm) or norm == 0:
        return np.zeros_like(vector)
    return np.asarray(wide / norm, dtype=np.float32)


def _assembled(events: _Events, asked: _Asked) -> Log:
    codes = _different([events.columns["point"], asked.columns["shown"]])
    points, places = asked.points.ordered(codes)

    def place_of(some: Int64) -> Int32:
        return np.asarray(places[np.searchsorted(codes, some)])

    sessions, session_places = asked.sessions.ordered()
    clients, client_places = asked.clients.ordered()
    vectors, vector_rows = _vectors(asked)
    columns = {name: _taken(asked.columns, name) for name in list(asked.columns)}
    known = list(asked.names)
    names = [known[number] for number in columns["name"].tolist()]
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    lengths = columns["length"].astype(np.int64)
    searches = Searches(
        names=[names[row] for row in order.tolist()],
        vector=vector_rows[columns["digest"][order]],
        time=columns["time"][order],
        session=session_places[columns["session"][order]],
        client=client_places[columns["client"][order]],
        starts=_starts(lengths[order]),
        shown=_reordered(columns.pop("shown"), lengths, order, place_of),
    )
    rows = np.full(len(known), -1, np.int32)
    rows[columns["name"][order]] = np.arange(len(order), dtype=np.int32)
    is_label = _taken(events.columns, "is_label").astype(np.bool_)
    actions = _actions(events.columns, rows, place_of, session_places, client_places)
    return Log(
        searches,
        _sorted(actions.only(is_label)),
        _sorted(actions.only(~is_label)),
        points,
        sessions,
        clients,
        vectors,
        events.unused,
    )


def _taken(columns: dict[str, array[Any]], name: str) -> NDArray[Any]:
    """The column as numbers that share its memory, and give it back as they go."""
    column = columns.pop(name)
    return np.frombuffer(column, column.typecode) if column else np.zeros(0, column.typecode)


def _different(columns: Iterable[array[int]]) -> Int64:
    """All values in the columns, each once, ascending."""
    parts = [np.zeros(0, np.int64)]
    for column in columns:
        values = np.frombuffer(column, np.int64) if column else parts[0]
        parts += [
            different(values[start : start + _CHUNK]) for start in range(0, len(values), _CHUNK)
        ]
    return different(np.concatenate(parts))


def different(values: NDArray[Number]) -> NDArray[Number]:
    """Each of the values once, ascending."""
    # np.unique hashes whole numbers, which takes ten times as long where they are many.
    found = np.sort(values)
    fresh = np.ones(len(found), np.bool_)
    fresh[1:] = found[1:] != found[:-1]
    return np.asarray(found[fresh])


def _vectors(asked: _Asked) -> tuple[Float32, Int32]:
    """The vectors in the order of their digests, and for each digest's number its row, or -1.

    The last entry is for searches without a usable vector, whose number is -1.
    """
    digests = list(asked.digests)
    numbers = sorted(asked.vectors, key=digests.__getitem__)
    rows = np.full(len(digests) + 1, -1, np.int32)
    usable = [number for number in numbers if asked.vectors[number].any()]
    rows[usable] = np.arange(len(usable), dtype=np.int32)
    matrix = np.zeros((len(usable), asked.dimension), np.float32)
    for row, number in enumerate(usable):
        matrix[row] = asked.vectors[number]
    return matrix, rows


def _starts(lengths: Int64) -> Int64:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _reordered(
    shown: Int64, lengths: Int64, order: Int64, place_of: Callable[[Int64], Int32]
) -> Int32:
    """The lists laid end to end in `shown`, each whole, in another order; codes made places."""
    begins, sizes = _starts(lengths)[:-1][order], lengths[order]
    ends = np.cumsum(sizes)
    found = np.empty(len(shown), np.int32)
    # All at once it would take four times the memory of what is shown.
    for start in range(0, len(order), _LISTS):
        some = slice(start, start + _LISTS)
        of = sizes[some]
        first = np.cumsum(of) - of
        at = np.arange(int(of.sum())) + np.repeat(begins[some] - first, of)
        last = int(ends[some][-1])
        found[last - len(at) : last] = place_of(shown[at])
    return found


def _actions(
    columns: dict[str, array[Any]],
    rows: Int32,
    place_of: Callable[[Int64], Int32],
    sessions: Int32,
    clients: Int32,
) -> Actions:
    return Actions(
        search=rows[_taken(columns, "search")],
        point=place_of(_taken(columns, "point")),
        weight=_taken(columns, "weight"),
        position=_taken(columns, "position"),
        time=_taken(columns, "time"),
        session=sessions[_taken(columns, "session")],
        client=clients[_taken(columns, "client")],
    )


def _sorted(actions: Actions) -> Actions:
    keys = [getattr(actions, name) for name in actions.__slots__]
    return actions.only(np.lexsort(keys[::-1]))
