"""What a query adapter learns from, made of a task."""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers, scale_to_unit
from nudge_sync.tuning.adapter_maps import AdapterTask


def build_adapter_task(
    task: EvaluationTask,
    rows: RowNumbers,
    metric: str,
    live_documents: Float32 | None = None,
) -> AdapterTask:
    """Return what an adapter learns from, of some of a task's queries.

    rows: the numbers of the queries.  live_documents: (n, d), as they will be searched; None where
    none has moved.
    """
    relevance, attraction = task.build_matrices(rows)
    return AdapterTask(
        np.asarray(task.documents),
        scale_to_unit(task.queries[rows]),
        relevance,
        attraction,
        metric,
        task.similarity,
        live_documents,
    )
