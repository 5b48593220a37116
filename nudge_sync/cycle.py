"""One pass: feedback -> dataset -> solve -> plan -> write -> measure -> revision."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.progress import Progress, silent
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32, PointId
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import GateRefused
from nudge_sync.feedback.judged import judgements_of
from nudge_sync.planning.dataset import without_feedback
from nudge_sync.planning.held_out import LiveCheck, Probe, held_out, in_order
from nudge_sync.planning.make_plan import make_plan, refuse_stale
from nudge_sync.planning.plan import Plan
from nudge_sync.planning.plan_file import refuse_turned, refuse_unfit
from nudge_sync.store import checksum, erasure, lease
from nudge_sync.store.gc import collect
from nudge_sync.store.ledger import Ledger, Revision, head
from nudge_sync.store.provenance import recognise
from nudge_sync.store.target import Target, refuse_unsupported
from nudge_sync.store.verify import unsettled
from nudge_sync.writing.resume import conclude, finish_pending
from nudge_sync.writing.two_phase import Change, Tally, Writer, carry_out

_Back: TypeAlias = tuple[Revision | None, Tally]
"""A revision and what became of its rows; None: nothing had to go back."""
_GONE = "the feedback on these points is gone: they went back before anything was planned"


@dataclass(frozen=True)
class Applied:
    """What a cycle did."""

    plan: Plan
    revision: int | None
    """None where there was nothing to write."""
    written: int = 0
    """Rows, with those that went back first."""
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)
    live: LiveCheck | None = None
    """What held-out queries found through the live index, before and after."""

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
            "live": self.live.summary() if self.live else None,
        }


def plan(target: Target, settings: CollectionSettings, progress: Progress = silent) -> Plan:
    """What a cycle would write now, what it gains, and whether it may. Writes nothing.

    Raises UnsupportedCollection, DamagedRecord, DatabaseError.
    """
    refuse_unsupported(target.facts)
    ledger = Ledger(target.ledger, target.place)
    removed = erasure.noted(target.ledger, target.place)
    judgements = judgements_of(target, settings, progress)
    return make_plan(target, settings, judgements, ledger, progress, removed=removed)


def apply(
    target: Target,
    settings: CollectionSettings,
    plan: Plan | None = None,
    progress: Progress = silent,
) -> Applied:
    """Carry out `plan`, or one made now, and measure again through the live index.

    Finishes first what an earlier process left unfinished. Points whose feedback is gone go back
    to their originals even where the gate refuses; and where the plan is made now, before that, so
    that what is found decides as if they had never been moved. After `forget` nothing stays as it
    is for its own sake: where the gate refuses, all points go back. A loss that shows on the live
    index is rolled back at once.
    Raises GateRefused (with `plan` and `applied`), StalePlan, InputError for a plan whose vectors
    do not fit or go too far, LeaseHeld, LeaseLost, DamagedRecord, UnsupportedCollection,
    DatabaseError, and what `progress` raises.
    """
    refuse_unsupported(target.facts)
    with lease.held(target.ledger, settings.write.lease_seconds) as held:
        progress = held.beating(progress)
        writer = Writer(target, settings.write, held, progress)
        finish_pending(writer, settings)
        removed = erasure.noted(target.ledger, target.place)
        judgements = judgements_of(target, settings, progress)
        back: _Back = None, Tally()
        gone = without_feedback(target, judgements)
        if plan is None:
            back = _send_back(writer, gone)
            plan = make_plan(target, settings, judgements, writer.ledger, progress, removed=removed)
        else:
            refuse_unfit(plan, target.facts)
            refuse_stale(target, settings, judgements, writer.ledger, plan, removed=removed)
        probe = None if removed.pending else held_out(judgements)
        applied = _with(writer, _carried_out(writer, settings, plan, probe), back)
        # A plan that sends points back was made while they were not back: one more cycle is due.
        if removed.pending and not set(gone).intersection(plan.ids):
            erasure.settle(target.ledger, target.place, removed.asked)
        collect(target, writer.ledger, settings.write)
    if not plan.gate.passed:
        raise _refusal(plan, applied, "; ".join(plan.gate.reasons))
    if applied.live and applied.live.lost:
        raise _refusal(plan, applied, f"{applied.live.reason}; rolled back")
    return applied


def _send_back(writer: Writer, gone: list[PointId]) -> _Back:
    target, entries = writer.target, writer.ledger.entries()
    points = recognise(target, gone, ledger=writer.ledger)
    moved = ~is_same_vector(points.live, points.originals, rescales=target.facts.rescales)
    if not moved.any():
        return None, Tally()
    # Those that somebody else put back too: this revision has to say where they are.
    rows = sorted({*np.flatnonzero(moved), *unsettled(target, points, entries, head(entries))})
    some = points.only(np.array(rows, np.intp))
    change = Change(some.ids, some.live, some.originals, some.originals, some.enter)
    details = {"rows": len(change), "reasons": [_GONE], "live": None}
    entry = writer.ledger.open("apply", head(entries), None, details)
    entry, tally = carry_out(writer, entry, change)
    return writer.ledger.move(entry, "applied"), tally


def _with(writer: Writer, applied: Applied, sent: _Back) -> Applied:
    """The same, with the rows that went back first."""
    entry, back = sent
    revision = applied.revision
    if entry is not None and revision is None:
        # It is all there is to this plan: as long as nothing changes, the plan is this revision.
        noted = {"inputs": applied.plan.inputs, "plan": _shown(applied.plan)}
        revision = writer.ledger.annotate(entry, **noted).number
    return replace(
        applied,
        revision=revision,
        written=applied.written + back.written,
        drifted=in_order([*applied.drifted, *back.drifted]),
        missing=in_order([*applied.missing, *back.missing]),
    )


def _carried_out(
    writer: Writer, settings: CollectionSettings, plan: Plan, probe: Probe | None
) -> Applied:
    """probe: what to look for through the live index afterwards; None: a loss may not bring back
    what was there before.
    """
    change, skipped, gone = _change(writer, plan)
    if plan.held is None and writer.target.facts.metric != "dot":
        # On dot-product collections NUDGE-M may go further, by steps rather than angles.
        most = max(settings.solver.max_angle, settings.solver.angle or 0.0)
        refuse_turned(change.ids, change.vectors, change.originals, most)
    if not len(change):
        return Applied(plan, None, drifted=skipped, missing=gone)
    parent = head(writer.ledger.entries())
    measured = plan.gate.passed and probe is not None
    entry = writer.ledger.open("apply", parent, None, _details(plan, change, measured=measured))
    entry, tally = carry_out(writer, entry, change)
    live = conclude(writer, settings, entry, probe)
    return Applied(
        plan,
        entry.number,
        tally.written,
        [*skipped, *tally.drifted],
        [*gone, *tally.missing],
        live,
    )


def _change(writer: Writer, plan: Plan) -> tuple[Change, list[PointId], list[PointId]]:
    """The rows of the plan that still hold what they held then; and those that do not, or are
    gone.
    """
    points = recognise(writer.target, plan.ids, ledger=writer.ledger)
    wanted = dict(zip(plan.ids, range(plan.moved), strict=True))
    rows = [wanted[point] for point in points.ids]
    unchanged = _unchanged(writer.target, plan, rows, points.live)
    kept = np.flatnonzero(unchanged)
    skipped = [points.ids[number] for number in np.flatnonzero(~unchanged)]
    change = Change(
        ids=[points.ids[number] for number in kept],
        live=points.live[kept],
        vectors=plan.vectors[[rows[number] for number in kept]],
        originals=points.originals[kept],
        enter=points.enter[kept],
    )
    return change, skipped, points.missing


def _unchanged(target: Target, plan: Plan, rows: list[int], live: Float32) -> NDArray[np.bool_]:
    """(n,): whether what is live is what these rows of the plan held when it was made."""
    if plan.held is not None:
        return is_same_vector(live, plan.held[rows], rescales=target.facts.rescales)
    then = np.array([plan.live[row] for row in rows], dtype=object)
    return np.asarray(then == np.array(checksum.of_vectors(live), dtype=object), np.bool_)


def _details(plan: Plan, change: Change, *, measured: bool) -> dict[str, Any]:
    return {
        "rows": len(change),
        "inputs": plan.inputs,
        "live": plan.found if measured else None,
        "plan": _shown(plan),
        "digest": checksum.of_document(checksum.of_vectors(plan.vectors)),
    }


def _shown(plan: Plan) -> dict[str, Any]:
    shown = {**plan.summary(), "gate": asdict(plan.gate)}
    left_out = {"drifted_ids", "missing_ids", "moved", "drifted", "missing", "collection"}
    return {name: value for name, value in shown.items() if name not in left_out}


def _refusal(plan: Plan, applied: Applied, message: str) -> GateRefused:
    refusal = GateRefused(message)
    refusal.plan, refusal.applied = plan, applied
    return refusal
