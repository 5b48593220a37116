"""Feedback and vectors -> a plan: reads the collection by id and by search, writes nothing."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32
from nudge_sync.connector.vectors import angles, is_same_vector
from nudge_sync.errors import StalePlan
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.dataset import (
    PlanDataset,
    build_dataset,
    read_points_in_play,
    select_dataset_rows,
)
from nudge_sync.planning.held_out import QueryScores
from nudge_sync.planning.plan import Gate, HeldOutScores, Plan, check_gate, round_figures
from nudge_sync.planning.plan_file_schema import has_figures
from nudge_sync.solve.fit import fit
from nudge_sync.solve.problem import Choice, Similarity
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
    """What a cycle would write now, what it gains, and whether it may.

    removed: where that is pending, nothing of what is live may stay for its own sake.
    Where nothing that a plan depends on changed since the head revision, and every point holds
    what that revision says, the plan is that revision again, with nothing to write: an index that
    answers a little differently after each write cannot make a collection wander.
    """
    points = read_points_in_play(target, judgements, progress, ledger)
    # After the points: without the lease, what a cycle writes meanwhile is known to be ours.
    entries = ledger.entries()
    head = find_head(entries)
    feedback_digest = _digest_feedback(judgements, erasure_state)
    rows = select_dataset_rows(target, judgements, points)
    inputs_digest = _digest_inputs(settings, feedback_digest, points.select(rows))
    origin = {**_describe_origin(target, settings, feedback_digest, points), "head": head}
    for entry in entries:
        is_repeatable = entry.number == head and entry.details.get("inputs") == inputs_digest
        is_repeatable = is_repeatable and has_figures(entry.details.get("plan", {}))
        if is_repeatable and not find_unsettled_rows(target, points, entries, head):
            return _repeat_plan(points, entry, origin)
    dataset = build_dataset(
        target, judgements, points, rows=rows, exact=settings.solver.exact, progress=progress
    )
    progress("solve", 0, 1)
    choice = _solve(target, settings, dataset)
    progress("solve", 1, 1)
    origin["inputs"] = inputs_digest
    erasure_pending = erasure_state.is_pending
    return _build_plan(
        target,
        settings,
        points,
        dataset,
        choice,
        origin=origin,
        entries=entries,
        erasure_pending=erasure_pending,
    )


def refuse_stale_plan(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    ledger: Ledger,
    plan: Plan,
    *,
    erasure_state: ErasureState,
) -> None:
    """Raise StalePlan, naming what changed, unless the plan still fits."""
    current = {
        "collection": target.facts.collection,
        "revision": find_head(ledger.entries()),
        "feedback": _digest_feedback(judgements, erasure_state),
        "settings": _digest_settings(settings),
    }
    planned = {
        "collection": plan.collection,
        "revision": plan.head,
        "feedback": plan.feedback,
        "settings": plan.settings,
    }
    changed = [name for name in current if current[name] != planned[name]]
    if changed:
        raise StalePlan(f"since the plan was made changed: {', '.join(changed)}; plan again")


def _solve(target: Target, settings: CollectionSettings, dataset: PlanDataset) -> Choice:
    return fit(
        dataset.points.originals,
        dataset.train_queries,
        dataset.folds,
        method=settings.solver.method,
        metric=settings.solver.metric,
        similarity=_choose_similarity(target),
        angle=settings.solver.angle,
        max_angle=settings.solver.max_angle,
        weights=dataset.weights,
        threads=settings.solver.threads,
    )


def _build_plan(
    target: Target,
    settings: CollectionSettings,
    points: ClassifiedPoints,
    dataset: PlanDataset,
    choice: Choice,
    *,
    origin: dict[str, Any],
    entries: list[Revision],
    erasure_pending: bool,
) -> Plan:
    metric, similarity = settings.solver.metric, _choose_similarity(target)
    live_scores, original_scores, planned_scores = (
        _score_held_out(vectors, dataset, similarity)
        for vectors in (dataset.points.live_vectors, dataset.points.originals, choice.vectors)
    )
    reference_scores = original_scores if erasure_pending else live_scores
    held_out_scores = HeldOutScores(
        original_scores[metric],
        reference_scores[metric],
        planned_scores[metric],
        dataset.bystanders,
    )
    planned_vectors = points.originals.copy()
    planned_vectors[dataset.rows] = choice.vectors
    rows = _find_differing_rows(target, planned_vectors, points)
    gate = check_gate(
        held_out_scores,
        settings.gate,
        baseline_requested=settings.solver.method == "nothing",
        method=choice.method,
        moved_count=len(rows),
        point_count=target.facts.points,
    )
    if not gate.passed:
        fallback_vectors = (
            dataset.points.originals
            if erasure_pending
            else _choose_fallback(dataset, held_out_scores)
        )
        planned_vectors[dataset.rows] = fallback_vectors
        rows = _find_differing_rows(target, planned_vectors, points)
        planned_scores = _score_held_out(fallback_vectors, dataset, similarity)
    rows = _add_unsettled_rows(target, points, rows, entries)
    row_angles = angles(planned_vectors[rows], points.originals[rows])
    return Plan(
        **origin,
        metric=metric,
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
        before=round_figures(_average_scores(live_scores)),
        after=round_figures(_average_scores(planned_scores)),
        originals=round_figures(_average_scores(original_scores)),
        found=dataset.live_scores,
        gate=gate,
        ids=[points.ids[row] for row in rows],
        vectors=planned_vectors[rows],
        live_digests=checksum.digest_vectors(points.live_vectors[rows]),
        live_vectors=points.live_vectors[rows],
        angles=[round(float(angle), 6) for angle in row_angles],
    )


def _repeat_plan(points: ClassifiedPoints, entry: Revision, origin: dict[str, Any]) -> Plan:
    stored_plan = entry.details["plan"]
    gate = {**stored_plan["gate"], "interval": tuple(stored_plan["gate"]["interval"])}
    return Plan(
        **origin,
        inputs=entry.details["inputs"],
        metric=stored_plan["metric"],
        method=stored_plan["method"],
        parameters=stored_plan["parameters"],
        scores=stored_plan["scores"],
        reasons=[f"nothing changed since revision {entry.number}", *stored_plan["reasons"]],
        judged=stored_plan["judged"],
        queries=stored_plan["queries"],
        before=stored_plan["after"],
        after=stored_plan["after"],
        originals=stored_plan["originals"],
        found=stored_plan["found"],
        gate=Gate(**gate),
        ids=[],
        vectors=points.live_vectors[:0],
        live_digests=[],
        angles=[],
    )


def _describe_origin(
    target: Target, settings: CollectionSettings, feedback_digest: str, points: ClassifiedPoints
) -> dict[str, Any]:
    return {
        "collection": target.facts.collection,
        "feedback": feedback_digest,
        "settings": _digest_settings(settings),
        "drifted": [points.ids[row] for row in points.find_rows(Ownership.FOREIGN)],
        "missing": points.missing,
    }


def _find_differing_rows(
    target: Target, planned_vectors: Float32, points: ClassifiedPoints
) -> list[int]:
    is_unchanged = is_same_vector(
        planned_vectors, points.live_vectors, rescales=target.facts.rescales
    )
    return [int(row) for row in np.flatnonzero(~is_unchanged)]


def _add_unsettled_rows(
    target: Target, points: ClassifiedPoints, rows: list[int], entries: list[Revision]
) -> list[int]:
    """The same rows, and those that hold what they shall although the head says otherwise.

    A point that the application put back, say: unless this revision notes it, going back to this
    revision would bring the vector of an older one.
    """
    if not rows:
        return rows
    return sorted({*rows, *find_unsettled_rows(target, points, entries, find_head(entries))})


def _choose_fallback(dataset: PlanDataset, held_out_scores: HeldOutScores) -> Float32:
    """What the rows in play shall hold when the gate refuses.

    What they hold now, except that points which lost their feedback go back to their originals;
    and all of them do where what is live has come to be worse than the originals.
    """
    points = dataset.points
    if (
        len(held_out_scores.live_scores)
        and float(np.mean(held_out_scores.live_scores - held_out_scores.original_scores)) < 0
    ):
        return points.originals
    return np.where(dataset.is_judged[:, None], points.live_vectors, points.originals)


def _choose_similarity(target: Target) -> Similarity:
    # On Euclid collections only unit-length vectors are taken: nearest is most similar.
    return "dot" if target.facts.metric == "dot" else "cosine"


def _score_held_out(vectors: Float32, dataset: PlanDataset, similarity: Similarity) -> QueryScores:
    """Every metric of the held-out queries if the points in play held `vectors`."""
    return {
        name: metric_values(vectors, dataset.held_out_queries, name, similarity=similarity)
        for name in METRIC_NAMES
    }


def _average_scores(scores: QueryScores) -> dict[str, float]:
    return {
        name: float(np.mean(query_scores)) if len(query_scores) else 0.0
        for name, query_scores in scores.items()
    }


def _digest_inputs(
    settings: CollectionSettings, feedback_digest: str, points: ClassifiedPoints
) -> str:
    """A digest of everything that decides where the points go, but for the index's answers."""
    return checksum.digest_json(
        [
            version("nudge-sync"),
            _digest_settings(settings),
            feedback_digest,
            points.ids,
            checksum.digest_bytes(points.originals.tobytes()),
        ]
    )


def _digest_feedback(judgements: Judgements, erasure_state: ErasureState) -> str:
    """Also of how often feedback was removed: a plan from before that no longer fits."""
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
