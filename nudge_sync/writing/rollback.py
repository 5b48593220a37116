"""Go back to an earlier revision, or to the originals."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32, PointId
from nudge_sync.connector.point_ids import summarise_ids
from nudge_sync.connector.vectors import TOLERANCE, is_same_vector
from nudge_sync.errors import DamagedRecord, InputError
from nudge_sync.store import checksum
from nudge_sync.store.erasure import read_erasure_state, request_erasure
from nudge_sync.store.hold import Hold, HoldRequest, place_hold
from nudge_sync.store.ledger import (
    Revision,
    count_erasures,
    find_head,
    find_pending_revisions,
    find_restorable_revisions,
    trace_lineage,
)
from nudge_sync.store.lost_revisions import adopt_lost_revisions, refuse_lost_revisions
from nudge_sync.store.provenance import (
    ClassifiedPoints,
    Ownership,
    classify_points,
)
from nudge_sync.store.shadow import OriginalsByPoint
from nudge_sync.store.target import Target
from nudge_sync.writing.experiments import end_experiments
from nudge_sync.writing.two_phase import (
    Writer,
    WriteSet,
    open_writer,
    require_room_for_rows,
    write_revision,
)


@dataclass(frozen=True)
class RollbackReport:
    """What a rollback did; every point that was ever moved is counted."""

    head: int
    """The revision whose vectors the collection holds now; 0 for the originals."""
    revision: int | None
    """The number this rollback has itself; None where there was nothing to write."""
    points: int = 0
    restored: int = 0
    """Rows written."""
    identical: int = 0
    """Points that hold, read back, what they held at `head`: bit for bit, or within `tolerance`."""
    tolerance: float = 0.0
    """The difference of a component up to which points count as identical; 0: not a bit. More only
    where the collection rescales vectors by itself, as qdrant-client's local mode does."""
    rescaled: int = 0
    """Of the identical ones, those that differ in a bit all the same."""
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)
    hold: Hold | None = None
    """The hold that keeps cycles from writing again; None where none was asked for."""
    index_behind: str = ""
    """Why the index did not keep up; the vectors were written all the same."""
    erasure_pending: bool = False
    """Whether feedback was removed that the revision had learned from: the next cycle takes it out
    of the vectors again."""

    def summary(self) -> dict[str, Any]:
        """Return the fields of `rollback --json`."""
        return {
            "to": self.head,
            "revision": self.revision,
            "points": self.points,
            "restored": self.restored,
            "identical": self.identical,
            "equal_within": self.tolerance,
            "rescaled": self.rescaled,
            **summarise_ids(drifted=self.drifted, missing=self.missing),
            "hold": self.hold.summary() if self.hold else None,
            "erasure_pending": self.erasure_pending,
            "index_behind": self.index_behind,
        }


def roll_back(
    target: Target,
    settings: CollectionSettings,
    *,
    to: int | None = None,
    originals: bool = False,
    overwrite_drifted: bool = False,
    hold: HoldRequest | None = None,
    last: int | None = None,
    progress: Progress = ignore_progress,
) -> RollbackReport:
    """Go back to revision `to` (0 for the originals), or by default to before the last revision.

    Points that the application re-embedded or deleted since are left alone and named. By default a
    cycle that was left unfinished is what gets undone, and a rollback that was left unfinished is
    finished.
    originals: goes back to the originals, whatever `to` is, also where the ledger or the history is
    gone or older than the rest.
    overwrite_drifted: only with `originals`, for a collection that was restored from a backup: the
    vectors that nobody knows are taken for older ones of ours, and their points get back the newest
    original that is kept.
    hold: puts the collection on hold before the first row is written, so that no cycle writes
    again what is taken back, also where this process ends half-way.
    last: what `find_last_revision` said when somebody agreed to go back to before it.
    Raises InputError where the revision is not kept, or another one is the last by now, and
    whatever `cycle.apply` raises about the lease and the database.
    """
    with open_writer(target, settings, progress, accept_lost_revisions=originals) as writer:
        entries = writer.ledger.entries()
        if last is not None:
            _refuse_other_last(entries, last)
        goal = 0 if originals else _choose_goal(entries, to, settings.write.keep_revisions)
        return go_back(
            writer,
            goal,
            hold=hold,
            may_lack_records=originals,
            overwrite_drifted=originals and overwrite_drifted,
        )


