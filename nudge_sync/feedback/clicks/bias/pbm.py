"""The fit of the click model, by expectation maximisation (EM).

Dempster et al. 1977; accelerated by SQUAREM, Varadhan and Roland 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from nudge_sync.base.arrays import Float64
from nudge_sync.feedback.clicks.bias.click_model import (
    DEFAULT_MODEL,
    DEFAULT_PRIOR,
    RANK_COUNT,
    ClickModel,
    compute_model_log_likelihood,
    compute_relevance_posterior,
)
from nudge_sync.feedback.clicks.impressions.counts import Impressions, count_by_rank, sum_by_rank
from nudge_sync.feedback.clicks.impressions.pairs import Pairs
from nudge_sync.feedback.clicks.impressions.single import DISTANCE_CLASS_COUNT

_MIN_PROBABILITY, _MAX_PROBABILITY = 1e-5, 0.98
_MIN_EXAMINATION = 1e-4
_FIRST_PERSISTENCE = 0.95
"""Where the fit starts; at 1 it would stay."""
_FIRST_TOP_PRIOR = 0.5
"""The prior of rank 1 where the fit starts."""
_MIN_PRIOR, _MAX_PRIOR = 1e-4, 0.9
_MIN_ATTRACTIVENESS_RATIO = 1.5
"""A relevant result is at least this many times as attractive as an irrelevant one, at any rank,
which keeps the two classes apart while the fit goes on."""
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

    EM ends at the maximum that is next to where it begins, so it begins at several models
    (`_guess_models`), and the likeliest of those that it ends at is kept.
    smoothing: impressions that are added to each rank, so that a rank with few of them stays near
    the others: for the examination, on the power law through all ranks; for the attractiveness of
    irrelevant results, at that of all ranks together.
    Each round takes two EM steps x1 = F(x0), x2 = F(x1) in the coordinates of `_to_coordinates`,
    extrapolates, and takes a third step from there (SQUAREM, Varadhan and Roland 2008, scheme S3):

        r = x1 - x0,  v = (x2 - x1) - r,  a = |r| / |v|,  x0 <- F(x0 + 2 a r + a^2 v)

    with a between 1, which is plain EM, and _MAX_STEP_LENGTH.
    """
    if not len(impressions):
        return _from_coordinates(_to_coordinates(DEFAULT_MODEL))

    def advance(coordinates: Float64) -> Float64:
        model = _from_coordinates(coordinates)
        expectations = compute_expectations(impressions, pairs, model)
        return _to_coordinates(maximise_likelihood(impressions, pairs, expectations, smoothing))

    models = [
        _from_coordinates(_find_fixed_point(advance, _to_coordinates(guess), max_rounds))
        for guess in _guess_models(impressions)
    ]
    return max(models, key=lambda model: compute_model_log_likelihood(impressions, pairs, model))


def _find_fixed_point(
    advance: Callable[[Float64], Float64], start: Float64, max_rounds: int
) -> Float64:
    """Return where `advance` leads from `start` by SQUAREM, once it hardly moves."""
    current = start
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
    return current


def _to_coordinates(model: ClickModel) -> Float64:
    """Return the model as an unbounded vector.

    That is log theta, log phi, logit rho, logit alpha_0,r and logit alpha_1.
    """
    return np.concatenate(
        [
            np.log(model.examination),
            np.log(model.persistence),
            logit(model.prior),
            logit(model.attractiveness_irrelevant),
            [logit(model.attractiveness_relevant)],
        ]
    )


def _from_coordinates(coordinates: Float64) -> ClickModel:
    """Return the model at the coordinates, each parameter clipped into its range."""
    logs, logits = np.split(coordinates, [RANK_COUNT + DISTANCE_CLASS_COUNT])
    examination, persistence = np.split(
        np.exp(np.clip(logs, np.log(_MIN_EXAMINATION), 0.0)), [RANK_COUNT]
    )
    prior = np.clip(expit(logits[:RANK_COUNT]), _MIN_PRIOR, _MAX_PRIOR)
    attractiveness = np.clip(expit(logits[RANK_COUNT:]), _MIN_PROBABILITY, _MAX_PROBABILITY)
    # Rank 0 means that no list was logged, so there is nothing to learn about it.
    examination[0], prior[0] = 1.0, DEFAULT_PRIOR
    persistence[0] = 1.0
    return ClickModel(
        examination,
        persistence,
        float(attractiveness[-1]),
        np.minimum(attractiveness[:-1], attractiveness[-1]),
        prior,
    )


