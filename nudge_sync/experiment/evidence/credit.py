"""What each session of an experiment is credited with, from the log of searches and events.

A session (or a client, where clients are assigned) is one observation, whatever it did: clicks of
one person are not independent, and it is sessions that chance assigned to the arms. Its first visit
counts, as `first_visits` cuts it out.

What a click is worth, from 0 to 1, is up to the metric: 1, the weight of its action against the
heaviest, or the reciprocal of its rank. Clicks count as they do for judgements: not those of bots,
none twice, none on what was not shown, none beyond the caps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import time

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int32, Int64
from nudge_sync.connector import Where
from nudge_sync.experiment.evidence.exposed_searches import (
    ExposedSearches,
    read_exposed_searches,
)
from nudge_sync.experiment.evidence.first_visits import SESSION_GAP, keep_first_visits
from nudge_sync.feedback.clicks.impressions.single import find_ranks
from nudge_sync.feedback.clicks.pipeline import select_clicks
from nudge_sync.feedback.clicks.stages import StageReport
from nudge_sync.feedback.log.columns import ActionSelection, Log
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.exposure import EXPERIMENT_FIELD, Exposure
from nudge_sync.feedback.schema.records import parse_search_record
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.experiments.running import AssignmentUnit
from nudge_sync.store.schema import LAST_MOMENT
from nudge_sync.store.target import Target

_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class SessionCredits:
    """One row a session whose first visit is over, in the order in which these ended. A later look
    finds the same rows, and others after them.
    """

    interleaved: bool
    """Whether each list was made of both arms; otherwise each session got the lists of one."""
    credit: Float64
    """(u,): interleaved, the treatment's share of all clicks less the control's, from -1 to 1;
    split, the mean over the session's searches of the best click, from 0 to 1."""
    unmoved_credit: Float64
    """(u,): `credit`, with less of it for clicks on documents that move: for the guardrail."""
    is_treatment: NDArray[np.bool_]
    """(u,): the arm of each session; False where lists are interleaved."""
    assignments: NDArray[np.bool_]
    """(a,): what chance decided, in the order of the sessions. Split, their arms; interleaved,
    whether the treatment chose first, one for each session in which the arms' lists differed."""
    left_out: dict[str, int]
    """Sessions that do not count, by the reason."""
    newest_search: float
    """Seconds since 1970; 0 if there is none with a date."""
    newest_click: float
    """Seconds since 1970; 0 if there is none with a date."""

    def __len__(self) -> int:
        return len(self.credit)


def load_credits(
    target: Target,
    experiment: str,
    feedback: FeedbackSettings,
    canary: CanarySettings,
    *,
    unit: AssignmentUnit,
    started: float,
    now: float,
) -> SessionCredits:
    """Return the credits of an experiment's sessions from what the database holds.

    experiment: its id, as in the exposures; started, now: seconds since 1970. Searches are read
    from the sidecar's own records, events also from the application's log.
    Raises ConfigError where that log cannot be read as configured, DatabaseError.
    """
    where: Where = {EXPERIMENT_FIELD: experiment, "timestamp": (started, LAST_MOMENT / 1000)}
    exposures = {
        record.key: exposure
        for batch in target.queries.scan(where, vectors=False)
        for record in batch
        if (exposure := parse_search_record(record).exposure)
    }
    days = max(0.0, time() - started) / _SECONDS_PER_DAY + 1
    log = load_log(
        target.queries,
        open_feedback(target, feedback).events,
        feedback.model_copy(update={"history_days": days}),
        target.facts.dimension,
        searches_where={EXPERIMENT_FIELD: experiment},
    )
    return compute_credits(log, exposures, feedback, canary, unit=unit, now=now)


def compute_credits(
    log: Log,
    exposures: Mapping[str, Exposure],
    feedback: FeedbackSettings,
    canary: CanarySettings,
    *,
    unit: AssignmentUnit,
    now: float,
) -> SessionCredits:
    """Return the credits of the sessions whose first visit is over at `now`, in seconds since 1970.

    exposures: query id -> what the search was exposed to; searches without one do not count.
    The result does not depend on the order in which the records were read.
    """
    interleaved = canary.mode == "interleave"
    newest_search = float(log.searches.time.max(initial=0.0))
    newest_click = float(log.behaviour.time.max(initial=0.0))
    visits = keep_first_visits(
        log, read_exposed_searches(log, exposures, interleaved=interleaved, unit=unit)
    )
    log, searches = visits.log, visits.searches
    clicks, _, reports = select_clicks(log, feedback)
    counts = searches.counts & ~_find_excluded(reports, len(searches.counts))
    has_list = np.diff(log.searches.shown_starts) > 0
    clicks = clicks.select((counts & has_list)[clicks.search])
    ranks = find_ranks(log.searches, clicks)
    values = _value_clicks(clicks, ranks, feedback, canary)
    is_moved = np.isin(clicks.point, searches.moved_points)
    unmoved_values = np.where(is_moved, values / canary.unmoved_weight, values)
    sessions = _order_sessions(searches, counts, visits.ended, now)
    if interleaved:
        team = searches.team[log.searches.shown_starts[clicks.search] + ranks - 1]
        teams = _TeamClicks(searches.unit[clicks.search], team, values, searches.unit_count)
        credit, unmoved_credit = teams.balance(values), teams.balance(unmoved_values)
        first_teams = _find_first_teams(log, searches, counts)[sessions.order]
        assignments = first_teams[first_teams != 0] > 0
    else:
        credit = _average_searches(searches, counts, clicks, values)
        unmoved_credit = _average_searches(searches, counts, clicks, unmoved_values)
        assignments = sessions.is_treatment
    return SessionCredits(
        interleaved=interleaved,
        credit=credit[sessions.order],
        unmoved_credit=unmoved_credit[sessions.order],
        is_treatment=sessions.is_treatment,
        assignments=assignments,
        left_out=sessions.left_out,
        newest_search=newest_search,
        newest_click=newest_click,
    )


