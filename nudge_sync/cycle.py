"""One pass: feedback -> dataset -> solve -> plan -> write -> measure -> revision."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32, PointId
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.feedback.judged import load_collection_judgements
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.planning.dataset import find_points_without_feedback
from nudge_sync.planning.held_out import HeldOutQueries, LiveCheck, select_held_out
from nudge_sync.planning.make_plan import make_plan, refuse_stale_plan
from nudge_sync.planning.plan import Plan
from nudge_sync.planning.plan_file import refuse_excessive_angles, refuse_mismatched_plan
from nudge_sync.store import checksum, erasure, lease
from nudge_sync.store.gc import collect_garbage
from nudge_sync.store.ledger import Revision, find_head
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, refuse_unsupported_collection
from nudge_sync.store.verify import find_unsettled_rows
from nudge_sync.writing.resume import conclude_revision, finish_pending_revision
from nudge_sync.writing.two_phase import Tally, Writer, WriteSet, write_revision

Outcome: TypeAlias = Literal["applied", "unchanged", "refused", "rolled_back"]
"""What came of a cycle.

applied: a revision was written.  unchanged: there was nothing to write.  refused: the gate refused
the plan, and at most points without feedback went back.  rolled_back: the plan was written, turned
out a loss on the live index, and was undone.
"""
_RestoredRevision: TypeAlias = tuple[Revision | None, Tally]
"""A revision and what became of its rows; None: nothing had to go back."""
_NO_FEEDBACK_REASON = (
    "the feedback on these points is gone: they went back before anything was planned"
)


@dataclass(frozen=True)
class CycleReport:
    """What a cycle did."""

    plan: Plan
    revision: int | None
    """None where there was nothing to write."""
    written: int = 0
    """Rows, with those that went back first."""
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)
    live_check: LiveCheck | None = None
    """What held-out queries found through the live index, before and after."""

    @property
    def outcome(self) -> Outcome:
        """What came of the cycle."""
        if not self.plan.gate.passed:
            return "refused"
        if self.live_check is not None and self.live_check.is_loss:
            return "rolled_back"
        return "unchanged" if self.revision is None else "applied"

    @property
    def reason(self) -> str:
        """Why the change does not stand, a sentence; "" where it does."""
        if self.outcome == "refused":
            return "; ".join(self.plan.gate.reasons)
        if self.live_check is not None and self.live_check.is_loss:
            return f"{self.live_check.reason}; rolled back"
        return ""

    def summary(self) -> dict[str, Any]:
        """The fields of `apply --json`."""
        drifted = [*self.plan.drifted, *self.drifted]
        missing = [*self.plan.missing, *self.missing]
        return {
            **self.plan.summary(),
            "revision": self.revision,
            "written": self.written,
            "drifted": len(drifted),
            "drifted_ids": drifted[:1000],
            "missing": len(missing),
            "missing_ids": missing[:1000],
            "live": self.live_check.summary() if self.live_check else None,
        }


def plan(
    target: Target, settings: CollectionSettings, progress: Progress = ignore_progress
) -> Plan:
    """What a cycle would write now, what it gains, and whether it may. Writes nothing.

    Raises UnsupportedCollection, DamagedRecord, DatabaseError.
    """
    refuse_unsupported_collection(target.facts)
    ledger = target.open_ledger()
    erasure_state = erasure.read_erasure_state(target)
    judgements = load_collection_judgements(target, settings, progress)
    return make_plan(target, settings, judgements, ledger, progress, erasure_state=erasure_state)


def apply(
    target: Target,
    settings: CollectionSettings,
    plan: Plan | None = None,
    progress: Progress = ignore_progress,
) -> CycleReport:
    """Carry out `plan`, or one made now, and measure again through the live index.

    Finishes first what an earlier process left unfinished. Points whose feedback is gone go back
    to their originals even where the gate refuses; and where the plan is made now, before that, so
    that what is found decides as if they had never been moved. After `forget` nothing stays as it
    is for its own sake: where the gate refuses, all points go back. A loss that shows on the live
    index is rolled back at once.
    Raises StalePlan, InputError for a plan whose vectors
    do not fit or go too far, LeaseHeld, LeaseLost, DamagedRecord, UnsupportedCollection,
    DatabaseError, and what `progress` raises.
    """
    refuse_unsupported_collection(target.facts)
    with lease.hold_lease(target, settings.write.lease_seconds) as held_lease:
        progress = held_lease.add_heartbeat(progress)
        writer = Writer(target, settings.write, held_lease, progress)
        finish_pending_revision(writer, settings)
        erasure_state = erasure.read_erasure_state(target)
        judgements = load_collection_judgements(target, settings, progress)
        restored: _RestoredRevision = None, Tally()
        ids_without_feedback = find_points_without_feedback(target, judgements)
        if plan is None:
            restored = _restore_originals(writer, ids_without_feedback)
            plan = make_plan(
                target, settings, judgements, writer.ledger, progress, erasure_state=erasure_state
            )
        else:
            refuse_mismatched_plan(plan, target.facts)
            refuse_stale_plan(
                target, settings, judgements, writer.ledger, plan, erasure_state=erasure_state
            )
        probe = None if erasure_state.is_pending else select_held_out(judgements)
        report = _add_restored_rows(writer, _write_plan(writer, settings, plan, probe), restored)
        # A plan that sends points back was made while they were not back: one more cycle is due.
        if erasure_state.is_pending and not set(ids_without_feedback).intersection(plan.ids):
            erasure.complete_erasure(target, erasure_state.asked)
        collect_garbage(target, writer.ledger, settings.write)
    return report


def _restore_originals(writer: Writer, ids_without_feedback: list[PointId]) -> _RestoredRevision:
    target, entries = writer.target, writer.ledger.entries()
    points = classify_points(target, ids_without_feedback, ledger=writer.ledger)
    is_moved = ~is_same_vector(
        points.live_vectors, points.originals, rescales=target.facts.rescales
    )
    if not is_moved.any():
        return None, Tally()
    # Those that somebody else put back too: this revision has to say where they are.
    rows = sorted(
        {
            *np.flatnonzero(is_moved),
            *find_unsettled_rows(target, points, entries, find_head(entries)),
        }
    )
    points_to_restore = points.select(np.array(rows, np.intp))
    write_set = WriteSet(
        points_to_restore.ids,
        points_to_restore.live_vectors,
        points_to_restore.originals,
        points_to_restore.originals,
        points_to_restore.must_add_original,
    )
    details = {"rows": len(write_set), "reasons": [_NO_FEEDBACK_REASON], "live": None}
    entry = writer.ledger.add_entry("apply", find_head(entries), None, details)
    entry, tally = write_revision(writer, entry, write_set)
    return writer.ledger.set_state(entry, "applied"), tally


def _add_restored_rows(
    writer: Writer, report: CycleReport, restored: _RestoredRevision
) -> CycleReport:
    """The same, with the rows that went back first."""
    entry, restored_tally = restored
    revision = report.revision
    if entry is not None and revision is None:
        # It is all there is to this plan: as long as nothing changes, the plan is this revision.
        plan_details = {"inputs": report.plan.inputs, "plan": _summarise_plan(report.plan)}
        revision = writer.ledger.add_details(entry, **plan_details).number
    return replace(
        report,
        revision=revision,
        written=report.written + restored_tally.written,
        drifted=sort_ids([*report.drifted, *restored_tally.drifted]),
        missing=sort_ids([*report.missing, *restored_tally.missing]),
    )


def _write_plan(
    writer: Writer, settings: CollectionSettings, plan: Plan, probe: HeldOutQueries | None
) -> CycleReport:
    """probe: what to look for through the live index afterwards; None: a loss may not bring back
    what was there before.
    """
    write_set, skipped, missing = _build_write_set(writer, plan)
    if plan.live_vectors is None and writer.target.facts.metric != "dot":
        # On dot-product collections NUDGE-M may go further, by steps rather than angles.
        max_angle = max(settings.solver.max_angle, settings.solver.angle or 0.0)
        refuse_excessive_angles(write_set.ids, write_set.vectors, write_set.originals, max_angle)
    if not len(write_set):
        return CycleReport(plan, None, drifted=skipped, missing=missing)
    parent = find_head(writer.ledger.entries())
    is_measured = plan.gate.passed and probe is not None
    entry = writer.ledger.add_entry(
        "apply", parent, None, _build_details(plan, write_set, is_measured=is_measured)
    )
    entry, tally = write_revision(writer, entry, write_set)
    live_check = conclude_revision(writer, settings, entry, probe)
    return CycleReport(
        plan,
        entry.number,
        tally.written,
        [*skipped, *tally.drifted],
        [*missing, *tally.missing],
        live_check,
    )


def _build_write_set(writer: Writer, plan: Plan) -> tuple[WriteSet, list[PointId], list[PointId]]:
    """The rows of the plan that still hold what they held then; and those that do not, or are
    gone.
    """
    points = classify_points(writer.target, plan.ids, ledger=writer.ledger)
    row_in_plan = dict(zip(plan.ids, range(plan.moved), strict=True))
    rows = [row_in_plan[point] for point in points.ids]
    is_unchanged = _is_unchanged(writer.target, plan, rows, points.live_vectors)
    unchanged_rows = np.flatnonzero(is_unchanged)
    skipped = [points.ids[number] for number in np.flatnonzero(~is_unchanged)]
    write_set = WriteSet(
        ids=[points.ids[number] for number in unchanged_rows],
        live_vectors=points.live_vectors[unchanged_rows],
        vectors=plan.vectors[[rows[number] for number in unchanged_rows]],
        originals=points.originals[unchanged_rows],
        must_add_original=points.must_add_original[unchanged_rows],
    )
    return write_set, skipped, points.missing


def _is_unchanged(
    target: Target, plan: Plan, rows: list[int], live_vectors: Float32
) -> NDArray[np.bool_]:
    """(n,): whether what is live is what these rows of the plan held when it was made."""
    if plan.live_vectors is not None:
        return is_same_vector(live_vectors, plan.live_vectors[rows], rescales=target.facts.rescales)
    planned_digests = np.array([plan.live_digests[row] for row in rows], dtype=object)
    return np.asarray(
        planned_digests == np.array(checksum.digest_vectors(live_vectors), dtype=object), np.bool_
    )


def _build_details(plan: Plan, write_set: WriteSet, *, is_measured: bool) -> dict[str, Any]:
    return {
        "rows": len(write_set),
        "inputs": plan.inputs,
        "live": plan.found if is_measured else None,
        "plan": _summarise_plan(plan),
        "digest": checksum.digest_json(checksum.digest_vectors(plan.vectors)),
    }


def _summarise_plan(plan: Plan) -> dict[str, Any]:
    fields = {**plan.summary(), "gate": asdict(plan.gate)}
    omitted = {"drifted_ids", "missing_ids", "moved", "drifted", "missing", "collection"}
    return {name: value for name, value in fields.items() if name not in omitted}
