"""One review of what is compared on live traffic, and what follows from it at once.

Reading needs no lease. It is taken only where something follows, and what was read is compared
with what holds then: where somebody else was faster, nothing is done.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.base.text.percent import format_exact_percent
from nudge_sync.canary.status import (
    ExperimentStatus,
    choose_canary_settings,
    has_damaged_experiment,
    identify_experiment,
    read_status,
    read_status_to_stop,
)
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import AwaitsCanary, InputError
from nudge_sync.experiment.evidence.decision import Decision
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.planning.held_out import LiveCheck, select_held_out
from nudge_sync.planning.model_change import examine_model
from nudge_sync.store.embedding_space import store_space
from nudge_sync.store.erasure import read_erasure_state
from nudge_sync.store.experiments.ending import Ending, EndingVerdict
from nudge_sync.store.experiments.running import RunningExperiment, read_running_experiment
from nudge_sync.store.hold import HoldRequest, read_hold
from nudge_sync.store.ledger import (
    Revision,
    find_candidate,
    find_head,
    find_pending_revisions,
    now_ms,
)
from nudge_sync.store.target import Target
from nudge_sync.writing.canary import (
    prepare_promotion,
    promote_canary,
    read_canary_settings,
    show_candidate,
    start_holdback,
)
from nudge_sync.writing.experiments import end_canary, end_experiments
from nudge_sync.writing.rollback import go_back
from nudge_sync.writing.two_phase import Writer, open_writer
from nudge_sync.writing.write_plan import WrittenRevision

Step: TypeAlias = Literal[
    "none", "shown", "promoted", "lost", "ended", "held back", "cleared", "rolled back"
]
"""What a review did.

