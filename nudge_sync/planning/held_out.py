"""The held-out queries, and what the live index finds for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.base.in_flight import keep_in_flight
from nudge_sync.base.progress import Progress
from nudge_sync.base.tracing import traced
from nudge_sync.config import GateSettings
from nudge_sync.connector import Hits, PointId
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.metrics import (
    METRIC_NAMES,
    RANKING_DEPTH,
    MetricName,
    RankingMetric,
    parse_metric,
)
from nudge_sync.planning.unjudged.search import QUERIES_PER_SEARCH
from nudge_sync.solve.relevance import has_answer, ideal_scores
from nudge_sync.store import checksum
from nudge_sync.store.target import Target

HELD_OUT_SHARE = 0.2
"""Share of the queries that neither train nor choose anything, and only measure."""

_DIGEST_DECIMALS = 6
"""Digits of an expected gain that count: two machines may differ in its last bits."""

QueryScores = dict[MetricName, Float64]
"""What each query scores, (q,), by each metric."""


@dataclass(frozen=True)
class HeldOutQueries:
    """The held-out queries, to be asked of the live index."""

    vectors: Float32
    """(q, d)."""
    point_ids: list[PointId]
    """The point of each column of `relevance`."""
    relevance: csr_matrix
    """(q, n): what finding each point is worth."""
    query_rows: NDArray[np.intp]
    """(q,): the rows of these queries among those of the judgements."""

    def __len__(self) -> int:
        return len(self.vectors)

    def digest(self) -> str:
        """Return the digest of the queries and their answers: of other ones, scores differ."""
        relevance = self.relevance
        used, columns = np.unique(relevance.indices, return_inverse=True)
        return checksum.digest_json(
            [
                checksum.digest_bytes(self.vectors.tobytes()),
                [self.point_ids[column] for column in used],
                relevance.indptr.tolist(),
                columns.tolist(),
                np.round(relevance.data, _DIGEST_DECIMALS).tolist(),
            ]
        )


@dataclass(frozen=True)
class LiveCheck:
    """The mean of each metric over the held-out queries, through the live index."""

    before: dict[str, float]
    after: dict[str, float]
    is_loss: bool
    """Whether the metric fell by more than the gate allows."""
    reason: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the `live` field of `apply --json`."""
        return {"before": self.before, "after": self.after, "lost": self.is_loss}


def hash_queries(vectors: Float32) -> Float64:
    """Return a number in [0, 1) for each query (q, d), the same in every cycle.

    It depends on the vector alone, rounded to float16, so that the same question asked twice
    stays on one side of every split.
    """
    rounded = np.ascontiguousarray(vectors, dtype="<f2")
    digests = [hashlib.blake2b(row.tobytes(), digest_size=6).digest() for row in rounded]
    return np.array([int.from_bytes(digest, "big") / 2**48 for digest in digests], np.float64)


def number_questions(vectors: Float32) -> Int64:
    """Return one number, from 0, for each query (q, d): the same for the same question.

    A question that many people asked and labelled is one query a label, and yet one observation.
    """
    return np.unique(hash_queries(vectors), return_inverse=True)[1].astype(np.int64)


def select_held_out(judgements: Judgements, missing: Iterable[PointId]) -> HeldOutQueries:
    """Return the queries with an answer that the cycle keeps out of every choice.

    missing: the points that are gone from the collection, at least those that answer such a query.
    A query of which only is known what does not answer it, or what is gone, scores 0 whatever is
    found: among the others it would make every gain and every loss look smaller. Nor can what is
    gone be part of the best ranking.
    """
    ids, relevance = build_relevance(judgements)
    gone = {*missing}
    is_missing = np.array([point in gone for point in ids], np.bool_)
    relevance.data[is_missing[relevance.indices]] = 0
    relevance.eliminate_zeros()
    is_held_out = hash_queries(judgements.query_vectors) < HELD_OUT_SHARE
    rows = np.flatnonzero(is_held_out & has_answer(relevance))
    return HeldOutQueries(judgements.query_vectors[rows], ids, relevance[rows], rows)


def select_present_held_out(target: Target, judgements: Judgements) -> HeldOutQueries:
    """Return what `select_held_out` does, by looking which of the answers are gone by now.

    For callers that have not read the judged points. Raises DatabaseError.
    """
    answers = select_held_out(judgements, [])
    ids = [answers.point_ids[column] for column in np.unique(answers.relevance.indices)]
    return select_held_out(judgements, {*ids} - {*target.collection.read(ids).ids})


