"""How a canary ends: written, or not, and what the ledger and the report say of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from nudge_sync.canary.status import ExperimentStatus, choose_canary_settings
from nudge_sync.errors import AwaitsCanary, InputError
from nudge_sync.experiment.evidence.decision import Decision
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.planning.held_out import LiveCheck, select_present_held_out
from nudge_sync.planning.model_change import examine_model
from nudge_sync.store.embedding_space import store_space
from nudge_sync.store.erasure import read_erasure_state
from nudge_sync.store.experiments.ending import Ending, EndingVerdict
from nudge_sync.store.ledger import Revision, find_candidate, now_ms
from nudge_sync.writing.canary import prepare_promotion, promote_canary, start_holdback
from nudge_sync.writing.experiments import end_canary
from nudge_sync.writing.two_phase import Writer
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


ERASURE_REASON = "feedback was removed, and the plan was made from it"


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


def end_unwritten(
    writer: Writer, status: ExperimentStatus, entry: Revision, ending: Ending
) -> ReviewReport:
    """End the canary of `entry` without writing it."""
    return _report_end(status, end_canary(writer, entry, ending))


def _report_end(status: ExperimentStatus, entry: Revision) -> ReviewReport:
    """Report what the ledger says of a canary that ended without being written."""
    ending = entry.details.ending
    reason, verdict = ("", None) if ending is None else (ending.reason, ending.verdict)
    return ReviewReport(status, "ended", reason, verdict, entry.number)


def build_ending(
    verdict: EndingVerdict, reason: str, decision: Decision | None, now: float, by: str = ""
) -> Ending:
    """Return an ending with the evidence of a decision.

    now: seconds since 1970.  by: who decided it; "" for nudge-sync.
    """
    evidence = decision.evidence.summary() if decision and decision.evidence else {}
    return Ending(verdict, reason[:1000], int(now * 1000), by[:500], evidence)


def take_candidate(writer: Writer, status: ExperimentStatus) -> Revision:
    """Return the candidate as the ledger has it now. Raises AwaitsCanary if it is another one."""
    entry = find_candidate(writer.ledger.entries())
    if entry is None or status.candidate is None or entry.number != status.candidate.number:
        raise AwaitsCanary("another process ended the canary at this moment; nothing was done")
    return entry


def write_promotion(
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
        stopped = replace(ending, verdict="stopped", reason=ERASURE_REASON)
        return end_unwritten(writer, status, entry, stopped)
    judgements = load_judgements(target, settings, writer.progress)
    model = examine_model(target, settings, judgements, writer.ledger)
    if model.problem:
        stopped = replace(ending, verdict="stopped", reason=model.problem[:1000])
        report = end_unwritten(writer, status, entry, stopped)
        # From now on what was logged before is known to be of a former model.
        store_space(target, model.stored, model.seen)
        return report
    try:
        held_out = select_present_held_out(target, judgements)
        promotion = prepare_promotion(writer, entry, held_out)
    except InputError as error:
        if not gives_up:
            raise
        stopped = Ending("stopped", str(error)[:1000], now_ms(), evidence=ending.evidence)
        return end_unwritten(writer, status, entry, stopped)
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
