"""Feedback and vectors -> a plan: reads the collection by id and by search, writes nothing."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import numpy as np

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import PointId
from nudge_sync.connector.vectors import angles, is_same_vector
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.metrics import METRIC_NAMES, MetricName
from nudge_sync.planning.dataset import (
    PlanDataset,
    build_dataset,
    read_points_in_play,
    select_dataset_rows,
)
from nudge_sync.planning.gate import Drift, Gate, HeldOutScores, check_gate
from nudge_sync.planning.held_out import QueryScores
from nudge_sync.planning.lost_inputs import find_lost_revision, format_lost_revision
from nudge_sync.planning.plan import Plan, PlanFigures, PlanInputs, PlanRows, round_figures
from nudge_sync.planning.plan_file_schema import parse_stored_figures
from nudge_sync.planning.unjudged_search import choose_similarity
from nudge_sync.solve.fit import fit
from nudge_sync.solve.problem import Choice
from nudge_sync.solve.score import metric_values
from nudge_sync.store import checksum
from nudge_sync.store.erasure import ErasureState
from nudge_sync.store.ledger import Ledger, Revision, find_head
from nudge_sync.store.provenance import ClassifiedPoints, Ownership
from nudge_sync.store.target import Target
from nudge_sync.store.verify import find_unsettled_rows


def make_plan(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    ledger: Ledger,
    progress: Progress,
    *,
    erasure_state: ErasureState,
) -> Plan:
    """Return what a cycle would write now, what it gains, and whether it may.

    erasure_state: while an erasure is pending, no live vector stays for its own sake.
    Where nothing that a plan depends on changed since the head revision, and every point holds
    what that revision says, the plan is that revision again, with nothing to write: an index that
    answers a little differently after each write cannot make a collection wander.
    """
    points = read_points_in_play(target, judgements, progress, ledger)
    # After the points: without the lease, what a cycle writes meanwhile is known to be ours.
    entries = ledger.entries()
    rows = select_dataset_rows(target, judgements, points)
    inputs = describe_inputs(target, settings, judgements, entries, erasure_state)
    inputs_digest = _digest_inputs(inputs, points.select(rows))
    repeated = _repeat_head(target, points, entries, inputs, inputs_digest)
    if repeated is not None:
        return repeated
    dataset = build_dataset(
        target, judgements, points, rows=rows, exact=settings.solver.exact, progress=progress
    )
    progress("solve", 0, 1)
    choice = _solve(target, settings, dataset)
    progress("solve", 1, 1)
    proposal = _Proposal(
        target,
        settings,
        points,
        dataset,
        erasure_pending=erasure_state.is_pending,
        lost_revision=find_lost_revision(entries, inputs_digest),
    )
    gate, planned_vectors = proposal.pass_gate(choice)
    differing_rows = proposal.find_differing_rows(planned_vectors)
    return Plan(
        inputs=inputs,
        inputs_digest=inputs_digest,
        figures=proposal.build_figures(choice, planned_vectors),
        gate=gate,
        rows=_build_rows(
            points, planned_vectors, _add_unsettled_rows(target, points, differing_rows, entries)
        ),
        **_list_lost_points(points),
    )


def describe_inputs(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    entries: list[Revision],
    erasure_state: ErasureState,
) -> PlanInputs:
    """Return what a plan made now would be made from."""
    return PlanInputs(
        collection=target.facts.collection,
        head=find_head(entries),
        feedback_digest=_digest_feedback(judgements, erasure_state),
        settings_digest=_digest_settings(settings),
    )


def _solve(target: Target, settings: CollectionSettings, dataset: PlanDataset) -> Choice:
    return fit(
        dataset.points.originals,
        dataset.train_queries,
        dataset.folds,
        method=settings.solver.method,
        metric=settings.solver.metric,
        similarity=choose_similarity(target.facts.metric),
        angle=settings.solver.angle,
        max_angle=settings.solver.max_angle,
        weights=dataset.weights,
        threads=settings.solver.threads,
    )


class _Proposal:
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
    ) -> None:
        self._target = target
        self._settings = settings
        self._points = points
        self._dataset = dataset
        self._erasure_pending = erasure_pending
        self._lost_revision = lost_revision
        self._live_scores = self._score(dataset.points.live_vectors)
        self._original_scores = self._score(dataset.points.originals)

    def pass_gate(self, choice: Choice) -> tuple[Gate, Float32]:
        """Return the gate's verdict, and the vectors (n, d) that all points in play shall hold."""
        scores = self._compare(choice.vectors)
        planned_vectors = self._place(choice.vectors)
        gate = check_gate(
            scores,
            self._settings.gate,
            baseline_requested=self._settings.solver.method == "nothing",
            method=choice.method,
            moved_count=len(self.find_differing_rows(planned_vectors)),
            point_count=self._target.facts.points,
            drift=_count_drift(self._points),
        )
        if self._lost_revision is not None:
            gate = replace(gate, passed=False, reasons=[format_lost_revision(self._lost_revision)])
        if gate.passed:
            return gate, planned_vectors
        return gate, self._place(self._choose_fallback(scores))

    def find_differing_rows(self, planned_vectors: Float32) -> list[int]:
        """Return the rows whose live vector is not the planned one."""
        is_unchanged = is_same_vector(
            planned_vectors, self._points.live_vectors, rescales=self._target.facts.rescales
        )
        return [int(row) for row in np.flatnonzero(~is_unchanged)]

    def build_figures(self, choice: Choice, planned_vectors: Float32) -> PlanFigures:
        """Return the figures of a plan that writes `planned_vectors` (n, d)."""
        dataset = self._dataset
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
        )

    def _score(self, vectors: Float32) -> QueryScores:
        """Return every metric of the held-out queries if the dataset's points held `vectors`."""
        return {name: self._score_by(name, vectors) for name in METRIC_NAMES}

    def _score_by(self, metric: MetricName, vectors: Float32) -> Float64:
        held_out, similarity = (
            self._dataset.held_out_queries,
            choose_similarity(self._target.facts.metric),
        )
        return metric_values(vectors, held_out, metric, similarity=similarity)

    def _compare(self, vectors: Float32) -> HeldOutScores:
        metric = self._settings.solver.metric
        reference = self._original_scores if self._erasure_pending else self._live_scores
        return HeldOutScores(
            self._original_scores[metric],
            reference[metric],
            self._score_by(metric, vectors),
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


def _build_rows(points: ClassifiedPoints, planned_vectors: Float32, rows: list[int]) -> PlanRows:
    row_angles = angles(planned_vectors[rows], points.originals[rows])
    return PlanRows(
        ids=[points.ids[row] for row in rows],
        vectors=planned_vectors[rows],
        live_digests=checksum.digest_vectors(points.live_vectors[rows]),
        angles=[round(float(angle), 6) for angle in row_angles],
        live_vectors=points.live_vectors[rows],
    )


def _repeat_head(
    target: Target,
    points: ClassifiedPoints,
    entries: list[Revision],
    inputs: PlanInputs,
    inputs_digest: str,
) -> Plan | None:
    """Return the head revision as a plan with nothing to write, if its inputs are the same still.

    None where they are not, where it cannot be shown again, or where a point does not hold what it
    says.
    """
    head = next((entry for entry in entries if entry.number == inputs.head), None)
    if head is None or head.details.inputs != inputs_digest:
        return None
    stored = parse_stored_figures(head.details.plan)
    if stored is None or find_unsettled_rows(target, points, entries, inputs.head):
        return None
    figures = stored.to_figures()
    return Plan(
        inputs=inputs,
        inputs_digest=inputs_digest,
        figures=replace(
            figures,
            before=figures.after,
            reasons=[f"nothing changed since revision {head.number}", *figures.reasons],
        ),
        gate=stored.gate.to_gate(),
        rows=PlanRows(ids=[], vectors=points.live_vectors[:0], live_digests=[], angles=[]),
        **_list_lost_points(points),
    )


def _count_drift(points: ClassifiedPoints) -> Drift:
    moved_count = len(points.ids) - len(points.find_rows(Ownership.UNMOVED))
    return Drift(moved_count, len(points.find_rows(Ownership.FOREIGN)))


def _list_lost_points(points: ClassifiedPoints) -> dict[str, list[PointId]]:
    return {
        "drifted": [points.ids[row] for row in points.find_rows(Ownership.FOREIGN)],
        "missing": points.missing,
    }


def _add_unsettled_rows(
    target: Target, points: ClassifiedPoints, rows: list[int], entries: list[Revision]
) -> list[int]:
    """Add the rows that hold what they shall although the head revision says otherwise.

    Such as a point that the application put back: unless this revision has it in its history,
    going back to this revision would bring the vector of an older one.
    """
    if not rows:
        return rows
    return sorted({*rows, *find_unsettled_rows(target, points, entries, find_head(entries))})


def _average_scores(scores: QueryScores) -> dict[str, float]:
    return {
        name: float(np.mean(query_scores)) if len(query_scores) else 0.0
        for name, query_scores in scores.items()
    }


def _digest_feedback(judgements: Judgements, erasure_state: ErasureState) -> str:
    # With the number of erasures: a plan from before one of them no longer fits.
    expected = judgements.expected_gains
    arrays = (
        judgements.query_vectors,
        judgements.query_rows,
        judgements.weights,
        expected.query_rows,
        expected.gains,
    )
    ids = checksum.digest_json([judgements.query_ids, judgements.point_ids, expected.point_ids])
    return checksum.digest_json(
        [ids, erasure_state.asked, *(checksum.digest_bytes(array.tobytes()) for array in arrays)]
    )


def _digest_settings(settings: CollectionSettings) -> str:
    relevant_settings = settings.model_dump(
        mode="json", include={"solver", "gate", "feedback", "vector"}
    )
    return checksum.digest_json(relevant_settings)


def _digest_inputs(inputs: PlanInputs, points: ClassifiedPoints) -> str:
    """Digest everything that decides where the points go, but for the answers of the index."""
    return checksum.digest_json(
        [
            version("nudge-sync"),
            inputs.settings_digest,
            inputs.feedback_digest,
            points.ids,
            checksum.digest_bytes(points.originals.tobytes()),
        ]
    )
