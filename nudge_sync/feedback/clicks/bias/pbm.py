"""The position-based click model (PBM) with hidden relevance, fitted by expectation maximisation.

A result shown at rank r is clicked if it is examined (E) and, once examined, attractive (A):

    P(C = 1 | r, z) = P(E = 1 | r) P(A = 1 | z) = theta_r alpha_z

theta_r is the examination of rank r, with theta_1 = 1; z is 1 if the point is relevant to the query
and 0 if not, which nobody logs; alpha_1 and alpha_0 are the attractiveness of a relevant and of an
irrelevant result; rho_r = P(z = 1) is the prior of pairs that are mostly shown at rank r, which
never increases with r. All clicks on a pair (query group, point) share its one z.

Without the hidden z, and with an attractiveness for each pair instead, this is the examination
hypothesis of Richardson et al. 2007 and the PBM of Chuklin et al. 2015 (Click Models for Web
Search, section 3.3). EM: Dempster et al. 1977. SQUAREM: Varadhan and Roland 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from nudge_sync.base.arrays import Float64
from nudge_sync.feedback.clicks.impression_rows import MAX_RANK
from nudge_sync.feedback.clicks.impressions import Impressions, count_by_rank, sum_by_rank
from nudge_sync.feedback.clicks.pairs import Pairs

DEFAULT_PRIOR = 0.2
"""The probability of relevance where nothing is known."""
_MIN_PROBABILITY, _MAX_PROBABILITY = 1e-5, 0.98
_MIN_EXAMINATION = 1e-4
_MIN_PRIOR, _MAX_PRIOR = 1e-4, 0.9
_MIN_ATTRACTIVENESS_RATIO = 1.5
"""A relevant result is at least this many times as attractive as an irrelevant one, which keeps the
two classes apart while the fit goes on."""
_PRIOR_SMOOTHING = 10.0
"""Pairs at the overall rate that are added to each rank where the prior is estimated."""
_RANK_COUNT = MAX_RANK + 1
_MAX_STEP_LENGTH = 16.0
_TOLERANCE = 1e-3
"""The largest change of a coordinate in a round at which the fit has converged."""


@dataclass(frozen=True, slots=True)
class ClickModel:
    """The parameters of the click model, shared by all queries."""

    examination: Float64
    """(MAX_RANK + 1,), theta: the probability that each rank is examined, relative to rank 1. Rank
    0 stands for an unknown rank and counts as examined."""
    attractiveness_relevant: float
    """alpha_1: the probability that a relevant result is clicked once it is examined."""
    attractiveness_irrelevant: float
    """alpha_0: the probability that an irrelevant result is clicked once it is examined."""
    prior: Float64
    """(MAX_RANK + 1,), rho: the probability, before any click, that a point which is mostly shown
    at that rank is relevant."""


DEFAULT_MODEL = ClickModel(
    np.ones(_RANK_COUNT),
    attractiveness_relevant=0.8,
    attractiveness_irrelevant=0.1,
    prior=np.full(_RANK_COUNT, DEFAULT_PRIOR),
)
"""The model that is assumed where no search logged its list."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the E step expects of the hidden variables, given the clicks and a model."""

    relevance: Float64
    """(p,): the posterior probability that each pair is relevant, q = P(z = 1 | clicks)."""
    examined_relevant: Float64
    """(m,): the expected number of impressions in each row that are relevant and examined."""
    examined_irrelevant: Float64
    """(m,): the expected number of impressions in each row that are irrelevant and examined."""


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
    """Return the model as an unbounded vector: log theta, logit rho, logit alpha_1 and alpha_0."""
    attractiveness_logits = logit([model.attractiveness_relevant, model.attractiveness_irrelevant])
    return np.concatenate([np.log(model.examination), logit(model.prior), attractiveness_logits])


def _from_coordinates(coordinates: Float64) -> ClickModel:
    """Return the model at the coordinates, each parameter clipped into its range."""
    attractiveness_relevant, attractiveness_irrelevant = np.clip(
        expit(coordinates[-2:]), _MIN_PROBABILITY, _MAX_PROBABILITY
    )
    examination = np.exp(np.clip(coordinates[:_RANK_COUNT], np.log(_MIN_EXAMINATION), 0.0))
    prior = np.clip(expit(coordinates[_RANK_COUNT:-2]), _MIN_PRIOR, _MAX_PRIOR)
    # Rank 0 means that no list was logged, so there is nothing to learn about it.
    examination[0], prior[0] = 1.0, DEFAULT_PRIOR
    return ClickModel(
        examination,
        float(attractiveness_relevant),
        float(min(attractiveness_irrelevant, attractiveness_relevant)),
        prior,
    )


def compute_relevance_posterior(
    impressions: Impressions, pairs: Pairs, model: ClickModel, promotion_rate: Float64 | None = None
) -> Float64:
    """Return q = P(z = 1 | clicks), the posterior relevance of each pair, (p,).

    logit q = logit rho_r + sum over the pair's impressions of log P(C | r, 1) / P(C | r, 0)

    promotion_rate: (m,), the probability that an impression is clicked by somebody who clicks the
    point whatever was asked, or None for 0.
    """
    return np.asarray(
        expit(
            compute_prior_log_odds(pairs, model)
            + pairs.sum(compute_log_likelihood_ratio(impressions, model, promotion_rate))
        )
    )


def compute_prior_log_odds(pairs: Pairs, model: ClickModel) -> Float64:
    """Return logit rho_r, the log odds of relevance of each pair before any click, (p,)."""
    return np.asarray(np.log(model.prior / (1 - model.prior))[pairs.rank])


