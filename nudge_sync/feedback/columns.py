"""Stored searches and events as columns of numbers, in an order of their own."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId, Record, Records
from nudge_sync.feedback.sieve import Sieve

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Name = TypeVar("Name", int, str, int | str, bytes)

NO_ONE = ""


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


def read(queries: Records, events: Records, actions: Mapping[str, float], dimension: int) -> Log:
    """The log that the records hold, streamed in batches: events first, then searches."""
    names, points = Numbered[str](), Numbered[int | str]()
    sessions, clients = Numbered[str](), Numbered[str]()
    reader = _Events(actions, names, points, sessions, clients)
    sieve = Sieve()
    for batch in events.scan(vectors=False):
        reader.take(sieve.events(batch))
    said_of = len(names)
    asked = _Asked(dimension, said_of, names, points, sessions, clients)
    for batch in queries.scan():
        asked.take(sieve.searches(batch))
    return replace(_assembled(reader, asked), unreadable=sieve.unreadable)


class Numbered(Generic[Name]):
    """Names and the number each was given when it was first met."""

    def __init__(self) -> None:
        self.numbers: dict[Name, int] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, names: Iterable[Name]) -> list[int]:
        """The numbers of `names`, new ones where needed."""
        numbers = self.numbers
        return [numbers.setdefault(name, len(numbers)) for name in names]

    def ordered(self) -> tuple[list[Name], Int32]:
        """The names sorted by their text, and for each number its place among them."""
        names = sorted(self.numbers, key=lambda name: (str(name), isinstance(name, str)))
        places = np.empty(len(names), np.int32)
        places[[self.numbers[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        return names, places


@dataclass(slots=True)
class _Events:
    actions: Mapping[str, float]
    names: Numbered[str]
    points: Numbered[int | str]
    sessions: Numbered[str]
    clients: Numbered[str]
    unused: int = 0
    integers: dict[str, array[int]] = field(
        default_factory=lambda: {
            name: array("i") for name in ("search", "point", "position", "session", "client")
        }
    )
    floats: dict[str, array[float]] = field(
        default_factory=lambda: {name: array("d") for name in ("weight", "time")}
    )
    is_label: array[int] = field(default_factory=lambda: array("b"))

    def take(self, documents: list[dict[str, Any]]) -> None:
        used = [one for one in documents if one["action_name"] in self.actions]
        self.unused += len(documents) - len(used)
        whole, parts = self.integers, self.floats
        whole["search"].extend(self.names.of(one["query_id"] for one in used))
        whole["point"].extend(self.points.of(one["object_id"] for one in used))
        whole["position"].extend([one.get("position") or 0 for one in used])
        whole["session"].extend(self.sessions.of(one.get("session_id", NO_ONE) for one in used))
        whole["client"].extend(self.clients.of(one.get("client_id", NO_ONE) for one in used))
        parts["weight"].extend([self._weight(one) for one in used])
        parts["time"].extend([one.get("timestamp", 0.0) for one in used])
        self.is_label.extend([self._says_it(one["action_name"]) for one in used])

    def _weight(self, document: Mapping[str, Any]) -> float:
        grade = document.get("grade")
        return self.actions[document["action_name"]] * (1.0 if grade is None else grade)

    def _says_it(self, action: str) -> bool:
        return action in LABELS or self.actions[action] <= 0


@dataclass(slots=True)
class _Asked:
    dimension: int
    said_of: int
    """Numbers of `names` below this are those of searches with events."""
    names: Numbered[str]
    points: Numbered[int | str]
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
            "shown": array("i"),
        }
    )

    def take(self, records: list[Record]) -> None:
        documents = [record.document for record in records]
        columns = self.columns
        names = self.names.of(record.key for record in records)
        columns["name"].extend(names)
        columns["digest"].extend(
            [self._vector(record, name) for record, name in zip(records, names, strict=True)]
        )
        columns["time"].extend([one.get("timestamp", 0.0) for one in documents])
        columns["session"].extend(self.sessions.of(one.get("session_id", "") for one in documents))
        columns["client"].extend(self.clients.of(one.get("client_id", "") for one in documents))
        lists = [one.get("shown") or () for one in documents]
        columns["length"].extend([len(one) for one in lists])
        columns["shown"].extend(self.points.of(point for one in lists for point in one))

    def _vector(self, record: Record, name: int) -> int:
        vector = record.vector
        if vector is None or vector.shape != (self.dimension,):
            return -1
        (number,) = self.digests.of([blake2b(vector.tobytes(), digest_size=16).digest()])
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
    points, point_places = asked.points.ordered()
    sessions, session_places = asked.sessions.ordered()
    clients, client_places = asked.clients.ordered()
    vectors, vector_rows = _vectors(asked)
    columns = {name: np.array(column) for name, column in asked.columns.items()}
    known = list(asked.names.numbers)
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
        shown=point_places[_reordered(columns["shown"], lengths, order)],
    )
    rows = np.full(len(known), -1, np.int32)
    rows[columns["name"][order]] = np.arange(len(order), dtype=np.int32)
    actions = _actions(events, rows, point_places, session_places, client_places)
    is_label = np.array(events.is_label, np.bool_)
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


def _vectors(asked: _Asked) -> tuple[Float32, Int32]:
    """The vectors in the order of their digests, and for each digest's number its row, or -1.

    The last entry is for searches without a usable vector, whose number is -1.
    """
    digests = list(asked.digests.numbers)
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


def _reordered(shown: Int32, lengths: Int64, order: Int64) -> Int64:
    """The lists laid end to end in `shown`, each whole, in another order."""
    begins = _starts(lengths)[:-1][order]
    sizes = lengths[order]
    offsets = np.arange(int(sizes.sum()), dtype=np.int64)
    offsets -= np.repeat(_starts(sizes)[:-1], sizes)
    return np.asarray(shown[np.repeat(begins, sizes) + offsets], np.int64)


def _actions(
    events: _Events, rows: Int32, points: Int32, sessions: Int32, clients: Int32
) -> Actions:
    whole = {name: np.array(column, np.int32) for name, column in events.integers.items()}
    return Actions(
        search=rows[whole["search"]],
        point=points[whole["point"]],
        weight=np.array(events.floats["weight"], np.float64),
        position=whole["position"],
        time=np.array(events.floats["time"], np.float64),
        session=sessions[whole["session"]],
        client=clients[whole["client"]],
    )


def _sorted(actions: Actions) -> Actions:
    keys = [getattr(actions, name) for name in actions.__slots__]
    return actions.only(np.lexsort(keys[::-1]))
