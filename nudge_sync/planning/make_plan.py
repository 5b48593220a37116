"""Feedback and vectors -> a plan: reads the collection by id and by search, writes nothing."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import Any

from nudge_sync.base.arrays import Float32
from nudge_sync.base.progress import Progress
from nudge_sync.base.tracing import traced
from nudge_sync.compute.open import open_executor
from nudge_sync.config import CollectionSettings
from nudge_sync.connector.vectors import angles
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.planning.cold_documents import measure_cold_documents, resolve_cold_share
from nudge_sync.planning.cross_fit import cross_fit, solve_split
from nudge_sync.planning.dataset import (
    PlanDataset,
    build_dataset,
    read_points_in_play,
    select_dataset_rows,
)
from nudge_sync.planning.lost_inputs import find_lost_revision
from nudge_sync.planning.model_change import ModelReport, examine_model
from nudge_sync.planning.plan import Plan, PlanInputs, PlanRows
from nudge_sync.planning.plan_file_schema import parse_stored_figures
from nudge_sync.planning.proposal import Proposal, Solution
from nudge_sync.planning.unjudged.search import choose_similarity
from nudge_sync.store import checksum
from nudge_sync.store.erasure import ErasureState
from nudge_sync.store.ledger import Ledger, Revision, find_head
from nudge_sync.store.provenance import ClassifiedPoints, Ownership
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.verify import find_unsettled_rows


def make_plan(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    ledger: Ledger,
    progress: Progress,
    *,
    erasure_state: ErasureState,
    model: ModelReport | None = None,
) -> Plan:
    """Return what a cycle would write now, what it gains, and whether it may.

    erasure_state: while an erasure is pending, no live vector stays for its own sake.
    model: from a caller that looked already. Where feedback is of another model, nothing is moved.
    Where nothing that a plan depends on changed since the head revision, and every point holds
    what that revision says, the plan is that revision again, with nothing to write: an index that
    answers a little differently after each write cannot make a collection wander.
    """
    model = model or examine_model(target, settings, judgements, ledger)
    points = read_points_in_play(target, judgements, progress, ledger)
    # After the points: without the lease, what a cycle writes meanwhile is known to be ours.
    entries = ledger.entries()
    rows = select_dataset_rows(target, judgements, points)
    inputs = describe_inputs(target, settings, judgements, entries, erasure_state)
    inputs_digest = _digest_inputs(inputs, points.select(rows))
    repeated = _repeat_head(target, points, entries, inputs, inputs_digest)
    if repeated is not None and not model.refusal:
        return replace(repeated, model=model, block_counts=judgements.block_counts)
    dataset = build_dataset(
        target,
        judgements,
        points,
        rows=rows,
        min_queries=settings.gate.min_queries,
        exact=settings.solver.exact,
        progress=progress,
    )
    solution = _solve(target, settings, judgements, dataset, progress)
    proposal = Proposal(
        target,
        settings,
        points,
        dataset,
        erasure_pending=erasure_state.is_pending,
        lost_revision=find_lost_revision(entries, inputs_digest),
        model=model,
    )
    gate, planned_vectors = proposal.pass_gate(solution)
    differing_rows = proposal.find_differing_rows(planned_vectors)
    return Plan(
        inputs=inputs,
        inputs_digest=inputs_digest,
        figures=proposal.build_figures(solution, planned_vectors),
        gate=gate,
        rows=_build_rows(
            points, planned_vectors, _add_unsettled_rows(target, points, differing_rows, entries)
        ),
        model=model,
        block_counts=judgements.block_counts,
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
        feedback_digest=_digest_feedback(judgements, settings, erasure_state),
        settings_digest=_digest_settings(settings),
    )


@traced("nudge_sync.solve")
def _solve(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    dataset: PlanDataset,
    progress: Progress,
) -> Solution:
    """Choose a method, move the points by it, and measure what the gate goes by beside scores."""
    similarity = choose_similarity(target.facts.metric)
    cold_share = resolve_cold_share(settings.solver, judgements.cold_share)
    share = None if cold_share is None else cold_share.share
    progress("solve", 0, 1)
    with open_executor(settings.compute, settings.solver.threads, progress) as executor:
        choice = solve_split(
            dataset.points.originals,
            dataset,
            settings.solver,
            share,
            similarity=similarity,
            executor=executor,
        )
        progress("solve", 1, 1)
        cross_fitted = cross_fit(
            dataset,
            choice,
            settings.solver,
            share,
            similarity=similarity,
            progress=progress,
            executor=executor,
        )
        if cold_share is None:
            return Solution(choice, cross_fitted, None)
        cold = measure_cold_documents(
            dataset,
            choice,
            settings,
            cold_share,
            similarity=similarity,
            progress=progress,
            executor=executor,
        )
        return Solution(choice, cross_fitted, cold)


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


def _list_lost_points(points: ClassifiedPoints) -> dict[str, Any]:
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


def _digest_feedback(
    judgements: Judgements, settings: CollectionSettings, erasure_state: ErasureState
) -> str:
    # With the number of erasures: a plan from before one of them no longer fits. With the share of
    # cold answers, which searches without any judgement decide too.
    expected = judgements.expected_gains
    arrays = (
        judgements.query_vectors,
        judgements.query_rows,
        judgements.weights,
        expected.query_rows,
        expected.gains,
    )
    ids = checksum.digest_json([judgements.query_ids, judgements.point_ids, expected.point_ids])
    share = resolve_cold_share(settings.solver, judgements.cold_share)
    digests = [checksum.digest_bytes(array.tobytes()) for array in arrays]
    return checksum.digest_json([ids, erasure_state.asked, share and share.share, *digests])


def _digest_settings(settings: CollectionSettings) -> str:
    relevant_settings = settings.model_dump(
        mode="json",
        include={"solver", "gate", "feedback", "vector"},
        # Where feedback comes from, and how it is read, changes no plan; what came does. Neither
        # does a warning.
        exclude={"feedback": {"sources", "block_days"}, "solver": {"min_index_recall"}},
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
