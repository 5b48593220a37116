"""What a ranking is worth to each query, by several metrics at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.config import MetricName
from nudge_sync.evaluate.task import Float32, Grades, Rows
from nudge_sync.metrics import Metric, parse
from nudge_sync.solve.topk import best

METRICS: tuple[MetricName, ...] = ("ndcg@10", "recall@10", "recall@1", "mrr@10")
DEPTH = 10


def score(
    documents: Float32, queries: Float32, judgements: Sequence[Grades]
) -> NDArray[np.float64]:
    """Every metric of `METRICS` for every query, by exact search: (q, metrics)."""
    ranked = best(queries, documents, DEPTH, similarity="dot").rows
    return score_ranked(ranked, judgements)


def score_ranked(ranked: Rows, judgements: Sequence[Grades]) -> NDArray[np.float64]:
    """Every metric of `METRICS` for every query: (q, metrics).

    ranked: (q, k) document rows, best first; -1 for none.
    """
    found = np.array(
        [
            [grades.get(int(row), 0.0) for row in rows]
            for rows, grades in zip(ranked, judgements, strict=True)
        ],
        dtype=np.float64,
    ).reshape(ranked.shape)
    highest = _highest(judgements)
    return np.column_stack([_worth(parse(name), found, highest) for name in METRICS])


def _highest(judgements: Sequence[Grades]) -> NDArray[np.float64]:
    """The highest grades of each query in falling order, padded with 0: (q, DEPTH)."""
    highest = np.zeros((len(judgements), DEPTH))
    for row, grades in enumerate(judgements):
        kept = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:DEPTH]
        highest[row, : len(kept)] = kept
    return highest


def _worth(
    metric: Metric, found: NDArray[np.float64], highest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The metric of each row of grades, over that of the best order there is.

    For reciprocal rank only the first answer counts, whose best place is the first.
    """
    discounts = metric.discounts()[: min(metric.depth, DEPTH)]
    gains = metric.gains(found)[:, : len(discounts)]
    ideal = metric.gains(highest)[:, : len(discounts)]
    if metric.kind == "mrr":
        gains, ideal = _first(gains), _first(ideal)
    reached = gains @ discounts[: gains.shape[1]]
    return np.divide(reached, ideal @ discounts, out=np.zeros(len(found)), where=ideal.any(axis=1))


def _first(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    first = np.zeros_like(gains)
    rows = np.flatnonzero(gains.any(axis=1))
    first[rows, np.argmax(gains[rows] > 0, axis=1)] = 1.0
    return first