def _guess_models(impressions: Impressions) -> list[ClickModel]:
    """Return the models that EM starts from.

    Their prior falls with the rank: from a level one EM would hardly come down where queries are
    asked a few times, and take what is rarely looked at for relevant. One takes the examination
    from the click rates, which fall faster than it does; the other takes it to be 1 / r.
    """
    shown, clicked = count_by_rank(impressions)
    overall_rate = (clicked.sum() + 0.5) / (shown.sum() + 1)
    click_rates = (clicked + overall_rate) / (shown + 1)
    top_rate = max(float(click_rates[1:].max(initial=0.0)), 1e-3)
    ranks = np.maximum(np.arange(RANK_COUNT), 1)
    by_click_rates = ClickModel(
        examination=np.clip(click_rates / top_rate, 1e-3, 1.0),
        persistence=np.full(DISTANCE_CLASS_COUNT, _FIRST_PERSISTENCE),
        attractiveness_relevant=min(max(2 * top_rate, 0.3), 0.9),
        attractiveness_irrelevant=np.full(RANK_COUNT, min(max(0.2 * top_rate, 0.01), 0.2)),
        prior=np.maximum(_FIRST_TOP_PRIOR / ranks, 1e-3),
    )
    by_rank = replace(
        by_click_rates,
        examination=1 / ranks,
        attractiveness_relevant=DEFAULT_MODEL.attractiveness_relevant,
        attractiveness_irrelevant=DEFAULT_MODEL.attractiveness_irrelevant,
    )
    return [by_click_rates, by_rank]


def compute_expectations(impressions: Impressions, pairs: Pairs, model: ClickModel) -> Expectations:
    """Return what to expect of the hidden relevance and examination: the E step.

    The posterior relevance q of a pair is that of `compute_relevance_posterior`. E = L G: somebody
    looks as far down as rank r (L, theta_r) and goes on after the last click (G, phi_g). A clicked
    impression had both; one without a click, with a = alpha_z,r, had each with probability

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
        (model.predict_false_attraction(impressions), 1 - impression_relevance),
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
    alpha_1 = clicks of class 1 / examined impressions of class 1, times the theta_1 before scaling
    alpha_0,r = the same of class 0 at rank r, smoothed and made to fall with r
    rho_r   = mean posterior relevance of the pairs at rank r, made to fall with r
    """
    examination = _estimate_examination(impressions, expectations.looked, smoothing)
    relevance = expectations.relevance[pairs.pair_of_impression]
    examined_irrelevant = expectations.examined_irrelevant
    irrelevant_clicks = (1 - relevance) * impressions.clicked
    mean_irrelevant = _estimate_attractiveness(irrelevant_clicks, examined_irrelevant)
    irrelevant_by_rank = _smooth_attractiveness(
        sum_by_rank(impressions.rank, irrelevant_clicks),
        sum_by_rank(impressions.rank, examined_irrelevant),
        mean_irrelevant,
        smoothing,
    )
    relevant = max(
        _estimate_attractiveness(relevance * impressions.clicked, expectations.examined_relevant),
        _MIN_ATTRACTIVENESS_RATIO * mean_irrelevant,
    )
    attractiveness_relevant = float(
        np.clip(relevant * examination[1], _MIN_PROBABILITY, _MAX_PROBABILITY)
    )
    return ClickModel(
        examination=np.clip(examination / examination[1], _MIN_EXAMINATION, 1.0),
        persistence=_estimate_persistence(impressions, expectations.continued, smoothing),
        attractiveness_relevant=attractiveness_relevant,
        attractiveness_irrelevant=np.clip(
            irrelevant_by_rank * examination[1],
            _MIN_PROBABILITY,
            attractiveness_relevant / _MIN_ATTRACTIVENESS_RATIO,
        ),
        prior=_estimate_prior(pairs, expectations.relevance),
    )


def _estimate_attractiveness(clicked: Float64, examined: Float64) -> float:
    return (float(clicked.sum()) + 1e-3) / (float(examined.sum()) + 1e-2)


def _smooth_attractiveness(
    clicked: Float64, examined: Float64, mean: float, smoothing: float
) -> Float64:
    """Return the share of examined impressions at each rank that were clicked, (MAX_RANK + 1,).

    clicked, examined: (MAX_RANK + 1,), clicks and examined impressions at each rank.  mean: the
    share of all ranks together, which each is smoothed towards. The shares are made to fall with
    the rank, which gives the likeliest ones in that order.
    """
    shares = (clicked + smoothing * mean) / (examined + smoothing)
    return _make_fall(shares, examined)


def _make_fall(rates: Float64, weights: Float64) -> Float64:
    """Return the rates nearest to these that never increase with the rank, that of rank 0 as it is.

    rates, weights: (MAX_RANK + 1,).  Isotonic regression, Barlow et al. 1972; a rank without weight
    follows the others.
    """
    fallen = isotonic_regression(rates[1:], weights=weights[1:] + 0.1, increasing=False).x
    return np.concatenate([rates[:1], fallen])


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

    Few clicks at a rank mean little examination or little relevance; without the order the clicks
    alone could not tell the two apart.
    """
    relevant_at_rank = sum_by_rank(pairs.rank, posterior)
    pairs_at_rank = sum_by_rank(pairs.rank, np.ones(len(pairs)))
    overall_rate = (relevant_at_rank.sum() + 1) / (pairs_at_rank.sum() + _PRIOR_SMOOTHING)
    rates = (relevant_at_rank + _PRIOR_SMOOTHING * overall_rate) / (
        pairs_at_rank + _PRIOR_SMOOTHING
    )
    return np.asarray(np.clip(_make_fall(rates, pairs_at_rank), _MIN_PRIOR, _MAX_PRIOR))
