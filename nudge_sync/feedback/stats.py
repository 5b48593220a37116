"""How much feedback there is, and what of it turns into judgements."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nudge_sync.feedback.agreement import Agreement
from nudge_sync.feedback.blocks.counts import BlockCounts
from nudge_sync.feedback.coverage import measure_coverage
from nudge_sync.feedback.judgements import Judgements, build_judgements
from nudge_sync.feedback.log.columns import Log
from nudge_sync.settings.feedback import FeedbackSettings


@dataclass(frozen=True, slots=True)
class FeedbackStats:
    """Counts of what is stored, and the funnel from events to judgements."""

    searches: int
    former_searches: int
    """Searches that are left out because their vectors are of a former embedding space."""
    events: int
    actions: dict[str, int]
    judgements: Judgements
    points: int
    """How many points the collection has."""
    blocks: BlockCounts | None = None
    """How the log was read; None where blocks are not used."""
    agreement: Agreement | None = None
    """Of what models judge with what people say; None where no model judged."""

    @property
    def judged_points(self) -> int:
        """How many points have a judgement with a weight above 0."""
        return measure_coverage(self.judgements, self.points).judged_points

    def summary(self) -> dict[str, Any]:
        """Return the fields that `--json` prints."""
        weights = self.judgements.weights
        return {
            "searches": self.searches,
            "former_searches": self.former_searches,
            "events": self.events,
            "actions": self.actions,
            "queries": len(self.judgements.query_ids),
            "judgements": len(weights),
            "positive": int((weights > 0).sum()),
            "negative": int((weights <= 0).sum()),
            **measure_coverage(self.judgements, self.points).summary(),
            "set_aside": self.judgements.suspected_bots,
            "pushed": self.judgements.promoted_points,
            "funnel": [asdict(stage) for stage in self.judgements.funnel],
            "blocks": self.blocks.summary() if self.blocks is not None else None,
            "agreement": self.agreement.summary() if self.agreement is not None else None,
        }


def summarise_log(log: Log, settings: FeedbackSettings, points: int) -> FeedbackStats:
    """Count what a log holds, and build the judgements it gives.

    points: how many the collection has.
    """
    return FeedbackStats(
        searches=len(log.searches.query_ids),
        former_searches=log.former_searches,
        events=sum(log.action_counts.values()),
        actions=dict(sorted(log.action_counts.items())),
        judgements=build_judgements(log, settings),
        points=points,
        blocks=log.block_counts,
    )
