"""One problem, tidied: what every method reads, and how each is carried out with given settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.threads import map_in_threads
from nudge_sync.errors import InputError
from nudge_sync.metrics import Metric
from nudge_sync.solve.line_search.paths import Pulls, chunks, pulls, travel
from nudge_sync.solve.nudge_c import Settings, contrast, evidence
from nudge_sync.solve.problem import PARTS, Float32, Float64, Queries, Rows, Similarity
from nudge_sync.solve.relevance import answered, canonical

WIDE = 4096
"""Rows written at once, where writing is all."""
ENOUGH = 1500
"""Queries with an answer from which one split is enough; below, every query judges once."""
FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Which queries teach and which judge: two masks, (q,)."""

    learn: NDArray[np.bool_]
    judge: NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """Points, queries, and what each query wants and rejects."""

    points: Float32
    queries: Queries
    attraction: csr_matrix
    """(q, n): how strongly each query pulls each point; explicit entries are positive."""
    rejection: csr_matrix
    """(q, n): how strongly each query pushes each point away."""
    metric: Metric
    similarity: Similarity
    max_angle: float

    @cached_property
    def wide(self) -> Float64:
        """The queries in float64, (q, d): their sums say where points go."""
        vectors = self.queries.vectors
        wide = np.empty(vectors.shape)

        def widen(rows: slice) -> None:
            wide[rows] = vectors[rows]

        map_in_threads(widen, list(chunks(len(vectors), WIDE)))
        return wide

    @cached_property
    def _pulls(self) -> dict[bytes, Pulls]:
        return {}

    def pulls(self, learn: NDArray[np.bool_] | Rows) -> Pulls:
        """Which way the queries `learn` pull; the last answer is kept."""
        known, asked = self._pulls, learn.tobytes()
        if asked not in known:
            known.clear()
            known[asked] = pulls(self.points, self.wide, self.taught(learn))
        return known[asked]

    def taught(self, learn: NDArray[np.bool_] | Rows) -> csr_matrix:
        """The attraction of the queries `learn` alone: (q, n)."""
        share = np.zeros(len(self.queries))
        share[learn] = 1.0
        whole = self.attraction
        pull = whole.data * np.repeat(share, np.diff(whole.indptr))
        return csr_matrix((pull, whole.indices, whole.indptr), shape=whole.shape)


def attraction(relevance: csr_matrix, weights: csr_matrix | NDArray[Any] | None) -> csr_matrix:
    """How strongly each query pulls each point: 1 for each positive judgement, times its weight.

    weights: None, one a query (q,), or one a judgement (q, n); not negative.
    """
    positive = csr_matrix(relevance, copy=True)
    positive.data = (positive.data > 0).astype(np.float64)
    positive.eliminate_zeros()
    if weights is None:
        return positive
    if isinstance(weights, csr_matrix):
        scaled = positive.multiply(weights)
    else:
        scaled = positive.multiply(np.asarray(weights, np.float64)[:, None])
    scaled = csr_matrix(scaled)
    if scaled.nnz and (not np.isfinite(scaled.data).all() or scaled.data.min() < 0):
        raise InputError(
            "a weight is negative or not finite; weights say how much a judgement counts"
        )
    scaled.eliminate_zeros()
    return scaled


def rejection(relevance: csr_matrix) -> csr_matrix:
    """How strongly each query pushes each point away: 1 for a grade of 0 or below."""
    negative = csr_matrix(relevance, copy=True)
    negative.data = (negative.data <= 0).astype(np.float64)
    negative.eliminate_zeros()
    return negative


def splits(part: NDArray[np.int64], relevance: csr_matrix) -> list[Split]:
    """How the queries teach and judge, from the part each was hashed into.

    Only queries with an answer judge. Empty where no split leaves both teachers and judges.
    """
    counts = answered(relevance)
    if counts.sum() >= ENOUGH:
        groups = [part < PARTS // FOLDS]
    else:
        groups = [part % FOLDS == fold for fold in range(FOLDS)]
    made = [Split(~group, group & counts) for group in groups]
    return [one for one in made if one.judge.any() and (one.learn & counts).any()]


def solve(
    task: Task, learn: NDArray[np.bool_] | Rows, method: str, parameters: Mapping[str, Any]
) -> Float32:
    """The points as `method` moves them by the queries `learn`: (n, d)."""
    if method == "nothing":
        return task.points
    if method == "nudge-n":
        return travel(task.points, task.pulls(learn), way="nudge-n", angle=parameters["angle"])
    if method == "nudge-m":
        angle = float(np.arctan(parameters["step"]))
        return travel(task.points, task.pulls(learn), way="nudge-m", angle=angle)
    settings = Settings(
        tau=parameters["sharpness"],
        prior=parameters["prior"],
        cap=parameters["cap"],
        steps=parameters["steps"],
    )
    rivals = task.queries.unjudged[learn].astype(np.float32)
    queries = task.queries.vectors[learn]
    given = evidence(queries, task.attraction[learn], task.rejection[learn], rivals)
    return contrast(task.points, given, settings, task.similarity)


def judges(task: Task, made: list[Split]) -> Iterator[tuple[Split, Queries]]:
    """Each split with the queries that judge in it."""
    return ((one, task.queries.only(np.flatnonzero(one.judge))) for one in made)


def tidy(queries: Queries) -> Queries:
    """The same queries with each judgement once."""
    return Queries(queries.vectors, canonical(queries.relevance), queries.unjudged)
