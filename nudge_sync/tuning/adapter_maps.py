"""Maps of queries in closed form: a ridge regression of the way from wrong answers to right ones.

For a training query x_i (unit length) whose answers have the mean a_i, let p_ij be the softmax of
20 cos(x_i, d_j) over the 50 best of the documents that somebody judged and that do not answer it,
and

    r_i = a_i - sum_j p_ij d_j,

the way from what wrongly ranks first to what answers: Rocchio's direction (1971), with the softmax
as weights of what is irrelevant. Documents that nobody judged are never turned away from: most of
what they answer is not known yet. A ridge regression spreads it over all queries: with X the
queries less their mean m, R the residuals less theirs, r, and s the mean eigenvalue of X'X,

    W = (X'X + alpha s I)^-1 X'R,      q -> unit(q + eta (r + (q - m) W)).

eta = 0 is the identity, and alpha = infinity a mere shift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.relevance import has_answer
from nudge_sync.solve.task import mask_judgements
from nudge_sync.solve.topk import find_top_k
from nudge_sync.tuning.query_adapter import QueryAdapter

SHARPNESS = 20.0
"""What a cosine is multiplied by in the softmax."""
WRONG_DOCUMENTS = 50
"""Judged documents that a query does not learn from, the best by score, that it is turned away
from."""


@dataclass(frozen=True, slots=True)
class AdapterTask:
    """What an adapter is learned from, and what its rankings are scored by."""

    documents: Float32
    """(n, d), before any moved."""
    queries: Float32
    """(q, d), unit rows."""
    relevance: csr_matrix
    """(q, n): what finding a document is worth; 0 or below: it does not answer."""
    weights: csr_matrix
    """(q, n): how strongly a query learns from each answer, above 0."""
    metric: str = "ndcg@10"
    similarity: Similarity = "cosine"
    live_documents: Float32 | None = None
    """(n, d): `documents` as they are searched, where some have moved; None where none has."""

    def select(self, rows: NDArray[np.integer]) -> AdapterTask:
        """Return the task with some of its queries.  rows: row numbers."""
        return replace(
            self,
            queries=self.queries[rows],
            relevance=self.relevance[rows],
            weights=self.weights[rows],
        )

    def put_back(self, rows: NDArray[np.bool_]) -> AdapterTask:
        """Return the task with the documents as they are searched, but some where they were.

        rows: (n,), the documents that have not moved then.
        """
        if self.live_documents is None:
            return self
        documents = np.where(rows[:, None], self.documents, self.live_documents)
        return replace(self, documents=documents, live_documents=None)

    def hide(self, hidden: NDArray[np.bool_]) -> AdapterTask:
        """Return the task without the judgements of hidden documents, (n,).

        Queries that nothing is left to learn from are left out.
        """
        relevance, weights = (
            mask_judgements(judgements, hidden) for judgements in (self.relevance, self.weights)
        )
        return replace(self, relevance=relevance, weights=weights).select(
            np.flatnonzero(has_answer(weights))
        )


@dataclass(frozen=True, slots=True)
class Strength:
    """How far a map of queries goes."""

    shrinkage: float
    """alpha"""
    step: float
    """eta"""


@dataclass(frozen=True, slots=True)
class RidgeMaps:
    """The ridge regressions of the residuals of some queries, for any shrinkage."""

    mean: Float64
    """(d,): m."""
    shift: Float64
    """(d,): r."""
    eigenvalues: Float64
    """(d,): of X'X."""
    basis: Float64
    """(d, d): its eigenvectors, in columns."""
    projected: Float64
    """(d, d): X'R in that basis."""

    @classmethod
    def build(cls, queries: Float64, residuals: Float64) -> RidgeMaps:
        """Decompose once what every shrinkage needs.  queries, residuals: (q, d)."""
        mean, shift = queries.mean(axis=0), residuals.mean(axis=0)
        centred = queries - mean
        eigenvalues, basis = np.linalg.eigh(centred.T @ centred)
        projected = basis.T @ (centred.T @ (residuals - shift))
        return cls(mean, shift, np.maximum(eigenvalues, 0.0), basis, projected)

    def build_adapter(self, strength: Strength) -> QueryAdapter:
        """Return the map of this strength."""
        if np.isinf(strength.shrinkage):
            slope = np.zeros_like(self.basis)
        else:
            ridge = strength.shrinkage * float(self.eigenvalues.mean())
            # Queries that are all alike have no directions to learn a slope in.
            inverse = 1 / np.maximum(self.eigenvalues + ridge, np.finfo(np.float64).tiny)
            slope = self.basis @ (self.projected * inverse[:, None])
        matrix = np.eye(len(self.mean)) + strength.step * slope
        offset = strength.step * (self.shift - self.mean @ slope)
        return QueryAdapter(matrix.astype(np.float32), offset.astype(np.float32))


def learn_maps(task: AdapterTask) -> RidgeMaps:
    """Return the maps of all strengths that the queries of the task teach."""
    return RidgeMaps.build(task.queries.astype(np.float64), compute_residuals(task))


def compute_residuals(task: AdapterTask) -> Float64:
    """Return r_i of each query, (q, d): its mean answer less the softmax mean of what ranks wrong.

    The mean is weighted by `weights`. What ranks wrong are documents with a judgement of any query
    that this one does not learn from. Documents count in units of their mean length.
    """
    mean_length = float(np.linalg.norm(task.documents, axis=1).mean())
    documents = task.documents / np.float32(mean_length)
    totals = np.asarray(task.weights.sum(axis=1)).ravel()
    residuals = np.asarray(task.weights @ documents, np.float64) / totals[:, None]
    is_judged = np.isin(np.arange(len(documents)), task.relevance.indices)
    wrong = find_top_k(
        task.queries,
        documents,
        min(WRONG_DOCUMENTS, len(documents)),
        skip=np.flatnonzero(~is_judged),
        similarity=task.similarity,
        excluded=csr_matrix(task.weights > 0),
    )
    for row, (rows, scores) in enumerate(zip(wrong.rows, wrong.scores, strict=True)):
        there = rows >= 0
        if there.any():
            odds = np.exp(SHARPNESS * (scores[there] - scores[there].max()).astype(np.float64))
            residuals[row] -= odds @ documents[rows[there]] / odds.sum()
    return residuals
