"""Keeping the ledger short: revisions of which nothing is left go, oldest first."""

from __future__ import annotations

from collections.abc import Collection

from nudge_sync.store.ledger import Ledger, Revision


def prune_ledger(ledger: Ledger, restorable: Collection[int], keep: int) -> int:
    """Delete entries from before the last `keep` whose history is gone; returns how many.

    wanted: revisions that can be rolled back to. Call it with the lease held.
    What was built on a deleted entry is noted as built on what that one was built on. Since none
    of its history is left, each point still held at any revision what the ledger says. Children
    come first, so that a crash in between leaves entries nobody names. Raises LeaseLost.
    """
    entries = ledger.entries()
    prunable = _find_prunable(entries, restorable, keep)
    for entry in entries:
        if entry.number not in prunable and entry.parent in prunable:
            ledger.set_parent(entry, _find_ancestor(entry.parent, prunable))
    ledger.delete_entries(list(prunable))
    return len(prunable)


def _find_prunable(
    entries: list[Revision], restorable: Collection[int], keep: int
) -> dict[int, int]:
    """The parent of each entry that can go, by its number."""
    # `rollback` without a goal asks for the parents of those wanted: these ways back stay.
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
