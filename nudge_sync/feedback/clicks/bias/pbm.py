"""The fit of the click model, by expectation maximisation (EM).

Dempster et al. 1977; accelerated by SQUAREM, Varadhan and Roland 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from nudge_sync.base.arrays import Float64
from nudge_sync.feedback.clicks.bias.click_model import (
    DEFAULT_MODEL,
    DEFAULT_PRIOR,
    RANK_COUNT,
    ClickModel,
    compute_relevance_posterior,
)
from nudge_sync.feedback.clicks.impressions.counts import Impressions, count_by_rank, sum_by_rank
from nudge_sync.feedback.clicks.impressions.pairs import Pairs
from nudge_sync.feedback.clicks.impressions.single import DISTANCE_CLASS_COUNT

_MIN_PROBABILITY, _MAX_PROBABILITY = 1e-5, 0.98
_MIN_EXAMINATION = 1e-4
_FIRST_PERSISTENCE = 0.95
"""Where the fit starts; at 1 it would stay."""
_MIN_PRIOR, _MAX_PRIOR = 1e-4, 0.9
_MIN_ATTRACTIVENESS_RATIO = 1.5
"""A relevant result is at least this many times as attractive as an irrelevant one, which keeps the
two classes apart while the fit goes on."""
_PRIOR_SMOOTHING = 10.0
"""Pairs at the overall rate that are added to each rank where the prior is estimated."""
_MAX_STEP_LENGTH = 16.0
_TOLERANCE = 1e-3
"""The largest change of a coordinate in a round at which the fit has converged."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the E step expects of the hidden variables, given the clicks and a model."""

    relevance: Float64
    """(p,): the posterior probability that each pair is relevant, q = P(z = 1 | clicks)."""
    examined_relevant: Float64
    """(m,): the expected number of impressions in each row that are relevant and examined."""
    examined_irrelevant: Float64
    """(m,): the expected number of impressions in each row that are irrelevant and examined."""
    looked: Float64
    """(m,): the expected number at whose rank the searcher was willing to look."""
    continued: Float64
    """(m,): the expected number whose searcher wanted more after the last click above."""


def fit_click_model(
    impressions: Impressions, pairs: Pairs, *, max_rounds: int = 60, smoothing: float = 20.0
) -> ClickModel:
    """Return the model of the highest likelihood that EM finds, by at most `max_rounds` rounds.

    smoothing: impressions on the power law through all ranks that are added to each rank, so that
    the examination of a rank with few impressions stays near that of its neighbours.
    Each round takes two EM steps x1 = F(x0), x2 = F(x1) in the coordinates of `_to_coordinates`,
    extrapolates, and takes a third step from there (SQUAREM, Varadhan and Roland 2008, scheme S3):

        r = x1 - x0,  v = (x2 - x1) - r,  a = |r| / |v|,  x0 <- F(x0 + 2 a r + a^2 v)

    with a between 1, which is plain EM, and _MAX_STEP_LENGTH.
    """

    def advance(coordinates: Float64) -> Float64:
        model = _from_coordinates(coordinates)
        expectations = compute_expectations(impressions, pairs, model)
        return _to_coordinates(maximise_likelihood(impressions, pairs, expectations, smoothing))

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
    """Return the model as an unbounded vector: log theta, log phi, logit rho, logit alpha_z."""
    attractiveness_logits = logit([model.attractiveness_relevant, model.attractiveness_irrelevant])
    return np.concatenate(
        [
            np.log(model.examination),
            np.log(model.persistence),
            logit(model.prior),
            attractiveness_logits,
        ]
    )


def _from_coordinates(coordinates: Float64) -> ClickModel:
    """Return the model at the coordinates, each parameter clipped into its range."""
    attractiveness_relevant, attractiveness_irrelevant = np.clip(
        expit(coordinates[-2:]), _MIN_PROBABILITY, _MAX_PROBABILITY
    )
    first_prior = RANK_COUNT + DISTANCE_CLASS_COUNT
    examination, persistence = np.split(
        np.exp(np.clip(coordinates[:first_prior], np.log(_MIN_EXAMINATION), 0.0)), [RANK_COUNT]
    )
    prior = np.clip(expit(coordinates[first_prior:-2]), _MIN_PRIOR, _MAX_PRIOR)
    # Rank 0 means that no list was logged, so there is nothing to learn about it.
    examination[0], prior[0] = 1.0, DEFAULT_PRIOR
    persistence[0] = 1.0
    return ClickModel(
        examination,
        persistence,
        float(attractiveness_relevant),
        float(min(attractiveness_irrelevant, attractiveness_relevant)),
        prior,
    )


