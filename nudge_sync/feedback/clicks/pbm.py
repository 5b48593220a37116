"""A position-based click model: a click is a look at the place times the appeal of what is there.

P(click | place r, relevance z) = look_r * appeal_z, with look_1 = 1. Whether a pair (query, point)
is relevant is hidden; look, the two appeals and how often each place holds a relevant point are
fitted by expectation maximisation (Dempster et al. 1977) over pairs; without the hidden relevance
it is the model of Richardson et al. 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from nudge_sync.base.arrays import Float64
from nudge_sync.feedback.clicks.impressions import MAX_RANK, Impressions

_MIN_PROBABILITY, _MAX_PROBABILITY = 1e-5, 0.98
_RANK_COUNT = MAX_RANK + 1
_MAX_STEP_LENGTH = 16.0
_TOLERANCE = 1e-3
DEFAULT_PRIOR = 0.2
"""How likely anything is relevant, as long as nothing is known."""


@dataclass(frozen=True, slots=True)
class ClickModel:
    """What was learned about clicking; the same for all queries."""

    examination: Float64
    """(places,): how likely each place is looked at, against the first. Place 0 is unknown, and
    taken to be looked at."""
    attractiveness_relevant: float
    """Of a relevant point that is looked at."""
    attractiveness_irrelevant: float
    """Of any other."""
    prior: Float64
    """(places,): how likely a point that usually stands there is relevant, before any click."""


DEFAULT_MODEL = ClickModel(
    np.ones(_RANK_COUNT),
    attractiveness_relevant=0.8,
    attractiveness_irrelevant=0.1,
    prior=np.full(_RANK_COUNT, DEFAULT_PRIOR),
)
"""Where no lists were logged at all."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Impressions by pair (group of queries, point)."""

    pair_of_impression: NDArray[np.int64]
    """(m,): the pair of each impression row."""
    query_group: NDArray[np.int64]
    point: NDArray[np.int64]
    rank: NDArray[np.int64]
    """(p,): where each pair is mostly shown."""

    def __len__(self) -> int:
        return len(self.query_group)

    def sum(self, values: Float64) -> Float64:
        """For each pair the sum over its impression rows."""
        return np.asarray(
            np.bincount(self.pair_of_impression, weights=values, minlength=len(self)), np.float64
        )


def group_by_pair(impressions: Impressions) -> Pairs:
    """The pairs of the impressions, in their order."""
    is_new = np.ones(len(impressions), np.bool_)
    is_new[1:] = (np.diff(impressions.query_group) != 0) | (np.diff(impressions.point) != 0)
    pair_of_impression = np.cumsum(is_new) - 1
    shown = np.bincount(pair_of_impression, weights=impressions.shown)
    rank_sum = np.bincount(pair_of_impression, weights=impressions.shown * impressions.rank)
    rank = np.rint(rank_sum / np.maximum(shown, 1e-300)).astype(np.int64)
    return Pairs(
        pair_of_impression,
        impressions.query_group[is_new],
        impressions.point[is_new],
        np.minimum(rank, MAX_RANK),
    )


def fit_click_model(
    impressions: Impressions, pairs: Pairs, *, max_rounds: int = 60, smoothing: float = 20.0
) -> ClickModel:
    """The model that makes the impressions likeliest, each place held near its neighbours.

    smoothing: how many impressions the smooth curve through all places counts for at each place.
    Each round is three steps of expectation maximisation, the third from a point extrapolated
    from the first two (SQUAREM, Varadhan and Roland 2008); it ends when nothing changes.
    """

    def advance(coordinates: Float64) -> Float64:
        model = _from_coordinates(coordinates)
        posterior = relevance_posterior(impressions, pairs, model)
        return _to_coordinates(_update_model(impressions, pairs, model, posterior, smoothing))

    if not len(impressions):
        return _from_coordinates(_to_coordinates(DEFAULT_MODEL))
    current = _to_coordinates(_guess_model(impressions))
    for _ in range(max_rounds):
        after_one = advance(current)
        after_two = advance(after_one)
        change, curvature = after_one - current, after_two - 2 * after_one + current
        step_length = float(np.linalg.norm(change)) / max(float(np.linalg.norm(curvature)), 1e-12)
        step_length = min(max(step_length, 1.0), _MAX_STEP_LENGTH)
        updated = advance(current + 2 * step_length * change + step_length**2 * curvature)
        is_converged = float(np.abs(updated - current).max()) < _TOLERANCE
        current = updated
        if is_converged:
            break
    return _from_coordinates(current)


