"""What came of a cycle, a review or a restore drill: the label of its metric, and its log line."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from nudge_sync.canary.ending import ReviewReport
from nudge_sync.cycle import CycleReport
from nudge_sync.errors import (
    AwaitsCanary,
    Interrupted,
    LeaseHeld,
    ModelChanged,
    NudgeSyncError,
    OnHold,
)
from nudge_sync.serve.log_lines import log_message
from nudge_sync.store.upkeep.restore_drill import DrillReport

CycleOutcome: TypeAlias = Literal[
    "applied",
    "canary",
    "unchanged",
    "refused",
    "on hold",
    "model changed",
    "busy",
    "unreachable",
    "failed",
    "interrupted",
]
"""The `outcome` label of `nudge_sync_cycles_total`; a loss that was rolled back is "refused",
and a cycle that starts a canary, or leaves a collection to one, is "canary"."""
ReviewOutcome: TypeAlias = Literal[
    "promoted",
    "lost",
    "harm",
    "inconclusive",
    "stopped",
    "held back",
    "rolled back",
    "shown",
    "cleared",
]
"""The `decision` label of `nudge_sync_experiment_decisions_total`."""
DrillOutcome: TypeAlias = Literal["restored", "damaged", "failed", "unreachable"]
"""The `result` label of `nudge_sync_drills_total`."""
SUCCESSFUL_OUTCOMES: frozenset[CycleOutcome] = frozenset(
    {"applied", "canary", "unchanged", "refused", "on hold", "model changed"}
)
"""Cycles that did what they should, also where there was nothing to write."""
CYCLE_LABELS = (*get_args(CycleOutcome), "left out")
"""Every `outcome` label: how a cycle ended, or that it was due and did not start."""
DRILL_LABELS = get_args(DrillOutcome)
REVIEW_LABELS = get_args(ReviewOutcome)
_SERIOUS_REVIEWS: frozenset[ReviewOutcome] = frozenset({"lost", "harm", "rolled back"})
_LOGGED_FIELDS = (
    "revision",
    "method",
    "judged",
    "moved",
    "written",
    "drifted",
    "missing",
    "before",
    "after",
    "cold",
    "index_recall",
    "blocks",
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log."""

    level: int
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    def write(self, collection: str) -> None:
        """Log the line, as one about `collection`."""
        log_message(self.level, self.message, collection=collection, **self.details)


IDLE_LINE = LogLine(logging.INFO, "nothing new since the last cycle")
"""The log line of a cycle that ended at once."""
_LEFT_ALONE: dict[type[NudgeSyncError], tuple[CycleOutcome, int, str]] = {
    OnHold: ("on hold", logging.WARNING, "on hold, nothing written"),
    ModelChanged: ("model changed", logging.WARNING, "another embedding model, nothing written"),
    AwaitsCanary: ("canary", logging.INFO, "left to the canary"),
    LeaseHeld: ("busy", logging.INFO, "left to another process"),
}
"""Errors that stop a cycle on purpose: outcome, and level and message of its log line."""


def describe_report(report: CycleReport) -> tuple[CycleOutcome, LogLine]:
    """Return the outcome of a cycle that ran to its end, and its log line."""
    outcome = report.outcome
    if outcome in {"refused", "rolled_back"}:
        line = LogLine(logging.INFO, "refused by the gate", {"reason": report.reason})
        return "refused", line
    summary = report.summary()
    details = {name: summary[name] for name in _LOGGED_FIELDS}
    if outcome == "candidate":
        details["revision"] = report.candidate
        return "canary", LogLine(logging.INFO, "canary started, nothing written", details)
    label: CycleOutcome = "applied" if outcome == "applied" else "unchanged"
    return label, LogLine(logging.INFO, f"cycle {label}", details)


def describe_error(error: Exception) -> tuple[CycleOutcome, LogLine]:
    """Return the outcome of a cycle that `error` ended, and its log line.

    The message of an error that nudge-sync does not raise itself is left out: a client's may
    quote a connection string.
    """
    kind, reason = type(error).__name__, str(error)
    if isinstance(error, Interrupted):
        message = "cycle interrupted; the next one resumes it"
        return "interrupted", LogLine(logging.INFO, message)
    if isinstance(error, OnHold | AwaitsCanary | ModelChanged | LeaseHeld):
        outcome, level, message = _LEFT_ALONE[type(error)]
        return outcome, LogLine(level, message, {"reason": reason})
    if not isinstance(error, NudgeSyncError):
        return "failed", LogLine(logging.ERROR, "cycle failed unexpectedly", {"error": kind})
    details = {"error": kind, "reason": reason}
    if error.transient:
        return "unreachable", LogLine(logging.WARNING, "not now", details)
    return "failed", LogLine(logging.ERROR, "cycle failed", details)


def describe_review(report: ReviewReport) -> tuple[ReviewOutcome, LogLine] | None:
    """Return what a review decided, and its log line; None where it left all as it was."""
    if report.step == "none":
        return None
    outcome: ReviewOutcome
    if report.step != "ended":
        outcome = report.step
    elif report.verdict is None or report.verdict == "promote":
        outcome = "stopped"
    else:
        outcome = report.verdict
    level = logging.WARNING if outcome in _SERIOUS_REVIEWS else logging.INFO
    details = {"reason": report.reason, "revision": report.revision, "written": report.written}
    return outcome, LogLine(level, f"experiment: {outcome}", details)


def describe_review_error(error: Exception) -> LogLine:
    """Return the log line of a review that `error` ended; the next one begins anew."""
    if not isinstance(error, NudgeSyncError):
        details = {"error": type(error).__name__}
        return LogLine(logging.ERROR, "review failed unexpectedly", details)
    details = {"error": type(error).__name__, "reason": str(error)}
    if type(error) in _LEFT_ALONE or error.transient:
        return LogLine(logging.INFO, "review put off", details)
    return LogLine(logging.ERROR, "review failed", details)


def describe_drill(report: DrillReport) -> tuple[DrillOutcome, LogLine]:
    """Return the outcome of a restore drill that ran to its end, and its log line."""
    summary = report.summary()
    if report.is_restorable:
        return "restored", LogLine(logging.INFO, "drill ended", summary)
    return "damaged", LogLine(logging.ERROR, "drill ended", summary)


def describe_drill_error(error: Exception) -> tuple[DrillOutcome, LogLine]:
    """Return the outcome of a restore drill that `error` ended, and its log line.

    The message of an error that nudge-sync does not raise itself is left out, as in
    `describe_error`.
    """
    if not isinstance(error, NudgeSyncError):
        details = {"error": type(error).__name__}
        return "failed", LogLine(logging.ERROR, "drill failed unexpectedly", details)
    details = {"reason": str(error)}
    if error.transient:
        return "unreachable", LogLine(logging.WARNING, "drill failed", details)
    return "failed", LogLine(logging.ERROR, "drill failed", details)
