"""How much feedback there is, and what of it turns into judgements."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nudge_sync.base.progress import Progress, silent
from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Collection, Records
from nudge_sync.feedback.judgements import Judgements, judged
from nudge_sync.feedback.log.load import read


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
    def judged(self) -> int:
        """Points with a judgement that pulls."""
        of = self.judgements
        return len(
            {id_ for id_, weight in zip(of.point_ids, of.weights, strict=True) if weight > 0}
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
            "judged": self.judged,
            "points": self.points,
            "coverage": self.judged / self.points if self.points else 0.0,
            "set_aside": self.judgements.set_aside,
            "pushed": self.judgements.pushed,
            "funnel": [asdict(stage) for stage in self.judgements.funnel],
        }


def stats(
    queries: Records,
    events: Records,
    collection: Collection,
    settings: FeedbackSettings,
    progress: Progress = silent,
) -> FeedbackStats:
    """What is stored for the collection, counted."""
    facts = collection.describe()
    log = read(queries, events, settings, facts.dimension, progress)
    return FeedbackStats(
        searches=len(log.searches.names),
        events=sum(log.actions.values()),
        actions=dict(sorted(log.actions.items())),
        judgements=judged(log, settings),
        points=facts.points,
    )