def build_relevance(judgements: Judgements) -> tuple[list[PointId], csr_matrix]:
    """Return the points that answer any query, and what finding each is worth: (n,) and (q, n)."""
    expected = judgements.expected_gains
    ids = sort_ids(expected.point_ids)
    column_of = {point: column for column, point in enumerate(ids)}
    cells = (
        expected.query_rows,
        np.array([column_of[point] for point in expected.point_ids], np.int64),
    )
    shape = (len(judgements.query_ids), len(ids))
    return ids, csr_matrix((expected.gains, cells), shape=shape, dtype=np.float64)


@traced("nudge_sync.measure")
def measure_live_scores(
    target: Target, held_out: HeldOutQueries, *, exact: bool, progress: Progress
) -> dict[str, float]:
    """Search for the held-out queries, and return the mean of each metric.

    exact: bypass the approximate index where the database can.
    """
    scores = score_live_queries(target, held_out, exact=exact, progress=progress)
    return average_scores(scores)


def score_live_queries(
    target: Target, held_out: HeldOutQueries, *, exact: bool, progress: Progress
) -> QueryScores:
    """Search for the held-out queries, and return what each scores.

    As many searches are under way at once as the collection allows.
    exact: bypass the approximate index where the database can.
    """
    runs: list[list[PointId]] = []
    searches = (
        partial(
            target.collection.search,
            held_out.vectors[start : start + QUERIES_PER_SEARCH],
            RANKING_DEPTH,
            exact=exact,
        )
        for start in range(0, len(held_out), QUERIES_PER_SEARCH)
    )

    def receive(hits: Hits) -> None:
        runs.extend(hits.ids)
        progress("measure", len(runs), len(held_out))

    progress("measure", 0, len(held_out))
    keep_in_flight(searches, target.facts.parallel_calls, receive)
    return _score_each_run(held_out, dict(enumerate(runs)))


def score_runs(held_out: HeldOutQueries, runs: Mapping[int, Sequence[PointId]]) -> dict[str, float]:
    """Return the mean of each metric over the held-out queries.

    runs: by row of `held_out`, the ids that were found, best first; a query without a run scores
    0.
    """
    return average_scores(_score_each_run(held_out, runs))


def average_scores(scores: QueryScores) -> dict[str, float]:
    """Return the mean of each metric over the queries; 0 where there is none."""
    return {name: _mean(values) for name, values in scores.items()}


def _score_each_run(held_out: HeldOutQueries, runs: Mapping[int, Sequence[PointId]]) -> QueryScores:
    grades = np.zeros((len(held_out), RANKING_DEPTH))
    column_of = {point: column for column, point in enumerate(held_out.point_ids)}
    for row, ids in runs.items():
        grades[row, : len(ids[:RANKING_DEPTH])] = _look_up_grades(
            held_out.relevance, row, ids[:RANKING_DEPTH], column_of
        )
    return score_ranked_grades(grades, held_out.relevance)


def _look_up_grades(
    relevance: csr_matrix, row: int, point_ids: Sequence[PointId], column_of: dict[PointId, int]
) -> list[float]:
    span = slice(relevance.indptr[row], relevance.indptr[row + 1])
    grades = dict(zip(relevance.indices[span], relevance.data[span], strict=True))
    return [max(grades.get(column_of.get(point, -1), 0.0), 0.0) for point in point_ids]


def score_ranked_grades(grades: Float64, relevance: csr_matrix) -> QueryScores:
    """Return each of `METRIC_NAMES` for every query; 0 for a query without an answer.

    grades: (q, RANKING_DEPTH), those of the documents found, best first; 0 where nothing was
    found. relevance: (q, n), all grades of each query, which the best possible order is made of.
    """
    return {name: _score_metric(grades, relevance, parse_metric(name)) for name in METRIC_NAMES}


def _score_metric(grades: Float64, relevance: csr_matrix, metric: RankingMetric) -> Float64:
    discounted_gains = metric.gains(grades[:, : metric.depth]) * metric.discounts()[: metric.depth]
    scores = (
        discounted_gains.max(axis=1, initial=0.0)
        if metric.kind == "mrr"
        else discounted_gains.sum(axis=1)
    )
    best = ideal_scores(relevance, metric)
    return np.asarray(np.divide(scores, best, out=np.zeros_like(scores), where=best > 0))


def _mean(values: Float64) -> float:
    return round(float(np.mean(values)), 6) if len(values) else 0.0


def compare_live_scores(
    before: dict[str, float], after: dict[str, float], metric: MetricName, settings: GateSettings
) -> LiveCheck:
    """Return whether `metric` fell by more than the gate allows, through the live index."""
    change = after.get(metric, 0.0) - before.get(metric, 0.0)
    reason = (
        f"measured through the live index, {metric} of the held-out queries went from "
        f"{before.get(metric, 0.0):.4f} to {after.get(metric, 0.0):.4f}"
    )
    return LiveCheck(before, after, change < -settings.max_loss, reason)
