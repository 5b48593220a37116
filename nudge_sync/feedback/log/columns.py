"""The log: searches and events as columns of numbers, in one fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base import spooled
from nudge_sync.base.arrays import Float32, Float64, Int32, Int64
from nudge_sync.base.spooled import SpooledColumn, compute_column, read_parts, release_pages
from nudge_sync.connector import PointId
from nudge_sync.feedback.blocks.counts import BlockCounts
from nudge_sync.feedback.log.strings import Strings

ANONYMOUS = ""
"""The name of a session or client that is not known."""
LABEL_ACTIONS = frozenset({"relevant", "not_relevant"})
"""Actions that judge a point outright; so does every action with a weight of 0 or below."""
OPINION_ACTION = "thumb"
"""What somebody thought of an answer that cites the point: graded 0 or below it is a label, too."""


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
    """(e,): the action's weight times the event's grade. Behaviour of 0 or below attracts nothing,
    and is not taken for a click."""
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
    """Some rows of actions, in their order. Each column is copied when it is asked for, and not
    kept: copies of all columns would take as much memory as the log. Where there may be very many
    rows, `split` gives them a part at a time.
    """

    def __init__(self, actions: Actions, rows: Int32) -> None:
        """Select rows, which ascend, of actions that are sorted by their search."""
        self._actions = actions
        self._rows = rows

    @staticmethod
    def select_all(actions: Actions) -> ActionSelection:
        """Return all rows."""
        rows = compute_column(
            len(actions), np.int32, lambda part: np.arange(part.start, part.stop, dtype=np.int32)
        )
        return ActionSelection(actions, rows)

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, mask: NDArray[np.bool_]) -> ActionSelection:
        """Return the rows of a mask."""
        rows = SpooledColumn(np.int32)
        for part in read_parts(len(self)):
            rows.extend(self._rows[part][mask[part]])
        return ActionSelection(self._actions, rows.to_array())

    def split(self) -> Iterator[ActionSelection]:
        """Yield the rows in parts of about `ROWS_PER_PART`, without cutting through the actions of
        one search; those whose search is not stored are no such actions.
        """
        start = 0
        while start < len(self):
            stop = self._find_end(start + spooled.ROWS_PER_PART)
            yield ActionSelection(self._actions, self._rows[start:stop])
            release_pages()
            start = stop

    def mark(self, choose: Callable[[ActionSelection], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return the masks that `choose` gives for each part of `split`, end to end, (e,)."""
        return np.concatenate([np.zeros(0, np.bool_), *map(choose, self.split())])

    def select_searches(self, start: int, stop: int) -> ActionSelection:
        """Return the actions on the searches from row `start` to before row `stop`."""
        return ActionSelection(
            self._actions, self._rows[self._find_search(start) : self._find_search(stop)]
        )

    def _find_end(self, stop: int) -> int:
        if stop >= len(self):
            return len(self)
        search = int(self._actions.search[self._rows[stop - 1]])
        return stop if search < 0 else self._find_search(search + 1)

    def _find_search(self, search: int) -> int:
        """Return how many rows come before the actions on a search."""
        # Of the columns' own type, so that these are not converted, which would copy them.
        row = np.searchsorted(self._actions.search, np.int32(search))
        return int(np.searchsorted(self._rows, np.int32(row)))

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
