"""What every method reads, and how each method is applied with given settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.errors import InputError
from nudge_sync.metrics import RankingMetric
from nudge_sync.solve.line_search.paths import PointPulls, compute_pulls, move_points
from nudge_sync.solve.nudge_c import NudgeCSettings, build_nudge_c_inputs, contrast
from nudge_sync.solve.problem import BUCKET_COUNT, JudgedQueries, Rows, Similarity
from nudge_sync.solve.relevance import has_answer, merge_duplicates

ROWS_PER_COPY = 4096
"""Rows converted at once: enough that a thread's start costs nothing beside them."""
MIN_QUERIES_FOR_ONE_SPLIT = 1500
"""Answered queries from which one split is enough; with fewer, each query validates once."""
FOLDS = 5
"""Number of folds; with one split, the inverse of the share of queries that validate."""


@dataclass(frozen=True)
class ValidationSplit:
    """Which queries train and which validate: two masks, (q,)."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]


@dataclass(frozen=True)
class SolverTask:
    """The points, the queries and how strongly each query attracts or rejects each point."""

    points: Float32
    queries: JudgedQueries
    attraction: csr_matrix
    """(q, n): the weight w_ij with which query i attracts point j; entries are positive."""
    rejection: csr_matrix
    """(q, n): the weight with which each query pushes each point away; entries are positive."""
    metric: RankingMetric
    similarity: Similarity
    max_angle: float

    @cached_property
    def precise_queries(self) -> Float64:
        """The query vectors in float64, (q, d), for sums that decide where points go."""
        vectors = self.queries.vectors
        wide = np.empty(vectors.shape)

        def widen(rows: slice) -> None:
            wide[rows] = vectors[rows]

        map_in_threads(widen, list_chunks(len(vectors), ROWS_PER_COPY))
        return wide

    @cached_property
    def _pull_cache(self) -> dict[bytes, PointPulls]:
        return {}

    def get_pulls(self, train: NDArray[np.bool_] | Rows) -> PointPulls:
        """Return the pull that the queries `train` exert on each point; the last result is cached.

        train: a mask, (q,), or row numbers.
        """
        known, key = self._pull_cache, train.tobytes()
        if key not in known:
            known.clear()
            known[key] = compute_pulls(
                self.points, self.precise_queries, self.select_attraction(train)
            )
        return known[key]

    def select_attraction(self, train: NDArray[np.bool_] | Rows) -> csr_matrix:
        """Return the attraction with the weights of all queries but `train` set to 0: (q, n)."""
        is_train = np.zeros(len(self.queries))
        is_train[train] = 1.0
        attraction = self.attraction
        weights = attraction.data * np.repeat(is_train, np.diff(attraction.indptr))
        return csr_matrix((weights, attraction.indices, attraction.indptr), shape=attraction.shape)


def build_attraction(
    relevance: csr_matrix, weights: csr_matrix | NDArray[Any] | None
) -> csr_matrix:
    """Return how strongly each query attracts each point: the weight of each positive judgement.

    relevance: (q, n).  weights: None, one per query (q,), or one per judgement (q, n).
    Raises InputError where a weight is negative or not finite.
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


def build_rejection(relevance: csr_matrix) -> csr_matrix:
    """Return how strongly each query rejects each point: (q, n), 1 for a grade of 0 or below."""
    negative = csr_matrix(relevance, copy=True)
    negative.data = (negative.data <= 0).astype(np.float64)
    negative.eliminate_zeros()
    return negative


def build_splits(buckets: NDArray[np.int64], relevance: csr_matrix) -> list[ValidationSplit]:
    """Split the queries into training and validation: five folds, or one split of many queries.

    buckets: (q,), 0 to BUCKET_COUNT - 1, a hash of each query.  relevance: (q, n).
    Only queries with an answer validate. Splits that leave no answered query on either side are
    left out, so the list may be empty.
    """
    counts = has_answer(relevance)
    if counts.sum() >= MIN_QUERIES_FOR_ONE_SPLIT:
        groups = [buckets < BUCKET_COUNT // FOLDS]
    else:
        groups = [buckets % FOLDS == fold for fold in range(FOLDS)]
    splits = [ValidationSplit(~group, group & counts) for group in groups]
    return [split for split in splits if split.validation.any() and (split.train & counts).any()]


def apply_method(
    task: SolverTask, train: NDArray[np.bool_] | Rows, method: str, parameters: Mapping[str, Any]
) -> Float32:
    """Return the points as `method` moves them for the queries `train`: (n, d)."""
    if method == "nothing":
        return task.points
    if method == "nudge-n":
        return move_points(
            task.points, task.get_pulls(train), method="nudge-n", angle=parameters["angle"]
        )
    if method == "nudge-m":
        angle = float(np.arctan(parameters["step"]))
        return move_points(task.points, task.get_pulls(train), method="nudge-m", angle=angle)
    settings = NudgeCSettings(
        tau=parameters["sharpness"],
        prior=parameters["prior"],
        cap=parameters["cap"],
        iterations=parameters["steps"],
    )
    unjudged_scores = task.queries.unjudged[train].astype(np.float32)
    queries = task.queries.vectors[train]
    inputs = build_nudge_c_inputs(
        queries, task.attraction[train], task.rejection[train], unjudged_scores
    )
    return contrast(task.points, inputs, settings, task.similarity)


def iterate_validation_queries(
    task: SolverTask, splits: list[ValidationSplit]
) -> Iterator[tuple[ValidationSplit, JudgedQueries]]:
    """Iterate over the splits, each with the queries that validate in it."""
    return ((split, task.queries.select(np.flatnonzero(split.validation))) for split in splits)


def merge_judgements(queries: JudgedQueries) -> JudgedQueries:
    """Return the queries with their judgements sorted and each (query, point) pair given once."""
    return JudgedQueries(queries.vectors, merge_duplicates(queries.relevance), queries.unjudged)
