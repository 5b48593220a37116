"""Promoted points: clicked by some people at whatever rank, whatever was asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.base.threads import map_in_threads
from nudge_sync.feedback.clicks.bias.click_model import ClickModel, compute_log_likelihood
from nudge_sync.feedback.clicks.bots import is_outlier
from nudge_sync.feedback.clicks.impressions.counts import Impressions
from nudge_sync.feedback.clicks.impressions.pairs import Pairs
from nudge_sync.feedback.clicks.impressions.single import find_ranks
from nudge_sync.feedback.clicks.stages import ClickContext, StageReport, filter_clicks
from nudge_sync.feedback.log.columns import ActionSelection
from nudge_sync.feedback.log.sorting import sort_unique

POPULARITY_LOG_ODDS = (0.0, 1.0, 2.0, 4.0)
"""Log odds that are tried for how much more often a point is relevant than others at its ranks."""
_MAX_EXCESS_COSINE = 0.02
"""By how much, as a share of what is left up to 1, the mean cosine of a point's queries must exceed
that of all queries; a few dozen queries drawn at random stay below."""
_BLOCK_ROWS = 2**16
PROMOTION_RATES = np.array([0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45])
"""The promotion rates that are tried."""


def drop_promoting_searches(
    clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, StageReport]:
    """Drop the clicks of searches that clicked a promoted point they did not show, and exclude
    these searches.
    """
    searches, point_count = context.log.searches, len(context.log.point_ids)
    clicks_shown, clicks_unshown = np.zeros((2, point_count), np.int64)
    for part in clicks.split():
        point, was_shown = part.point, find_ranks(searches, part) >= 0
        clicks_shown += np.bincount(point[was_shown], minlength=point_count)
        clicks_unshown += np.bincount(point[~was_shown], minlength=point_count)
    promoted_points = find_clicked_unshown(clicks_shown, clicks_unshown, context.settings.outliers)
    is_promoting = np.zeros(len(context.query_groups), np.bool_)
    if promoted_points.any():
        for part in clicks.split():
            was_shown = find_ranks(searches, part) >= 0
            is_promoting[part.search[~was_shown & promoted_points[part.point]]] = True
    return filter_clicks(
        clicks,
        clicks.mark(lambda part: ~is_promoting[part.search]),
        "pushing",
        "the search pushes points that it did not show",
        excluded_searches=is_promoting,
        promoted_points=promoted_points,
    )


def find_clicked_unshown(
    clicks_shown: Int64, clicks_unshown: Int64, limit: float
) -> NDArray[np.bool_]:
    """Return which points are clicked far more than others in searches that did not show them, and
    more often there than where they were shown, (points,).

    clicks_shown, clicks_unshown: (points,), the clicks in searches that did and did not show each.
    limit: see `is_outlier`.
    """
    return is_outlier(clicks_unshown, limit) & (clicks_unshown > clicks_shown)


def estimate_promotion_rates(
    impressions: Impressions,
    pairs: Pairs,
    model: ClickModel,
    *,
    promotion_prior: float = 0.01,
    min_queries: int = 5,
) -> Float64:
    """Return the probability that an impression of each point is clicked without regard to the
    query, (points,); 0 where relevance explains the clicks better.

    The maximum a posteriori of PROMOTION_RATES, where all rates above 0 together have the prior
    `promotion_prior`. A point that was shown for fewer than `min_queries` query groups gets 0.
    """
    point_count = int(pairs.point.max(initial=-1)) + 1
    log_likelihoods = map_in_threads(
        lambda rate: _promotion_log_likelihood(impressions, pairs, model, rate, point_count),
        PROMOTION_RATES.tolist(),
    )
    log_posteriors = np.stack(log_likelihoods, axis=1)
    log_posteriors[:, 1:] += np.log(promotion_prior / (len(PROMOTION_RATES) - 1))
    query_counts = np.bincount(pairs.point, minlength=point_count)
    best_rate = log_posteriors.argmax(axis=1)
    return np.where(query_counts >= min_queries, PROMOTION_RATES[best_rate], 0.0)


def find_points_without_topic(
    vectors: Float32, pairs: Pairs, is_relevant: NDArray[np.bool_], point_count: int, limit: float
) -> NDArray[np.bool_]:
    """Return which points seem relevant to far more queries than others are, and to queries that
    have no more in common than all queries have, (points,).

    vectors: (groups, d), unit rows.  is_relevant: (p,).  limit: see `is_outlier`.
    That is how a point looks that somebody logs as shown on top for every query and clicks there.
    """
    query_counts = np.bincount(pairs.point[is_relevant], minlength=point_count)
    relevant_points = np.flatnonzero(query_counts)
    without_topic = np.zeros(point_count, np.bool_)
    overall_cosine = _mean_cosine(vectors, sort_unique(pairs.query_group))
    for point in relevant_points[is_outlier(query_counts[relevant_points], limit)].tolist():
        own_cosine = _mean_cosine(vectors, pairs.query_group[is_relevant & (pairs.point == point)])
        without_topic[point] = own_cosine - overall_cosine <= _MAX_EXCESS_COSINE * (
            1 - overall_cosine
        )
    return without_topic


def _mean_cosine(vectors: Float32, rows: Int64) -> float:
    """Return the mean cosine of all pairs of two different rows."""
    vector_sum = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _BLOCK_ROWS):
        vector_sum += vectors[rows[start : start + _BLOCK_ROWS]].sum(axis=0, dtype=np.float64)
    return float(vector_sum @ vector_sum - len(rows)) / max(1, len(rows) * (len(rows) - 1))


def _promotion_log_likelihood(
    impressions: Impressions, pairs: Pairs, model: ClickModel, rate: float, point_count: int
) -> Float64:
    """Return the log likelihood of the impressions of each point at this promotion rate, (points,).

    The relevance of each pair is summed out: log(rho P(C | 1) + (1 - rho) P(C | 0)). A point may be
    relevant more often than others at its ranks; the best of POPULARITY_LOG_ODDS counts, at a prior
    of e^-odds.
    """
    promotion_rate = np.full(len(impressions), rate)
    if_relevant = pairs.sum(
        compute_log_likelihood(impressions, model, model.attractiveness_relevant, promotion_rate)
    )
    if_irrelevant = pairs.sum(
        compute_log_likelihood(
            impressions, model, model.predict_false_attraction(impressions), promotion_rate
        )
    )
    prior_log_odds = np.log(model.prior / (1 - model.prior))[pairs.rank]
    log_likelihoods = [
        np.bincount(
            pairs.point,
            weights=np.logaddexp(
                if_relevant + log_expit(prior_log_odds + popularity),
                if_irrelevant + log_expit(-prior_log_odds - popularity),
            ),
            minlength=point_count,
        )
        for popularity in POPULARITY_LOG_ODDS
    ]
    log_priors = -np.array(POPULARITY_LOG_ODDS)[:, None]
    return np.asarray(np.max(np.stack(log_likelihoods) + log_priors, axis=0), np.float64)
