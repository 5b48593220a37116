from __future__ import annotations

from nudge_sync.history import History
from nudge_sync.revisions import Ledger
from nudge_sync.target import Target


def collect(target: Target, keep: int) -> int:
    """Delete the history that no revision worth keeping needs; returns how many records.

    Kept are the last `keep` applied revisions. Call it with the lease held.
    """
    ledger = Ledger(target.ledger, target.place)
    removed, emptied = History(target.history, target.place).collect(ledger.entries(), keep)
    for entry in emptied:
        ledger.annotate(entry, collected=True)
    return removed
