"""What is believed of each query and point, and how much that pulls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.config import FeedbackSettings
from nudge_sync.feedback.clicks.funnel import FunnelStage

_MIN_SKIPS = 3
"""Passed over this often, and nearly certain, before a point is held to be wrong."""
_MAX_NEGATIVE_RELEVANCE = 0.05
_MIN_GAIN_RELEVANCE = 0.01
_MIN_PROBABILITY = 0.5
_MAX_RELEVANCE = 1 - 1e-9
_MAX_MISTAKE_PROBABILITY = 0.1
"""How likely it may be that no click of a point's means that it answers, for it to move at all."""
_NO_CLICK_SIGNAL = "clicks go with places, queries and points, not with what answers what"


@dataclass(frozen=True, slots=True)
class PairRelevance:
    """One row a pair (group of queries, point) with a showing, sorted by these."""

    search: NDArray[np.int64]
    """(p,): the earliest search of the group, which stands for it."""
    point: NDArray[np.int64]
    relevance: NDArray[np.float64]
    """How likely the point answers the query."""
    action_weight: NDArray[np.float64]
    """Mean weight of the actions on it; 0 where there was none."""
    people: NDArray[np.int64]
    """Different clients, sessions or searches that acted on it."""
    searchers: NDArray[np.int64]
    """Likewise, that searched for it."""
    shown: NDArray[np.float64]
    clicked: NDArray[np.float64]
    skipped: NDArray[np.float64]
    rank: NDArray[np.int64]
    """Where it mostly stood."""
    promoted: NDArray[np.bool_]
    """Whether the point is clicked wherever it stands, or where it does not even stand."""


def compute_weights(
    pairs: PairRelevance, settings: FeedbackSettings, funnel: list[FunnelStage], click_signal: float
) -> NDArray[np.float64]:
    """(p,): how much each pair pulls, NaN where it does not count; the stages go to `funnel`.

    sure: how likely it is that clicks say anything on relevance.
    """
    counted = pairs.people > 0
    has_enough_people = pairs.people >= np.minimum(settings.min_sessions, pairs.searchers)
    is_relevant = pairs.relevance >= min_relevance(settings)
    not_promoted = ~pairs.promoted
    _append_stage("sessions", counted, has_enough_people, "too few different people", funnel)
    _append_stage(
        "pushed",
        counted & has_enough_people,
        not_promoted,
        "the point is clicked wherever it stands",
        funnel,
    )
    counted &= has_enough_people & not_promoted
    reason = (
        "what clicks its place would get anyhow"
        if click_signal >= _MIN_PROBABILITY
        else _NO_CLICK_SIGNAL
    )
    _append_stage("belief", counted, is_relevant, reason, funnel)
    counted &= is_relevant
    if settings.bias == "pbm":
        is_certain = ~_find_uncertain_points(pairs, counted)[pairs.point]
        reason = "no click on the point is sure enough to move it"
        _append_stage("doubt", counted, is_certain, reason, funnel)
        counted &= is_certain
    weights = np.where(counted, pairs.relevance * pairs.action_weight, np.nan)
    if settings.negatives:
        is_negative = (pairs.skipped >= _MIN_SKIPS) & (pairs.relevance <= _MAX_NEGATIVE_RELEVANCE)
        weights[is_negative] = pairs.relevance[is_negative] - 1
    return np.asarray(weights)


def min_relevance(settings: FeedbackSettings) -> float:
    """The belief from which a pair pulls."""
    return (
        settings.min_belief
        if settings.bias == "pbm"
        else max(settings.min_belief, _MIN_PROBABILITY)
    )


def _find_uncertain_points(pairs: PairRelevance, counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(points,): whether it may well be that none of a point's pairs `acted` is right.

    Every point that is pulled moves equally far, so one whose only click is a mistake is lost for
    those it did answer. Where no list was logged, belief has no place to go by and is not held
    against the point.
    """
    log_irrelevant = np.where(
        pairs.rank > 0, np.log1p(-np.minimum(pairs.relevance, _MAX_RELEVANCE)), -np.inf
    )
    log_all_irrelevant = np.bincount(pairs.point, weights=np.where(counted, log_irrelevant, 0.0))
    return np.asarray(log_all_irrelevant > np.log(_MAX_MISTAKE_PROBABILITY))


def compute_expected_gain(pairs: PairRelevance) -> NDArray[np.float64]:
    """(p,): what finding each point is worth, at its likelihood; 0 where next to nothing."""
    gain = pairs.relevance * np.where(pairs.action_weight > 0, pairs.action_weight, 1.0)
    return np.where(pairs.promoted | (pairs.relevance < _MIN_GAIN_RELEVANCE), 0.0, gain)


def _append_stage(
    name: str,
    candidates: NDArray[np.bool_],
    passed: NDArray[np.bool_],
    reason: str,
    funnel: list[FunnelStage],
) -> None:
    funnel.append(
        FunnelStage(
            name, int((candidates & passed).sum()), int((candidates & ~passed).sum()), reason
        )
    )
