"""Points that some people click wherever they stand, whatever was asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

from nudge_sync.base.arrays import Float64
from nudge_sync.base.threads import map_in_threads
from nudge_sync.connector import Float32
from nudge_sync.feedback.clicks.bots import is_outlier
from nudge_sync.feedback.clicks.impressions import Impressions
from nudge_sync.feedback.clicks.pbm import ClickModel, Pairs, log_likelihood
from nudge_sync.feedback.log.sorting import sort_unique

POPULARITY_LOG_ODDS = (0.0, 1.0, 2.0, 4.0)
"""Log odds by which a point may be relevant more often than others at its places."""
_MAX_EXCESS_COSINE = 0.02
"""Of what is left up to a cosine of 1; a few dozen queries drawn at random have less."""
_BLOCK_ROWS = 2**16
PROMOTION_RATES = np.array([0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45])


def estimate_promotion_rates(
    impressions: Impressions,
    pairs: Pairs,
    model: ClickModel,
    *,
    promotion_prior: float = 0.01,
    min_queries: int = 5,
) -> Float64:
    """(points,): how likely a showing of each point draws a click that has nothing to do with the
    query; 0 where the clicks are better explained by relevance.

    The likeliest of a few shares, where a share above 0 is held to be `rarity` likely before any
    click, and needs `least_queries` different queries to show on.
    """
    point_count = int(pairs.point.max(initial=-1)) + 1
    log_likelihoods = map_in_threads(
        lambda share: _promotion_log_likelihood(impressions, pairs, model, share, point_count),
        PROMOTION_RATES.tolist(),
    )
    log_posteriors = np.stack(log_likelihoods, axis=1)
    log_posteriors[:, 1:] += np.log(promotion_prior / (len(PROMOTION_RATES) - 1))
    query_counts = np.bincount(pairs.point, minlength=point_count)
    best_rate = log_posteriors.argmax(axis=1)
    return np.where(query_counts >= min_queries, PROMOTION_RATES[best_rate], 0.0)


def find_clicked_unshown(
    point: NDArray[np.int32], was_shown: NDArray[np.bool_], point_count: int, limit: float
) -> NDArray[np.bool_]:
    """(points,): which points are clicked, far more than others, in searches that did not show
    them, and more often so than where they were shown.

    point, was_shown: (e,), one row a click.
    """
    unshown_clicks = np.bincount(point[~was_shown], minlength=point_count)
    shown_clicks = np.bincount(point[was_shown], minlength=point_count)
    return is_outlier(unshown_clicks, limit) & (unshown_clicks > shown_clicks)


def find_points_without_topic(
    vectors: Float32, pairs: Pairs, is_relevant: NDArray[np.bool_], point_count: int, limit: float
) -> NDArray[np.bool_]:
    """(points,): which points seem to answer far more queries than others do, and queries that
    have no more in common than all that are asked.

    vectors: (groups, d), unit rows; believed: (p,). So looks a document that somebody logs as shown
    on top, whatever was asked, and clicks there.
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


def _mean_cosine(vectors: Float32, rows: NDArray[np.int64]) -> float:
    """Mean cosine of different rows."""
    vector_sum = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _BLOCK_ROWS):
        vector_sum += vectors[rows[start : start + _BLOCK_ROWS]].sum(axis=0, dtype=np.float64)
    return float(vector_sum @ vector_sum - len(rows)) / max(1, len(rows) * (len(rows) - 1))


def _promotion_log_likelihood(
    impressions: Impressions, pairs: Pairs, model: ClickModel, rate: float, point_count: int
) -> Float64:
    """(points,): log likelihood of all a point's impressions, its relevance to each query open.

    A point may be relevant to more of the queries it is shown for than others are.
    """
    promotion_rate = np.full(len(impressions), rate)
    if_relevant = pairs.sum(
        log_likelihood(impressions, model, model.attractiveness_relevant, promotion_rate)
    )
    if_irrelevant = pairs.sum(
        log_likelihood(impressions, model, model.attractiveness_irrelevant, promotion_rate)
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
