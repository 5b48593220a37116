"""A metric of each query for given vectors of the judged points."""

from __future__ import annotations

import numpy as np

from nudge_sync import metrics
from nudge_sync.solve.problem import Float32, Float64, Queries, Similarity
from nudge_sync.solve.relevance import ideal, lookup
from nudge_sync.solve.topk import best


def metric_values(
    points: Float32, queries: Queries, metric: str, *, similarity: Similarity = "cosine"
) -> Float64:
    """The metric of each query, (q,), exact where `unjudged` is as deep as the metric looks.

    points: (n, d), the vectors of the judged points.
    A query without a relevant point has 0; leave such queries out of means (`answered`).
    """
    what = metrics.parse(metric)
    values = np.zeros(len(queries))
    depth = min(what.depth, max(len(points), 1))
    unjudged = queries.unjudged[:, : what.depth].astype(np.float32)
    floor = np.nextafter(unjudged[:, -1], np.float32(-np.inf))
    found = best(queries.vectors, points, depth, similarity=similarity, floor=floor)
    query, place = np.nonzero(found.rows >= 0)
    score, row = found.scores[query, place], found.rows[query, place]
    # An unjudged point of the same score goes first.
    ahead = (unjudged[query] >= score[:, None]).sum(axis=1) + place
    gain = what.gains(lookup(queries.relevance, query, row))
    worth = gain * what.discounts()[np.minimum(ahead, what.depth)]
    if what.kind == "mrr":
        np.maximum.at(values, query, worth)
    else:
        values = np.bincount(query, worth, minlength=len(queries)).astype(np.float64)
    most = ideal(queries.relevance, what)
    return np.where(most > 0, values / np.where(most > 0, most, 1.0), 0.0)