def go_back(
    writer: Writer,
    goal: int,
    *,
    hold: HoldRequest | None = None,
    may_lack_records: bool = False,
    overwrite_drifted: bool = False,
) -> RollbackReport:
    """Go back to revision `goal`, 0 for the originals, for a caller that holds the lease.

    hold, overwrite_drifted: as in `roll_back`.
    may_lack_records: goes on where the ledger has lost revisions, which it is told of again, and
    where the history of what is live is gone: vectors that nobody knows are left alone then.
    """
    target = writer.target
    placed_hold = place_hold(target, hold, keeps_reason=True) if hold else None
    erasure_pending = _request_erasure(target, writer.ledger.entries(), goal)
    end_experiments(writer, "the collection was rolled back")
    report = _restore_revision(
        writer, goal, may_lack_records=may_lack_records, overwrite_drifted=overwrite_drifted
    )
    return replace(report, hold=placed_hold, erasure_pending=erasure_pending)


def undo_revision(writer: Writer, entry: Revision) -> RollbackReport:
    """Go back to what the collection held before `entry`. The caller holds the lease."""
    return _restore_revision(writer, entry.parent)


def _choose_goal(entries: list[Revision], to: int | None, keep: int) -> int:
    restorable = find_restorable_revisions(entries, keep)
    to = _choose_default_goal(entries) if to is None else to
    if to == 0 or to in restorable:
        return to
    listed = ", ".join(str(number) for number in restorable) or "none"
    raise InputError(
        f"revision {to} is not kept; kept are: {listed}. --originals goes back to the beginning"
    )


def find_last_revision(entries: list[Revision]) -> int:
    """Return what a rollback takes back by default; 0 where the collection holds the originals.

    A revision that was left unfinished, or else the one whose vectors the collection holds.
    """
    unfinished = _find_unfinished(entries)
    return unfinished.number if unfinished is not None else find_head(entries)


def _find_unfinished(entries: list[Revision]) -> Revision | None:
    pending = find_pending_revisions(entries)
    return next((entry for entry in pending if entry.state != "planned"), None)


def _choose_default_goal(entries: list[Revision]) -> int:
    newest = _find_unfinished(entries)
    if newest is not None:
        # The parent of a rollback is what it takes back.
        return newest.to if newest.kind == "rollback" else newest.parent
    parents = {entry.number: entry.parent for entry in entries}
    return parents.get(find_head(entries), 0)


def _refuse_other_last(entries: list[Revision], last: int) -> None:
    current = find_last_revision(entries)
    if current != last:
        state = f"revision {current}" if current else "the originals"
        raise InputError(
            f"the collection holds {state} by now, and no longer {last}, whose rollback was "
            "confirmed; look at it again"
        )


def _request_erasure(target: Target, entries: list[Revision], goal: int) -> bool:
    """Have the next cycle take out what revision `goal` learned from feedback removed since.

    Returns whether there is any.
    """
    # Cycles refuse a damaged record; it must not keep anybody from rolling back.
    with suppress(DamagedRecord):
        state = read_erasure_state(target)
        if goal and state.asked > count_erasures(entries, goal):
            if not state.is_pending:
                request_erasure(target)
            return True
    return False


