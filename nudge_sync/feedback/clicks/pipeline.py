"""Clicks and the like -> how likely each point answers each query, and how much that counts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Float32
from nudge_sync.feedback.clicks import bots, neighbours, pbm
from nudge_sync.feedback.clicks.bots import is_outlier
from nudge_sync.feedback.clicks.caps import count_distinct, is_within_cap
from nudge_sync.feedback.clicks.coec import compute_coec
from nudge_sync.feedback.clicks.decay import compute_decay_factors
from nudge_sync.feedback.clicks.funnel import FunnelStage
from nudge_sync.feedback.clicks.impressions import Impressions, collect_impressions, find_ranks
from nudge_sync.feedback.clicks.ipw import compute_ipw_click_rate
from nudge_sync.feedback.clicks.promoted import (
    estimate_promotion_rates,
    find_clicked_unshown,
    find_points_without_topic,
)
from nudge_sync.feedback.clicks.query_groups import group_queries
from nudge_sync.feedback.clicks.relevance import (
    PairRelevance,
    compute_expected_gain,
    compute_weights,
)
from nudge_sync.feedback.clicks.signal_test import estimate_click_signal
from nudge_sync.feedback.log.columns import ANONYMOUS, ActionSelection, Log, Strings
from nudge_sync.feedback.log.sorting import mark_changes, sort_unique

_COEC_PRIOR_STRENGTH = 2.0
_RELEVANCE_THRESHOLD = 0.5
_MAX_FITTED_IMPRESSIONS = 100_000
"""Rows of impressions."""
_NEIGHBOUR_ROUNDS = 2
"""Times that similar queries hear of each other."""


@dataclass(frozen=True, slots=True)
class BehaviourEstimates:
    """What behaviour says, and what was left out on the way."""

    query_groups: NDArray[np.int32]
    """(s,): the group of queries that each search belongs to, or -1."""
    pairs: PairRelevance
    weights: NDArray[np.float64]
    """(p,): how much each pair pulls; NaN for pairs that do not count."""
    expected_gain: NDArray[np.float64]
    """(p,): what finding the point is worth, all that was shown taken at its likelihood; 0 where
    next to nothing."""
    funnel: list[FunnelStage]
    suspected_bots: list[str] = field(default_factory=list)
    """Clients and sessions taken for bots."""
    promoted_points: list[int] = field(default_factory=list)
    """Points clicked wherever they stand; rows of `Log.points`."""


def estimate_relevance(log: Log, settings: FeedbackSettings) -> BehaviourEstimates:
    """Every stage from behaviour to weights. Nothing in it depends on the order of the records."""
    funnel: list[FunnelStage] = []
    usable = _select_usable_clicks(log, settings, funnel)
    clicks, query_groups, suspected_bots = _remove_bots(log, usable, settings, funnel)
    clicks = _apply_caps(log, clicks, query_groups, settings, funnel)
    decay_factors = compute_decay_factors(log.searches.time, settings.half_life_days)
    impressions = collect_impressions(log.searches, query_groups, clicks, decay_factors)
    pairs = pbm.group_by_pair(impressions)
    relevance, promoted, click_signal = _estimate_posterior(
        log.query_vectors, impressions, pairs, usable.promoted_unshown, settings
    )
    pair_relevance = _build_pair_relevance(
        log, clicks, query_groups, impressions, pairs, relevance=relevance, promoted=promoted
    )
    weights = compute_weights(pair_relevance, settings, funnel, click_signal)
    expected_gain = compute_expected_gain(pair_relevance)
    return BehaviourEstimates(
        query_groups,
        pair_relevance,
        weights,
        expected_gain,
        funnel,
        suspected_bots,
        np.flatnonzero(promoted).tolist(),
    )


@dataclass(frozen=True, slots=True)
class _UsableClicks:
    clicks: ActionSelection
    trusted_searches: NDArray[np.bool_]
    """(s,): searches that do not push."""
    promoted_unshown: NDArray[np.bool_]
    """(points,): clicked where they were not shown."""


def _select_usable_clicks(
    log: Log, settings: FeedbackSettings, funnel: list[FunnelStage]
) -> _UsableClicks:
    """Clicks on what was shown, one a point and search."""
    clicks = ActionSelection(log.behaviour, np.arange(len(log.behaviour), dtype=np.int32))
    search = clicks.search
    has_query_vector = search >= 0
    has_query_vector[has_query_vector] = log.searches.vector_row[search[has_query_vector]] >= 0
    reason = "no search is stored, or its vector does not fit"
    clicks = _filter_clicks(clicks, has_query_vector, "searches", reason, funnel)
    ranks = find_ranks(log.searches, clicks)
    promoted_unshown = find_clicked_unshown(
        clicks.point, ranks >= 0, len(log.point_ids), settings.outliers
    )
    trusted_searches = np.ones(len(log.searches.query_ids), np.bool_)
    trusted_searches[clicks.search[(ranks < 0) & promoted_unshown[clicks.point]]] = False
    is_trusted, reason = (
        trusted_searches[clicks.search],
        "the search pushes points that it did not show",
    )
    clicks, ranks = _filter_clicks(clicks, is_trusted, "pushing", reason, funnel), ranks[is_trusted]
    was_shown = ranks >= 0
    clicks = _filter_clicks(
        clicks, was_shown, "showings", "the search did not show that point", funnel
    )
    clicks = _filter_clicks(
        clicks,
        _is_strongest_action(clicks),
        "repeats",
        "the strongest action on a point counts, once",
        funnel,
    )
    return _UsableClicks(clicks, trusted_searches, promoted_unshown)


def _filter_clicks(
    clicks: ActionSelection,
    keep: NDArray[np.bool_],
    name: str,
    reason: str,
    funnel: list[FunnelStage],
) -> ActionSelection:
    funnel.append(FunnelStage(name, int(keep.sum()), int((~keep).sum()), reason))
    return clicks.select(keep)


def _is_strongest_action(clicks: ActionSelection) -> NDArray[np.bool_]:
    """The first of the heaviest actions on each point of each search."""
    is_new = mark_changes(clicks.search) | mark_changes(clicks.point)
    run = np.cumsum(is_new, dtype=np.int32) - 1
    last_rows = np.append(np.flatnonzero(is_new), len(clicks))[1:] - 1
    # Actions are sorted by search, point and weight.
    weight = clicks.weight
    heaviest_rows = np.flatnonzero(weight == weight[last_rows][run])
    is_strongest = np.zeros(len(clicks), np.bool_)
    is_strongest[heaviest_rows[mark_changes(run[heaviest_rows])]] = True
    return is_strongest


def _remove_bots(
    log: Log, usable: _UsableClicks, settings: FeedbackSettings, funnel: list[FunnelStage]
) -> tuple[ActionSelection, NDArray[np.int32], list[str]]:
    clicks = usable.clicks
    query_groups = _assign_query_groups(log, clicks, settings.merge_cosine)
    suspected_bots: list[str] = []
    keep_search = usable.trusted_searches.copy()
    keep_click = np.ones(len(clicks), np.bool_)
    for kind, names in (("client", log.client_ids), ("session", log.session_ids)):
        search_actor = getattr(log.searches, kind)
        click_actor = _resolve_actor(getattr(clicks, kind), search_actor[clicks.search], names)
        is_known = click_actor != _unknown_code(names)
        known_clicks = clicks.select(is_known)
        suspects = bots.find_bots(
            click_actor[is_known],
            query_groups[known_clicks.search],
            known_clicks.point,
            settings.outliers,
        )
        suspected_bots += [f"{kind} {names[code]}" for code in suspects.tolist()]
        keep_search &= ~np.isin(search_actor, suspects)
        keep_click &= ~np.isin(click_actor, suspects)
    keep_click &= keep_search[clicks.search]
    remaining = _filter_clicks(
        clicks, keep_click, "bots", "clients far outside the distribution", funnel
    )
    return remaining, np.where(keep_search, query_groups, -1).astype(np.int32), suspected_bots


def _assign_query_groups(log: Log, clicks: ActionSelection, min_cosine: float) -> NDArray[np.int32]:
    """(s,): for each search the row of the vector that leads its group, or -1: nobody acted."""
    vector_rows = sort_unique(log.searches.vector_row[clicks.search]).astype(np.int64)
    leader = np.full(len(log.query_vectors) + 1, -1, np.int32)
    leader[vector_rows] = group_queries(log.query_vectors, vector_rows, min_cosine)
    return leader[log.searches.vector_row]


def _unknown_code(names: Strings) -> int:
    return 0 if names and names[0] == ANONYMOUS else -1


def _resolve_actor(
    click_actor: NDArray[np.int32], search_actor: NDArray[np.int32], names: Strings
) -> NDArray[np.int32]:
    return np.where(click_actor == _unknown_code(names), search_actor, click_actor).astype(np.int32)


def _identify_people(log: Log, clicks: ActionSelection) -> NDArray[np.int32]:
    """(e,): one number a person: the client if known, else the session, else the search."""
    client = _resolve_actor(clicks.client, log.searches.client[clicks.search], log.client_ids)
    session = _resolve_actor(clicks.session, log.searches.session[clicks.search], log.session_ids)
    return _number_people(log, client, session, clicks.search)


def _number_people(
    log: Log, client: NDArray[np.int32], session: NDArray[np.int32], search: NDArray[np.int32]
) -> NDArray[np.int32]:
    session_offset = len(log.client_ids)
    by_session = np.where(
        session != _unknown_code(log.session_ids),
        session_offset + session,
        session_offset + len(log.session_ids) + search,
    )
    return np.where(client != _unknown_code(log.client_ids), client, by_session).astype(np.int32)


def _count_searchers(log: Log, query_groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each group how many different people searched for it."""
    search_rows = np.flatnonzero(query_groups >= 0).astype(np.int32)
    people = _number_people(
        log, log.searches.client[search_rows], log.searches.session[search_rows], search_rows
    )
    searchers = np.zeros(len(log.query_vectors), np.int64)
    searchers[query_groups[search_rows]] = count_distinct([query_groups[search_rows]], people)
    return searchers