none: nothing had to be done.  shown: a canary that a crash kept from being shown is shown now.
promoted: the candidate was written.  lost: it was written, turned out a loss on the live index, and
was undone.  ended: the canary ended and nothing was written.  held back: a holdback began.
cleared: what a crash or a later revision left of an experiment was cleared up.  rolled back: a
holdback showed harm; the originals are back, and the collection is on hold.
"""


_ERASURE_REASON = "feedback was removed, and the plan was made from it"


@dataclass(frozen=True)
class ReviewReport:
    """What a review found, and what it did."""

    status: ExperimentStatus
    step: Step = "none"
    reason: str = ""
    """Why, a sentence; "" where nothing was done."""
    verdict: EndingVerdict | None = None
    """How the canary ended; None where it did not."""
    revision: int | None = None
    """The revision that the step was about."""
    written: int = 0
    """Rows written."""
    live_check: LiveCheck | None = None

    def summary(self) -> dict[str, Any]:
        """Return the fields of `canary promote --json` and `canary stop --json`."""
        return {
            "collection": self.status.collection,
            "step": self.step,
            "reason": self.reason,
            "verdict": self.verdict,
            "revision": self.revision,
            "written": self.written,
            "live": self.live_check.summary() if self.live_check else None,
        }


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
    ending = _build_ending("promote", "promoted by hand", status.decision, time.time(), by)
    with open_writer(target, settings, progress) as writer:
        entry = _take_candidate(writer, status)
        return _promote(writer, status, entry, ending)


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
        is_damaged = has_damaged_experiment(target)
        running = None if is_damaged else read_running_experiment(target)
        if experiment is not None:
            _refuse_other_experiment(identify_experiment(entry, running), experiment)
        if entry is not None:
            why = reason or "stopped by hand"
            ending = _build_ending("stopped", why, status.decision, now, by)
            return _end(writer, status, entry, ending)
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


def _review_canary(this: _Review, candidate: Revision) -> ReviewReport:
    target, status = this.target, this.status
    ending = candidate.details.ending or _choose_ending(this, candidate)
    if ending is None and status.running is not None:
        return ReviewReport(status)
    if ending is not None and ending.verdict == "promote" and read_hold(target) is not None:
        # It waits; what is compared meanwhile stays what it is.
        return ReviewReport(status, reason="it may be written once the hold is released")
    with this.open_writer() as writer:
        entry = _take_candidate(writer, status)
        ending = entry.details.ending or ending
        if ending is None:
            show_candidate(target, entry)
            reason = "a crash had kept it from being shown"
            return ReviewReport(status, "shown", reason, revision=entry.number)
        if ending.verdict == "promote":
            return _promote(writer, status, entry, ending, gives_up=True)
        return _end(writer, status, entry, ending)


def _end(writer: Writer, status: ExperimentStatus, entry: Revision, ending: Ending) -> ReviewReport:
    """End the canary of `entry` without writing it."""
    return _report_end(status, end_canary(writer, entry, ending))


def _report_end(status: ExperimentStatus, entry: Revision) -> ReviewReport:
    """Report what the ledger says of a canary that ended without being written."""
    ending = entry.details.ending
    reason, verdict = ("", None) if ending is None else (ending.reason, ending.verdict)
    return ReviewReport(status, "ended", reason, verdict, entry.number)


def _choose_ending(this: _Review, candidate: Revision) -> Ending | None:
    """Return how the canary ends now, or None where it goes on."""
    status, decision = this.status, this.status.decision
    if read_erasure_state(this.target).is_pending:
        return _build_ending("stopped", _ERASURE_REASON, decision, this.now)
    if status.head != candidate.parent:
        reason = f"the collection holds revision {status.head} by now"
        return _build_ending("stopped", reason, decision, this.now)
    if decision is None:
        return None
    match decision.verdict:
        case "harm" | "inconclusive" as verdict:
            return _build_ending(verdict, decision.reason, decision, this.now)
        case "promote" if read_canary_settings(candidate).on_success == "apply":
            return _build_ending("promote", decision.reason, decision, this.now)
    return None


def _build_ending(
    verdict: EndingVerdict, reason: str, decision: Decision | None, now: float, by: str = ""
) -> Ending:
    evidence = decision.evidence.summary() if decision and decision.evidence else {}
    return Ending(verdict, reason[:1000], int(now * 1000), by[:500], evidence)


def _take_candidate(writer: Writer, status: ExperimentStatus) -> Revision:
    """Return the candidate as the ledger has it now. Raises AwaitsCanary if it is another one."""
    entry = find_candidate(writer.ledger.entries())
    if entry is None or status.candidate is None or entry.number != status.candidate.number:
        raise AwaitsCanary("another process ended the canary at this moment; nothing was done")
    return entry


def _promote(
    writer: Writer,
    status: ExperimentStatus,
    entry: Revision,
    ending: Ending,
    *,
    gives_up: bool = False,
) -> ReviewReport:
    """Write the candidate of `entry`, unless what it learned no longer holds: that ends the canary.

    gives_up: ends the canary where the settings do not let it be written any more; without it,
    InputError is raised, and the canary goes on.
    """
    target, settings = writer.target, writer.settings
    if read_erasure_state(target).is_pending:
        stopped = replace(ending, verdict="stopped", reason=_ERASURE_REASON)
        return _end(writer, status, entry, stopped)
    judgements = load_judgements(target, settings, writer.progress)
    model = examine_model(target, settings, judgements, writer.ledger)
    if model.problem:
        stopped = replace(ending, verdict="stopped", reason=model.problem[:1000])
        report = _end(writer, status, entry, stopped)
        # From now on what was logged before is known to be of a former model.
        store_space(target, model.stored, model.seen)
        return report
    try:
        promotion = prepare_promotion(writer, entry, select_held_out(judgements))
    except InputError as error:
        if not gives_up:
            raise
        stopped = Ending("stopped", str(error)[:1000], now_ms(), evidence=ending.evidence)
        return _end(writer, status, entry, stopped)
    return _report_promotion(writer, status, ending, promote_canary(writer, promotion, ending))


def _report_promotion(
    writer: Writer, status: ExperimentStatus, ending: Ending, written: WrittenRevision
) -> ReviewReport:
    entry, check = written.entry, written.live_check
    number = None if entry is None else entry.number
    if entry is not None and entry.state == "abandoned":
        return _report_end(status, entry)
    if check is not None and check.is_loss:
        reason = f"{check.reason}; rolled back"
        return ReviewReport(status, "lost", reason, "promote", number, written.tally.written, check)
    canary = choose_canary_settings(status.candidate, writer.settings)
    if canary.holdback_share and number is not None:
        start_holdback(writer.target, number, canary)
    return ReviewReport(
        status, "promoted", ending.reason, "promote", number, written.tally.written, check
    )


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