def compute_log_likelihood_ratio(
    impressions: Impressions, model: ClickModel, promotion_rate: Float64 | None = None
) -> Float64:
    """Return log P(C | r, 1) - log P(C | r, 0) of each row of the impressions, (m,)."""
    return compute_log_likelihood(
        impressions, model, model.attractiveness_relevant, promotion_rate
    ) - compute_log_likelihood(impressions, model, model.attractiveness_irrelevant, promotion_rate)


def compute_log_likelihood(
    impressions: Impressions,
    model: ClickModel,
    attractiveness: float,
    promotion_rate: Float64 | None = None,
) -> Float64:
    """Return the log likelihood of each row of the impressions at this attractiveness, (m,).

    c log p + (n - c) log(1 - p), of c clicks on n impressions, with p = theta_r alpha, or with a
    promotion rate t, by whose clicks the point is clicked as well, p = theta_r alpha (1 - t) + t.
    """
    click_probability = model.examination[impressions.rank] * attractiveness
    if promotion_rate is not None:
        click_probability = click_probability + promotion_rate - click_probability * promotion_rate
    # Without a list there may be more clicks than impressions.
    unclicked = np.maximum(impressions.shown - impressions.clicked, 0)
    return np.asarray(
        impressions.clicked * np.log(click_probability) + unclicked * np.log1p(-click_probability)
    )


def _guess_model(impressions: Impressions) -> ClickModel:
    """Return the model that EM starts from: examination in proportion to the click rates."""
    shown, clicked = count_by_rank(impressions)
    overall_rate = (clicked.sum() + 0.5) / (shown.sum() + 1)
    click_rates = (clicked + overall_rate) / (shown + 1)
    top_rate = max(float(click_rates[1:].max(initial=0.0)), 1e-3)
    return ClickModel(
        examination=np.clip(click_rates / top_rate, 1e-3, 1.0),
        attractiveness_relevant=min(max(2 * top_rate, 0.3), 0.9),
        attractiveness_irrelevant=min(max(0.2 * top_rate, 0.01), 0.2),
        prior=np.full(_RANK_COUNT, DEFAULT_PRIOR),
    )


def compute_expectations(impressions: Impressions, pairs: Pairs, model: ClickModel) -> Expectations:
    """Return what to expect of the hidden relevance and examination: the E step.

    The posterior relevance q of a pair is that of `compute_relevance_posterior`. A clicked
    impression was examined; one without a click was examined with probability

        P(E = 1 | C = 0, r, z) = theta_r (1 - alpha_z) / (1 - theta_r alpha_z)

    so that of n impressions at rank r with c clicks, P(z) (c + (n - c) P(E = 1 | C = 0, r, z)) are
    expected to be of class z and examined, where P(z) is q or 1 - q.
    """
    relevance = compute_relevance_posterior(impressions, pairs, model)
    impression_relevance = relevance[pairs.pair_of_impression]
    return Expectations(
        relevance,
        impression_relevance * _count_examined(impressions, model, model.attractiveness_relevant),
        (1 - impression_relevance)
        * _count_examined(impressions, model, model.attractiveness_irrelevant),
    )


def _count_examined(impressions: Impressions, model: ClickModel, attractiveness: float) -> Float64:
    """Return how many impressions of each row are expected to be examined, (m,), at one alpha_z."""
    examination = model.examination[impressions.rank]
    examined_if_unclicked = examination * (1 - attractiveness) / (1 - examination * attractiveness)
    unclicked = np.maximum(impressions.shown - impressions.clicked, 0)
    return np.asarray(impressions.clicked + unclicked * examined_if_unclicked)


def maximise_likelihood(
    impressions: Impressions, pairs: Pairs, expectations: Expectations, smoothing: float
) -> ClickModel:
    """Return the model under which the expectations are likeliest: the M step.

    theta_r = examined impressions at rank r / impressions at rank r, smoothed, then scaled so that
              theta_1 = 1
    alpha_z = clicks of class z / examined impressions of class z, times the theta_1 before scaling
    rho_r   = mean posterior relevance of the pairs at rank r, made to fall with r
    """
    examination = _estimate_examination(
        impressions, expectations.examined_relevant + expectations.examined_irrelevant, smoothing
    )
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
        attractiveness_relevant=max(attractiveness_relevant, min_attractiveness),
        attractiveness_irrelevant=attractiveness_irrelevant,
        prior=_estimate_prior(pairs, expectations.relevance),
    )


def _estimate_attractiveness(clicked: Float64, examined: Float64) -> float:
    return (float(clicked.sum()) + 1e-3) / (float(examined.sum()) + 1e-2)


def _estimate_examination(impressions: Impressions, examined: Float64, smoothing: float) -> Float64:
    """Return the share of examined impressions at each rank, smoothed towards a power law."""
    examined_at_rank = sum_by_rank(impressions.rank, examined)
    shown = sum_by_rank(impressions.rank, impressions.shown)
    power_law = _fit_power_law(examined_at_rank, shown)
    return np.asarray(
        np.clip(
            (examined_at_rank + smoothing * power_law) / (shown + smoothing), _MIN_PROBABILITY, 1.0
        )
    )


def _fit_power_law(examined: Float64, shown: Float64) -> Float64:
    """Return the curve a / r^b, b >= 0, nearest to examined / shown at each rank r.

    examined, shown: (MAX_RANK + 1,). A weighted least squares fit of the logarithms; rank 0 gets
    the mean rate.
    """
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
