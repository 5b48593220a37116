"""Which pairs count, and with what weight, once it is known how likely each one is relevant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.feedback.clicks.stages import FunnelStage
from nudge_sync.feedback.clicks.traffic import weigh_traffic
from nudge_sync.settings.feedback import FeedbackSettings

_MIN_SKIPS = 3
"""Skips from which on a point may be a negative."""
_MAX_NEGATIVE_RELEVANCE = 0.05
_MIN_GAIN_RELEVANCE = 0.01
_MIN_PROBABILITY = 0.5
_MAX_RELEVANCE = 1 - 1e-9
_MAX_MISTAKE_PROBABILITY = 0.01
"""How likely it may be that no click on a point means relevance, for the point to move at all."""
_NO_CLICK_SIGNAL = "clicks go with places, queries and points, not with what answers what"


@dataclass(frozen=True, slots=True)
class PairRelevance:
    """One row a pair (query group, point) with an impression, sorted by these."""

    search: Int64
    """(p,): the earliest search of the group, which stands for it."""
    point: Int64
    relevance: Float64
    """The probability that the point is relevant to the query."""
    action_weight: Float64
    """The mean weight of the actions on the pair; 0 where there was none."""
    people: Int64
    """How many different people (clients, else sessions, else searches) acted on the pair."""
    searchers: Int64
    """How many different people searched for the query."""
    traffic: Float64
    """How many different people searched for the query, each with a decay factor."""
    shown: Float64
    clicked: Float64
    skipped: Float64
    rank: Int64
    """The mean rank of the impressions, rounded."""
    promoted: NDArray[np.bool_]
    """Whether the point is clicked at whatever rank, or where it was not even shown."""


def compute_weights(
    pairs: PairRelevance, settings: FeedbackSettings, click_signal: float
) -> tuple[Float64, list[FunnelStage]]:
    """Return the weight of each pair, (p,), and what each stage removed.

    NaN where the pair does not count. Otherwise relevance * action_weight * what the traffic of the
    query gives (`weigh_traffic`), or relevance - 1 for a negative.
    click_signal: the probability that clicks carry any relevance.
    """
    counted, funnel = _select_counted(pairs, settings, click_signal)
    traffic_weight = weigh_traffic(pairs.traffic, pairs.search, counted, settings.traffic_exponent)
    weights = np.where(counted, pairs.relevance * pairs.action_weight * traffic_weight, np.nan)
    if settings.negatives:
        is_negative = (pairs.skipped >= _MIN_SKIPS) & (pairs.relevance <= _MAX_NEGATIVE_RELEVANCE)
        weights[is_negative] = pairs.relevance[is_negative] - 1
    return weights, funnel


def compute_expected_gain(pairs: PairRelevance) -> Float64:
    """Return what finding each point is expected to be worth, (p,): relevance times action weight.

    0 for promoted points and where the relevance is next to nothing; the action weight is 1 where
    there was no action.
    """
    gain = pairs.relevance * np.where(pairs.action_weight > 0, pairs.action_weight, 1.0)
    return np.where(pairs.promoted | (pairs.relevance < _MIN_GAIN_RELEVANCE), 0.0, gain)


def min_relevance(settings: FeedbackSettings) -> float:
    """Return the relevance from which on a pair counts."""
    return (
        settings.min_belief
        if settings.bias == "pbm"
        else max(settings.min_belief, _MIN_PROBABILITY)
    )


def _select_counted(
    pairs: PairRelevance, settings: FeedbackSettings, click_signal: float
) -> tuple[NDArray[np.bool_], list[FunnelStage]]:
    """Return which pairs somebody acted on pass every criterion, (p,), and what each removed."""
    counted, funnel = pairs.people > 0, []
    criteria = [
        (
            "sessions",
            pairs.people >= np.minimum(settings.min_sessions, pairs.searchers),
            "too few different people",
        ),
        ("pushed", ~pairs.promoted, "the point is clicked wherever it stands"),
        (
            "belief",
            pairs.relevance >= min_relevance(settings),
            "what clicks its place would get anyhow"
            if click_signal >= _MIN_PROBABILITY
            else _NO_CLICK_SIGNAL,
        ),
    ]
    for name, passed, reason in criteria:
        funnel.append(_count_passed(name, counted, passed, reason))
        counted = counted & passed
    if settings.bias == "pbm":
        passed = ~_find_uncertain_points(pairs, counted)[pairs.point]
        reason = "no click on the point is sure enough to move it"
        funnel.append(_count_passed("doubt", counted, passed, reason))
        counted = counted & passed
    return counted, funnel


def _count_passed(
    name: str, candidates: NDArray[np.bool_], passed: NDArray[np.bool_], reason: str
) -> FunnelStage:
    return FunnelStage(
        name, int((candidates & passed).sum()), int((candidates & ~passed).sum()), reason
    )


def _find_uncertain_points(pairs: PairRelevance, counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which points may well be relevant to none of their counted queries, (points,).

    The probability of that is the product of 1 - relevance over the counted pairs of the point. One
    whose only clicks are mistakes is lost for the queries that it does answer, and no held-out
    query tells, if nobody asks them. Where no list was logged there is no rank to explain the
    clicks, and the point is not held to be uncertain.
    """
    log_irrelevant = np.where(
        pairs.rank > 0, np.log1p(-np.minimum(pairs.relevance, _MAX_RELEVANCE)), -np.inf
    )
    log_all_irrelevant = np.bincount(pairs.point, weights=np.where(counted, log_irrelevant, 0.0))
    return np.asarray(log_all_irrelevant > np.log(_MAX_MISTAKE_PROBABILITY))
