"""PEFA: Parameter-Free Adapters for Large-scale Embedding-based Retrieval Models.

Chang, Jiang, Zhang, Al-Darabsah, Teo, Hsieh, Yu, Vishwanathan, WSDM 2024, arXiv 2312.02429. Both
forms are as in the authors' code (amzn/pecos, examples/pefa-wsdm24).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.evaluate.baselines.baseline import Baseline, sort_scores
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers, scale_to_unit
from nudge_sync.solve.geometry import unit
from nudge_sync.solve.topk import find_top_k

LAMBDAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Weight of the model's own score; the paper takes 0.3 or 0.5."""
PEFA_NEIGHBOURS = (4, 16, 32, 64)
"""Logged queries that PEFA-XL looks at; the paper takes 16 to 64."""
_QUERIES_PER_BLOCK = 256


def list_pefa_xs(task: EvaluationTask, train: RowNumbers) -> Iterator[Baseline]:
    """PEFA-XS: v' = lambda v + (1 - lambda) unit(sum_i y_i q_i), over queries that v answers.

    A document that answers none keeps lambda v, as in the paper: it falls behind by that factor.
    """
    _, answers = task.build_matrices(train)
    queries = scale_to_unit(task.queries[train])
    answered = unit(np.asarray(answers.T @ queries, np.float64)).astype(np.float32)
    for weight in LAMBDAS[::-1]:
        documents = np.float32(weight) * task.documents + np.float32(1 - weight) * answered
        yield Baseline(documents, task.queries, {"lambda": weight})


def list_pefa_xl(task: EvaluationTask, train: RowNumbers) -> Iterator[Baseline]:
    """PEFA-XL: lambda q v + (1 - lambda) / k sum_j (q q_j) y_jv, over the k logged queries nearest.

    It searches the logged queries as well as the documents, for each query anew.
    """
    _, answers = task.build_matrices(train)
    answers.data = np.ones_like(answers.data)
    logged = scale_to_unit(task.queries[train])
    for count in PEFA_NEIGHBOURS:
        for weight in LAMBDAS[::-1]:
            memory = QueryMemory(task.documents, logged, answers, weight, min(count, len(train)))
            settings = {"lambda": weight, "neighbours": count}
            yield Baseline(task.documents, task.queries, settings, memory.rank)


@dataclass(frozen=True, slots=True)
class QueryMemory:
    """Documents, and the logged queries that they answer."""

    documents: Float32
    """(n, d)"""
    logged: Float32
    """(l, d), unit rows."""
    answers: csr_matrix
    """(l, n): 1 for each answer."""
    weight: float
    """lambda"""
    neighbours: int
    """k, at most l."""

    def rank(self, queries: Float32, excluded: csr_matrix | None) -> RowNumbers:
        """Rank by the score of PEFA-XL; see `list_pefa_xl` and `RankDocuments`."""
        queries = scale_to_unit(queries)
        nearest = find_top_k(queries, self.logged, self.neighbours, similarity="dot")
        runs = []
        for start in range(0, len(queries), _QUERIES_PER_BLOCK):
            rows = slice(start, start + _QUERIES_PER_BLOCK)
            near, similarity = nearest.rows[rows], nearest.scores[rows]
            indptr = np.arange(0, near.size + 1, self.neighbours)
            memory = csr_matrix(
                (similarity.ravel() / self.neighbours, near.ravel(), indptr),
                shape=(len(near), len(self.logged)),
            )
            scores = np.float32(self.weight) * (queries[rows] @ self.documents.T)
            scores += np.float32(1 - self.weight) * (memory @ self.answers).toarray()
            runs.append(sort_scores(scores, None if excluded is None else excluded[rows]))
        return np.concatenate(runs)
