"""New vectors for the points in play, as the gate and the figures of a plan look at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.text.percent import format_exact_percent, format_percent
from nudge_sync.config import CollectionSettings
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.cold_documents import ColdOutcome
from nudge_sync.planning.dataset import PlanDataset
from nudge_sync.planning.gate import (
    CrossFittedGains,
    Drift,
    Gate,
    HeldOutScores,
    check_gate,
)
from nudge_sync.planning.held_out import QueryScores, number_questions
from nudge_sync.planning.lost_inputs import format_lost_revision
from nudge_sync.planning.model_change import ModelReport
from nudge_sync.planning.plan import (
    ColdFigures,
    GainFigures,
    PlanFigures,
    RecallFigures,
    round_figures,
)
from nudge_sync.planning.unjudged.index_recall import IndexRecall
from nudge_sync.planning.unjudged.search import choose_similarity
from nudge_sync.solve.problem import Choice, GainEstimate
from nudge_sync.solve.score import score_metrics
from nudge_sync.store.ledger import Revision
from nudge_sync.store.provenance import ClassifiedPoints, Ownership
from nudge_sync.store.target import Target

_RECALL_WARNING = (
    "the index finds {share} of the unjudged points near a query, and "
    "solver.min_index_recall is {least}: the plan does not know the rivals that it "
    "misses, and its scores come out too high. Let searches visit more of the index (hnsw_ef in "
    "[database] for Qdrant, ef or search_params for Milvus), build it anew with a larger "
    "ef_construct or m, or set solver.exact = true"
)


@dataclass(frozen=True)
class Solution:
    """What the solver chose, and what was measured of it."""

    choice: Choice
    cross_fitted: CrossFittedGains | None
    """None where nothing moves, and where one fifth of the queries is enough."""
    cold: ColdOutcome | None
    """None where answers without feedback are not looked at."""


class Proposal:
    """New vectors for the points in play, as the gate and the figures look at them."""

    def __init__(
        self,
        target: Target,
        settings: CollectionSettings,
        points: ClassifiedPoints,
        dataset: PlanDataset,
        *,
        erasure_pending: bool,
        lost_revision: Revision | None,
        model: ModelReport,
    ) -> None:
        self._target = target
        self._settings = settings
        self._points = points
        self._dataset = dataset
        self._erasure_pending = erasure_pending
        self._lost_revision = lost_revision
        self._model = model
        self._live_scores = self._score(dataset.points.live_vectors)
        is_unmoved = np.array_equal(dataset.points.live_vectors, dataset.points.originals)
        self._original_scores = (
            self._live_scores if is_unmoved else self._score(dataset.points.originals)
        )

    def pass_gate(self, solution: Solution) -> tuple[Gate, Float32]:
        """Return the gate's verdict, and the vectors (n, d) that all points in play shall hold."""
        choice, cold = solution.choice, solution.cold
        scores = self._compare(choice.vectors)
        planned_vectors = self._place(choice.vectors)
        gate = check_gate(
            scores,
            self._settings.gate,
            baseline_requested=self._settings.solver.method == "nothing",
            method=choice.method,
            moved_count=len(self.find_differing_rows(planned_vectors)),
            point_count=self._target.facts.points,
            drift=_count_drift(self._points, self._model.seen.revision),
            cold_report=None if cold is None else cold.report,
            cross_fitted=solution.cross_fitted,
        )
        if self._lost_revision is not None:
            gate = replace(gate, passed=False, reasons=[format_lost_revision(self._lost_revision)])
        if self._model.refusal:
            gate = replace(gate, passed=False, reasons=[self._model.refusal])
            # What queries of another model find says nothing of what is live.
            points = self._points
            return gate, points.originals if self._erasure_pending else points.live_vectors
        if gate.passed:
            return gate, planned_vectors
        return gate, self._place(self._choose_fallback(scores))

    def find_differing_rows(self, planned_vectors: Float32) -> list[int]:
        """Return the rows whose live vector is not the planned one."""
        is_unchanged = is_same_vector(
            planned_vectors, self._points.live_vectors, rescales=self._target.facts.rescales
        )
        return [int(row) for row in np.flatnonzero(~is_unchanged)]

    def build_figures(self, solution: Solution, planned_vectors: Float32) -> PlanFigures:
        """Return the figures of a plan that writes `planned_vectors` (n, d)."""
        dataset, choice, cold = self._dataset, solution.choice, solution.cold
        planned_scores = self._score(planned_vectors[dataset.rows])
        return PlanFigures(
            metric=self._settings.solver.metric,
            method=choice.method,
            parameters=choice.parameters,
            scores=round_figures(choice.scores),
            reasons=choice.reasons,
            judged=int(dataset.is_judged.sum()),
            queries={
                "choosing": len(dataset.train_queries),
                "held": len(dataset.held_out_queries),
                **dataset.excluded_counts,
            },
            before=round_figures(_average_scores(self._live_scores)),
            after=round_figures(_average_scores(planned_scores)),
            originals=round_figures(_average_scores(self._original_scores)),
            found=dataset.live_scores,
            cold=None if cold is None else _describe_cold_outcome(cold),
            index_recall=describe_recall(
                dataset.index_recall, self._settings.solver.min_index_recall
            ),
        )

    def _score(self, vectors: Float32) -> QueryScores:
        """Return every metric of the held-out queries if the dataset's points held `vectors`."""
        similarity = choose_similarity(self._target.facts.metric)
        queries = self._dataset.held_out_queries
        scores = score_metrics(vectors, queries, METRIC_NAMES, similarity=similarity)
        return {name: scores[name] for name in METRIC_NAMES}

    def _compare(self, vectors: Float32) -> HeldOutScores:
        metric = self._settings.solver.metric
        reference = self._original_scores if self._erasure_pending else self._live_scores
        return HeldOutScores(
            number_questions(self._dataset.held_out_queries.vectors),
            self._original_scores[metric],
            reference[metric],
            self._score(vectors)[metric],
            self._dataset.bystanders,
        )

    def _place(self, vectors: Float32) -> Float32:
        """Return the vectors of all points in play: `vectors` for the dataset's, else originals."""
        planned_vectors = self._points.originals.copy()
        planned_vectors[self._dataset.rows] = vectors
        return planned_vectors

    def _choose_fallback(self, scores: HeldOutScores) -> Float32:
        """Return what the dataset's points shall hold when the gate refuses.

        They keep what they hold now, but points that lost their feedback go back to their
        originals; and all of them do while an erasure is pending, or where the live vectors have
        come to be worse than the originals.
        """
        points = self._dataset.points
        gain = scores.live_scores - scores.original_scores
        if self._erasure_pending or (len(gain) and float(np.mean(gain)) < 0):
            return points.originals
        return np.where(self._dataset.is_judged[:, None], points.live_vectors, points.originals)


