"""Metrics of each query, for given vectors of the judged points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nudge_sync import metrics
from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.metrics import RankingMetric
from nudge_sync.solve.problem import JudgedQueries, Similarity
from nudge_sync.solve.relevance import ideal_scores, index_in_group, look_up_judgements
from nudge_sync.solve.topk import TopK, find_top_k


def metric_values(
    points: Float32, queries: JudgedQueries, metric: str, *, similarity: Similarity = "cosine"
) -> Float64:
    """Return the metric of each query: (q,), exact if `unjudged` is as deep as the metric.

    points: (n, d), the vectors of the judged points.
    A query without a relevant point gets 0; leave such queries out of means (`has_answer`).
    """
    return score_metrics(points, queries, [metric], similarity=similarity)[metric]


def score_metrics(
    points: Float32,
    queries: JudgedQueries,
    names: Sequence[str],
    *,
    similarity: Similarity = "cosine",
) -> dict[str, Float64]:
    """Return several metrics of each query, (q,) each, from one ranking of the points.

    points: (n, d), the vectors of the judged points. See `metric_values`.
    """
    parsed = {name: metrics.parse_metric(name) for name in names}
    deepest = max(metric.depth for metric in parsed.values())
    unjudged = queries.unjudged[:, :deepest].astype(np.float32)
    top = find_top_k(
        queries.vectors,
        points,
        min(deepest, max(len(points), 1)),
        similarity=similarity,
        floor=np.nextafter(unjudged[:, -1], np.float32(-np.inf)),
        excluded=queries.excluded,
    )
    return {name: _score_ranking(top, queries, metric) for name, metric in parsed.items()}


def _score_ranking(top: TopK, queries: JudgedQueries, metric: RankingMetric) -> Float64:
    """Return the metric of each query, (q,), by the best judged points, as deep or deeper."""
    values = np.zeros(len(queries))
    unjudged = queries.unjudged[:, : metric.depth].astype(np.float32)
    query, column = np.nonzero(top.rows >= 0)
    score, row = top.scores[query, column], top.rows[query, column]
    # Unjudged points of the same score rank first: a tie is never counted as a gain.
    rank = (unjudged[query] >= score[:, None]).sum(axis=1) + index_in_group(query)
    gain = metric.gains(look_up_judgements(queries.relevance, query, row))
    discounted_gain = gain * metric.discounts()[np.minimum(rank, metric.depth)]
    if metric.kind == "mrr":
        np.maximum.at(values, query, discounted_gain)
    else:
        values = np.bincount(query, discounted_gain, minlength=len(queries)).astype(np.float64)
    ideal = ideal_scores(queries.relevance, metric)
    return np.where(ideal > 0, values / np.where(ideal > 0, ideal, 1.0), 0.0)
