"""Searches and events as they are read, already as columns of small numbers.

37 bytes an event; for a search 32 bytes, 4 for each point shown and its query id; of sessions and
clients each name once; each distinct query vector once. Names are looked up by 64 bits each, since
a dictionary of them would take more than all the rest.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from nudge_sync.connector import Float32, Records
from nudge_sync.feedback.log.columns import LABELS, Int32
from nudge_sync.feedback.log.id_encoding import Names, Numbered, Points, bits
from nudge_sync.feedback.log.strings import Collected
from nudge_sync.feedback.log.validation import EventColumns, SearchColumns
from nudge_sync.feedback.schema.records import vector_digest

NO_VECTOR = -1
"""Python gives no hash this value."""
_AT_ONCE = 1000
_MANY = 2**16
"""Values that are numbered at a time: each time costs a pass over all that are known."""


class Column:
    """Values of any kind as small numbers."""

    def __init__(self, number: Callable[[list[Any]], Int32]) -> None:
        self._number = number
        self._numbers = array("i")
        self._waiting: list[Any] = []

    def extend(self, values: Iterable[Any]) -> None:
        """Put `values` behind those that are there."""
        self._waiting.extend(values)
        if len(self._waiting) >= _MANY:
            self.settle()

    def all(self) -> array[int]:
        """The numbers of what was settled; takes them out of here."""
        found, self._numbers = self._numbers, array("i")
        return found

    def settle(self) -> None:
        """Number what was put here; nothing waits any more."""
        if self._waiting:
            self._numbers.frombytes(self._number(self._waiting).tobytes())
            self._waiting = []


@dataclass(slots=True)
class Numbers:
    """What is numbered alike in searches and events."""

    searches: Numbered = field(default_factory=Numbered)
    """Those that events speak of."""
    points: Points = field(default_factory=Points)
    sessions: Names = field(default_factory=Names)
    clients: Names = field(default_factory=Names)

    def asked(self, names: list[str]) -> Int32:
        """The numbers of searches that an event speaks of."""
        return self.searches.of(bits(names))[0]


class Events:
    """Events with a weighted action."""

    def __init__(self, actions: Mapping[str, float], numbers: Numbers) -> None:
        self.search = Column(numbers.asked)
        self.point = Column(numbers.points.of)
        self.session = Column(numbers.sessions.of)
        self.client = Column(numbers.clients.of)
        self.weight, self.time = array("d"), array("d")
        self.position, self.is_label = array("i"), array("b")
        self.unused = 0
        self.counts: Counter[str] = Counter()
        """Of all actions, also those without a weight."""
        self._actions = actions

    def take(self, batch: EventColumns) -> None:
        """Keep those whose action has a weight, and count all."""
        self.counts.update(batch.action_name)
        if not self._actions.keys() >= set(batch.action_name):
            used = [name in self._actions for name in batch.action_name]
            batch = batch.only(used)
            self.unused += len(used) - sum(used)
        self.search.extend(batch.query_id)
        self.point.extend(batch.object_id)
        self.session.extend(batch.session_id)
        self.client.extend(batch.client_id)
        self.weight.extend(self._weights(batch))
        self.time.extend(batch.timestamp)
        self.position.extend([one or 0 for one in batch.position])
        says_it = {name: self._says_it(name) for name in set(batch.action_name)}
        self.is_label.extend(map(says_it.__getitem__, batch.action_name))

    def settle(self) -> None:
        """Number all that was taken."""
        for column in (self.search, self.point, self.session, self.client):
            column.settle()

    def _weights(self, batch: EventColumns) -> list[float]:
        weights = list(map(self._actions.__getitem__, batch.action_name))
        if set(map(type, batch.grade)) == {type(None)}:
            return weights
        return list(map(_graded, weights, batch.grade))

    def _says_it(self, action: str) -> bool:
        return action in LABELS or self._actions[action] <= 0


def _graded(weight: float, grade: float | None) -> float:
    if grade is None:
        return weight
    # Twice no is not yes.
    return weight * grade if grade > 0 else -abs(weight * grade)


class Asked:
    """Searches. Their vectors are told apart by what each search says of its own (`DIGEST`), so
    that of those that are the same one is read; or, `whole`, by themselves.
    """

    def __init__(self, dimension: int, numbers: Numbers, *, whole: bool) -> None:
        self.names = Collected()
        self.number = array("i")
        """What events call the search, or -1 where none speaks of it."""
        self.session = Column(numbers.sessions.of)
        self.client = Column(numbers.clients.of)
        self.shown = Column(numbers.points.of)
        self.length, self.time = array("i"), array("d")
        self.vector = array("q")
        """64 bits that stand for the vector, or NO_VECTOR."""
        self.vectors: dict[int, tuple[str, Float32]] = {}
        """These bits -> digest, and the vector with length 1; only of searches that events speak
        of."""
        self.dimension = dimension
        self.whole = whole
        self._shape = (dimension,)
        self._wanted: dict[int, tuple[str, str]] = {}
        """Likewise digest, and the key of a search that says it has that vector."""
        self._searches = numbers.searches

    def take(self, batch: SearchColumns) -> bool:
        """Keep all. False where one does not say which vector it has: then none are to be used."""
        names = [record.key for record in batch.records]
        numbers = self._searches.known(bits(names))
        if self.whole:
            self._take_vectors([record.vector for record in batch.records], numbers)
        elif not self._take_digests(batch.digest, names, numbers):
            return False
        self.names.add(names)
        self.number.frombytes(numbers.tobytes())
        self.session.extend(batch.session_id)
        self.client.extend(batch.client_id)
        lists = [one or () for one in batch.shown]
        self.shown.extend(chain.from_iterable(lists))
        self.length.extend(map(len, lists))
        self.time.extend(batch.timestamp)
        return True

    def fetch(self, queries: Records) -> bool:
        """Read the vectors that are wanted. False where one is not what its search says."""
        wanted = list(self._wanted.items())
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            found = {one.key: one.vector for one in queries.get([key for _, (_, key) in some])}
            for code, (digest, key) in some:
                vector = found.get(key)
                if vector is None or vector_digest(vector) != digest:
                    return False
                if vector.shape == self._shape:
                    self.vectors[code] = digest, unit(vector)
        return True

    def settle(self) -> None:
        """Number all that was taken."""
        for column in (self.shown, self.session, self.client):
            column.settle()

    def _take_digests(self, digests: list[str | None], names: list[str], numbers: Int32) -> bool:
        codes = list(map(hash, digests))
        self.vector.extend(codes)
        if self._wanted.keys() >= set(codes):
            return True
        for row in np.flatnonzero(numbers >= 0).tolist():
            digest = digests[row]
            if digest is not None:
                self._wanted.setdefault(codes[row], (digest, names[row]))
        return None not in digests

    def _take_vectors(self, vectors: list[Float32 | None], numbers: Int32) -> None:
        codes = list(map(self._code, vectors))
        self.vector.extend(codes)
        if self.vectors.keys() >= set(codes):
            return
        for row in np.flatnonzero(numbers >= 0).tolist():
            code, vector = codes[row], vectors[row]
            if code not in self.vectors and code != NO_VECTOR and vector is not None:
                self.vectors[code] = vector_digest(vector), unit(vector)

    def _code(self, vector: Float32 | None) -> int:
        if vector is None or vector.shape != self._shape:
            return NO_VECTOR
        return hash(vector.tobytes())


def unit(vector: Float32) -> Float32:
    """The vector with length 1, computed in float64; all zero where it has no direction."""
    wide = vector.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    if not np.isfinite(norm) or norm == 0:
        return np.zeros_like(vector)
    return np.asarray(wide / norm, dtype=np.float32)
