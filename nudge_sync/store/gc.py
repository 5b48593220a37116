"""Which history and which originals are still needed, and deleting the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nudge_sync.config import WriteSettings
from nudge_sync.connector import PointId
from nudge_sync.store import checksum
from nudge_sync.store.history import History
from nudge_sync.store.ledger import (
    PENDING_STATES,
    Ledger,
    Revision,
    find_head,
    find_restorable_revisions,
    trace_lineage,
)
from nudge_sync.store.provenance import classify_points, has_same_vector
from nudge_sync.store.pruning import prune_ledger
from nudge_sync.store.target import Target


def collect_garbage(target: Target, ledger: Ledger, settings: WriteSettings) -> int:
    """Delete the history that no revision worth keeping needs, originals of before the
    application re-embedded a point that no history was made from, and what the ledger says of
    revisions long gone; returns how many records.

    Kept are the last `keep_revisions` applied revisions, the one before the head, whatever is not
    finished, and every record that alone tells that a live vector is ours; and the last `keep_log`
    revisions in the ledger. Call it with the lease held.
    """
    entries = ledger.entries()
    restorable = find_restorable_revisions(entries, settings.keep_revisions)
    expired = _find_expired(entries, restorable, settings.keep_revisions)
    # Before anything is deleted: from now on nobody rolls back to these.
    expired = [
        entry if entry.details.thinned else ledger.add_details(entry, thinned=True)
        for entry in expired
    ]
    removed = sum(_thin_history(target, ledger, entry, restorable) for entry in expired)
    removed += prune_ledger(ledger, restorable, settings.keep_log)
    return removed + _delete_spare_originals(target, ledger)


def _find_expired(entries: list[Revision], restorable: Sequence[int], keep: int) -> list[Revision]:
    """Revisions from before the last `keep` applied ones, oldest first."""
    applied = [entry for entry in entries if entry.kind == "apply" and entry.state == "applied"]
    first_kept = applied[-keep].number if len(applied) >= keep else 0
    return [
        entry
        for entry in entries
        if entry.number < first_kept
        and entry.number not in restorable
        and entry.state not in PENDING_STATES
        and not entry.details.collected
    ]


def _thin_history(
    target: Target, ledger: Ledger, entry: Revision, restorable: Sequence[int]
) -> int:
    """Delete the records of one revision that nothing needs; returns how many."""
    entries = ledger.entries()
    history = target.history
    keys = history.read_keys(entry.number)
    needed = _find_needed_points(history, entry.number, keys, entries, restorable)
    spare_points = [point for point in keys if point not in needed]
    needed |= _find_sole_evidence(target, entry.number, spare_points, find_head(entries), entries)
    spare_keys = [key for point, key in keys.items() if point not in needed]
    history.records.delete(spare_keys)
    if not needed:
        ledger.add_details(entry, collected=True)
    return len(spare_keys)


def _find_needed_points(
    history: History,
    revision: int,
    points: Iterable[PointId],
    entries: list[Revision],
    restorable: Sequence[int],
) -> set[PointId]:
    """Those of `points` for which some kept revision still held what `revision` wrote."""
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
    """Those of `points` that hold what `revision` wrote, although the head says otherwise.

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


def _delete_spare_originals(target: Target, ledger: Ledger) -> int:
    """Delete originals that are neither a point's newest, nor live, nor what a vector in the
    history was made from; returns how many.
    """
    shadow = target.shadow
    replaced_originals = {
        point: notes for point, notes in shadow.read_originals().items() if len(notes) > 1
    }
    if not replaced_originals:
        return 0
    ids = list(replaced_originals)
    used_digests = _read_used_digests(target, ids, ledger.entries())
    points = classify_points(target, ids, replaced_originals, ledger)
    for point, original in zip(points.ids, checksum.digest_vectors(points.originals), strict=True):
        used_digests[point].add(original)
    spare = [
        note
        for point, notes in replaced_originals.items()
        for note in notes[:-1]
        if note.digest not in {notes[-1].digest, *used_digests[point]}
    ]
    shadow.delete_originals(spare)
    return len(spare)


def _read_used_digests(
    target: Target, ids: list[PointId], entries: list[Revision]
) -> dict[PointId, set[str]]:
    """For each id the digests of the originals that some vector in the history was made from."""
    history = target.history
    used_digests: dict[PointId, set[str]] = {point: set() for point in ids}
    for entry in entries:
        if not entry.details.collected:
            for point, record in history.read_records(entry.number, ids, vectors=False).items():
                used_digests[point].add(record.document["original"])
    return used_digests
