"""What a baseline makes of a split, and the choice of its settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.evaluate.score import RankDocuments, score_queries, score_run
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers
from nudge_sync.metrics import METRIC_NAMES, RANKING_DEPTH, MetricName


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline with one setting."""

    documents: Float32
    """(n, d), or (n, d + 1) where the method adds a number to each score."""
    queries: Float32
    """(q, ...): all queries of the task, as they are sent to the search."""
    settings: dict[str, Any] = field(default_factory=dict)
    rank: RankDocuments | None = None
    """How documents are ranked, where that is no dot product."""


def choose_baseline(
    task: EvaluationTask, validation: RowNumbers, metric: MetricName, tried: Iterable[Baseline]
) -> Baseline:
    """Return the one with the best mean metric on the validation queries, the first of equals."""
    column, judgements = METRIC_NAMES.index(metric), task.select_judgements(validation)

    def score(one: Baseline) -> float:
        queries = one.queries[validation]
        if one.rank is not None:
            values = score_run(one.rank(queries, None), judgements)
        else:
            values = score_queries(one.documents, queries, judgements)
        return float(values[:, column].mean())

    return max(tried, key=score)


def sort_scores(scores: Float32, excluded: csr_matrix | None) -> RowNumbers:
    """Return the best documents of each query, (q, RANKING_DEPTH); of equal ones the first.

    scores: (q, n), overwritten.
    """
    if excluded is not None:
        scores[excluded.nonzero()] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :RANKING_DEPTH]
    found = np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), order, -1)
    missing = RANKING_DEPTH - found.shape[1]
    return np.pad(found, ((0, 0), (0, max(missing, 0))), constant_values=-1).astype(np.intp)
