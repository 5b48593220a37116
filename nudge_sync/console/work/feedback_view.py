"""The feedback of a collection, as the console shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.stats import summarise_log
from nudge_sync.feedback.timeline import (
    DayVolume,
    TimedEvent,
    count_days,
    list_newest_events,
)
from nudge_sync.store.embedding_space import read_space
from nudge_sync.store.target import Target

NEWEST_EVENTS = 25


@dataclass(frozen=True)
class FeedbackView:
    """How much feedback there is, when it came, and what it turns into."""

    stats: dict[str, Any]
    """The fields of `feedback stats --json`."""
    days: list[DayVolume]
    newest: list[TimedEvent]


def build_feedback_view(
    target: Target, settings: CollectionSettings, progress: Progress
) -> FeedbackView:
    """Read all feedback and count it; write nothing. Raises ConfigError, DatabaseError."""
    feedback = open_feedback(target, settings.feedback)
    log = load_log(
        feedback.queries,
        feedback.events,
        settings.feedback,
        target.facts.dimension,
        progress,
        space=read_space(target) if settings.gate.suspects_drift else None,
    )
    return FeedbackView(
        stats=summarise_log(log, settings.feedback, target.facts.points).summary(),
        days=count_days(log),
        newest=list_newest_events(log, NEWEST_EVENTS),
    )
