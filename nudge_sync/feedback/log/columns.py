"""The log: searches and events as columns of numbers, in one fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64
from nudge_sync.connector import PointId
from nudge_sync.feedback.blocks.counts import BlockCounts
from nudge_sync.feedback.log.strings import PackedStrings

Strings: TypeAlias = list[str] | PackedStrings

ANONYMOUS = ""
"""The name of a session or client that is not known."""
LABEL_ACTIONS = frozenset({"relevant", "not_relevant"})
"""Actions that judge a point outright; so does every action with a weight of 0 or below."""


@dataclass(frozen=True, slots=True)
class Searches:
    """One row a search, sorted by query id."""

    query_ids: Strings
    vector_row: Int32
    """(s,): row of `Log.query_vectors`, or -1 where the vector is not usable."""
    time: Float64
    """(s,): seconds since 1970; 0 means undated."""
    session: Int32
    """(s,): row of `Log.session_ids`."""
    client: Int32
    """(s,): row of `Log.client_ids`."""
    shown_starts: Int64
    """(s + 1,): search i showed `shown[shown_starts[i]:shown_starts[i + 1]]`, best first."""
    shown: Int32
    """(n,): rows of `Log.point_ids`."""
    propensities: Float32 | None = None
    """(n,): the logged probability that each shown point was examined, NaN where a search logged
    none; None where no search did, so that a log without them takes no memory for them."""


@dataclass(frozen=True, slots=True)
class Actions:
    """One row an event with a weighted action, sorted by all columns."""

    search: Int32
    """(e,): row of `Searches`, or -1 where the search is not stored."""
    point: Int32
    """(e,): row of `Log.point_ids`."""
    weight: Float64
    """(e,): the action's weight times the event's grade."""
    rank: Int32
    """(e,): the rank that the event itself names, 1 for the top; 0 where it names none."""
    time: Float64
    session: Int32
    client: Int32

    def __len__(self) -> int:
        return len(self.search)

    def select(self, selection: NDArray[Any]) -> Actions:
        """Return the rows of a mask, or those listed, in that order."""
        return Actions(*(getattr(self, name)[selection] for name in self.__slots__))


class ActionSelection:
    """Some rows of actions. Each column is copied when it is asked for, and not kept: copies of all
    columns would take as much memory as the log.
    """

    def __init__(self, actions: Actions, rows: Int32) -> None:
        self._actions = actions
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, selection: NDArray[Any]) -> ActionSelection:
        """Return the rows of a mask, or those listed, in that order."""
        return ActionSelection(self._actions, self._rows[selection])

    @property
    def search(self) -> Int32:
        """The selected rows of the column `Actions.search`; the other columns work alike."""
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
    """In the order of `sort_ids`."""
    session_ids: Strings
    client_ids: Strings
    query_vectors: Float32
    """(v, d): each distinct query vector that is used once, with length 1."""
    action_counts: Mapping[str, int]
    """How many events there are of each action, with a weight or without."""
    unweighted_events: int
    """Events whose action has no weight."""
    unreadable_records: int = 0
    """Records left out because they are no searches or events as this version knows them."""
    former_searches: int = 0
    """Searches left out because their vectors are of a former embedding space."""
    block_counts: BlockCounts | None = field(default=None, compare=False)
    """How much of it was read as blocks; None where blocks are not used."""
