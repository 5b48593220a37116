"""Points that some people click wherever they stand, whatever was asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

from nudge_sync.base.threads import spread
from nudge_sync.connector import Float32
from nudge_sync.feedback.clicks.bots import outliers
from nudge_sync.feedback.clicks.impressions import Impressions
from nudge_sync.feedback.clicks.pbm import ClickModel, Pairs, log_likelihood
from nudge_sync.feedback.log.sorting import different

Float64 = NDArray[np.float64]
POPULARITY = (0.0, 1.0, 2.0, 4.0)
"""Log odds by which a point may be relevant more often than others at its places."""
_NO_MORE = 0.02
"""Of what is left up to a cosine of 1; a few dozen queries drawn at random have less."""
_BLOCK = 2**16
SHARES = np.array([0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45])


def push_rates(
    seen: Impressions, of: Pairs, model: ClickModel, *, rarity: float = 0.01, least_queries: int = 5
) -> Float64:
    """(points,): how likely a showing of each point draws a click that has nothing to do with the
    query; 0 where the clicks are better explained by relevance.

    The likeliest of a few shares, where a share above 0 is held to be `rarity` likely before any
    click, and needs `least_queries` different queries to show on.
    """
    count = int(of.point.max(initial=-1)) + 1
    tried = spread(lambda share: _fit(seen, of, model, share, count), SHARES.tolist())
    fits = np.stack(tried, axis=1)
    fits[:, 1:] += np.log(rarity / (len(SHARES) - 1))
    queries = np.bincount(of.point, minlength=count)
    best = fits.argmax(axis=1)
    return np.where(queries >= least_queries, SHARES[best], 0.0)


def clicked_unseen(
    point: NDArray[np.int32], was_shown: NDArray[np.bool_], points: int, limit: float
) -> NDArray[np.bool_]:
    """(points,): which points are clicked, far more than others, in searches that did not show
    them, and more often so than where they were shown.

    point, was_shown: (e,), one row a click.
    """
    unseen = np.bincount(point[~was_shown], minlength=points)
    seen = np.bincount(point[was_shown], minlength=points)
    return outliers(unseen, limit) & (unseen > seen)


def scattered(
    vectors: Float32, of: Pairs, believed: NDArray[np.bool_], points: int, limit: float
) -> NDArray[np.bool_]:
    """(points,): which points seem to answer far more queries than others do, and queries that
    have no more in common than all that are asked.

    vectors: (groups, d), unit rows; believed: (p,). So looks a document that somebody logs as shown
    on top, whatever was asked, and clicks there.
    """
    many = np.bincount(of.point[believed], minlength=points)
    some = np.flatnonzero(many)
    found = np.zeros(points, np.bool_)
    everywhere = _likeness(vectors, different(of.group))
    for point in some[outliers(many[some], limit)].tolist():
        own = _likeness(vectors, of.group[believed & (of.point == point)])
        found[point] = own - everywhere <= _NO_MORE * (1 - everywhere)
    return found


def _likeness(vectors: Float32, rows: NDArray[np.int64]) -> float:
    """Mean cosine of different rows."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _BLOCK):
        total += vectors[rows[start : start + _BLOCK]].sum(axis=0, dtype=np.float64)
    return float(total @ total - len(rows)) / max(1, len(rows) * (len(rows) - 1))


def _fit(seen: Impressions, of: Pairs, model: ClickModel, share: float, count: int) -> Float64:
    """(points,): log likelihood of all a point's impressions, its relevance to each query open.

    A point may be relevant to more of the queries it is shown for than others are.
    """
    push = np.full(len(seen), share)
    good = of.sum(log_likelihood(seen, model, model.appeal, push))
    bad = of.sum(log_likelihood(seen, model, model.noise, push))
    odds = np.log(model.prior / (1 - model.prior))[of.place]
    fits = [
        np.bincount(
            of.point,
            weights=np.logaddexp(good + log_expit(odds + more), bad + log_expit(-odds - more)),
            minlength=count,
        )
        for more in POPULARITY
    ]
    doubts = -np.array(POPULARITY)[:, None]
    return np.asarray(np.max(np.stack(fits) + doubts, axis=0), np.float64)
