"""Stored searches and events as columns of numbers, in an order of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int32, Int64
from nudge_sync.connector import Float32, PointId
from nudge_sync.feedback.log.strings import PackedStrings

Strings: TypeAlias = list[str] | PackedStrings

ANONYMOUS = ""
LABEL_ACTIONS = frozenset({"relevant", "not_relevant"})
"""Actions that say what they mean; so does every action with a weight of 0 or below."""


@dataclass(frozen=True, slots=True)
class Searches:
    """One row a search, sorted by query id."""

    query_ids: Strings
    vector_row: Int32
    """(s,): row of `Log.vectors`, or -1 where the vector is not usable."""
    time: Float64
    session: Int32
    client: Int32
    shown_starts: Int64
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
    rank: Int32
    """(e,): 1 is the top; 0 where it is not said."""
    time: Float64
    session: Int32
    client: Int32

    def __len__(self) -> int:
        return len(self.search)

    def select(self, selection: NDArray[Any]) -> Actions:
        """The rows of a mask, or those listed, in that order."""
        return Actions(*(getattr(self, name)[selection] for name in self.__slots__))


class ActionSelection:
    """Some rows of actions, whose columns are put together each time they are asked for: a copy of
    all columns would take as much memory as the log.
    """

    def __init__(self, actions: Actions, rows: Int32) -> None:
        self._actions = actions
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, selection: NDArray[Any]) -> ActionSelection:
        """The rows of a mask, or those listed, in that order."""
        return ActionSelection(self._actions, self._rows[selection])

    @property
    def search(self) -> Int32:
        """See `Actions`, as for all columns."""
        return self._actions.search[self._rows]

    @property
    def point(self) -> Int32:  # noqa: D102
        return self._actions.point[self._rows]

    @property
    def weight(self) -> Float64:  # noqa: D102
        return self._actions.weight[self._rows]

    @property
    def rank(self) -> Int32:  # noqa: D102
        return self._actions.rank[self._rows]

    @property
    def time(self) -> Float64:  # noqa: D102
        return self._actions.time[self._rows]

    @property
    def session(self) -> Int32:  # noqa: D102
        return self._actions.session[self._rows]

    @property
    def client(self) -> Int32:  # noqa: D102
        return self._actions.client[self._rows]


@dataclass(frozen=True, slots=True)
class Log:
    """All feedback of a collection. The same records in any order give the same bits."""

    searches: Searches
    labels: Actions
    behaviour: Actions
    point_ids: list[PointId]
    """Sorted by their text; columns `point` and `shown` hold rows of it."""
    session_ids: Strings
    client_ids: Strings
    query_vectors: Float32
    """(v, d): each distinct query vector once, with length 1."""
    action_counts: Mapping[str, int]
    """How many events there are of each action, also of those without a weight."""
    unweighted_events: int
    """Events whose action has no weight."""
    unreadable_records: int = 0
    """Records that are no searches or events as this version knows them; left out."""
