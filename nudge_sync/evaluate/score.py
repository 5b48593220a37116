"""What a ranking is worth to each query, by several metrics at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.config import MetricName
from nudge_sync.evaluate.task import Grades, RowNumbers
from nudge_sync.metrics import RankingMetric, parse_metric
from nudge_sync.solve.topk import find_top_k

EVALUATED_METRICS: tuple[MetricName, ...] = ("ndcg@10", "recall@10", "recall@1", "mrr@10")
RANKING_DEPTH = 10


def score_queries(
    documents: Float32, queries: Float32, judgements: Sequence[Grades]
) -> NDArray[np.float64]:
    """Every metric of `METRICS` for every query, by exact search: (q, metrics)."""
    run = find_top_k(queries, documents, RANKING_DEPTH, similarity="dot").rows
    return score_run(run, judgements)


def score_run(run: RowNumbers, judgements: Sequence[Grades]) -> NDArray[np.float64]:
    """Every metric of `METRICS` for every query: (q, metrics).

    ranked: (q, k) document rows, best first; -1 for none.
    """
    run_grades = np.array(
        [
            [grades.get(int(row), 0.0) for row in rows]
            for rows, grades in zip(run, judgements, strict=True)
        ],
        dtype=np.float64,
    ).reshape(run.shape)
    ideal_grades = _sort_ideal_grades(judgements)
    return np.column_stack(
        [_score_metric(parse_metric(name), run_grades, ideal_grades) for name in EVALUATED_METRICS]
    )


def _sort_ideal_grades(judgements: Sequence[Grades]) -> NDArray[np.float64]:
    """The highest grades of each query in falling order, padded with 0: (q, DEPTH)."""
    ideal_grades = np.zeros((len(judgements), RANKING_DEPTH))
    for row, grades in enumerate(judgements):
        best_grades = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[
            :RANKING_DEPTH
        ]
        ideal_grades[row, : len(best_grades)] = best_grades
    return ideal_grades


def _score_metric(
    metric: RankingMetric, run_grades: NDArray[np.float64], ideal_grades: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The metric of each row of grades, over that of the best order there is.

    For reciprocal rank only the first answer counts, whose best place is the first.
    """
    discounts = metric.discounts()[: min(metric.depth, RANKING_DEPTH)]
    gains = metric.gains(run_grades)[:, : len(discounts)]
    ideal_gains = metric.gains(ideal_grades)[:, : len(discounts)]
    if metric.kind == "mrr":
        gains, ideal_gains = _mark_first_answer(gains), _mark_first_answer(ideal_gains)
    scores = gains @ discounts[: gains.shape[1]]
    return np.divide(
        scores,
        ideal_gains @ discounts,
        out=np.zeros(len(run_grades)),
        where=ideal_gains.any(axis=1),
    )


def _mark_first_answer(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    first = np.zeros_like(gains)
    rows = np.flatnonzero(gains.any(axis=1))
    first[rows, np.argmax(gains[rows] > 0, axis=1)] = 1.0
    return first
