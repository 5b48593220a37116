"""The click model: how a result comes to be clicked, and how likely clicks make its relevance.

A result shown at rank r, whose distance to the last click above is of class g, is clicked if it is
examined (E) and, once examined, attractive (A):

    P(C = 1 | r, g, z) = P(E = 1 | r, g) P(A = 1 | r, z) = theta_r phi_g alpha_z,r

theta_r is the examination of rank r, with theta_1 = 1; phi_g is the persistence after a click, with
phi_0 = 1 where nothing above was clicked: those examine a result who look as far down and have not
found enough above. z is 1 if the point is relevant to the query and 0 if not, which nobody logs;
alpha_1 is the attractiveness of a relevant result, the same at every rank; alpha_0,r that of an
irrelevant one, which never increases with r: people trust what stands on top. rho_r, the prior, is
P(z = 1) of pairs that are mostly shown at rank r, and never increases with r either. All clicks on
a pair (query group, point) share its one z. So searches that are made again tell trust from
relevance: a relevant pair is clicked again and again, the others at its rank with alpha_0,r.

With phi = 1 and alpha_0,r = alpha_0, without the hidden z, and with an attractiveness for each pair
instead, this is the examination hypothesis of Richardson et al. 2007 and the position-based model
(PBM) of Chuklin et al. 2015 (Click Models for Web Search, section 3.3). With a free parameter for
each r and g in place of theta_r phi_g it is the user browsing model of Dupret and Piwowarski 2008.
theta = 1 and phi = 0 give the cascade model of Craswell et al. 2008. That clicks on irrelevant
results depend on the rank is the trust bias of Agarwal et al. 2019 (Addressing Trust Bias for
Unbiased Learning-to-Rank, WWW).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from nudge_sync.base.arrays import Float64
from nudge_sync.feedback.clicks.impressions.counts import Impressions
from nudge_sync.feedback.clicks.impressions.pairs import Pairs
from nudge_sync.feedback.clicks.impressions.single import DISTANCE_CLASS_COUNT, MAX_RANK

DEFAULT_PRIOR = 0.2
"""The probability of relevance where nothing is known."""
RANK_COUNT = MAX_RANK + 1


@dataclass(frozen=True, slots=True)
class ClickModel:
    """The parameters of the click model, shared by all queries."""

    examination: Float64
    """(MAX_RANK + 1,), theta: the probability that each rank is examined, relative to rank 1, if
    nothing above is clicked. Rank 0 stands for an unknown rank and counts as examined."""
    persistence: Float64
    """(DISTANCE_CLASS_COUNT,), phi: by how much less likely a rank is examined if the last click
    lies so far above it; 1 in class 0, where there is no click above."""
    attractiveness_relevant: float
    """alpha_1: the probability that a relevant result is clicked once it is examined."""
    attractiveness_irrelevant: Float64
    """(MAX_RANK + 1,), alpha_0,r: the probability that an irrelevant result at each rank is clicked
    once it is examined. That of rank 0 holds where the rank is unknown."""
    prior: Float64
    """(MAX_RANK + 1,), rho: the probability, before any click, that a point which is mostly shown
    at that rank is relevant."""

    def predict_examination(self, impressions: Impressions) -> Float64:
        """Return theta_r phi_g, how likely the impressions of each row were examined, (m,)."""
        return self.examination[impressions.rank] * self.persistence[impressions.distance_class]

    def predict_false_attraction(self, impressions: Impressions) -> Float64:
        """Return alpha_0,r, how likely the impressions of each row attract if irrelevant, (m,)."""
        return self.attractiveness_irrelevant[impressions.rank]


DEFAULT_MODEL = ClickModel(
    np.ones(RANK_COUNT),
    np.ones(DISTANCE_CLASS_COUNT),
    attractiveness_relevant=0.8,
    attractiveness_irrelevant=np.full(RANK_COUNT, 0.1),
    prior=np.full(RANK_COUNT, DEFAULT_PRIOR),
)
"""The model that is assumed where no search logged its list."""


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
    ) - compute_log_likelihood(
        impressions, model, model.predict_false_attraction(impressions), promotion_rate
    )


def compute_model_log_likelihood(
    impressions: Impressions, pairs: Pairs, model: ClickModel
) -> float:
    """Return the log likelihood of all clicks under the model, their relevance summed out.

    sum over pairs of log( rho_r P(clicks | z = 1) + (1 - rho_r) P(clicks | z = 0) )
    """
    prior = model.prior[pairs.rank]
    by_class = [
        pairs.sum(compute_log_likelihood(impressions, model, attractiveness)) + np.log(share)
        for attractiveness, share in (
            (model.attractiveness_relevant, prior),
            (model.predict_false_attraction(impressions), 1 - prior),
        )
    ]
    return float(np.logaddexp(*by_class).sum())


def compute_log_likelihood(
    impressions: Impressions,
    model: ClickModel,
    attractiveness: float | Float64,
    promotion_rate: Float64 | None = None,
) -> Float64:
    """Return the log likelihood of each row of the impressions at this attractiveness, (m,).

    c log p + (n - c) log(1 - p), of c clicks on n impressions, with p = theta_r phi_g alpha; with a
    promotion rate t, by whose clicks the point is clicked as well, p (1 - t) + t in its place.
    attractiveness: alpha, of all rows or of each, (m,).
    """
    click_probability = model.predict_examination(impressions) * attractiveness
    if promotion_rate is not None:
        click_probability = click_probability + promotion_rate - click_probability * promotion_rate
    # Without a list there may be more clicks than impressions.
    unclicked = np.maximum(impressions.shown - impressions.clicked, 0)
    return np.asarray(
        impressions.clicked * np.log(click_probability) + unclicked * np.log1p(-click_probability)
    )
