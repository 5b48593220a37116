"""What a change does to answers with and without feedback, by hiding the feedback of documents.

Feedback lies on the points that move, so the queries it gives cannot show what happens to other
points. Here the judged points are dealt into folds; the chosen method is solved again without the
judgements of each fold, and the held-out queries are scored on that fold's points alone, whose
answers are then *cold*, and on points that still have training judgements, whose answers are
*warm*. A query's other answers leave its ranking, so that a right answer in front is no loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.base.executor import LOCAL, Executor
from nudge_sync.base.progress import Progress
from nudge_sync.base.threads import limit_threads
from nudge_sync.config import CollectionSettings, SolverSettings
from nudge_sync.feedback.cold_share import ColdShare
from nudge_sync.planning.dataset import PlanDataset
from nudge_sync.solve.fit import build_task
from nudge_sync.solve.problem import Choice, ColdReport, JudgedQueries, Similarity
from nudge_sync.solve.relevance import find_first_answers, has_answer
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.selection.document_folds import DOCUMENT_FOLDS, hash_rows
from nudge_sync.solve.selection.strata import Strata, report_cold
from nudge_sync.solve.task import SolverTask, apply_method, build_attraction, mask_judgements

MIN_FOLDS = 2
"""Folds of documents that are hidden in turn at least: one could be unlike all others."""


def resolve_cold_share(settings: SolverSettings, estimate: ColdShare) -> ColdShare | None:
    """Return how much cold answers count by the settings; None where they are not looked at.

    estimate: what the log says, which `solver.cold_share = "auto"` goes by.
    """
    if settings.cold_share == "auto":
        return estimate
    if settings.cold_share == "off" or not settings.cold_share:
        return None
    return ColdShare(settings.cold_share, "settings")


@dataclass(frozen=True, slots=True)
class ColdOutcome:
    """How much cold answers counted, and what the change does to warm and cold ones."""

    share: ColdShare
    report: ColdReport | None
    """None where nothing moves."""


def measure_cold_documents(
    dataset: PlanDataset,
    choice: Choice,
    settings: CollectionSettings,
    share: ColdShare,
    *,
    similarity: Similarity,
    progress: Progress,
    executor: Executor = LOCAL,
) -> ColdOutcome:
    """Return what the chosen method gains over the originals on warm and on cold answers.

    Only held-out queries score, which chose nothing, and the folds are other ones than those that
    method and settings were chosen by. Each query counts once for each fold on warm answers, and on
    cold ones where the fold holds an answer of it that attracts. Queries with the same first answer
    count as one observation in the intervals, whose confidence is the gate's. Each fold costs a
    solve: after two of them the rest are spared once all of the interval on cold answers lies above
    a loss of `gate.max_cold_loss`.
    executor: runs the solves: the first two side by side, then the others.
    """
    if choice.method == "nothing":
        return ColdOutcome(share, None)
    solver = settings.solver
    task = build_task(
        dataset.points.originals,
        dataset.train_queries,
        dataset.weights,
        solver.metric,
        similarity,
        solver.max_angle,
        share.share,
    )
    held_out = dataset.held_out_queries
    attraction = build_attraction(held_out.relevance, dataset.held_out_weights)
    setting = _FoldSetting(task, held_out, attraction, choice.method, choice.parameters)
    scores: list[_FoldScores] = []
    # The first folds side by side, the others only once it is known that they are needed.
    rounds = range(MIN_FOLDS), range(MIN_FOLDS, DOCUMENT_FOLDS)
    results = chain.from_iterable(executor.map(_score_fold, setting, folds) for folds in rounds)
    for fold in range(DOCUMENT_FOLDS):
        progress("hide documents", fold, DOCUMENT_FOLDS)
        with limit_threads(solver.threads):
            scores += next(results)
        report = _report(scores, share, settings.gate.confidence)
        # Only what looks harmless ends early: a refusal rests on all folds.
        if fold + 1 >= MIN_FOLDS and report.cold.low > -settings.gate.max_cold_loss:
            break
    progress("hide documents", DOCUMENT_FOLDS, DOCUMENT_FOLDS)
    return ColdOutcome(share, report)


def _report(scores: list[_FoldScores], share: ColdShare, confidence: float) -> ColdReport:
    strata = Strata(
        np.concatenate([np.full(len(score.cluster), score.is_cold) for score in scores]),
        np.concatenate([score.cluster for score in scores]),
        share.share,
    )
    values = np.concatenate([score.values for score in scores])
    baseline_values = np.concatenate([score.baseline_values for score in scores])
    return report_cold(strata, values, baseline_values, confidence)


@dataclass(frozen=True, slots=True)
class _FoldScores:
    """The metric of some held-out queries on answers of one kind."""

    is_cold: bool
    values: Float64
    """(q,): with the points moved without the judgements of the fold."""
    baseline_values: Float64
    """(q,): with every point at its original."""
    cluster: Int64
    """(q,): the first answer of each query."""


@dataclass(frozen=True, slots=True)
class _FoldSetting:
    """What all folds have in common."""

    task: SolverTask
    held_out: JudgedQueries
    attraction: csr_matrix
    """(q, n): how strongly each answer of the held-out queries would attract."""
    method: str
    parameters: dict[str, Any]


def _score_fold(setting: _FoldSetting, fold: int) -> list[_FoldScores]:
    """Solve without the judgements of one fold of the points, and score warm and cold answers.

    Queries whose hidden answers are all too doubtful to attract are not scored on them: see
    `hide_documents`.
    """
    task, held_out, attraction = setting.task, setting.held_out, setting.attraction
    hidden = _assign_folds(task.points) == fold
    train = np.ones(len(task.queries), np.bool_)
    moved = apply_method(task, train, setting.method, setting.parameters, hidden)
    has_training = np.zeros(len(hidden), np.bool_)
    has_training[task.attraction.indices] = True
    warm = _keep_answers(held_out, has_training & ~hidden)
    has_cold = has_answer(mask_judgements(attraction, ~hidden))
    cold = _keep_answers(held_out.select(np.flatnonzero(has_cold)), hidden)
    return [
        _FoldScores(
            is_cold,
            _score(task, moved, queries),
            _score(task, task.points, queries),
            find_first_answers(queries.relevance),
        )
        for is_cold, queries in ((False, warm), (True, cold))
    ]


def _assign_folds(points: Float32) -> Int64:
    """Return the fold of each point, (n,), by other digits of the hash than the choice goes by."""
    return hash_rows(points) // DOCUMENT_FOLDS % DOCUMENT_FOLDS


def _keep_answers(queries: JudgedQueries, kept: NDArray[np.bool_]) -> JudgedQueries:
    """Return the queries with an answer among the points `kept`, (n,), scored on those alone."""
    relevance = mask_judgements(queries.relevance, ~kept)
    rows = np.flatnonzero(has_answer(relevance))
    other_answers = csr_matrix(mask_judgements(queries.relevance, kept) > 0)
    return JudgedQueries(
        queries.vectors[rows], relevance[rows], queries.unjudged[rows], other_answers[rows]
    )


def _score(task: SolverTask, vectors: Float32, queries: JudgedQueries) -> Float64:
    return metric_values(vectors, queries, str(task.metric), similarity=task.similarity)
