from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nudge_sync.base.progress import Progress, silent
from nudge_sync.connector import PointId
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import lease
from nudge_sync.store.history import History
from nudge_sync.store.integrity import all_named
from nudge_sync.store.ledger import Ledger, Revision, head, lineage, pending
from nudge_sync.store.provenance import Notes, Recognised, Shadow, Standing, holds, recognise
from nudge_sync.store.target import Target

_BATCH = 10_000


@dataclass
class Verified:
    """Every point that was ever moved, against shadow and ledger; the counts add up to `points`."""

    revision: int
    """The revision that the collection holds, by the ledger."""
    points: int = 0
    as_written: int = 0
    """Hold what that revision says they hold."""
    original: int = 0
    """Hold their original: not moved, or put back by the application."""
    behind: int = 0
    """Hold a vector of ours that is not that revision's: the next cycle settles these."""
    drifted: int = 0
    missing: int = 0
    pending: int = 0
    """Revisions that are not finished."""
    holder: str = ""
    """Who holds the lease."""

    @property
    def clean(self) -> bool:
        """Whether nothing is left to be settled."""
        return not (self.behind or self.pending)

    def summary(self) -> dict[str, Any]:
        """The fields of `verify --json`."""
        return {**self.__dict__, "clean": self.clean}


def verify(target: Target, progress: Progress = silent) -> Verified:
    """Compare the collection with shadow, history and ledger; writes nothing.

    Raises DamagedRecord where records of the sidecar's own are damaged; it names them all.
    """
    try:
        return _compared(target, progress)
    except DamagedRecord as error:
        raise all_named(target, error) from None


def _compared(target: Target, progress: Progress) -> Verified:
    entries = Ledger(target.ledger, target.place).entries()
    held = lease.holder(target.ledger)
    found = Verified(
        revision=head(entries),
        pending=len(pending(entries)),
        holder=held.describe() if held else "",
    )
    notes = Shadow(target.originals, target.place).notes()
    ids = sorted(notes, key=str)
    line = lineage(entries, found.revision)
    for start in range(0, len(ids), _BATCH):
        _count(target, ids[start : start + _BATCH], notes, line, found)
        progress("verify", min(start + _BATCH, len(ids)), len(ids))
    return found


def _count(
    target: Target, ids: list[PointId], notes: Notes, line: list[int], found: Verified
) -> None:
    points = recognise(target, ids, notes)
    settled = _settled(target, points, line)
    found.points += len(ids)
    found.missing += len(points.missing)
    for row, standing in enumerate(points.standing):
        if standing is Standing.DRIFTED:
            found.drifted += 1
        elif standing is not Standing.WRITTEN:
            found.original += 1
        elif settled[row]:
            found.as_written += 1
        else:
            found.behind += 1


def unsettled(
    target: Target, points: Recognised, entries: list[Revision], revision: int
) -> list[int]:
    """The rows of `points` that do not hold what `revision` says: written otherwise, put back or
    drifted.
    """
    line = lineage(entries, revision)
    found = _settled(target, points, line)
    return [row for row, settled in enumerate(found) if not settled]


def _settled(target: Target, points: Recognised, line: list[int]) -> list[bool]:
    """Row by row, whether a point holds what the revision says that `line` starts with."""
    rescales = target.facts.rescales
    noted = History(target.history, target.place).latest(line, points.ids, vectors=rescales)
    originals = is_same_vector(points.live, points.originals, rescales=rescales)
    return [
        holds(noted[point], points.live[row], rescales=rescales)
        if point in noted
        else bool(originals[row]) and points.standing[row] is not Standing.DRIFTED
        for row, point in enumerate(points.ids)
    ]