def _restore_revision(
    writer: Writer, goal: int, *, may_lack_records: bool = False, overwrite_drifted: bool = False
) -> RollbackReport:
    target = writer.target
    stored_originals = target.shadow.read_originals()
    if may_lack_records:
        adopt_lost_revisions(target, writer.ledger, stored_originals)
    refuse_lost_revisions(target, writer.ledger.entries(), stored_originals)
    ids = sorted(stored_originals, key=str)
    points = classify_points(
        target, ids, stored_originals, writer.ledger, may_lack_history=may_lack_records
    )
    if overwrite_drifted:
        points = _claim_drifted(target, points, stored_originals)
    entries = writer.ledger.entries()
    goal_vectors = _reconstruct_vectors(target, points, trace_lineage(entries, goal))
    write_set, drifted = _build_write_set(target, points, goal_vectors)
    report = RollbackReport(
        goal,
        None,
        len(ids),
        tolerance=TOLERANCE if target.facts.rescales else 0.0,
        drifted=drifted,
        missing=points.missing,
    )
    if not len(write_set) and not find_pending_revisions(entries) and find_head(entries) == goal:
        return _count_identical(target, report, points.ids, goal_vectors)
    require_room_for_rows(writer, len(write_set))
    entry = writer.ledger.add_entry("rollback", find_head(entries), goal, {"rows": len(write_set)})
    entry, tally = write_revision(writer, entry, write_set)
    writer.ledger.set_state(entry, "applied")
    report = replace(
        report,
        revision=entry.number,
        restored=tally.written,
        drifted=[*drifted, *tally.drifted],
        missing=[*points.missing, *tally.missing],
        index_behind=writer.pacer.index_behind,
    )
    return _count_identical(target, report, points.ids, goal_vectors)


def _count_identical(
    target: Target, report: RollbackReport, ids: Sequence[PointId], goal_vectors: Float32
) -> RollbackReport:
    """Read every point once more, and count those that hold their row of `goal_vectors` (n, d)."""
    live_points = target.collection.read(ids)
    rows = {point: row for row, point in enumerate(ids)}
    expected = goal_vectors[[rows[point] for point in live_points.ids]]
    is_equal_by_row = is_same_vector(live_points.vectors, expected, rescales=target.facts.rescales)
    is_equal_in_bits = is_same_vector(live_points.vectors, expected, rescales=False)
    drifted = set(report.drifted)
    counts = is_equal_by_row & np.array([point not in drifted for point in live_points.ids], bool)
    rescaled = int((counts & ~is_equal_in_bits).sum())
    return replace(report, identical=int(counts.sum()), rescaled=rescaled)


def _reconstruct_vectors(target: Target, points: ClassifiedPoints, lineage: list[int]) -> Float32:
    """Return (n, d): what each point held at the revision that `lineage` starts with."""
    held_vectors = points.originals.copy()
    records = target.history.find_latest(lineage, points.ids, vectors=True)
    for row, point in enumerate(points.ids):
        record = records.get(point)
        original_digest = checksum.digest_vector(points.originals[row])
        if record is not None and record.document["original"] == original_digest:
            held_vectors[row] = np.asarray(record.vector, np.float32)
    return held_vectors


def _claim_drifted(
    target: Target, points: ClassifiedPoints, stored_originals: OriginalsByPoint
) -> ClassifiedPoints:
    """Take vectors that nobody knows for ours, made from the newest original that is kept.

    An original of another dimension, from before the collection was made anew, is none of these.
    """
    rows = points.find_rows(Ownership.FOREIGN)
    newest = [stored_originals[points.ids[row]][-1] for row in rows]
    vectors = target.shadow.read_vectors(newest)
    originals, ownership = points.originals.copy(), list(points.ownership)
    must_add_original = points.must_add_original.copy()
    for row, original in zip(rows, newest, strict=True):
        vector = vectors[original.key]
        if vector.shape == originals[row].shape:
            originals[row], ownership[row] = vector, Ownership.OURS
            must_add_original[row] = False
    return replace(
        points, originals=originals, ownership=ownership, must_add_original=must_add_original
    )


def _build_write_set(
    target: Target, points: ClassifiedPoints, goal_vectors: Float32
) -> tuple[WriteSet, list[PointId]]:
    """Return the rows that differ, and the ids of points that the application re-embedded."""
    foreign_rows = points.find_rows(Ownership.FOREIGN)
    differs = ~is_same_vector(points.live_vectors, goal_vectors, rescales=target.facts.rescales)
    differs[foreign_rows] = False
    rows = np.flatnonzero(differs)
    write_set = WriteSet.build(points.select(rows), goal_vectors[rows])
    return write_set, [points.ids[row] for row in foreign_rows]
