"""The click pipeline: behaviour in, the relevance and the weight of each (query, point) out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int32, Int64, pair_key
from nudge_sync.base.spooled import compute_column
from nudge_sync.feedback.clicks.actors import count_searchers
from nudge_sync.feedback.clicks.bias.ipw import find_logged_clicks
from nudge_sync.feedback.clicks.bots import remove_bots
from nudge_sync.feedback.clicks.caps import apply_caps
from nudge_sync.feedback.clicks.decay import compute_decay_factors
from nudge_sync.feedback.clicks.impressions.counts import Impressions, collect_impressions
from nudge_sync.feedback.clicks.impressions.pairs import Pairs, group_by_pair
from nudge_sync.feedback.clicks.impressions.single import find_ranks
from nudge_sync.feedback.clicks.posterior import Posterior, estimate_posterior
from nudge_sync.feedback.clicks.promoted import drop_promoting_searches
from nudge_sync.feedback.clicks.query_groups import assign_query_groups
from nudge_sync.feedback.clicks.relevance import (
    PairRelevance,
    compute_expected_gain,
    compute_weights,
)
from nudge_sync.feedback.clicks.stages import (
    ClickContext,
    ClickStage,
    FunnelStage,
    StageReport,
    filter_clicks,
    run_stages,
)
from nudge_sync.feedback.clicks.traffic import measure_traffic
from nudge_sync.feedback.log.columns import ActionSelection, Log
from nudge_sync.feedback.log.sorting import mark_changes, sort_unique
from nudge_sync.settings.feedback import FeedbackSettings


@dataclass(frozen=True, slots=True)
class BehaviourEstimates:
    """What behaviour says about each pair, and what was left out on the way."""

    query_groups: Int32
    """(s,): the query group of each search, or -1 where the search does not count."""
    pairs: PairRelevance
    weights: Float64
    """(p,): the weight of each pair; NaN where it does not count."""
    expected_gain: Float64
    """(p,): what finding the point is expected to be worth, whether or not the pair counts."""
    funnel: list[FunnelStage]
    suspected_bots: list[str] = field(default_factory=list)
    """Clients and sessions taken for bots."""
    promoted_points: list[int] = field(default_factory=list)
    """Rows of `Log.point_ids`."""


def estimate_relevance(log: Log, settings: FeedbackSettings) -> BehaviourEstimates:
    """Run every stage from behaviour to weights.

    The result does not depend on the order in which the records were read.
    """
    clicks, context, reports = select_clicks(log, settings)
    decay_factors = compute_decay_factors(log.searches.time, settings.half_life_days)
    impressions = collect_impressions(log.searches, context.query_groups, clicks, decay_factors)
    pairs = group_by_pair(impressions)
    posterior = estimate_posterior(
        log.query_vectors,
        impressions,
        pairs,
        promoted_unshown=np.logical_or.reduce(
            [report.promoted_points for report in reports if report.promoted_points is not None]
        ),
        logged_clicks=find_logged_clicks(log.searches, context.query_groups, clicks, decay_factors)
        if settings.bias == "ipw"
        else None,
        settings=settings,
    )
    pair_relevance = _build_pair_relevance(
        clicks,
        context,
        impressions,
        pairs,
        posterior,
        traffic=measure_traffic(context, decay_factors),
    )
    weights, weight_funnel = compute_weights(pair_relevance, settings, posterior.click_signal)
    return BehaviourEstimates(
        query_groups=context.query_groups,
        pairs=pair_relevance,
        weights=weights,
        expected_gain=compute_expected_gain(pair_relevance),
        funnel=[
            *(report.funnel for report in reports),
            _count_pairs(clicks, pair_relevance),
            *weight_funnel,
        ],
        suspected_bots=list(chain.from_iterable(report.suspected_bots for report in reports)),
        promoted_points=np.flatnonzero(posterior.promoted_points).tolist(),
    )


def select_clicks(
    log: Log, settings: FeedbackSettings
) -> tuple[ActionSelection, ClickContext, list[StageReport]]:
    """Return the clicks that count, the context in which they do, and each stage's report.

    Bots, repeats, clicks on what was not shown, and what is beyond the caps are left out.
    """
    no_groups = compute_column(
        len(log.searches.time), np.int32, lambda part: np.full(part.stop - part.start, -1)
    )
    ungrouped = ClickContext(log, settings, no_groups)
    clicks = ActionSelection.select_all(log.behaviour)
    clicks, reports = run_stages(STAGES_BEFORE_GROUPING, clicks, ungrouped)
    query_groups = assign_query_groups(log, clicks, settings.merge_cosine)
    grouped = replace(ungrouped, query_groups=query_groups)
    clicks, more_reports = run_stages(STAGES_AFTER_GROUPING, clicks, grouped)
    reports += more_reports
    return clicks, grouped.exclude_searches(reports), reports


def keep_searches_with_vector(
    clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, StageReport]:
    """Keep the clicks on searches that are stored with a usable query vector."""

    def has_vector(part: ActionSelection) -> NDArray[np.bool_]:
        search = part.search
        kept = search >= 0
        kept[kept] = context.log.searches.vector_row[search[kept]] >= 0
        return kept

    reason = "no search is stored, or its vector does not fit"
    return filter_clicks(clicks, clicks.mark(has_vector), "searches", reason)


def keep_shown_points(
    clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, StageReport]:
    """Keep the clicks on points that the search showed, or that logged no list."""
    was_shown = clicks.mark(lambda part: find_ranks(context.log.searches, part) >= 0)
    return filter_clicks(clicks, was_shown, "showings", "the search did not show that point")


def keep_attracting_actions(
    clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, StageReport]:
    """Keep the actions with a weight above 0: a grade of 0 or below takes the others out."""
    del context
    attracts = clicks.mark(lambda part: part.weight > 0)
    return filter_clicks(clicks, attracts, "grades", "a grade of 0 or below attracts nothing")


def keep_strongest_actions(
    clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, StageReport]:
    """Keep one action on each point of each search: the first of those with the largest weight."""
    del context
    reason = "the strongest action on a point counts, once"
    return filter_clicks(clicks, clicks.mark(_mark_strongest), "repeats", reason)


def _mark_strongest(clicks: ActionSelection) -> NDArray[np.bool_]:
    is_new = mark_changes(clicks.search) | mark_changes(clicks.point)
    run = np.cumsum(is_new, dtype=np.int32) - 1
    last_rows = np.append(np.flatnonzero(is_new), len(clicks))[1:] - 1
    # Actions are sorted by search, point and weight.
    weight = clicks.weight
    heaviest_rows = np.flatnonzero(weight == weight[last_rows][run])
    is_strongest = np.zeros(len(clicks), np.bool_)
    is_strongest[heaviest_rows[mark_changes(run[heaviest_rows])]] = True
    return is_strongest


STAGES_BEFORE_GROUPING: tuple[ClickStage, ...] = (
    keep_searches_with_vector,
    drop_promoting_searches,
    keep_shown_points,
    keep_attracting_actions,
    keep_strongest_actions,
)
STAGES_AFTER_GROUPING: tuple[ClickStage, ...] = (remove_bots, apply_caps)
"""Stages that read `ClickContext.query_groups`, which are made from the clicks kept so far."""


def _build_pair_relevance(
    clicks: ActionSelection,
    context: ClickContext,
    impressions: Impressions,
    pairs: Pairs,
    posterior: Posterior,
    *,
    traffic: Float64,
) -> PairRelevance:
    """Return what is known of each pair.  traffic: (groups,)."""
    pair_keys = pair_key(pairs.query_group, pairs.point)
    action_weight, people = np.zeros(len(pairs)), np.zeros(len(pairs), np.int64)
    for part in clicks.split():
        click_keys = pair_key(context.query_groups[part.search], part.point)
        pair_rows = np.searchsorted(pair_keys, click_keys)
        # One after the other, so that the parts change no bit of the sums.
        np.add.at(action_weight, pair_rows, part.weight)
        # The caps leave one click of each person on a pair.
        people += np.bincount(pair_rows, minlength=len(pairs))
    action_weight /= np.maximum(people, 1)
    return PairRelevance(
        search=_find_representative_searches(clicks, context)[pairs.query_group],
        point=pairs.point,
        relevance=posterior.relevance,
        action_weight=action_weight,
        people=people,
        searchers=count_searchers(context)[pairs.query_group],
        traffic=traffic[pairs.query_group],
        shown=pairs.sum(impressions.shown),
        clicked=pairs.sum(impressions.clicked),
        skipped=pairs.sum(impressions.skipped),
        rank=pairs.rank,
        promoted=posterior.promoted_points[pairs.point],
    )


def _count_pairs(clicks: ActionSelection, pairs: PairRelevance) -> FunnelStage:
    """Return the stage at which the clicks on each pair of query group and point become one."""
    kept = int((pairs.people > 0).sum())
    return FunnelStage("pairs", kept, len(clicks) - kept, "counted together: one query, one point")


def _find_representative_searches(clicks: ActionSelection, context: ClickContext) -> Int64:
    """Return the earliest search of each query group that somebody acted on, (groups,), or -1.

    It stays the same when new searches come in.
    """
    query_groups, time = context.query_groups, context.log.searches.time
    representatives = np.full(len(context.log.query_vectors), -1, np.int64)
    earliest = np.full(len(representatives), np.inf)
    for part in clicks.split():
        searches = sort_unique(part.search).astype(np.int64)
        searches = searches[np.lexsort((searches, time[searches], query_groups[searches]))]
        groups, first = np.unique(query_groups[searches], return_index=True)
        searches = searches[first]
        # Later parts have later rows, so that of equally early searches the first one stays.
        is_earlier = time[searches] < earliest[groups]
        representatives[groups[is_earlier]] = searches[is_earlier]
        earliest[groups[is_earlier]] = time[searches[is_earlier]]
    return representatives
