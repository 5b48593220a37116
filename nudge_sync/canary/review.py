"""One review of what is compared on live traffic, and what follows from it at once.

Reading needs no lease. It is taken only where something follows, and what was read is compared
with what holds then: where somebody else was faster, nothing is done.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.base.text.percent import format_exact_percent
from nudge_sync.canary.ending import (
    ERASURE_REASON,
    ReviewReport,
    build_ending,
    end_unwritten,
    take_candidate,
    write_promotion,
)
from nudge_sync.canary.status import ExperimentStatus, read_status
from nudge_sync.config import CollectionSettings
from nudge_sync.store.erasure import read_erasure_state
from nudge_sync.store.experiments.ending import Ending
from nudge_sync.store.experiments.running import RunningExperiment, read_running_experiment
from nudge_sync.store.hold import HoldRequest, read_hold
from nudge_sync.store.ledger import Revision, find_candidate, find_head, find_pending_revisions
from nudge_sync.store.target import Target
from nudge_sync.writing.canary import read_canary_settings, show_candidate, start_holdback
from nudge_sync.writing.experiments import end_experiments
from nudge_sync.writing.rollback import go_back
from nudge_sync.writing.two_phase import Writer, open_writer


@dataclass(frozen=True)
class _Review:
    """What one review has in hand."""

    target: Target
    settings: CollectionSettings
    progress: Progress
    status: ExperimentStatus
    now: float
    """Seconds since 1970."""

    def open_writer(self) -> AbstractContextManager[Writer]:
        return open_writer(self.target, self.settings, self.progress)


def review(
    target: Target,
    settings: CollectionSettings,
    progress: Progress = ignore_progress,
    *,
    now: float | None = None,
) -> ReviewReport:
    """Review the experiment once of a collection, and do what follows from its evidence.

    now: seconds since 1970; None: this machine's clock.
    Raises OnHold where a hold is placed while a canary is promoted, LeaseHeld, LeaseLost,
    DamagedRecord, ConfigError, DatabaseError, and what `progress` raises.
    """
    now = time.time() if now is None else now
    status = read_status(target, settings, now=now)
    this = _Review(target, settings, progress, status, now)
    if status.candidate is not None:
        return _review_canary(this, status.candidate)
    if status.running is not None:
        return _review_running(this, status.running)
    return _hold_back(this)


def _review_canary(this: _Review, candidate: Revision) -> ReviewReport:
    target, status = this.target, this.status
    ending = candidate.details.ending or _choose_ending(this, candidate)
    if ending is None and status.running is not None:
        return ReviewReport(status)
    if ending is not None and ending.verdict == "promote" and read_hold(target) is not None:
        # It waits; what is compared meanwhile stays what it is.
        return ReviewReport(status, reason="it may be written once the hold is released")
    with this.open_writer() as writer:
        entry = take_candidate(writer, status)
        ending = entry.details.ending or ending
        if ending is None:
            show_candidate(target, entry)
            reason = "a crash had kept it from being shown"
            return ReviewReport(status, "shown", reason, revision=entry.number)
        if ending.verdict == "promote":
            return write_promotion(writer, status, entry, ending, gives_up=True)
        return end_unwritten(writer, status, entry, ending)


def _choose_ending(this: _Review, candidate: Revision) -> Ending | None:
    """Return how the canary ends now, or None where it goes on."""
    status, decision = this.status, this.status.decision
    if read_erasure_state(this.target).is_pending:
        return build_ending("stopped", ERASURE_REASON, decision, this.now)
    if status.head != candidate.parent:
        reason = f"the collection holds revision {status.head} by now"
        return build_ending("stopped", reason, decision, this.now)
    if decision is None:
        return None
    match decision.verdict:
        case "harm" | "inconclusive" as verdict:
            return build_ending(verdict, decision.reason, decision, this.now)
        case "promote" if read_canary_settings(candidate).on_success == "apply":
            return build_ending("promote", decision.reason, decision, this.now)
    return None


def _review_running(this: _Review, running: RunningExperiment) -> ReviewReport:
    """Review a holdback, or a canary of which the ledger knows nothing any more."""
    status, decision = this.status, this.status.decision
    if running.kind == "canary" or running.revision != status.head:
        return _clear(this, running)
    if decision is None or decision.verdict != "harm":
        return ReviewReport(status)
    reason = f"holdback: {decision.reason}"
    with this.open_writer() as writer:
        # Reading a log takes its time: what it tells of may be gone by now.
        is_live = find_head(writer.ledger.entries()) == running.revision
        if not is_live or read_running_experiment(this.target) != running:
            return ReviewReport(status)
        report = go_back(writer, 0, hold=HoldRequest("nudge-sync serve", reason))
    return ReviewReport(
        status, "rolled back", reason, revision=report.revision, written=report.restored
    )


def _clear(this: _Review, running: RunningExperiment) -> ReviewReport:
    reason = "the collection no longer holds what it compared"
    with this.open_writer() as writer:
        is_candidate = find_candidate(writer.ledger.entries()) is not None
        if is_candidate or read_running_experiment(this.target) != running:
            return ReviewReport(this.status)
        end_experiments(writer, reason)
    return ReviewReport(this.status, "cleared", reason, revision=running.revision)


def _hold_back(this: _Review) -> ReviewReport:
    """Begin a holdback where the settings ask for one and something is moved."""
    status, canary = this.status, this.settings.canary
    if canary is None or not canary.holdback_share or not status.head:
        return ReviewReport(status)
    with this.open_writer() as writer:
        entries = writer.ledger.entries()
        is_settled = not find_pending_revisions(entries) and find_candidate(entries) is None
        if not is_settled or find_head(entries) != status.head:
            return ReviewReport(status)
        start_holdback(this.target, status.head, canary)
    reason = (
        f"{format_exact_percent(canary.holdback_share)} of the {canary.unit}s get the originals"
    )
    return ReviewReport(status, "held back", reason, revision=status.head)
