"""What every method reads, and how each method is applied with given settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.errors import InputError
from nudge_sync.metrics import RankingMetric
from nudge_sync.solve.co_relevance import find_co_relevant_points
from nudge_sync.solve.draw import draw_rows
from nudge_sync.solve.line_search.paths import PointPulls, compute_pulls, move_points
from nudge_sync.solve.nudge_c import NudgeCSettings, contrast
from nudge_sync.solve.nudge_c_inputs import build_nudge_c_inputs
from nudge_sync.solve.nudge_h import (
    NEIGHBOUR_COUNTS,
    find_unanswered_neighbours,
    remove_hub_pull,
)
from nudge_sync.solve.problem import BUCKET_COUNT, JudgedQueries, Rows, Similarity
from nudge_sync.solve.relevance import has_answer, merge_duplicates

ROWS_PER_COPY = 4096
"""Rows converted at once: enough that a thread's start costs nothing beside them."""
MIN_QUERIES_FOR_ONE_SPLIT = 1500
"""Answered queries from which one split is enough; with fewer, each query validates once."""
MAX_VALIDATION_QUERIES = 5000
"""Most queries that validate in a split, of each kind: their mean is known well enough by then."""
MAX_BANK_QUERIES = 16_384
"""Most queries among which NUDGE-H looks for those that a point does not answer."""
FOLDS = 5
"""Number of folds; with one split, the inverse of the share of queries that validate."""


@dataclass(frozen=True)
class ValidationSplit:
    """Which queries train and which validate: two masks, (q,)."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    hidden: NDArray[np.bool_] | None = None
    """(n,): the points whose judgements do not train, so that their answers are cold."""
    cold_validation: NDArray[np.bool_] | None = None
    """(q,): the queries that validate on their hidden answers alone."""


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
    cold_share: float | None = None
    """Weight of cold answers in the choice, 0 to 1; None where they have no say."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caches out of a pickle."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

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

    @cached_property
    def _neighbour_cache(self) -> dict[bytes, Rows]:
        return {}

    @cached_property
    def _validation_cache(self) -> dict[bytes, JudgedQueries]:
        return {}

    def get_validation(self, split: ValidationSplit) -> JudgedQueries:
        """Return the validation queries of a split; where documents are hidden, they are kept.

        Every method is measured on the same ones, and cutting them out takes longer than a search.
        """
        if split.hidden is None:
            return _select_validation(self.queries, split)
        known, key = self._validation_cache, _make_key(split.validation, split.hidden)
        if key not in known:
            known[key] = _select_validation(self.queries, split)
        return known[key]

    def get_pulls(
        self, train: NDArray[np.bool_] | Rows, hidden: NDArray[np.bool_] | None = None
    ) -> PointPulls:
        """Return the pull that the queries `train` exert on each point; the last result is cached.

        train: a mask, (q,), or row numbers.  hidden: (n,), points whose judgements do not count.
        """
        known, key = self._pull_cache, _make_key(train, hidden)
        if key not in known:
            known.clear()
            known[key] = compute_pulls(
                self.points, self.precise_queries, self.select_attraction(train, hidden)
            )
        return known[key]

    def get_hub_free_pulls(
        self,
        train: NDArray[np.bool_] | Rows,
        hidden: NDArray[np.bool_] | None,
        neighbour_count: int,
    ) -> PointPulls:
        """Return the pulls of NUDGE-H; the last search for unanswered queries is cached.

        train: a mask, (q,), or row numbers.  hidden: (n,), points whose judgements do not count.
        """
        known, key = self._neighbour_cache, _make_key(train, hidden)
        is_train = np.zeros(len(self.queries), np.bool_)
        is_train[train] = True
        bank = np.flatnonzero(keep_some(is_train, MAX_BANK_QUERIES))
        if key not in known or known[key].shape[1] < neighbour_count:
            known.clear()
            answered = mask_judgements(self.queries.relevance > 0, hidden)[bank].T
            known[key] = find_unanswered_neighbours(
                self.points,
                self.queries.vectors[bank],
                csr_matrix(answered),
                max(neighbour_count, *NEIGHBOUR_COUNTS),
            )
        return remove_hub_pull(
            self.points,
            self.get_pulls(train, hidden),
            self.precise_queries[bank],
            known[key][:, :neighbour_count],
        )

    def select_attraction(
        self, train: NDArray[np.bool_] | Rows, hidden: NDArray[np.bool_] | None = None
    ) -> csr_matrix:
        """Return the attraction of the queries `train` for points that are not hidden: (q, n).

        Other weights are 0.
        """
        is_train = np.zeros(len(self.queries))
        is_train[train] = 1.0
        attraction = self.attraction
        weights = attraction.data * np.repeat(is_train, np.diff(attraction.indptr))
        if hidden is not None:
            weights = weights * ~hidden[attraction.indices]
        return csr_matrix((weights, attraction.indices, attraction.indptr), shape=attraction.shape)


def _make_key(train: NDArray[np.bool_] | Rows, hidden: NDArray[np.bool_] | None) -> bytes:
    """Return a key for results that depend on the training queries and on what is hidden."""
    return train.tobytes() + (b"" if hidden is None else hidden.tobytes())


