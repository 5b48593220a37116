"""One cycle: feedback, judgements, plan and gate, the write in two phases, the measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import PointId
from nudge_sync.connector.point_ids import summarise_ids
from nudge_sync.errors import ModelChanged, OnHold
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.point_ids import sort_ids
from nudge_sync.planning.dataset import find_points_without_feedback
from nudge_sync.planning.held_out import LiveCheck, select_held_out
from nudge_sync.planning.lost_inputs import refuse_lost_plan
from nudge_sync.planning.make_plan import describe_inputs, make_plan
from nudge_sync.planning.model_change import ModelReport, examine_model
from nudge_sync.planning.plan import Plan, refuse_stale_plan
from nudge_sync.planning.plan_file import refuse_mismatched_plan
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.copies import refuse_fewer_copies
from nudge_sync.store.embedding_space import store_space
from nudge_sync.store.erasure import complete_erasure, read_erasure_state
from nudge_sync.store.hold import format_refusal, read_hold, release_hold
from nudge_sync.store.provenance import refuse_partial_history
from nudge_sync.store.target import Target, refuse_unsupported_collection
from nudge_sync.store.upkeep.gc import collect_garbage
from nudge_sync.writing.canary import refuse_running_canary, start_canary
from nudge_sync.writing.resume import finish_pending_revision, finish_pending_rollback
from nudge_sync.writing.two_phase import Writer, open_writer, require_room_for_rows
from nudge_sync.writing.write_plan import (
    WrittenRevision,
    attach_erasures,
    attach_plan,
    restore_originals,
    write_plan,
)

Outcome: TypeAlias = Literal["applied", "candidate", "unchanged", "refused", "rolled_back"]
"""What came of a cycle.

