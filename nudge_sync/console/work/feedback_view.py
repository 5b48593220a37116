"""The feedback of a collection, as the console shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.log.collection_log import load_collection_log
from nudge_sync.feedback.stats import summarise_log
from nudge_sync.feedback.timeline import (
    DayVolume,
    TimedEvent,
    count_days,
    list_newest_events,
)
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
    log = load_collection_log(target, settings, progress)
    return FeedbackView(
        stats=summarise_log(log, settings.feedback, target.facts.points).summary(),
        days=count_days(log),
        newest=list_newest_events(log, NEWEST_EVENTS),
    )
