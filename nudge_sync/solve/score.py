"""The metric of each query, for given vectors of the judged points."""

from __future__ import annotations

import numpy as np

from nudge_sync import metrics
from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.solve.problem import JudgedQueries, Similarity
from nudge_sync.solve.relevance import ideal_scores, index_in_group, look_up_judgements
from nudge_sync.solve.topk import find_top_k


def metric_values(
    points: Float32, queries: JudgedQueries, metric: str, *, similarity: Similarity = "cosine"
) -> Float64:
    """Return the metric of each query: (q,), exact if `unjudged` is as deep as the metric.

    points: (n, d), the vectors of the judged points.
    A query without a relevant point gets 0; leave such queries out of means (`has_answer`).
    """
    parsed = metrics.parse_metric(metric)
    values = np.zeros(len(queries))
    depth = min(parsed.depth, max(len(points), 1))
    unjudged = queries.unjudged[:, : parsed.depth].astype(np.float32)
    floor = np.nextafter(unjudged[:, -1], np.float32(-np.inf))
    top = find_top_k(
        queries.vectors,
        points,
        depth,
        similarity=similarity,
        floor=floor,
        excluded=queries.excluded,
    )
    query, column = np.nonzero(top.rows >= 0)
    score, row = top.scores[query, column], top.rows[query, column]
    # Unjudged points of the same score rank first: a tie is never counted as a gain.
    rank = (unjudged[query] >= score[:, None]).sum(axis=1) + index_in_group(query)
    gain = parsed.gains(look_up_judgements(queries.relevance, query, row))
    discounted_gain = gain * parsed.discounts()[np.minimum(rank, parsed.depth)]
    if parsed.kind == "mrr":
        np.maximum.at(values, query, discounted_gain)
    else:
        values = np.bincount(query, discounted_gain, minlength=len(queries)).astype(np.float64)
    ideal = ideal_scores(queries.relevance, parsed)
    return np.where(ideal > 0, values / np.where(ideal > 0, ideal, 1.0), 0.0)
