"""Finish what a crash, an error or a stop left unfinished, from the database alone."""

from __future__ import annotations

from typing import Any

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.planning.held_out import (
    HeldOutQueries,
    LiveCheck,
    compare_live_scores,
    measure_live_scores,
    select_held_out,
)
from nudge_sync.store import lease
from nudge_sync.store.ledger import Revision, find_pending_revisions
from nudge_sync.store.target import Target, refuse_unsupported_collection
from nudge_sync.writing.pacing import Pacer
from nudge_sync.writing.rollback import undo_revision
from nudge_sync.writing.two_phase import Writer, roll_forward, supersede_older_revisions


def resume(
    target: Target, settings: CollectionSettings, progress: Progress = ignore_progress
) -> dict[str, Any] | None:
    """Finish or give up the unfinished revision; what became of it, or None if there was none.

    A revision of which nothing was written yet is abandoned; one that was being written is
    finished. Raises what `cycle.apply` raises about the lease and the database.
    """
    refuse_unsupported_collection(target.facts)
    with lease.hold_lease(target, settings.write.lease_seconds) as held_lease:
        writer = Writer(target, settings.write, held_lease, held_lease.add_heartbeat(progress))
        return finish_pending_revision(writer, settings)


def finish_pending_revision(writer: Writer, settings: CollectionSettings) -> dict[str, Any] | None:
    """The same, for a caller that holds the lease."""
    result = None
    for entry in find_pending_revisions(writer.ledger.entries()):
        if entry.state == "planned":
            abandoned = writer.ledger.set_state(entry, "abandoned")
            writer.history.delete_revision(entry.number)
            result = abandoned.summary()
            continue
        return _finish_revision(writer, settings, entry)
    return result


def _finish_revision(
    writer: Writer, settings: CollectionSettings, entry: Revision
) -> dict[str, Any]:
    if entry.state == "writing":
        entry, _ = roll_forward(writer, entry)
    supersede_older_revisions(writer, entry)
    judgements = load_judgements(writer.target, settings, writer.progress)
    conclude_revision(writer, settings, entry, select_held_out(judgements))
    return writer.ledger.read_entry(entry.number).summary()


def conclude_revision(
    writer: Writer, settings: CollectionSettings, entry: Revision, probe: HeldOutQueries | None
) -> LiveCheck | None:
    """Measure a written revision through the live index and note it applied.

    A loss beyond the gate is rolled back at once. What was not measured before it was written
    (a rollback, points that only went back to their originals) is not measured now: None.
    """
    before = entry.details.get("live")
    if entry.kind == "rollback" or before is None or probe is None:
        writer.ledger.set_state(entry, "applied")
        return None
    # Rows that wait for the index may not be found yet: that would look like a loss.
    Pacer(writer.target.collection, writer.settings, writer.progress).wait_for_index()
    after = measure_live_scores(
        writer.target.collection, probe, exact=settings.solver.exact, progress=writer.progress
    )
    check = compare_live_scores(before, after, settings.solver.metric, settings.gate)
    if check.is_loss:
        # Left in state "written" until the rollback supersedes it: a crash in between is resumed.
        undo_revision(writer, writer.ledger.add_details(entry, lost=check.summary()))
    else:
        writer.ledger.set_state(entry, "applied", live=check.summary())
    return check
