"""What nothing will ever need: found and deleted by `gc`, never by a cycle."""

from __future__ import annotations

from nudge_sync.connector import Record
from nudge_sync.store.ledger import Revision
from nudge_sync.store.provenance import has_same_vector
from nudge_sync.store.restore_drill import open_scratch_records
from nudge_sync.store.target import Target


def sweep_leftovers(target: Target) -> int:
    """Delete the history of abandoned revisions, and what a killed drill left; returns how many.

    An abandoned revision wrote nothing: its history tells of vectors that were never live. Where
    one is live all the same (two processes that held a lease which is not one step on their
    database), its record stays, since it alone tells that the vector is ours. No original is
    touched here. Call it with the lease held. Raises DamagedRecord.
    """
    removed = 0
    for entry in target.open_ledger().entries():
        if entry.state == "abandoned":
            removed += _delete_unused_history(target, entry)
    scratch = open_scratch_records(target)
    removed += scratch.count()
    scratch.drop()
    return removed


def _delete_unused_history(target: Target, entry: Revision) -> int:
    history = target.history
    never_live_keys = [
        key
        for records in history.scan_revision(entry.number)
        for key in _find_never_live(target, records)
    ]
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
