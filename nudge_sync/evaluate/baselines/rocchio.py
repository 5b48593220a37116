"""Rocchio's relevance feedback, from what was found for the logged queries nearest to a query.

Rocchio, Relevance feedback in information retrieval, 1971, with the answers of logged queries as
the relevant documents, since nobody has judged the results of a new query.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.evaluate.baselines.baseline import Baseline
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers, scale_to_unit
from nudge_sync.solve.geometry import unit
from nudge_sync.solve.topk import find_top_k

ROCCHIO_NEIGHBOURS = (1, 4, 16)
BETAS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Weight of the mean answer; that of the query is 1."""


def list_rocchio(task: EvaluationTask, train: RowNumbers) -> Iterator[Baseline]:
    """Turn queries: q' = q + beta sum_j max(q q_j, 0) a_j / k, over the k nearest logged queries.

    a_j: the mean answer of logged query j. q, q_j and the documents count at unit length.
    """
    _, answers = task.build_matrices(train)
    totals = np.maximum(np.asarray(answers.sum(axis=1)).ravel(), 1e-12)
    means = np.asarray(answers @ unit(task.documents)) / totals[:, None]
    logged, queries = scale_to_unit(task.queries[train]), scale_to_unit(task.queries)
    for count in ROCCHIO_NEIGHBOURS:
        nearest = find_top_k(queries, logged, min(count, len(train)), similarity="dot")
        weights = np.maximum(nearest.scores, 0).ravel() / nearest.rows.shape[1]
        indptr = np.arange(0, nearest.rows.size + 1, nearest.rows.shape[1])
        memory = csr_matrix(
            (weights, nearest.rows.ravel(), indptr), shape=(len(queries), len(logged))
        )
        feedback = memory @ means
        for beta in BETAS:
            moved = (queries + beta * feedback).astype(np.float32)
            yield Baseline(task.documents, moved, {"neighbours": count, "beta": beta})
