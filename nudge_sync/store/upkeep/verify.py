"""Compare the collection with shadow, history and ledger, point by point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import PointId, Record
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import lease
from nudge_sync.store.ledger import (
    Revision,
    find_head,
    find_pending_revisions,
    trace_lineage,
)
from nudge_sync.store.lost_revisions import refuse_lost_revisions
from nudge_sync.store.provenance import (
    ClassifiedPoints,
    Ownership,
    classify_points,
    has_same_vector,
)
from nudge_sync.store.shadow import OriginalsByPoint
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.integrity import name_damaged_records

_BATCH_SIZE = 10_000
"""Points that are read and compared at a time."""


@dataclass
class VerifyReport:
    """Every point that was ever moved, counted by what it holds; the counts add up to `points`."""

    revision: int
    """The revision that the collection holds, by the ledger."""
    points: int = 0
    as_written: int = 0
    """Points that hold what that revision says they hold."""
    original: int = 0
    """Points that hold their original: not moved, or put back by the application."""
    behind: int = 0
    """Points that hold a vector of ours but not that revision's: the next cycle mends these."""
    drifted: int = 0
    missing: int = 0
    pending: int = 0
    """Revisions that are not finished."""
    holder: str = ""
    """Who holds the lease."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left for a cycle or `resume` to mend."""
        return not (self.behind or self.pending)

    def summary(self) -> dict[str, Any]:
        """Return the fields of `verify --json`."""
        return {**self.__dict__, "clean": self.is_clean}


def verify(target: Target, progress: Progress = ignore_progress) -> VerifyReport:
    """Compare the collection with shadow, history and ledger; write nothing.

    Raises DamagedRecord, which names all damaged records of the sidecar's own, and DatabaseError.
    """
    try:
        return _compare_points(target, progress)
    except DamagedRecord as error:
        raise name_damaged_records(target, error) from None


def _compare_points(target: Target, progress: Progress) -> VerifyReport:
    entries = target.open_ledger().entries()
    active_lease = lease.read_active_lease(target)
    report = VerifyReport(
        revision=find_head(entries),
        pending=len(find_pending_revisions(entries)),
        holder=active_lease.describe() if active_lease else "",
    )
    stored_originals = target.shadow.read_originals()
    refuse_lost_revisions(target, entries, stored_originals)
    ids = sorted(stored_originals, key=str)
    lineage = trace_lineage(entries, report.revision)
    for start in range(0, len(ids), _BATCH_SIZE):
        _count_batch(target, ids[start : start + _BATCH_SIZE], stored_originals, lineage, report)
        progress("verify", min(start + _BATCH_SIZE, len(ids)), len(ids))
    _refuse_lost_originals(target, entries, stored_originals)
    return report


def _refuse_lost_originals(
    target: Target, entries: list[Revision], stored_originals: OriginalsByPoint
) -> None:
    """Raise DamagedRecord if the history has vectors made from originals that are not kept."""
    revisions = {entry.number for entry in entries if not entry.details.collected}
    keys = _find_baseless_keys(target.history.scan_all(), revisions, stored_originals)
    if keys:
        # A cycle beside may have stored new originals, or cleared up old ones with their history.
        originals = target.shadow.read_originals()
        records = target.history.read_by_keys(keys)
        keys = _find_baseless_keys([records], revisions, originals)
    if keys:
        raise DamagedRecord(
            f'"{target.shadow.collection_name}" lacks the originals of {len(keys)} records of '
            f'"{target.history.collection_name}", such as {keys[0]!r}: is it from an older backup? '
            "Restore it from one as recent as the others; without, these points stay as they are"
        )


def _find_baseless_keys(
    batches: Iterable[list[Record]], revisions: set[int], originals: OriginalsByPoint
) -> list[str]:
    """Return the keys of records of `revisions` whose original is none of `originals`."""
    return [
        record.key
        for records in batches
        for record in records
        if record.document["revision"] in revisions
        and not any(
            original.digest == record.document["original"]
            for original in originals.get(record.document["id"], ())
        )
    ]


def _count_batch(
    target: Target,
    ids: list[PointId],
    stored_originals: OriginalsByPoint,
    lineage: list[int],
    report: VerifyReport,
) -> None:
    points = classify_points(target, ids, stored_originals)
    is_settled = _find_settled(target, points, lineage)
    report.points += len(ids)
    report.missing += len(points.missing)
    for row, ownership in enumerate(points.ownership):
        if ownership is Ownership.FOREIGN:
            report.drifted += 1
        elif ownership is not Ownership.OURS:
            report.original += 1
        elif is_settled[row]:
            report.as_written += 1
        else:
            report.behind += 1


def find_unsettled_rows(
    target: Target, points: ClassifiedPoints, entries: list[Revision], revision: int
) -> list[int]:
    """Return the rows of `points` that do not hold what `revision` says they hold.

    They were written by another revision, put back to their originals, or re-embedded.
    """
    lineage = trace_lineage(entries, revision)
    is_settled = _find_settled(target, points, lineage)
    return [row for row, settled in enumerate(is_settled) if not settled]


def _find_settled(target: Target, points: ClassifiedPoints, lineage: list[int]) -> list[bool]:
    """Return, row by row, whether a point holds what the first revision of `lineage` says."""
    rescales = target.facts.rescales
    history_records = target.history.find_latest(lineage, points.ids, vectors=rescales)
    is_original = is_same_vector(points.live_vectors, points.originals, rescales=rescales)
    return [
        has_same_vector(history_records[point], points.live_vectors[row], rescales=rescales)
        if point in history_records
        else bool(is_original[row]) and points.ownership[row] is not Ownership.FOREIGN
        for row, point in enumerate(points.ids)
    ]