def _to_coordinates(model: ClickModel) -> Float64:
    """The model as a point of a space without borders."""
    attractiveness_logits = logit([model.attractiveness_relevant, model.attractiveness_irrelevant])
    return np.concatenate([np.log(model.examination), logit(model.prior), attractiveness_logits])


def _from_coordinates(coordinates: Float64) -> ClickModel:
    attractiveness_relevant, attractiveness_irrelevant = np.clip(
        expit(coordinates[-2:]), _MIN_PROBABILITY, _MAX_PROBABILITY
    )
    examination = np.exp(np.clip(coordinates[:_RANK_COUNT], np.log(1e-4), 0.0))
    prior = np.clip(expit(coordinates[_RANK_COUNT:-2]), 1e-4, 0.9)
    # Nothing was logged about place 0, and nothing is learned about it.
    examination[0], prior[0] = 1.0, DEFAULT_PRIOR
    return ClickModel(
        examination,
        float(attractiveness_relevant),
        float(min(attractiveness_irrelevant, attractiveness_relevant)),
        prior,
    )


def relevance_posterior(
    impressions: Impressions, pairs: Pairs, model: ClickModel, promotion_rate: Float64 | None = None
) -> Float64:
    """(p,): how likely each pair is relevant, given its clicks.

    push: (m,) or None: how likely a click comes from somebody who clicks this point anywhere.
    """
    return np.asarray(
        expit(
            prior_log_odds(pairs, model)
            + pairs.sum(log_likelihood_ratio(impressions, model, promotion_rate))
        )
    )


def prior_log_odds(pairs: Pairs, model: ClickModel) -> Float64:
    """(p,): log odds of relevance before any click."""
    return np.asarray(np.log(model.prior / (1 - model.prior))[pairs.rank])


def log_likelihood_ratio(
    impressions: Impressions, model: ClickModel, promotion_rate: Float64 | None = None
) -> Float64:
    """(m,): log likelihood of each impression row if relevant, less that if not."""
    if_relevant, if_irrelevant = (
        log_likelihood(impressions, model, appeal, promotion_rate)
        for appeal in _attractiveness_by_relevance(model)
    )
    return if_relevant - if_irrelevant


def log_likelihood(
    impressions: Impressions,
    model: ClickModel,
    attractiveness: float,
    promotion_rate: Float64 | None = None,
) -> Float64:
    """(m,): of each impression row, for points of this appeal."""
    click_probability = model.examination[impressions.rank] * attractiveness
    if promotion_rate is not None:
        click_probability = click_probability + promotion_rate - click_probability * promotion_rate
    # More clicks than impressions: where nothing was listed.
    unclicked = np.maximum(impressions.shown - impressions.clicked, 0)
    return np.asarray(
        impressions.clicked * np.log(click_probability) + unclicked * np.log1p(-click_probability)
    )


def _attractiveness_by_relevance(model: ClickModel) -> tuple[float, float]:
    return model.attractiveness_relevant, model.attractiveness_irrelevant


def _guess_model(impressions: Impressions) -> ClickModel:
    click_rates = _click_rates(impressions, np.ones(len(impressions)))
    top_rate = max(float(click_rates[1:].max(initial=0.0)), 1e-3)
    return ClickModel(
        examination=np.clip(click_rates / top_rate, 1e-3, 1.0),
        attractiveness_relevant=min(max(2 * top_rate, 0.3), 0.9),
        attractiveness_irrelevant=min(max(0.2 * top_rate, 0.01), 0.2),
        prior=np.full(_RANK_COUNT, 0.2),
    )


def _click_rates(impressions: Impressions, weights: Float64) -> Float64:
    clicked = _sum_by_rank(impressions.rank, weights * impressions.clicked)
    shown = _sum_by_rank(impressions.rank, weights * impressions.shown)
    overall_rate = (clicked.sum() + 0.5) / (shown.sum() + 1)
    return np.asarray((clicked + overall_rate) / (shown + 1))


