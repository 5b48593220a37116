"""What is believed of each query and point, and how much that pulls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nudge_sync.config import FeedbackSettings
from nudge_sync.feedback.clicks.funnel import Stage

_FEW = 3
"""Passed over this often, and nearly certain, before a point is held to be wrong."""
_UNLIKELY = 0.05
_NEXT_TO_NOTHING = 0.01
_HALF = 0.5
_SURE = 1 - 1e-9
_DOUBT = 0.1
"""How likely it may be that no click of a point's means that it answers, for it to move at all."""
_SAYS_NOTHING = "clicks go with places, queries and points, not with what answers what"


@dataclass(frozen=True, slots=True)
class Beliefs:
    """One row a pair (group of queries, point) with a showing, sorted by these."""

    search: NDArray[np.int64]
    """(p,): the earliest search of the group, which stands for it."""
    point: NDArray[np.int64]
    belief: NDArray[np.float64]
    """How likely the point answers the query."""
    value: NDArray[np.float64]
    """Mean weight of the actions on it; 0 where there was none."""
    people: NDArray[np.int64]
    """Different clients, sessions or searches that acted on it."""
    asking: NDArray[np.int64]
    """Likewise, that searched for it."""
    shown: NDArray[np.float64]
    clicked: NDArray[np.float64]
    passed: NDArray[np.float64]
    place: NDArray[np.int64]
    """Where it mostly stood."""
    pushed: NDArray[np.bool_]
    """Whether the point is clicked wherever it stands, or where it does not even stand."""


def weights(
    beliefs: Beliefs, settings: FeedbackSettings, funnel: list[Stage], sure: float
) -> NDArray[np.float64]:
    """(p,): how much each pair pulls, NaN where it does not count; the stages go to `funnel`.

    sure: how likely it is that clicks say anything on relevance.
    """
    acted = beliefs.people > 0
    enough = beliefs.people >= np.minimum(settings.min_sessions, beliefs.asking)
    likely = beliefs.belief >= least_belief(settings)
    honest = ~beliefs.pushed
    _pairs_stage("sessions", acted, enough, "too few different people", funnel)
    _pairs_stage(
        "pushed", acted & enough, honest, "the point is clicked wherever it stands", funnel
    )
    acted &= enough & honest
    reason = "what clicks its place would get anyhow" if sure >= _HALF else _SAYS_NOTHING
    _pairs_stage("belief", acted, likely, reason, funnel)
    acted &= likely
    if settings.bias == "pbm":
        certain = ~_doubtful(beliefs, acted)[beliefs.point]
        reason = "no click on the point is sure enough to move it"
        _pairs_stage("doubt", acted, certain, reason, funnel)
        acted &= certain
    found = np.where(acted, beliefs.belief * beliefs.value, np.nan)
    if settings.negatives:
        wrong = (beliefs.passed >= _FEW) & (beliefs.belief <= _UNLIKELY)
        found[wrong] = beliefs.belief[wrong] - 1
    return np.asarray(found)


def least_belief(settings: FeedbackSettings) -> float:
    """The belief from which a pair pulls."""
    return settings.min_belief if settings.bias == "pbm" else max(settings.min_belief, _HALF)


def _doubtful(beliefs: Beliefs, acted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(points,): whether it may well be that none of a point's pairs `acted` is right.

    Every point that is pulled moves equally far, so one whose only click is a mistake is lost for
    those it did answer. Where no list was logged, belief has no place to go by and is not held
    against the point.
    """
    wrong = np.where(beliefs.place > 0, np.log1p(-np.minimum(beliefs.belief, _SURE)), -np.inf)
    all_wrong = np.bincount(beliefs.point, weights=np.where(acted, wrong, 0.0))
    return np.asarray(all_wrong > np.log(_DOUBT))


def gains(beliefs: Beliefs) -> NDArray[np.float64]:
    """(p,): what finding each point is worth, at its likelihood; 0 where next to nothing."""
    worth = beliefs.belief * np.where(beliefs.value > 0, beliefs.value, 1.0)
    return np.where(beliefs.pushed | (beliefs.belief < _NEXT_TO_NOTHING), 0.0, worth)


def _pairs_stage(
    name: str, before: NDArray[np.bool_], good: NDArray[np.bool_], why: str, funnel: list[Stage]
) -> None:
    funnel.append(Stage(name, int((before & good).sum()), int((before & ~good).sum()), why))