def _guess_model(impressions: Impressions) -> ClickModel:
    """Return the model that EM starts from: examination in proportion to the click rates."""
    shown, clicked = count_by_rank(impressions)
    overall_rate = (clicked.sum() + 0.5) / (shown.sum() + 1)
    click_rates = (clicked + overall_rate) / (shown + 1)
    top_rate = max(float(click_rates[1:].max(initial=0.0)), 1e-3)
    return ClickModel(
        examination=np.clip(click_rates / top_rate, 1e-3, 1.0),
        persistence=np.full(DISTANCE_CLASS_COUNT, _FIRST_PERSISTENCE),
        attractiveness_relevant=min(max(2 * top_rate, 0.3), 0.9),
        attractiveness_irrelevant=min(max(0.2 * top_rate, 0.01), 0.2),
        prior=np.full(RANK_COUNT, DEFAULT_PRIOR),
    )


def compute_expectations(impressions: Impressions, pairs: Pairs, model: ClickModel) -> Expectations:
    """Return what to expect of the hidden relevance and examination: the E step.

    The posterior relevance q of a pair is that of `compute_relevance_posterior`. E = L G: somebody
    looks as far down as rank r (L, theta_r) and goes on after the last click (G, phi_g). A clicked
    impression had both; one without a click, with a = alpha_z, had each with probability

        P(E = 1 | C = 0) = theta_r phi_g (1 - a) / (1 - theta_r phi_g a)
        P(L = 1 | C = 0) = theta_r (1 - phi_g a) / (1 - theta_r phi_g a)
        P(G = 1 | C = 0) = phi_g (1 - theta_r a) / (1 - theta_r phi_g a)

    so that of n impressions in a row with c clicks, P(z) (c + (n - c) P(E = 1 | C = 0)) are
    expected to be of class z and examined, where P(z) is q or 1 - q.
    """
    relevance = compute_relevance_posterior(impressions, pairs, model)
    impression_relevance = relevance[pairs.pair_of_impression]
    theta, phi = model.examination[impressions.rank], model.persistence[impressions.distance_class]
    unclicked = np.maximum(impressions.shown - impressions.clicked, 0)
    examined, looked, continued = [], np.zeros(len(unclicked)), np.zeros(len(unclicked))
    for alpha, share in (
        (model.attractiveness_relevant, impression_relevance),
        (model.attractiveness_irrelevant, 1 - impression_relevance),
    ):
        per_unclicked = unclicked / (1 - theta * phi * alpha)
        examined.append(share * (impressions.clicked + per_unclicked * theta * phi * (1 - alpha)))
        looked += share * (impressions.clicked + per_unclicked * theta * (1 - phi * alpha))
        continued += share * (impressions.clicked + per_unclicked * phi * (1 - theta * alpha))
    return Expectations(relevance, examined[0], examined[1], looked, continued)


def maximise_likelihood(
    impressions: Impressions, pairs: Pairs, expectations: Expectations, smoothing: float
) -> ClickModel:
    """Return the model under which the expectations are likeliest: the M step.

    theta_r = impressions at rank r that somebody looked as far down as / impressions at rank r,
              smoothed, then scaled so that theta_1 = 1
    phi_g   = impressions of distance class g that somebody went on to / impressions of that class
    alpha_z = clicks of class z / examined impressions of class z, times the theta_1 before scaling
    rho_r   = mean posterior relevance of the pairs at rank r, made to fall with r
    """
    examination = _estimate_examination(impressions, expectations.looked, smoothing)
    relevance = expectations.relevance[pairs.pair_of_impression]
    attractiveness_relevant, attractiveness_irrelevant = (
        min(
            max(
                _estimate_attractiveness(class_probability * impressions.clicked, examined)
                * examination[1],
                _MIN_PROBABILITY,
            ),
            _MAX_PROBABILITY,
        )
        for class_probability, examined in (
            (relevance, expectations.examined_relevant),
            (1 - relevance, expectations.examined_irrelevant),
        )
    )
    min_attractiveness = min(
        _MIN_ATTRACTIVENESS_RATIO * attractiveness_irrelevant, _MAX_PROBABILITY
    )
    return ClickModel(
        examination=np.clip(examination / examination[1], _MIN_EXAMINATION, 1.0),
        persistence=_estimate_persistence(impressions, expectations.continued, smoothing),
        attractiveness_relevant=max(attractiveness_relevant, min_attractiveness),
        attractiveness_irrelevant=attractiveness_irrelevant,
        prior=_estimate_prior(pairs, expectations.relevance),
    )


