"""Nearest Neighbor Normalization: documents that are near to many queries are taken back.

Chowdhury, Wang, Shenoy, Kiela, Schwettmann, Thrush, Nearest Neighbor Normalization Improves
Multimodal Retrieval, EMNLP 2024, arXiv 2410.24114.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nudge_sync.evaluate.baselines.baseline import Baseline
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers, scale_to_unit
from nudge_sync.solve.topk import find_top_k

NORMALISATION_NEIGHBOURS = (1, 8, 32, 128)
ALPHAS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def list_normalised(task: EvaluationTask, train: RowNumbers) -> Iterator[Baseline]:
    """Score by q v - alpha b(v), where b(v) is the mean score of the k logged queries nearest to v.

    The bias stands in one more dimension of the documents, which is 1 in every query. Judgements
    are not looked at.
    """
    logged, queries = scale_to_unit(task.queries[train]), scale_to_unit(task.queries)
    documents = np.asarray(task.documents)
    for count in NORMALISATION_NEIGHBOURS:
        k = min(count, len(train))
        bias = find_top_k(documents, logged, k, similarity="dot").scores.mean(axis=1)
        for alpha in ALPHAS:
            yield Baseline(
                np.column_stack([documents, -np.float32(alpha) * bias]).astype(np.float32),
                np.column_stack([queries, np.ones(len(queries))]).astype(np.float32),
                {"neighbours": count, "alpha": alpha},
            )
