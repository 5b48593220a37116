"""Finish what a crash, an error or a stop left unfinished, from the database alone."""

from __future__ import annotations

from typing import Any, TypeGuard

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import OnHold
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.planning.held_out import (
    HeldOutQueries,
    LiveCheck,
    compare_live_scores,
    measure_live_scores,
    select_present_held_out,
)
from nudge_sync.store.hold import Hold, format_refusal, read_hold
from nudge_sync.store.ledger import Revision, find_pending_revisions
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.gc import delete_unused_history
from nudge_sync.writing.rollback import undo_revision
from nudge_sync.writing.two_phase import (
    Writer,
    open_writer,
    roll_forward,
    supersede_older_revisions,
)

_NOT_MEASURED_REASON = (
    "not measured on the live index: its held-out queries or their answers changed before it was "
    "finished"
)


def resume(
    target: Target, settings: CollectionSettings, progress: Progress = ignore_progress
) -> dict[str, Any] | None:
    """Finish or abandon the unfinished revision, and return its summary; None if there is none.

    A revision of which nothing was written yet is abandoned; one that was being written is
    finished. On hold, only a rollback is finished: OnHold is raised where something else is left.
    Raises what `cycle.apply` raises about the lease and the database.
    """
    with open_writer(target, settings, progress) as writer:
        hold = read_hold(target)
        if hold is None:
            return finish_pending_revision(writer)
        result = finish_pending_rollback(writer)
        _refuse_unfinished_apply(writer, hold)
        return result


def _refuse_unfinished_apply(writer: Writer, hold: Hold) -> None:
    for entry in find_pending_revisions(writer.ledger.entries()):
        raise OnHold(
            f"revision {entry.number} stays unfinished, since {format_refusal(writer.target, hold)}"
            ". `nudge-sync rollback` undoes it"
        )


def finish_pending_revision(writer: Writer) -> dict[str, Any] | None:
    """Finish or abandon the unfinished revision, for a caller that holds the lease.

    Returns its summary, or None if there is none.
    """
    result = None
    for entry in find_pending_revisions(writer.ledger.entries()):
        if entry.state == "planned":
            result = _abandon(writer, entry)
            continue
        return _finish_revision(writer, entry)
    return result


def _abandon(writer: Writer, entry: Revision) -> dict[str, Any]:
    abandoned = writer.ledger.set_state(entry, "abandoned")
    delete_unused_history(writer.target, entry.number, writer.lease)
    return abandoned.summary()


def finish_pending_rollback(writer: Writer) -> dict[str, Any] | None:
    """Finish an unfinished rollback of a collection on hold, for a caller that holds the lease.

    It is what the person who placed the hold asked for. A revision of which nothing was written
    yet is abandoned; one that moves points is left as it is. Returns the summary of what was
    finished or abandoned, or None.
    """
    pending = find_pending_revisions(writer.ledger.entries())
    started = [entry for entry in pending if entry.state != "planned"]
    if started and started[0].kind == "apply":
        for entry in pending:
            if entry.state == "planned":
                _abandon(writer, entry)
        return None
    return finish_pending_revision(writer)


def conclude_revision(
    writer: Writer, entry: Revision, held_out: HeldOutQueries | None
) -> LiveCheck | None:
    """Measure a written revision on the live index, and store it as applied.

    held_out: the queries to measure by. A loss beyond the gate is rolled back at once. What was
    not measured before it was written (a rollback, points that only went back to their originals)
    is not measured now: None.
    """
    before = entry.details.live
    if entry.kind == "rollback" or before is None or held_out is None:
        writer.ledger.set_state(entry, "applied")
        return None
    # Rows that wait for the index may not be found yet: that would look like a loss.
    writer.pacer.wait_for_index()
    solver, gate = writer.settings.solver, writer.settings.gate
    after = measure_live_scores(
        writer.target, held_out, exact=solver.exact, progress=writer.progress
    )
    scores_before = {name: float(score) for name, score in before.items() if _is_score(score)}
    check = compare_live_scores(scores_before, after, solver.metric, gate)
    if check.is_loss:
        # Left in state "written" until the rollback supersedes it: a crash in between is resumed.
        undo_revision(writer, writer.ledger.add_details(entry, lost=check.summary()))
    else:
        writer.ledger.set_state(entry, "applied", live=check.summary())
    return check


def _is_score(value: object) -> TypeGuard[float]:
    # Once measured, the field holds the scores before and after, and whether that is a loss.
    return isinstance(value, float | int) and not isinstance(value, bool)


def _finish_revision(writer: Writer, entry: Revision) -> dict[str, Any]:
    if entry.state == "writing":
        entry, _ = roll_forward(writer, entry)
    supersede_older_revisions(writer, entry)
    if entry.details.lost is not None:
        undo_revision(writer, entry)
    else:
        _conclude_resumed(writer, entry)
    return writer.ledger.read_entry(entry.number).summary()


def _conclude_resumed(writer: Writer, entry: Revision) -> None:
    """Measure and store a revision, if its held-out queries are those that were measured before.

    Others score differently, whatever was written: then it is stored without a measurement.
    """
    judgements = load_judgements(writer.target, writer.settings, writer.progress)
    held_out = select_present_held_out(writer.target, judgements)
    if entry.details.live is not None and entry.details.held_out != held_out.digest():
        entry = writer.ledger.add_details(
            entry, live=None, reasons=[*entry.details.reasons, _NOT_MEASURED_REASON]
        )
    conclude_revision(writer, entry, held_out)