def _estimate_attractiveness(clicked: Float64, examined: Float64) -> float:
    return (float(clicked.sum()) + 1e-3) / (float(examined.sum()) + 1e-2)


def _estimate_examination(impressions: Impressions, looked: Float64, smoothing: float) -> Float64:
    """Return the share of impressions at each rank that were looked at, (MAX_RANK + 1,), smoothed
    towards a power law.
    """
    looked_at_rank = sum_by_rank(impressions.rank, looked)
    shown = sum_by_rank(impressions.rank, impressions.shown)
    power_law = _fit_power_law(looked_at_rank, shown)
    return np.asarray(
        np.clip(
            (looked_at_rank + smoothing * power_law) / (shown + smoothing), _MIN_PROBABILITY, 1.0
        )
    )


def _estimate_persistence(
    impressions: Impressions, continued: Float64, smoothing: float
) -> Float64:
    """Return the share of impressions of each distance class that were gone on to, smoothed towards
    1, (DISTANCE_CLASS_COUNT,).
    """
    continued_by_class, shown_by_class = (
        np.bincount(impressions.distance_class, weights=values, minlength=DISTANCE_CLASS_COUNT)
        for values in (continued, impressions.shown)
    )
    shares = (continued_by_class + smoothing) / (shown_by_class + smoothing)
    shares[0] = 1.0
    return np.asarray(np.clip(shares, _MIN_EXAMINATION, 1.0))


def _fit_power_law(examined: Float64, shown: Float64) -> Float64:
    """Return the curve a / r^b, b >= 0, nearest to examined / shown at each rank r.

    examined, shown: (MAX_RANK + 1,). A weighted least squares fit of the logarithms; rank 0 gets
    the mean rate.
    """
    ranks = np.arange(1, RANK_COUNT)
    has_data = (shown[1:] > 0) & (examined[1:] > 0)
    mean_rate = float((examined.sum() + 1e-3) / (shown.sum() + 1e-2))
    if has_data.sum() < 2:  # noqa: PLR2004 - a line needs two points
        return np.full(RANK_COUNT, mean_rate)
    x = np.log(ranks[has_data])
    y = np.log(examined[1:][has_data] / shown[1:][has_data])
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(examined[1:][has_data]))
    curve = np.exp(intercept + min(slope, 0.0) * np.log(ranks))
    return np.concatenate([[mean_rate], np.clip(curve, _MIN_PROBABILITY, 1.0)])


def _estimate_prior(pairs: Pairs, posterior: Float64) -> Float64:
    """Return rho, the share of relevant pairs at each rank, falling with the rank.

    Few clicks at a rank mean little examination or little relevance; without the order (isotonic
    regression, Barlow et al. 1972) the clicks alone could not tell the two apart.
    """
    relevant_at_rank = sum_by_rank(pairs.rank, posterior)
    pairs_at_rank = sum_by_rank(pairs.rank, np.ones(len(pairs)))
    overall_rate = (relevant_at_rank.sum() + 1) / (pairs_at_rank.sum() + _PRIOR_SMOOTHING)
    rates = (relevant_at_rank + _PRIOR_SMOOTHING * overall_rate) / (
        pairs_at_rank + _PRIOR_SMOOTHING
    )
    rates[1:] = isotonic_regression(rates[1:], weights=pairs_at_rank[1:] + 0.1, increasing=False).x
    return np.asarray(np.clip(rates, _MIN_PRIOR, _MAX_PRIOR))