def _apply_caps(
    log: Log,
    clicks: ActionSelection,
    query_groups: NDArray[np.int32],
    settings: FeedbackSettings,
    funnel: list[FunnelStage],
) -> ActionSelection:
    order = np.argsort(clicks.time, kind="stable").astype(np.int32)
    people = _identify_people(log, clicks)[order]
    keep = is_within_cap([people, query_groups[clicks.search][order], clicks.point[order]], 1)
    keep &= is_within_cap([people], settings.client_cap)
    session = _resolve_actor(clicks.session, log.searches.session[clicks.search], log.session_ids)[
        order
    ]
    keep &= (session == _unknown_code(log.session_ids)) | is_within_cap(
        [session], settings.session_cap
    )
    kept_rows = np.flatnonzero(keep)
    points = clicks.point[order[kept_rows]]
    keep[kept_rows] = is_within_cap([people[kept_rows], points], settings.point_cap)
    reason = "beyond what one client or session may say"
    funnel.append(FunnelStage("caps", int(keep.sum()), int((~keep).sum()), reason))
    return clicks.select(np.sort(order[keep]))


def _estimate_posterior(
    vectors: Float32,
    impressions: Impressions,
    pairs: pbm.Pairs,
    promoted_unshown: NDArray[np.bool_],
    settings: FeedbackSettings,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
    """(p,): how likely each pair is relevant; (points,): which points are pushed; and how likely
    it is that clicks say anything on relevance.
    """
    if not len(impressions):
        return np.zeros(0), promoted_unshown, 1.0
    if settings.bias == "coec":
        ratio = compute_coec(impressions, pairs)
        return ratio / (ratio + _COEC_PRIOR_STRENGTH), promoted_unshown, 1.0
    # Points clicked on far more queries than others teach nothing: if they are pushed, they would
    # teach that people look where they stand.
    is_suspicious = promoted_unshown | is_outlier(
        _count_clicked_queries(impressions, pairs, len(promoted_unshown)), settings.outliers
    )
    sample, sample_pairs = _sample_impressions(impressions, ~is_suspicious)
    model = pbm.fit_click_model(sample, sample_pairs)
    if settings.bias == "ipw":
        return compute_ipw_click_rate(impressions, pairs, model.examination), promoted_unshown, 1.0
    promotion_rates = estimate_promotion_rates(impressions, pairs, model)
    promoted = promoted_unshown.copy()
    promoted[: len(promotion_rates)] |= promotion_rates > 0
    is_relevant = (
        pbm.relevance_posterior(
            impressions, pairs, model, promotion_rates[pairs.point][pairs.pair_of_impression]
        )
        >= _RELEVANCE_THRESHOLD
    )
    promoted |= find_points_without_topic(
        vectors, pairs, is_relevant, len(promoted), settings.outliers
    )
    relevance = _refine_with_neighbours(
        vectors,
        impressions,
        pairs,
        model,
        promotion_rate=promotion_rates[pairs.point],
        promoted=promoted[pairs.point],
    )
    if not len(sample):
        return relevance, promoted, 1.0
    click_signal = estimate_click_signal(
        vectors, *_sample_impressions(impressions, ~(is_suspicious | promoted))
    )
    discounted = click_signal * relevance + (1 - click_signal) * np.minimum(
        relevance, pbm.DEFAULT_PRIOR
    )
    return np.where(pairs.rank > 0, discounted, relevance), promoted, click_signal


def _count_clicked_queries(
    impressions: Impressions, pairs: pbm.Pairs, point_count: int
) -> NDArray[np.int64]:
    """(points,): on how many different queries each is clicked; 0 where it is never shown."""
    return np.bincount(
        pairs.point, weights=pairs.sum(impressions.clicked) > 0, minlength=point_count
    ).astype(np.int64)


def _sample_impressions(
    impressions: Impressions, included: NDArray[np.bool_]
) -> tuple[Impressions, pbm.Pairs]:
    """The impressions of `points` in logged lists; of one group in so many, where there are more
    than clicking can be learned from.
    """
    stride = max(1, -(-len(impressions) // _MAX_FITTED_IMPRESSIONS))
    group_numbers = np.cumsum(np.diff(impressions.query_group, prepend=-1) != 0)
    sample = impressions.select(
        (impressions.rank > 0) & included[impressions.point] & (group_numbers % stride == 0)
    )
    return sample, pbm.group_by_pair(sample)


def _refine_with_neighbours(
    vectors: Float32,
    impressions: Impressions,
    pairs: pbm.Pairs,
    model: pbm.ClickModel,
    *,
    promotion_rate: NDArray[np.float64],
    promoted: NDArray[np.bool_],
) -> NDArray[np.float64]:
    prior_log_odds = pbm.prior_log_odds(pairs, model)
    own_log_odds = pairs.sum(
        pbm.log_likelihood_ratio(impressions, model, promotion_rate[pairs.pair_of_impression])
    )
    relevance = expit(prior_log_odds + own_log_odds)
    for _ in range(_NEIGHBOUR_ROUNDS):
        residual = np.where(promoted, 0.0, relevance - expit(prior_log_odds))
        features = neighbours.compute_neighbour_features(vectors, pairs, residual)
        relevance = expit(
            neighbours.fit_log_odds(prior_log_odds, features, relevance) + own_log_odds
        )
    return np.asarray(relevance)


def _build_pair_relevance(
    log: Log,
    clicks: ActionSelection,
    query_groups: NDArray[np.int32],
    impressions: Impressions,
    pairs: pbm.Pairs,
    *,
    relevance: NDArray[np.float64],
    promoted: NDArray[np.bool_],
) -> PairRelevance:
    pair_keys = (pairs.query_group << 32) | pairs.point
    pair_rows = np.searchsorted(
        pair_keys, query_groups[clicks.search].astype(np.int64) << 32 | clicks.point
    )
    action_counts = np.bincount(pair_rows, minlength=len(pairs))
    action_weight = np.bincount(
        pair_rows, weights=clicks.weight, minlength=len(pairs)
    ) / np.maximum(action_counts, 1)
    people = np.zeros(len(pairs), np.int64)
    people[pair_rows] = count_distinct([pair_rows.astype(np.int32)], _identify_people(log, clicks))
    return PairRelevance(
        search=_find_representative_searches(log, clicks, query_groups)[pairs.query_group]
        if len(pairs)
        else pairs.query_group,
        point=pairs.point,
        relevance=relevance,
        action_weight=action_weight,
        people=people,
        searchers=_count_searchers(log, query_groups)[pairs.query_group],
        shown=pairs.sum(impressions.shown),
        clicked=pairs.sum(impressions.clicked),
        skipped=pairs.sum(impressions.skipped),
        rank=pairs.rank,
        promoted=promoted[pairs.point],
    )


def _find_representative_searches(
    log: Log, clicks: ActionSelection, query_groups: NDArray[np.int32]
) -> NDArray[np.int64]:
    """For each group its earliest search that somebody acted on; it stays when new ones come."""
    acted_searches = sort_unique(clicks.search).astype(np.int64)
    sorted_searches = acted_searches[
        np.lexsort(
            (acted_searches, log.searches.time[acted_searches], query_groups[acted_searches])
        )
    ]
    query_group, first = np.unique(query_groups[sorted_searches], return_index=True)
    representatives = np.full(len(log.query_vectors), -1, np.int64)
    representatives[query_group] = sorted_searches[first]
    return representatives
