"""Garbage collection: delete history, originals and ledger entries that nothing needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from nudge_sync.config import WriteSettings
from nudge_sync.connector import PointId, Record
from nudge_sync.errors import Unauthorised
from nudge_sync.store import checksum
from nudge_sync.store.experiments.candidate import drop_candidate
from nudge_sync.store.history import History
from nudge_sync.store.lease import HeldLease
from nudge_sync.store.ledger import (
    PENDING_STATES,
    Ledger,
    Revision,
    find_candidate,
    find_head,
    find_restorable_revisions,
    trace_lineage,
)
from nudge_sync.store.lost_revisions import refuse_lost_revisions
from nudge_sync.store.provenance import classify_points, has_same_vector
from nudge_sync.store.shadow import OriginalsByPoint
from nudge_sync.store.target import Target, refuse_other_owner
from nudge_sync.store.upkeep.audit import prune_audit_lines
from nudge_sync.store.upkeep.restore_drill import open_scratch_records

_BATCH_SIZE = 10_000
"""Points of a revision that are looked at before the lease is."""


def collect_garbage(
    target: Target, ledger: Ledger, settings: WriteSettings, lease: HeldLease
) -> int:
    """Delete what no revision worth keeping needs, and return how many records that were.

    That is: a candidate that no canary uses; history; originals from before the application
    re-embedded a point, unless some history was made from them; and ledger entries of revisions of
    which nothing is left. Kept are the last `keep_revisions` applied revisions, the one before the
    head, whatever is not finished, every record that alone tells that a live vector is ours, and
    the last `keep_log` entries of the ledger, and as many lines of who asked for what. Renews
    `lease`, which is the collection's, as it goes. Raises UnsupportedCollection, DamagedRecord,
    LeaseLost, DatabaseError.
    """
    entries = ledger.entries()
    refuse_other_owner(target, entries)
    originals = target.shadow.read_originals()
    # History of a revision that the ledger has lost may be all that an original is kept for.
    refuse_lost_revisions(target, entries, originals)
    restorable = find_restorable_revisions(entries, settings.keep_revisions)
    expired = _find_expired(entries, restorable, settings.keep_revisions)
    # Before anything is deleted: from now on nobody rolls back to these.
    expired = [
        entry if entry.details.thinned else ledger.add_details(entry, thinned=True)
        for entry in expired
    ]
    removed = sum(_thin_history(target, ledger, entry, restorable, lease) for entry in expired)
    lease.renew()
    removed += prune_ledger(ledger, restorable, settings.keep_log)
    removed += prune_audit_lines(target, settings.keep_log)
    if find_candidate(entries) is None:
        # One is still to be shown, promoted or ended, also where no experiment runs at the moment.
        removed += drop_candidate(target, lease)
    return removed + _delete_spare_originals(target, ledger, originals, lease)


def prune_ledger(ledger: Ledger, restorable: Collection[int], keep: int) -> int:
    """Delete entries older than the last `keep` whose history is gone; return how many.

    restorable: revisions that can be rolled back to. Call it with the lease held.
    The child of a deleted entry gets that entry's parent. Since nothing of the entry is left in
    the history, what the ledger says each point held at any revision stays true. Children are
    changed first, so that a crash in between leaves entries that no other one names.
    Raises LeaseLost.
    """
    entries = ledger.entries()
    prunable = _find_prunable(entries, restorable, keep)
    for entry in entries:
        if entry.number not in prunable and entry.parent in prunable:
            ledger.set_parent(entry, _find_ancestor(entry.parent, prunable))
    ledger.delete_entries(list(prunable))
    return len(prunable)


def sweep_leftovers(target: Target, lease: HeldLease) -> int:
    """Delete the history of abandoned revisions, and what a killed drill left; return how many.

    For `gc`, not for a cycle. An abandoned revision wrote nothing: its history holds vectors that
    were never live. Where one is live all the same (two processes held a lease, on a database
    where taking it is not atomic), its record stays, since it alone tells that the vector is ours.
    No original is deleted here. Renews `lease`, which is the collection's, as it goes. Raises
    DamagedRecord, LeaseLost.
    """
    removed = 0
    for entry in target.open_ledger().entries():
        if entry.state == "abandoned":
            removed += delete_unused_history(target, entry.number, lease)
    return removed + _drop_scratch(target)


def _drop_scratch(target: Target) -> int:
    scratch = open_scratch_records(target)
    try:
        removed = scratch.count()
        scratch.drop()
    except Unauthorised:
        # Whoever may not ask for it, or drop it, has not made it.
        return 0
    return removed


def _find_expired(entries: list[Revision], restorable: Sequence[int], keep: int) -> list[Revision]:
    """Return revisions older than the last `keep` applied ones, oldest first."""
    applied = [entry for entry in entries if entry.kind == "apply" and entry.state == "applied"]
    first_kept = applied[-keep].number if len(applied) >= keep else 0
    return [
        entry
        for entry in entries
        if entry.number < first_kept
        and entry.number not in restorable
        and entry.state not in (*PENDING_STATES, "candidate")
        and not entry.details.collected
    ]


def _thin_history(
    target: Target, ledger: Ledger, entry: Revision, restorable: Sequence[int], lease: HeldLease
) -> int:
    """Delete the records of one revision that nothing needs; return how many."""
    lease.renew()
    keys = target.history.read_keys(entry.number)
    points, removed = list(keys), 0
    for start in range(0, len(points), _BATCH_SIZE):
        lease.renew()
        batch = points[start : start + _BATCH_SIZE]
        needed = _find_needed(target, entry.number, batch, ledger.entries(), restorable)
        spare_keys = [keys[point] for point in batch if point not in needed]
        target.history.records.delete(spare_keys)
        removed += len(spare_keys)
    if removed == len(keys):
        ledger.add_details(entry, collected=True)
    return removed


def _find_needed(
    target: Target,
    revision: int,
    points: Sequence[PointId],
    entries: list[Revision],
    restorable: Sequence[int],
) -> set[PointId]:
    """Return those of `points` whose record of `revision` has to stay."""
    needed = _find_needed_points(target.history, revision, points, entries, restorable)
    spare_points = [point for point in points if point not in needed]
    head = find_head(entries)
    return needed | _find_sole_evidence(target, revision, spare_points, head, entries)


def _find_needed_points(
    history: History,
    revision: int,
    points: Iterable[PointId],
    entries: list[Revision],
    restorable: Sequence[int],
) -> set[PointId]:
    """Return those of `points` for which some kept revision still held what `revision` wrote."""
    needed: set[PointId] = set()
    for restorable_number in restorable:
        lineage = trace_lineage(entries, restorable_number)
        if revision in lineage:
            newer_revisions = lineage[: lineage.index(revision)]
            candidates = sorted(set(points) - needed, key=str)
            needed |= set(candidates) - set(
                history.find_latest(newer_revisions, candidates, vectors=False)
            )
    return needed


def _find_sole_evidence(
    target: Target,
    revision: int,
    points: Sequence[PointId],
    head: int,
    entries: list[Revision],
) -> set[PointId]:
    """Return those of `points` that hold what `revision` wrote although the head says otherwise.

    Without that record a vector of ours would be taken for the application's.
    """
    history, rescales = target.history, target.facts.rescales
    live_points = target.collection.read(points)
    records = history.read_records(revision, live_points.ids, vectors=rescales)
    head_records = history.find_latest(
        trace_lineage(entries, head), live_points.ids, vectors=rescales
    )
    sole_evidence = set()
    for point, vector in zip(live_points.ids, live_points.vectors, strict=True):
        is_ours = point in records and has_same_vector(records[point], vector, rescales=rescales)
        is_in_head = point in head_records and has_same_vector(
            head_records[point], vector, rescales=rescales
        )
        if is_ours and not is_in_head:
            sole_evidence.add(point)
    return sole_evidence


def _delete_spare_originals(
    target: Target, ledger: Ledger, originals: OriginalsByPoint, lease: HeldLease
) -> int:
    """Delete originals that nothing needs, and return how many.

    Kept are a point's newest, one that is live, and what a vector in the history was made from.
    """
    replaced_originals = {
        point: versions for point, versions in originals.items() if len(versions) > 1
    }
    if not replaced_originals:
        return 0
    ids = list(replaced_originals)
    used_digests = _read_used_digests(target, ids, ledger.entries(), lease)
    points = classify_points(target, ids, replaced_originals, ledger)
    for point, digest in zip(points.ids, checksum.digest_vectors(points.originals), strict=True):
        used_digests[point].add(digest)
    spare = [
        original
        for point, versions in replaced_originals.items()
        for original in versions[:-1]
        if original.digest not in {versions[-1].digest, *used_digests[point]}
    ]
    lease.confirm()
    target.shadow.delete_originals(spare)
    return len(spare)


def _read_used_digests(
    target: Target, ids: list[PointId], entries: list[Revision], lease: HeldLease
) -> dict[PointId, set[str]]:
    """Return, by id, the digests of the originals that vectors in the history were made from."""
    history = target.history
    used_digests: dict[PointId, set[str]] = {point: set() for point in ids}
    for entry in entries:
        if not entry.details.collected:
            lease.renew()
            for point, record in history.read_records(entry.number, ids, vectors=False).items():
                used_digests[point].add(record.document["original"])
    return used_digests


def _find_prunable(
    entries: list[Revision], restorable: Collection[int], keep: int
) -> dict[int, int]:
    """Return the parent of each entry that can go, by its number."""
    # `rollback` without a goal goes to the parent of a restorable revision: those stay.
    needed = {*restorable, *(entry.parent for entry in entries if entry.number in restorable)}
    return {
        entry.number: entry.parent
        for entry in entries[:-keep]
        if entry.details.collected and entry.number not in needed
    }


def _find_ancestor(number: int, prunable: dict[int, int]) -> int:
    while number in prunable:
        number = prunable[number]
    return number


def delete_unused_history(target: Target, revision: int, lease: HeldLease) -> int:
    """Delete the history of a revision that wrote nothing; return how many records that were.

    What is live all the same stays: a ledger from a backup may say that a revision was only planned
    which was written since. Raises DamagedRecord, LeaseLost.
    """
    never_live_keys: list[str] = []
    for records in target.history.scan_revision(revision):
        lease.renew()
        never_live_keys += _find_never_live(target, records)
    lease.confirm()
    target.history.records.delete(never_live_keys)
    return len(never_live_keys)


def _find_never_live(target: Target, records: list[Record]) -> list[str]:
    live_points = target.collection.read([record.document["id"] for record in records])
    rows = {point: row for row, point in enumerate(live_points.ids)}
    return [
        record.key
        for record in records
        if record.document["id"] not in rows
        or not has_same_vector(
            record, live_points.vectors[rows[record.document["id"]]], rescales=target.facts.rescales
        )
    ]
