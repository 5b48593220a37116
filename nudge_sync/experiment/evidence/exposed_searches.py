"""The searches of an experiment as columns: who searched, which arm, whose choice a result was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.feedback.clicks.actors import number_assigned
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.store.experiments.running import AssignmentUnit

_SIGNS = {"control": -1, "treatment": 1}


@dataclass(frozen=True, slots=True)
class ExposedSearches:
    """One row a search of the log, whether it was part of the experiment or not."""

    counts: NDArray[np.bool_]
    """(s,): whether the search is part of the comparison."""
    unit: Int32
    """(s,): the session or client that searched, numbered from 0."""
    arm: NDArray[np.int8]
    """(s,): 1 treatment, -1 control, 0 interleaved or none."""
    team: NDArray[np.int8]
    """(n,), one for each row of `Searches.shown`: 1 chosen by the treatment, -1 by the control, 0
    by both or not known."""
    moved_points: Int64
    """Rows of `Log.point_ids` whose vectors differ between the arms, as far as they were shown."""

    @property
    def unit_count(self) -> int:
        """How many sessions or clients there are, whether they count or not."""
        return int(self.unit.max(initial=-1)) + 1


def read_exposed_searches(
    log: Log, exposures: Mapping[str, Exposure], *, interleaved: bool, unit: AssignmentUnit
) -> ExposedSearches:
    """Return the searches of the log with what they were exposed to.

    exposures: query id -> exposure; a search without one does not count, nor does one of the other
    mode.
    """
    searches = log.searches
    search_exposures = [exposures.get(query_id) for query_id in searches.query_ids]
    arms = ("interleaved",) if interleaved else ("control", "treatment")
    is_moved = _lay_out(log, [each.moved if each else () for each in search_exposures])
    team_signs = [
        [_SIGNS.get(team, 0) for team in each.teams] if each else () for each in search_exposures
    ]
    return ExposedSearches(
        counts=np.array(
            [each is not None and each.arm in arms for each in search_exposures], np.bool_
        ),
        unit=number_assigned(log, unit),
        arm=np.array(
            [_SIGNS.get(each.arm, 0) if each else 0 for each in search_exposures], np.int8
        ),
        team=_lay_out(log, team_signs),
        moved_points=np.unique(searches.shown[is_moved != 0]).astype(np.int64),
    )


def _lay_out(log: Log, lists: Sequence[Sequence[int]]) -> NDArray[np.int8]:
    """Return the values of all lists end to end, (n,); 0 for each result of a list without them."""
    values = np.zeros(len(log.searches.shown), np.int8)
    starts = log.searches.shown_starts.tolist()
    for start, stop, row in zip(starts, starts[1:], lists, strict=False):
        if len(row) == stop - start:
            values[start:stop] = row
    return values