applied: a revision was written.  candidate: a canary shows it, nothing was written.  unchanged:
there was nothing to write.  refused: the gate refused the plan, and at most points without feedback
went back.  rolled_back: the plan was written, turned out a loss on the live index, and was undone.
"""


@dataclass(frozen=True)
class CycleReport:
    """What a cycle did."""

    plan: Plan
    revision: int | None
    """None where there was nothing to write."""
    written: int = 0
    """Rows, including those that went back to their originals first."""
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)
    live_check: LiveCheck | None = None
    """What held-out queries found through the live index, before and after."""
    candidate: int | None = None
    """The revision that a canary shows from now on; None where none was started."""

    @property
    def outcome(self) -> Outcome:
        """What came of the cycle."""
        if not self.plan.gate.passed:
            return "refused"
        if self.live_check is not None and self.live_check.is_loss:
            return "rolled_back"
        if self.candidate is not None:
            return "candidate"
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
        """Return the fields of `apply --json`."""
        return {
            **self.plan.summary(),
            "model": self.plan.summarise_model(),
            "blocks": self.plan.summarise_blocks(),
            "revision": self.revision,
            "written": self.written,
            **summarise_ids(
                drifted=[*self.plan.drifted, *self.drifted],
                missing=[*self.plan.missing, *self.missing],
            ),
            "live": self.live_check.summary() if self.live_check else None,
            "candidate": self.candidate,
        }


def plan(
    target: Target, settings: CollectionSettings, progress: Progress = ignore_progress
) -> Plan:
    """Return what a cycle would write now, what it gains, and whether it may. Writes nothing.

    Raises UnsupportedCollection, DamagedRecord, DatabaseError.
    """
    refuse_unsupported_collection(target.facts)
    ledger = target.open_ledger()
    erasure = read_erasure_state(target)
    judgements = load_judgements(target, settings, progress)
    return make_plan(target, settings, judgements, ledger, progress, erasure_state=erasure)


def apply(
    target: Target,
    settings: CollectionSettings,
    plan: Plan | None = None,
    progress: Progress = ignore_progress,
    *,
    release: bool = False,
    canary: CanarySettings | None = None,
) -> CycleReport:
    """Carry out `plan`, or one made now, and measure again through the live index.

    Finishes first what an earlier process left unfinished, and refuses to move anything while a
    cluster keeps fewer copies of the originals than of the collection. Points whose feedback is
    gone go back to their originals even where the gate refuses; where the plan is made now, they go
    back before that, so that the plan is the one for points that were never moved. While an erasure
    is pending no live vector stays for its own sake: where the gate refuses, all points go back. A
    loss that shows on the live index is rolled back at once.
    canary: shows what the gate lets through to some sessions instead of writing it, unless an
    erasure is pending, which does not wait.
    release: ends the hold that the collection may be on; without it, all that is done on hold is
    to finish an unfinished rollback.
    Where the documents were embedded by another model than the feedback, the ledger keeps that, and
    nothing is written until there is feedback of the new model.
    Raises OnHold, AwaitsCanary while a canary runs, ModelChanged, StalePlan, InputError for a plan
    whose vectors do not fit or go too far, LeaseHeld, LeaseLost, DamagedRecord,
    UnsupportedCollection, DatabaseError, and what `progress` raises.
    """
    with open_writer(target, settings, progress) as writer:
        _refuse_hold(writer, release=release)
        # Before minutes go into a plan that could not be written.
        require_room_for_rows(writer, 0)
        finish_pending_revision(writer)
        refuse_running_canary(writer)
        refuse_partial_history(target, writer.ledger.entries())
        refuse_fewer_copies(target, allow_fewer=settings.write.allow_fewer_copies)
        erasure = read_erasure_state(target)
        judgements = load_judgements(target, settings, writer.progress, keep_blocks=True)
        model = examine_model(target, settings, judgements, writer.ledger)
        _refuse_changed_model(writer, model)
        ids_without_feedback = find_points_without_feedback(target, judgements)
        restored = WrittenRevision()
        if plan is None:
            restored = restore_originals(writer, ids_without_feedback)
            plan = make_plan(
                target,
                settings,
                judgements,
                writer.ledger,
                writer.progress,
                erasure_state=erasure,
                model=model,
            )
        else:
            refuse_mismatched_plan(plan, target.facts)
            entries = writer.ledger.entries()
            current = describe_inputs(target, settings, judgements, entries, erasure)
            refuse_stale_plan(plan, current)
            refuse_lost_plan(plan, entries)
        # A plan that sends points back was made while they were not back: one more cycle is due.
        sends_back = not set(ids_without_feedback).isdisjoint(plan.rows.ids)
        # Where the gate refuses, points keep what they held, unless an erasure is pending.
        is_new_throughout = (plan.gate.passed or erasure.is_pending) and not sends_back
        erasures = erasure.asked if is_new_throughout else None
        if canary is not None and plan.gate.passed and not erasure.is_pending:
            written = start_canary(writer, plan, canary, erasures)
        else:
            held_out = None if erasure.is_pending else select_held_out(judgements, plan.missing)
            written = write_plan(writer, plan, held_out, erasures)
        if restored.entry is not None and written.entry is None:
            attach_plan(writer, restored.entry, plan)
        if erasure.is_pending and not sends_back:
            if written.entry is None:
                attach_erasures(writer, erasure.asked)
            complete_erasure(target, erasure.asked)
        collect_garbage(target, writer.ledger, settings.write, writer.lease)
        if not model.objection:
            store_space(target, model.stored, model.seen)
    return _build_report(plan, restored, written)


def _refuse_hold(writer: Writer, *, release: bool) -> None:
    hold = release_hold(writer.target) if release else read_hold(writer.target)
    if hold is not None and not release:
        finish_pending_rollback(writer)
        raise OnHold(format_refusal(writer.target, hold))


def _refuse_changed_model(writer: Writer, model: ModelReport) -> None:
    if not model.problem:
        return
    # From now on what was logged before is known to be of a former model.
    store_space(writer.target, model.stored, model.seen)
    raise ModelChanged(model.problem)


def _build_report(plan: Plan, restored: WrittenRevision, written: WrittenRevision) -> CycleReport:
    is_candidate = written.entry is not None and written.entry.state == "candidate"
    candidate = written.entry if is_candidate else None
    entry = restored.entry if is_candidate else written.entry or restored.entry
    return CycleReport(
        plan,
        revision=None if entry is None else entry.number,
        written=restored.tally.written + written.tally.written,
        drifted=sort_ids([*written.tally.drifted, *restored.tally.drifted]),
        missing=sort_ids([*written.tally.missing, *restored.tally.missing]),
        live_check=written.live_check,
        candidate=None if candidate is None else candidate.number,
    )
