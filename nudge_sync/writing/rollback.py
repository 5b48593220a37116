"""A revision -> the change that goes back to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress, silent
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32, PointId
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import InputError
from nudge_sync.store import checksum, lease
from nudge_sync.store.history import History
from nudge_sync.store.ledger import Revision, head, lineage, pending, restorable
from nudge_sync.store.provenance import Recognised, Shadow, Standing, recognise
from nudge_sync.store.target import Target, refuse_unsupported
from nudge_sync.writing.two_phase import Change, Tally, Writer, carry_out


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did; every point that was ever moved is counted."""

    to: int
    """The revision whose vectors the collection holds now; 0 for the originals."""
    revision: int | None
    """The number this rollback has itself; None where there was nothing to write."""
    points: int = 0
    restored: int = 0
    """Rows written."""
    identical: int = 0
    """Points that hold, read back, exactly what they held at `to`."""
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The fields of `rollback --json`."""
        return {
            "to": self.to,
            "revision": self.revision,
            "points": self.points,
            "restored": self.restored,
            "identical": self.identical,
            "drifted": len(self.drifted),
            "drifted_ids": self.drifted[:1000],
            "missing": len(self.missing),
            "missing_ids": self.missing[:1000],
        }


def roll_back(
    target: Target,
    settings: CollectionSettings,
    *,
    to: int | None = None,
    originals: bool = False,
    progress: Progress = silent,
) -> RolledBack:
    """Go back to revision `to`, to the originals, or by default to before the last revision.

    Points that the application re-embedded or deleted since are left alone and named. A revision
    that was left unfinished is what gets undone. Raises InputError where the revision is not kept,
    and whatever `cycle.apply` raises about the lease and the database.
    """
    refuse_unsupported(target.facts)
    with lease.held(target.ledger, settings.write.lease_seconds) as held:
        writer = Writer(target, settings.write, held, held.beating(progress))
        entries = writer.ledger.entries()
        goal = 0 if originals else _goal(entries, to, settings.write.keep_revisions)
        return _to(writer, goal)


def undo(writer: Writer, entry: Revision) -> RolledBack:
    """Go back to what the collection held before `entry`. The caller holds the lease."""
    return _to(writer, entry.parent)


def _goal(entries: list[Revision], to: int | None, keep: int) -> int:
    kept = restorable(entries, keep)
    to = _before_the_last(entries) if to is None else to
    if to == 0 or to in kept:
        return to
    known = ", ".join(str(number) for number in kept) or "none"
    raise InputError(
        f"revision {to} is not kept; kept are: {known}. --originals goes back to the beginning"
    )


def _before_the_last(entries: list[Revision]) -> int:
    unfinished = [entry for entry in pending(entries) if entry.state != "planned"]
    if unfinished:
        return unfinished[0].parent
    parents = {entry.number: entry.parent for entry in entries}
    return parents.get(head(entries), 0)


def _to(writer: Writer, goal: int) -> RolledBack:
    target = writer.target
    notes = Shadow(target.originals, target.place).notes()
    ids = sorted(notes, key=str)
    points = recognise(target, ids, notes, writer.ledger)
    entries = writer.ledger.entries()
    wanted = _wanted(target, points, lineage(entries, goal))
    change, drifted = _change(target, points, wanted)
    done = RolledBack(goal, None, len(ids), drifted=drifted, missing=points.missing)
    if not len(change) and not pending(entries) and head(entries) == goal:
        return _proven(target, done, points.ids, wanted)
    entry = writer.ledger.open("rollback", head(entries), goal, {"rows": len(change)})
    entry, tally = carry_out(writer, entry, change)
    writer.ledger.move(entry, "applied")
    return _proven(target, _with(done, entry, tally), points.ids, wanted)


def _with(done: RolledBack, entry: Revision, tally: Tally) -> RolledBack:
    return replace(
        done,
        revision=entry.number,
        restored=tally.written,
        drifted=[*done.drifted, *tally.drifted],
        missing=[*done.missing, *tally.missing],
    )


def _proven(
    target: Target, done: RolledBack, ids: Sequence[PointId], wanted: Float32
) -> RolledBack:
    """The same, with every point read once more and compared."""
    live = target.collection.read(ids)
    rows = {point: row for row, point in enumerate(ids)}
    held = wanted[[rows[point] for point in live.ids]]
    equal = is_same_vector(live.vectors, held, rescales=target.facts.rescales)
    spared = set(done.drifted)
    identical = sum(
        bool(found) and point not in spared for found, point in zip(equal, live.ids, strict=True)
    )
    return replace(done, identical=identical)


def _wanted(target: Target, points: Recognised, line: list[int]) -> Float32:
    """What each point held at the revision that `line` starts with."""
    wanted = points.originals.copy()
    found = History(target.history, target.place).latest(line, points.ids, vectors=True)
    for row, point in enumerate(points.ids):
        record = found.get(point)
        original = checksum.of_vector(points.originals[row])
        if record is not None and record.document["original"] == original:
            wanted[row] = np.asarray(record.vector, np.float32)
    return wanted


def _change(target: Target, points: Recognised, wanted: Float32) -> tuple[Change, list[PointId]]:
    drifted = points.where(Standing.DRIFTED)
    differs = ~is_same_vector(points.live, wanted, rescales=target.facts.rescales)
    differs[drifted] = False
    rows = np.flatnonzero(differs)
    change = Change(
        ids=[points.ids[row] for row in rows],
        live=points.live[rows],
        vectors=wanted[rows],
        originals=points.originals[rows],
        enter=points.enter[rows],
    )
    return change, [points.ids[row] for row in drifted]
