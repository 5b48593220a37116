"""Write the rows of a plan that still hold what they held when the plan was made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import PointId
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.planning.held_out import HeldOutQueries, LiveCheck
from nudge_sync.planning.plan import Plan, PlanRows
from nudge_sync.planning.plan_file import refuse_excessive_angles
from nudge_sync.store import checksum
from nudge_sync.store.ledger import Revision, find_head
from nudge_sync.store.provenance import ClassifiedPoints, classify_points
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.verify import find_unsettled_rows
from nudge_sync.writing.experiments import end_experiments
from nudge_sync.writing.resume import conclude_revision
from nudge_sync.writing.two_phase import (
    Tally,
    Writer,
    WriteSet,
    require_room_for_rows,
    write_revision,
)

_NO_FEEDBACK_REASON = (
    "the feedback on these points is gone: they went back before anything was planned"
)


@dataclass(frozen=True)
class WrittenRevision:
    """A revision that was written, and what became of its rows."""

    entry: Revision | None = None
    """None where there was nothing to write."""
    tally: Tally = field(default_factory=Tally)
    live_check: LiveCheck | None = None
    """What held-out queries found through the live index; None where that was not measured."""


def write_plan(
    writer: Writer, plan: Plan, held_out: HeldOutQueries | None, erasures: int | None
) -> WrittenRevision:
    """Write the plan's rows as a new revision, and measure it on the live index.

    held_out: what to search for afterwards; None where a loss must not bring back what was live.
    erasures: as in `RevisionDetails`.
    Rows that changed since the plan was made are left alone and counted as drifted or missing.
    Raises InputError for a plan from a file that turns a point too far, and what `write_revision`
    raises.
    """
    write_set, tally = choose_rows(writer, plan.rows)
    if not len(write_set):
        return WrittenRevision(tally=tally)
    details = describe_plan(plan, write_set, erasures)
    details["live"] = None
    if plan.gate.passed and held_out is not None:
        details |= {"live": plan.figures.found, "held_out": held_out.digest()}
    parent = find_head(writer.ledger.entries())
    end_experiments(writer, "the collection is written to")
    entry = writer.ledger.add_entry("apply", parent, None, details)
    return write_entry(writer, entry, write_set, tally, held_out)


def choose_rows(writer: Writer, rows: PlanRows) -> tuple[WriteSet, Tally]:
    """Return the planned rows that still hold what the plan found there, and a tally of the rest.

    Raises InputError for rows from a file that turn a point too far, and DiskFull.
    """
    points = classify_points(writer.target, rows.ids, ledger=writer.ledger)
    tally = Tally(missing=points.missing)
    write_set, tally.drifted = _build_write_set(writer.target, rows, points)
    if rows.live_vectors is None and len(write_set):
        _refuse_excessive_plan(writer, write_set)
    if len(write_set):
        require_room_for_rows(writer, len(write_set))
    return write_set, tally


def describe_plan(plan: Plan, write_set: WriteSet, erasures: int | None) -> dict[str, Any]:
    """Return what the ledger keeps of a plan whose rows are written, or shown by a canary."""
    return {
        **({} if erasures is None else {"erasures": erasures}),
        "rows": len(write_set),
        "inputs": plan.inputs_digest,
        "plan": _summarise_plan(plan),
        "digest": checksum.digest_json(checksum.digest_vectors(plan.rows.vectors)),
    }


def write_entry(
    writer: Writer,
    entry: Revision,
    write_set: WriteSet,
    tally: Tally,
    held_out: HeldOutQueries | None,
) -> WrittenRevision:
    """Write rows as the revision `entry`, and measure it on the live index.

    tally: of the rows that are left out; the others are added to it.
    """
    entry, written = write_revision(writer, entry, write_set)
    tally.written = written.written
    tally.drifted += written.drifted
    tally.missing += written.missing
    return WrittenRevision(entry, tally, conclude_revision(writer, entry, held_out))


def restore_originals(writer: Writer, ids: list[PointId]) -> WrittenRevision:
    """Write points back to their originals, as a revision of their own: their feedback is gone."""
    target, entries = writer.target, writer.ledger.entries()
    points = classify_points(target, ids, ledger=writer.ledger)
    is_moved = ~is_same_vector(
        points.live_vectors, points.originals, rescales=target.facts.rescales
    )
    if not is_moved.any():
        return WrittenRevision()
    head = find_head(entries)
    # Those that somebody else put back too: this revision has to say where they are.
    unsettled = find_unsettled_rows(target, points, entries, head)
    points = points.select(np.array(sorted({*np.flatnonzero(is_moved), *unsettled}), np.intp))
    write_set = WriteSet.build(points, points.originals)
    require_room_for_rows(writer, len(write_set))
    details = {"rows": len(write_set), "reasons": [_NO_FEEDBACK_REASON], "live": None}
    end_experiments(writer, _NO_FEEDBACK_REASON)
    entry = writer.ledger.add_entry("apply", head, None, details)
    entry, tally = write_revision(writer, entry, write_set)
    return WrittenRevision(writer.ledger.set_state(entry, "applied"), tally)


def attach_plan(writer: Writer, entry: Revision, plan: Plan) -> None:
    """Store `plan` with a revision that is all there was to it.

    As long as nothing changes, the next plan is this revision, and there is nothing to compute.
    """
    details = {"inputs": plan.inputs_digest, "plan": _summarise_plan(plan)}
    writer.ledger.add_details(entry, **details)


def attach_erasures(writer: Writer, count: int) -> None:
    """Store with the head that it has forgotten `count` removals: the plan is what it holds."""
    entries = writer.ledger.entries()
    head = find_head(entries)
    for entry in entries:
        if entry.number == head:
            writer.ledger.add_details(entry, erasures=count)


def _build_write_set(
    target: Target, planned: PlanRows, points: ClassifiedPoints
) -> tuple[WriteSet, list[PointId]]:
    """Return the rows that hold what they held when the plan was made, and the ids of the rest."""
    plan_row_by_id = {point: row for row, point in enumerate(planned.ids)}
    plan_rows = [plan_row_by_id[point] for point in points.ids]
    is_unchanged = _is_unchanged(target, planned, plan_rows, points.live_vectors)
    rows = np.flatnonzero(is_unchanged)
    vectors = planned.vectors[[plan_rows[row] for row in rows]]
    changed = [points.ids[row] for row in np.flatnonzero(~is_unchanged)]
    return WriteSet.build(points.select(rows), vectors), changed


def _is_unchanged(
    target: Target, planned: PlanRows, plan_rows: list[int], live_vectors: Float32
) -> NDArray[np.bool_]:
    """Return (n,): whether each live vector is the one that the plan found there."""
    if planned.live_vectors is not None:
        planned_live = planned.live_vectors[plan_rows]
        return is_same_vector(live_vectors, planned_live, rescales=target.facts.rescales)
    planned_digests = [planned.live_digests[row] for row in plan_rows]
    live_digests = checksum.digest_vectors(live_vectors)
    return np.array(
        [planned == live for planned, live in zip(planned_digests, live_digests, strict=True)],
        np.bool_,
    )


def _refuse_excessive_plan(writer: Writer, write_set: WriteSet) -> None:
    # On dot-product collections NUDGE-M may go further, by steps rather than angles.
    if writer.target.facts.metric != "dot":
        solver = writer.settings.solver
        max_angle = max(solver.max_angle, solver.angle or 0.0)
        refuse_excessive_angles(write_set.ids, write_set.vectors, write_set.originals, max_angle)


def _summarise_plan(plan: Plan) -> dict[str, Any]:
    omitted = {"drifted_ids", "missing_ids", "moved", "drifted", "missing", "collection"}
    fields = {**plan.summary(), "gate": asdict(plan.gate)}
    return {name: value for name, value in fields.items() if name not in omitted}
