"""Stored searches and events as columns of numbers, in an order of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId
from nudge_sync.feedback.log.strings import Texts

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Names: TypeAlias = list[str] | Texts

NO_ONE = ""
LABELS = frozenset({"relevant", "not_relevant"})
"""Actions that say what they mean; so does every action with a weight of 0 or below."""


@dataclass(frozen=True, slots=True)
class Searches:
    """One row a search, sorted by query id."""

    names: Names
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


class Chosen:
    """Some rows of actions, whose columns are put together each time they are asked for: a copy of
    all columns would take as much memory as the log.
    """

    def __init__(self, of: Actions, rows: Int32) -> None:
        self._of = of
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def only(self, keep: NDArray[Any]) -> Chosen:
        """The rows of a mask, or those listed, in that order."""
        return Chosen(self._of, self._rows[keep])

    @property
    def search(self) -> Int32:
        """See `Actions`, as for all columns."""
        return self._of.search[self._rows]

    @property
    def point(self) -> Int32:  # noqa: D102
        return self._of.point[self._rows]

    @property
    def weight(self) -> Float64:  # noqa: D102
        return self._of.weight[self._rows]

    @property
    def position(self) -> Int32:  # noqa: D102
        return self._of.position[self._rows]

    @property
    def time(self) -> Float64:  # noqa: D102
        return self._of.time[self._rows]

    @property
    def session(self) -> Int32:  # noqa: D102
        return self._of.session[self._rows]

    @property
    def client(self) -> Int32:  # noqa: D102
        return self._of.client[self._rows]


@dataclass(frozen=True, slots=True)
class Log:
    """All feedback of a collection. The same records in any order give the same bits."""

    searches: Searches
    labels: Actions
    behaviour: Actions
    points: list[PointId]
    """Sorted by their text; columns `point` and `shown` hold rows of it."""
    sessions: Names
    clients: Names
    vectors: Float32
    """(v, d): each distinct query vector once, with length 1."""
    actions: Mapping[str, int]
    """How many events there are of each action, also of those without a weight."""
    unused: int
    """Events whose action has no weight."""
    unreadable: int = 0
    """Records that are no searches or events as this version knows them; left out."""