def _update_model(
    impressions: Impressions, pairs: Pairs, model: ClickModel, posterior: Float64, smoothing: float
) -> ClickModel:
    impression_posterior = posterior[pairs.pair_of_impression]
    unclicked = np.maximum(impressions.shown - impressions.clicked, 0)
    examination = model.examination[impressions.rank]
    examined, click_rates = np.zeros(len(impressions)), []
    for class_probability, attractiveness in zip(
        (impression_posterior, 1 - impression_posterior),
        _attractiveness_by_relevance(model),
        strict=True,
    ):
        examined_if_unclicked = (
            examination * (1 - attractiveness) / (1 - examination * attractiveness)
        )
        class_examined = class_probability * (
            impressions.clicked + unclicked * examined_if_unclicked
        )
        examined += class_examined
        click_rates.append(
            (float((class_probability * impressions.clicked).sum()) + 1e-3)
            / (float(class_examined.sum()) + 1e-2)
        )
    examination_curve = _estimate_examination(impressions, examined, smoothing)
    attractiveness, attractiveness_irrelevant = (
        min(max(value * examination_curve[1], _MIN_PROBABILITY), _MAX_PROBABILITY)
        for value in click_rates
    )
    return ClickModel(
        examination=np.clip(examination_curve / examination_curve[1], 1e-4, 1.0),
        attractiveness_relevant=max(
            attractiveness, min(1.5 * attractiveness_irrelevant, _MAX_PROBABILITY)
        ),
        attractiveness_irrelevant=attractiveness_irrelevant,
        prior=_estimate_prior(pairs, posterior),
    )


def _estimate_examination(impressions: Impressions, examined: Float64, smoothing: float) -> Float64:
    examined_at_rank = _sum_by_rank(impressions.rank, examined)
    shown = _sum_by_rank(impressions.rank, impressions.shown)
    power_law = _fit_power_law(examined_at_rank, shown)
    return np.asarray(
        np.clip(
            (examined_at_rank + smoothing * power_law) / (shown + smoothing), _MIN_PROBABILITY, 1.0
        )
    )


def _fit_power_law(examined: Float64, shown: Float64) -> Float64:
    """The curve a / r^b nearest to the rates at / shown; place 0 gets the mean rate."""
    ranks = np.arange(1, _RANK_COUNT)
    has_data = (shown[1:] > 0) & (examined[1:] > 0)
    mean_rate = float((examined.sum() + 1e-3) / (shown.sum() + 1e-2))
    if has_data.sum() < 2:  # noqa: PLR2004 - a line needs two points
        return np.full(_RANK_COUNT, mean_rate)
    x = np.log(ranks[has_data])
    y = np.log(examined[1:][has_data] / shown[1:][has_data])
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(examined[1:][has_data]))
    curve = np.exp(intercept + min(slope, 0.0) * np.log(ranks))
    return np.concatenate([[mean_rate], np.clip(curve, _MIN_PROBABILITY, 1.0)])


def _estimate_prior(pairs: Pairs, posterior: Float64) -> Float64:
    """How often each place holds a relevant point: never more often than a place above it.

    Without that order a place little looked at, of many relevant points, fits the clicks as well.
    """
    relevant_at_rank = _sum_by_rank(pairs.rank, posterior)
    pairs_at_rank = _sum_by_rank(pairs.rank, np.ones(len(pairs)))
    overall_rate = (relevant_at_rank.sum() + 1) / (pairs_at_rank.sum() + 10)
    rates = (relevant_at_rank + 10 * overall_rate) / (pairs_at_rank + 10)
    rates[1:] = isotonic_regression(rates[1:], weights=pairs_at_rank[1:] + 0.1, increasing=False).x
    return np.asarray(np.clip(rates, 1e-4, 0.9))


def _sum_by_rank(ranks: NDArray[np.int64], values: Float64) -> Float64:
    return np.asarray(np.bincount(ranks, weights=values, minlength=_RANK_COUNT), np.float64)
