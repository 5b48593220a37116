"""Keeping the ledger short: revisions of which nothing is left go, oldest first."""

from __future__ import annotations

from collections.abc import Collection

from nudge_sync.store.ledger import Ledger, Revision


def prune(ledger: Ledger, wanted: Collection[int], keep: int) -> int:
    """Delete entries from before the last `keep` whose history is gone; returns how many.

    wanted: revisions that can be rolled back to. Call it with the lease held.
    What was built on a deleted entry is noted as built on what that one was built on. Since none
    of its history is left, each point still held at any revision what the ledger says. Children
    come first, so that a crash in between leaves entries nobody names. Raises LeaseLost.
    """
    entries = ledger.entries()
    spare = _spare(entries, wanted, keep)
    for entry in entries:
        if entry.number not in spare and entry.parent in spare:
            ledger.built_on(entry, _ancestor(entry.parent, spare))
    ledger.forget(list(spare))
    return len(spare)


def _spare(entries: list[Revision], wanted: Collection[int], keep: int) -> dict[int, int]:
    """The parent of each entry that can go, by its number."""
    # `rollback` without a goal asks for the parents of those wanted: these ways back stay.
    kept = {*wanted, *(entry.parent for entry in entries if entry.number in wanted)}
    return {
        entry.number: entry.parent
        for entry in entries[:-keep]
        if entry.details.get("collected") and entry.number not in kept
    }


def _ancestor(number: int, spare: dict[int, int]) -> int:
    while number in spare:
        number = spare[number]
    return number
