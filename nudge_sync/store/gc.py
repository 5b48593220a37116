"""Which history and which originals are still needed, and deleting the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nudge_sync.config import WriteSettings
from nudge_sync.connector import PointId
from nudge_sync.store import checksum
from nudge_sync.store.history import History
from nudge_sync.store.ledger import PENDING, Ledger, Revision, head, lineage, restorable
from nudge_sync.store.provenance import holds, recognise
from nudge_sync.store.pruning import prune
from nudge_sync.store.shadow import Shadow
from nudge_sync.store.target import Target


def collect(target: Target, ledger: Ledger, settings: WriteSettings) -> int:
    """Delete the history that no revision worth keeping needs, originals of before the
    application re-embedded a point that no history was made from, and what the ledger says of
    revisions long gone; returns how many records.

    Kept are the last `keep_revisions` applied revisions, the one before the head, whatever is not
    finished, and every record that alone tells that a live vector is ours; and the last `keep_log`
    revisions in the ledger. Call it with the lease held.
    """
    entries = ledger.entries()
    wanted = restorable(entries, settings.keep_revisions)
    old = _old(entries, wanted, settings.keep_revisions)
    # Before anything is deleted: from now on nobody rolls back to these.
    old = [
        entry if entry.details.get("thinned") else ledger.annotate(entry, thinned=True)
        for entry in old
    ]
    removed = sum(_thin(target, ledger, entry, wanted) for entry in old)
    removed += prune(ledger, wanted, settings.keep_log)
    return removed + _forget_originals(target, ledger)


def _old(entries: list[Revision], wanted: Sequence[int], keep: int) -> list[Revision]:
    """Revisions from before the last `keep` applied ones, oldest first."""
    applied = [entry for entry in entries if entry.kind == "apply" and entry.state == "applied"]
    oldest = applied[-keep].number if len(applied) >= keep else 0
    return [
        entry
        for entry in entries
        if entry.number < oldest
        and entry.number not in wanted
        and entry.state not in PENDING
        and not entry.details.get("collected")
    ]


def _thin(target: Target, ledger: Ledger, entry: Revision, wanted: Sequence[int]) -> int:
    """Delete the records of one revision that nothing needs; returns how many."""
    entries = ledger.entries()
    history = History(target.history, target.place)
    keys = history.keys(entry.number)
    needed = _needed(history, entry.number, keys, entries, wanted)
    spare = [point for point in keys if point not in needed]
    needed |= _alone(target, entry.number, spare, head(entries), entries)
    gone = [key for point, key in keys.items() if point not in needed]
    history.records.delete(gone)
    if not needed:
        ledger.annotate(entry, collected=True)
    return len(gone)


def _needed(
    history: History,
    revision: int,
    points: Iterable[PointId],
    entries: list[Revision],
    wanted: Sequence[int],
) -> set[PointId]:
    """Those of `points` for which some kept revision still held what `revision` wrote."""
    needed: set[PointId] = set()
    for kept in wanted:
        line = lineage(entries, kept)
        if revision in line:
            newer = line[: line.index(revision)]
            left = sorted(set(points) - needed, key=str)
            needed |= set(left) - set(history.latest(newer, left, vectors=False))
    return needed


def _alone(
    target: Target,
    revision: int,
    points: Sequence[PointId],
    current: int,
    entries: list[Revision],
) -> set[PointId]:
    """Those of `points` that hold what `revision` wrote, although the head says otherwise.

    Without that record a vector of ours would be taken for the application's.
    """
    history, rescales = History(target.history, target.place), target.facts.rescales
    live = target.collection.read(points)
    records = history.at(revision, live.ids, vectors=rescales)
    newer = history.latest(lineage(entries, current), live.ids, vectors=rescales)
    found = set()
    for point, vector in zip(live.ids, live.vectors, strict=True):
        ours = point in records and holds(records[point], vector, rescales=rescales)
        told = point in newer and holds(newer[point], vector, rescales=rescales)
        if ours and not told:
            found.add(point)
    return found


def _forget_originals(target: Target, ledger: Ledger) -> int:
    """Delete originals that are neither a point's newest, nor live, nor what a vector in the
    history was made from; returns how many.
    """
    shadow = Shadow(target.originals, target.place)
    several = {point: notes for point, notes in shadow.notes().items() if len(notes) > 1}
    if not several:
        return 0
    ids = list(several)
    used = _made_from(target, ids, ledger.entries())
    held = recognise(target, ids, several, ledger)
    for point, original in zip(held.ids, checksum.of_vectors(held.originals), strict=True):
        used[point].add(original)
    spare = [
        note
        for point, notes in several.items()
        for note in notes[:-1]
        if note.digest not in {notes[-1].digest, *used[point]}
    ]
    shadow.forget(spare)
    return len(spare)


def _made_from(
    target: Target, ids: list[PointId], entries: list[Revision]
) -> dict[PointId, set[str]]:
    """For each id the digests of the originals that some vector in the history was made from."""
    history = History(target.history, target.place)
    found: dict[PointId, set[str]] = {point: set() for point in ids}
    for entry in entries:
        if not entry.details.get("collected"):
            for point, record in history.at(entry.number, ids, vectors=False).items():
                found[point].add(record.document["original"])
    return found
