"""What a query adapter learns from, made of a task."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.evaluate.task import EvaluationTask, RowNumbers, scale_to_unit
from nudge_sync.tuning.adapter_maps import AdapterTask
from nudge_sync.tuning.qrels import build_relevance_matrix


def build_adapter_task(task: EvaluationTask, rows: RowNumbers, metric: str) -> AdapterTask:
    """Return what an adapter learns from, of some of a task's queries.  rows: their numbers."""
    shape = len(rows), len(task.documents)
    judgements = task.select_judgements(rows)
    relevance = build_relevance_matrix(judgements, *shape, "judgements")
    weights = task.select_weights(rows)
    if weights is None:
        attraction = csr_matrix(relevance > 0, dtype=np.float64)
    else:
        attraction = build_relevance_matrix(weights, *shape, "weights").maximum(0)
    attraction.eliminate_zeros()
    return AdapterTask(
        np.asarray(task.documents),
        scale_to_unit(task.queries[rows]),
        relevance,
        csr_matrix(attraction),
        metric,
        task.similarity,
    )