def describe_recall(recall: IndexRecall | None, min_share: float) -> RecallFigures | None:
    """Return the index's recall as it is shown and kept.

    min_share: with a smaller recall, the figures warn and say what to do.
    """
    if recall is None:
        return None
    share = round(recall.share, 6)
    warning = ""
    if share < min_share:
        warning = _RECALL_WARNING.format(
            share=format_percent(share, limit=min_share), least=format_exact_percent(min_share)
        )
    return RecallFigures(share, recall.queries, recall.reference, warning)


def _average_scores(scores: QueryScores) -> dict[str, float]:
    return {
        name: float(np.mean(query_scores)) if len(query_scores) else 0.0
        for name, query_scores in scores.items()
    }


def _count_drift(points: ClassifiedPoints, former_revision: int) -> Drift:
    """Count the moved points, and those with unknown vectors.

    former_revision: the last one before documents were embedded by another model; a point whose
    original was stored by then is neither.
    """
    foreign_rows = points.find_rows(Ownership.FOREIGN)
    drifted = int((points.stored_at[foreign_rows] > former_revision).sum())
    unmoved_count = len(points.find_rows(Ownership.UNMOVED))
    return Drift(len(points.ids) - unmoved_count - len(foreign_rows) + drifted, drifted)


def _describe_cold_outcome(outcome: ColdOutcome) -> ColdFigures:
    """Return what happens to warm and cold answers as it is shown and kept."""
    report = outcome.report
    return ColdFigures(
        outcome.share.share,
        outcome.share.source,
        warm=None if report is None else _round_estimate(report.warm),
        cold=None if report is None else _round_estimate(report.cold),
    )


def _round_estimate(estimate: GainEstimate) -> GainFigures:
    mean, low, high = (round(value, 6) for value in (estimate.mean, estimate.low, estimate.high))
    if not estimate.is_known:
        return GainFigures(mean, None, None, estimate.queries)
    return GainFigures(mean, low, high, estimate.queries)