def keep_some(mask: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Return the mask with at most `count` of its rows, always the same ones of the same mask."""
    rows = np.flatnonzero(mask)
    kept = np.zeros_like(mask)
    kept[rows[draw_rows(len(rows), count)]] = True
    return kept


def mask_judgements(judgements: csr_matrix, hidden: NDArray[np.bool_] | None) -> csr_matrix:
    """Return the judgements, (q, n), without those of hidden points, (n,)."""
    if hidden is None:
        return csr_matrix(judgements)
    visible = csr_matrix(judgements, copy=True)
    visible.data = visible.data * ~hidden[visible.indices]
    visible.eliminate_zeros()
    return visible


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


def find_first_equals(rows: Float32) -> Rows:
    """Return the number of the first row that is equal to each, bit for bit: (n,); often its own.

    rows: (n, d).
    """
    first: dict[bytes, int] = {}
    numbers = (first.setdefault(row.tobytes(), number) for number, row in enumerate(rows))
    return np.fromiter(numbers, np.int64, len(rows))


def build_splits(buckets: NDArray[np.int64], relevance: csr_matrix) -> list[ValidationSplit]:
    """Split the queries into training and validation: five folds, or one split of many queries.

    buckets: (q,), 0 to BUCKET_COUNT - 1, a hash of each query.  relevance: (q, n).
    Only queries with an answer validate, `MAX_VALIDATION_QUERIES` of a split at most. Splits that
    leave no answered query on either side are left out, so the list may be empty.
    """
    counts = has_answer(relevance)
    if counts.sum() >= MIN_QUERIES_FOR_ONE_SPLIT:
        groups = [buckets < BUCKET_COUNT // FOLDS]
    else:
        groups = [buckets % FOLDS == fold for fold in range(FOLDS)]
    splits = [
        ValidationSplit(~group, keep_some(group & counts, MAX_VALIDATION_QUERIES))
        for group in groups
    ]
    return [split for split in splits if split.validation.any() and (split.train & counts).any()]


def apply_method(
    task: SolverTask,
    train: NDArray[np.bool_] | Rows,
    method: str,
    parameters: Mapping[str, Any],
    hidden: NDArray[np.bool_] | None = None,
) -> Float32:
    """Return the points as `method` moves them for the queries `train`: (n, d).

    hidden: (n,), points whose judgements do not count.
    """
    if method == "nothing":
        return task.points
    if method == "nudge-n":
        return move_points(
            task.points, task.get_pulls(train, hidden), method="nudge-n", angle=parameters["angle"]
        )
    if method == "nudge-h":
        pulls = task.get_hub_free_pulls(train, hidden, parameters["neighbours"])
        return move_points(task.points, pulls, method="nudge-n", angle=parameters["angle"])
    if method == "nudge-m":
        angle = float(np.arctan(parameters["step"]))
        return move_points(
            task.points, task.get_pulls(train, hidden), method="nudge-m", angle=angle
        )
    settings = NudgeCSettings(
        tau=parameters["sharpness"],
        prior=parameters["prior"],
        cap=parameters["cap"],
        iterations=parameters["steps"],
        cold_answers=parameters.get("cold_answers", 0.0),
    )
    unjudged_scores = task.queries.unjudged[train].astype(np.float32)
    queries = task.queries.vectors[train]
    attraction, rejection = (
        mask_judgements(judgements[train], hidden)
        for judgements in (task.attraction, task.rejection)
    )
    strength = parameters.get("co_relevance", 0.0)
    co_relevance = strength * find_co_relevant_points(attraction) if strength else None
    inputs = build_nudge_c_inputs(queries, attraction, rejection, unjudged_scores, co_relevance)
    return contrast(task.points, inputs, settings, task.similarity)


def iterate_validation_queries(
    task: SolverTask, splits: list[ValidationSplit]
) -> Iterator[tuple[ValidationSplit, JudgedQueries]]:
    """Iterate over the splits, each with the queries that validate in it.

    Where documents are hidden, the queries with warm answers come first, scored on those alone,
    and then the queries with cold answers, scored on those.
    """
    return ((split, task.get_validation(split)) for split in splits)


def _select_validation(queries: JudgedQueries, split: ValidationSplit) -> JudgedQueries:
    """Return the validation queries of a split, each with the answers that it is scored on."""
    warm_rows = np.flatnonzero(split.validation)
    if split.hidden is None or split.cold_validation is None:
        return queries.select(warm_rows)
    cold_rows = np.flatnonzero(split.cold_validation)
    rows = np.concatenate([warm_rows, cold_rows])
    warm, cold = (
        mask_judgements(queries.relevance, hidden) for hidden in (split.hidden, ~split.hidden)
    )
    return JudgedQueries(
        queries.vectors[rows],
        csr_matrix(vstack([warm[warm_rows], cold[cold_rows]])),
        queries.unjudged[rows],
        csr_matrix(vstack([cold[warm_rows] > 0, warm[cold_rows] > 0])),
    )


def merge_judgements(queries: JudgedQueries) -> JudgedQueries:
    """Return the queries with their judgements sorted and each (query, point) pair given once."""
    return JudgedQueries(queries.vectors, merge_duplicates(queries.relevance), queries.unjudged)
