"""First visits: what each session or client did before it was quiet for half an hour.

A confidence sequence is about observations that come one after the other and stay as they are. One
that grew whenever its session came back, and moved behind the others, would make another sequence
for each look, and the bounds would promise nothing: with clients that come back every day, canaries
that change nothing would be promoted many times as often as they may. So what comes after the first
visit is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.experiment.evidence.exposed_searches import ExposedSearches
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.sorting import mark_changes

SESSION_GAP = 1800.0
"""Seconds without a search or a click after which a visit is over, and counts."""


@dataclass(frozen=True, slots=True)
class FirstVisits:
    """The log of an experiment without what a session or client did after its first visit."""

    log: Log
    searches: ExposedSearches
    ended: Float64
    """(u,): seconds since 1970 of the last search or click of each unit's visit, 0 for none."""


def keep_first_visits(log: Log, searches: ExposedSearches) -> FirstVisits:
    """Return the searches and the behaviour of each unit's first visit."""
    behaviour, search_time = log.behaviour, log.searches.time
    is_exposed = behaviour.search >= 0
    is_exposed[is_exposed] = searches.counts[behaviour.search[is_exposed]]
    acted = behaviour.select(is_exposed)
    # An undated click, or one of a clock that is behind, came with its search.
    click_time = np.maximum(acted.time, search_time[acted.search])
    searched = np.flatnonzero(searches.counts)
    unit = np.concatenate([searches.unit[searched], searches.unit[acted.search]])
    time = np.concatenate([search_time[searched], click_time])
    order = np.lexsort((time, unit))
    unit, time = unit[order], time[order]
    is_new_unit = mark_changes(unit)
    is_new_visit = is_new_unit | (np.diff(time, prepend=-np.inf) > SESSION_GAP)
    visit = np.cumsum(is_new_visit)
    is_first = visit == visit[is_new_unit][np.cumsum(is_new_unit) - 1]
    ended = np.zeros(searches.unit_count)
    np.maximum.at(ended, unit[is_first], time[is_first])
    counts = searches.counts & (search_time <= ended[searches.unit])
    kept = acted.select(click_time <= ended[searches.unit[acted.search]])
    return FirstVisits(replace(log, behaviour=kept), replace(searches, counts=counts), ended)
