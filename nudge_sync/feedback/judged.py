from __future__ import annotations

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.judgements import Judgements, read_judgements
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.store.target import Target


def load_collection_judgements(
    target: Target, settings: CollectionSettings, progress: Progress = ignore_progress
) -> Judgements:
    """The judgements of a collection, from all its feedback, by its own settings."""
    feedback = open_feedback(target, settings.feedback)
    dimension = target.facts.dimension
    return read_judgements(
        feedback.queries, feedback.events, settings.feedback, dimension, progress
    )
