"""How much feedback there is, and what of it turns into judgements."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Collection, Records
from nudge_sync.feedback.judgements import Judgements, build_judgements
from nudge_sync.feedback.log.load import load_log


@dataclass(frozen=True, slots=True)
class FeedbackStats:
    """Counts of what is stored, and the funnel from events to judgements."""

    searches: int
    events: int
    actions: dict[str, int]
    judgements: Judgements
    points: int
    """In the collection."""

    @property
    def judged_points(self) -> int:
        """Points with a judgement that pulls."""
        judgements = self.judgements
        return len(
            {
                id_
                for id_, weight in zip(judgements.point_ids, judgements.weights, strict=True)
                if weight > 0
            }
        )

    def summary(self) -> dict[str, Any]:
        """The fields that `--json` prints."""
        weights = self.judgements.weights
        return {
            "searches": self.searches,
            "events": self.events,
            "actions": self.actions,
            "queries": len(self.judgements.query_ids),
            "judgements": len(weights),
            "positive": int((weights > 0).sum()),
            "negative": int((weights <= 0).sum()),
            "judged": self.judged_points,
            "points": self.points,
            "coverage": self.judged_points / self.points if self.points else 0.0,
            "set_aside": self.judgements.suspected_bots,
            "pushed": self.judgements.promoted_points,
            "funnel": [asdict(stage) for stage in self.judgements.funnel],
        }


def count_feedback(
    queries: Records,
    events: Records,
    collection: Collection,
    settings: FeedbackSettings,
    progress: Progress = ignore_progress,
) -> FeedbackStats:
    """What is stored for the collection, counted."""
    facts = collection.describe()
    log = load_log(queries, events, settings, facts.dimension, progress)
    return FeedbackStats(
        searches=len(log.searches.query_ids),
        events=sum(log.action_counts.values()),
        actions=dict(sorted(log.action_counts.items())),
        judgements=build_judgements(log, settings),
        points=facts.points,
    )
