"""Which outcomes the webhook is told of, and the sentence that each is told in."""

from __future__ import annotations

from collections import Counter

from nudge_sync.serve.jobs.outcomes import CycleOutcome, DrillOutcome, LogLine, ReviewOutcome
from nudge_sync.serve.notices.webhook import Notification, Webhook

_NOTIFIED_CYCLES: frozenset[CycleOutcome] = frozenset({"applied", "refused", "failed"})
_NOTIFIED_DRILLS: frozenset[DrillOutcome] = frozenset({"damaged", "failed"})
_STUCK_AFTER = 3
"""Cycles in a row that found the lease held."""


class Notifier:
    """Tells the webhook, where there is one, of what people want to hear of."""

    def __init__(self, webhook: Webhook | None) -> None:
        self._webhook = webhook
        self._busy_counts: Counter[str] = Counter()

    def report_cycle(self, collection: str, outcome: CycleOutcome, line: LogLine) -> None:
        """Tell of a cycle that wrote, was refused or failed, started a canary, or found the lease
        held too often in a row.
        """
        self._busy_counts[collection] = (
            self._busy_counts[collection] + 1 if outcome == "busy" else 0
        )
        if self._busy_counts[collection] == _STUCK_AFTER:
            stuck = LogLine(line.level, "the lease is held, cycle after cycle", line.details)
            self._send("lease.stuck", collection, stuck)
        # A cycle that leaves the collection to a canary has a reason; one that starts it has none.
        is_start = outcome == "canary" and "reason" not in line.details
        if outcome in _NOTIFIED_CYCLES or is_start:
            self._send("canary.started" if is_start else f"cycle.{outcome}", collection, line)

    def report_review(self, collection: str, outcome: ReviewOutcome, line: LogLine) -> None:
        """Tell of what a review of a canary or a holdback decided."""
        self._send(f"experiment.{outcome.replace(' ', '_')}", collection, line)

    def report_drill(self, collection: str, outcome: DrillOutcome, line: LogLine) -> None:
        """Tell of a restore drill that failed, or found damage."""
        if outcome in _NOTIFIED_DRILLS:
            self._send(f"drill.{outcome}", collection, line)

    def _send(self, notification_type: str, collection: str, line: LogLine) -> None:
        if self._webhook is not None:
            text = f"nudge-sync, {collection}: {line.message}"
            reason, revision = line.details.get("reason"), line.details.get("revision")
            text += f" (revision {revision})" if revision is not None else ""
            text += f": {reason}" if reason else ""
            self._webhook.send(Notification(notification_type, collection, text, line.details))
