"""What a ranking is worth to each query, by several metrics at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.config import MetricName
from nudge_sync.evaluate.search import top
from nudge_sync.evaluate.task import Float32, Grades, Rows
from nudge_sync.metrics import Metric, parse

METRICS: tuple[MetricName, ...] = ("ndcg@10", "recall@10", "recall@1", "mrr@10")
DEPTH = 10


def score(
    documents: Float32, queries: Float32, judgements: Sequence[Grades]
) -> NDArray[np.float64]:
    """Every metric of `METRICS` for every query, by exact search: (q, metrics)."""
    return score_ranked(top(documents, queries, DEPTH), judgements)


def score_ranked(ranked: Rows, judgements: Sequence[Grades]) -> NDArray[np.float64]:
    """Every metric of `METRICS` for every query: (q, metrics).

    ranked: (q, k) document rows, best first.
    """
    found = np.array(
        [
            [grades.get(int(row), 0.0) for row in rows]
            for rows, grades in zip(ranked, judgements, strict=True)
        ],
        dtype=np.float64,
    ).reshape(ranked.shape)
    best = _best_grades(judgements)
    return np.column_stack([_worth(parse(name), found, best) for name in METRICS])


def _best_grades(judgements: Sequence[Grades]) -> NDArray[np.float64]:
    """The highest grades of each query in falling order, padded with 0: (q, DEPTH)."""
    best = np.zeros((len(judgements), DEPTH))
    for row, grades in enumerate(judgements):
        highest = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:DEPTH]
        best[row, : len(highest)] = highest
    return best


def _worth(
    metric: Metric, found: NDArray[np.float64], best: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The metric of each row of grades, over that of the best order there is.

    For reciprocal rank only the first answer counts, whose best place is the first.
    """
    discounts = metric.discounts()[: min(metric.depth, DEPTH)]
    gains = metric.gains(found)[:, : len(discounts)]
    ideal = metric.gains(best)[:, : len(discounts)]
    if metric.kind == "mrr":
        gains, ideal = _first(gains), _first(ideal)
    reached = gains @ discounts[: gains.shape[1]]
    return np.divide(reached, ideal @ discounts, out=np.zeros(len(found)), where=ideal.any(axis=1))


def _first(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    first = np.zeros_like(gains)
    rows = np.flatnonzero(gains.any(axis=1))
    first[rows, np.argmax(gains[rows] > 0, axis=1)] = 1.0
    return first