def _find_excluded(reports: list[StageReport], search_count: int) -> NDArray[np.bool_]:
    """Return which searches are those of bots, or of people who promote a document, (s,)."""
    excluded = np.zeros(search_count, np.bool_)
    for report in reports:
        if report.excluded_searches is not None:
            excluded |= report.excluded_searches
    return excluded


def _value_clicks(
    clicks: ActionSelection, ranks: Int32, feedback: FeedbackSettings, canary: CanarySettings
) -> Float64:
    """Return what each click is worth by the metric, (e,), from 0 to 1."""
    if canary.metric == "mrr":
        return 1 / np.maximum(ranks, 1).astype(np.float64)
    if canary.metric == "actions":
        return np.minimum(clicks.weight / max(feedback.actions.values()), 1.0)
    return np.ones(len(clicks))


@dataclass(frozen=True, slots=True)
class _TeamClicks:
    """The clicks of interleaved lists, (e,), with the team that chose what was clicked."""

    unit: Int32
    team: NDArray[np.int8]
    values: Float64
    unit_count: int

    def balance(self, values: Float64) -> Float64:
        """Return for each unit the treatment's values less the control's, over the sum of all.

        Clicks on what both arms chose take no side, and make the others count for less: a person
        who found what both offer says little with what else was tried.
        """
        total = self._sum(self.values)
        difference = self._sum(self.team * values)
        return np.divide(difference, total, out=np.zeros(self.unit_count), where=total > 0)

    def _sum(self, values: Float64) -> Float64:
        sums = np.bincount(self.unit, weights=values, minlength=self.unit_count)
        return np.asarray(sums, np.float64)


def _average_searches(
    searches: ExposedSearches,
    counts: NDArray[np.bool_],
    clicks: ActionSelection,
    values: Float64,
) -> Float64:
    """Return, for each unit, the mean over its searches of the most valuable click, 0 for none."""
    best = np.zeros(len(counts))
    np.maximum.at(best, clicks.search, values)
    unit = searches.unit[counts]
    search_counts = np.bincount(unit, minlength=searches.unit_count)
    totals = np.bincount(unit, weights=best[counts], minlength=searches.unit_count)
    return np.asarray(totals / np.maximum(search_counts, 1))


def _find_first_teams(
    log: Log, searches: ExposedSearches, counts: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Return, for each unit, the team of the first result on which the arms did not agree, in the
    earliest search that has one; 0 for none.
    """
    rows = np.flatnonzero(searches.team)
    search = np.searchsorted(log.searches.shown_starts, rows, side="right") - 1
    search, first = np.unique(search, return_index=True)
    search, team = search[counts[search]], searches.team[rows[first]][counts[search]]
    earliest = np.lexsort((search, log.searches.time[search]))
    unit, first = np.unique(searches.unit[search[earliest]], return_index=True)
    teams = np.zeros(searches.unit_count, np.int8)
    teams[unit] = team[earliest[first]]
    return teams


@dataclass(frozen=True, slots=True)
class _Sessions:
    order: Int64
    """(u,): the units that count, in the order in which they ended."""
    is_treatment: NDArray[np.bool_]
    """(u,)"""
    left_out: dict[str, int]


def _order_sessions(
    searches: ExposedSearches, counts: NDArray[np.bool_], ended: Float64, now: float
) -> _Sessions:
    """Return the units whose visit is over, and why others are left out.

    ended: (u,), seconds since 1970.
    """
    unit_count = searches.unit_count
    # Searches are sorted by query id: a row that is the same whenever the log is read.
    first_search = np.full(unit_count, len(counts))
    np.minimum.at(first_search, searches.unit[counts], np.flatnonzero(counts))
    in_arm = {
        sign: np.isin(np.arange(unit_count), searches.unit[counts & (searches.arm == sign)])
        for sign in (-1, 1)
    }
    is_there = first_search < len(counts)
    was_there = np.isin(np.arange(unit_count), searches.unit[searches.counts])
    is_mixed = in_arm[-1] & in_arm[1]
    is_open = is_there & (ended > now - SESSION_GAP)
    units = np.flatnonzero(is_there & ~is_mixed & ~is_open)
    order = units[np.lexsort((first_search[units], ended[units]))]
    left_out = {
        "bots": int((was_there & ~is_there).sum()),
        "both arms": int(is_mixed.sum()),
        "not over yet": int((is_open & ~is_mixed).sum()),
    }
    return _Sessions(order, in_arm[1][order], left_out)
