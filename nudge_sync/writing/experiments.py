"""End what is compared on live traffic, before anything that it compares changes."""

from __future__ import annotations

from nudge_sync.store.experiments.candidate import drop_candidate
from nudge_sync.store.experiments.ending import Ending
from nudge_sync.store.experiments.running import end_experiment
from nudge_sync.store.ledger import Revision, find_candidate, now_ms
from nudge_sync.store.upkeep.gc import delete_unused_history
from nudge_sync.writing.two_phase import Writer


def end_canary(writer: Writer, entry: Revision, ending: Ending) -> Revision:
    """End the canary of the candidate `entry` without writing it, and return it, abandoned.

    The ledger says first how it ended, so that whoever comes after a crash ends it the same way.
    Raises LeaseLost, DatabaseError.
    """
    writer.lease.confirm()
    entry = store_ending(writer, entry, ending)
    end_experiment(writer.target)
    # A promotion that was called off may have staged rows.
    delete_unused_history(writer.target, entry.number, writer.lease)
    entry = writer.ledger.set_state(entry, "abandoned")
    drop_candidate(writer.target, writer.lease)
    return entry


def store_ending(writer: Writer, entry: Revision, ending: Ending) -> Revision:
    """Have the ledger say how the canary of `entry` ends, and return the entry.

    Which of two counts: see `Ending.replaces`. Raises LeaseLost.
    """
    if not ending.replaces(entry.details.ending):
        return entry
    return writer.ledger.add_details(entry, ending=ending)


def end_experiments(writer: Writer, reason: str, by: str = "") -> None:
    """End the canary or the holdback that runs, if any: the collection is about to change.

    reason: why, a sentence for the ledger. Raises LeaseLost, DatabaseError.
    """
    entry = find_candidate(writer.ledger.entries())
    # What runs may be of another process that took the lease meanwhile.
    writer.lease.confirm()
    if entry is not None:
        end_canary(writer, entry, Ending("stopped", reason, now_ms(), by))
    elif end_experiment(writer.target) is not None:
        drop_candidate(writer.target, writer.lease)
