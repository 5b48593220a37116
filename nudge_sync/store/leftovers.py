"""What nothing will ever need: found and deleted by `gc`, never by a cycle."""

from __future__ import annotations

from nudge_sync.connector import Record
from nudge_sync.store.history import History
from nudge_sync.store.ledger import Ledger, Revision
from nudge_sync.store.provenance import holds
from nudge_sync.store.restore_drill import scratch_of
from nudge_sync.store.target import Target


def sweep(target: Target) -> int:
    """Delete the history of abandoned revisions, and what a killed drill left; returns how many.

    An abandoned revision wrote nothing: its history tells of vectors that were never live. Where
    one is live all the same (two processes that held a lease which is not one step on their
    database), its record stays, since it alone tells that the vector is ours. No original is
    touched here. Call it with the lease held. Raises DamagedRecord.
    """
    removed = 0
    for entry in Ledger(target.ledger, target.place).entries():
        if entry.state == "abandoned":
            removed += _forget(target, entry)
    scratch = scratch_of(target)
    removed += scratch.count()
    scratch.drop()
    return removed


def _forget(target: Target, entry: Revision) -> int:
    history = History(target.history, target.place)
    spare = [key for records in history.of(entry.number) for key in _never_live(target, records)]
    target.history.delete(spare)
    return len(spare)


def _never_live(target: Target, records: list[Record]) -> list[str]:
    live = target.collection.read([record.document["id"] for record in records])
    rows = {point: row for row, point in enumerate(live.ids)}
    return [
        record.key
        for record in records
        if record.document["id"] not in rows
        or not holds(
            record, live.vectors[rows[record.document["id"]]], rescales=target.facts.rescales
        )
    ]
