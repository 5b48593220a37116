"""What a person says of a canary or a holdback: write it, or end it."""

from __future__ import annotations

import time

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.canary.ending import (
    ReviewReport,
    build_ending,
    end_unwritten,
    take_candidate,
    write_promotion,
)
from nudge_sync.canary.status import (
    identify_experiment,
    read_running_to_stop,
    read_status,
    read_status_to_stop,
)
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import InputError
from nudge_sync.store.ledger import find_candidate
from nudge_sync.store.target import Target
from nudge_sync.writing.experiments import end_experiments
from nudge_sync.writing.two_phase import open_writer


def promote(
    target: Target,
    settings: CollectionSettings,
    by: str,
    progress: Progress = ignore_progress,
    *,
    number: int | None = None,
) -> ReviewReport:
    """Write the candidate of the canary that runs, on a person's word.

    Where removed feedback waits to be forgotten, the canary is stopped instead.
    number: promotes the candidate of this revision alone.
    Raises InputError where no canary runs, or the canary of another revision, and what `review`
    raises.
    """
    status = read_status(target, settings, now=time.time())
    if status.candidate is None:
        raise InputError(f'no canary runs on "{target.facts.collection}"')
    if number is not None and status.candidate.number != number:
        raise InputError(
            f"the canary tries revision {status.candidate.number} by now, and no longer "
            f"{number}, which was confirmed; look at it again"
        )
    ending = build_ending("promote", "promoted by hand", status.decision, time.time(), by)
    with open_writer(target, settings, progress) as writer:
        entry = take_candidate(writer, status)
        return write_promotion(writer, status, entry, ending)


def stop(
    target: Target,
    settings: CollectionSettings,
    by: str,
    reason: str = "",
    progress: Progress = ignore_progress,
    *,
    experiment: str | None = None,
) -> ReviewReport:
    """End the canary or the holdback that runs, on a person's word. Writes no vector.

    A holdback that the settings ask for begins again with the next review of `serve`. A record of
    it that cannot be read is replaced.
    experiment: ends the one that `identify_experiment` says this of, and no other. Raises
    InputError where another one runs.
    Raises LeaseHeld, LeaseLost, DatabaseError.
    """
    now = time.time()
    status = read_status_to_stop(target, settings, now=now)
    with open_writer(target, settings, progress) as writer:
        entry = find_candidate(writer.ledger.entries())
        running, is_damaged = read_running_to_stop(target)
        if experiment is not None:
            _refuse_other_experiment(identify_experiment(entry, running), experiment)
        if entry is not None:
            why = reason or "stopped by hand"
            ending = build_ending("stopped", why, status.decision, now, by)
            return end_unwritten(writer, status, entry, ending)
        end_experiments(writer, reason, by)
    if running is None and not is_damaged:
        return ReviewReport(status)
    revision = None if running is None else running.revision
    return ReviewReport(status, "cleared", reason or "stopped by hand", revision=revision)


def _refuse_other_experiment(current: str, confirmed: str) -> None:
    if current and current != confirmed:
        raise InputError(
            f"{current} runs by now, which is not the experiment that was confirmed; look at it "
            "again"
        )
