"""The log of a collection, as its settings say where it lies and which searches still count."""

from __future__ import annotations

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.store.embedding_space import read_space
from nudge_sync.store.target import Target


def load_collection_log(
    target: Target, settings: CollectionSettings, progress: Progress = ignore_progress
) -> Log:
    """Return all feedback on a collection: whatever explains or counts it reads what a cycle does.

    Searches of a former embedding space are left out, unless `gate.max_drifted_share` is 1.
    Raises ConfigError where the application's log cannot be read as configured, DatabaseError,
    DamagedRecord.
    """
    feedback = open_feedback(target, settings.feedback)
    return load_log(
        feedback.queries,
        feedback.events,
        settings.feedback,
        target.facts.dimension,
        progress,
        space=read_space(target) if settings.gate.suspects_drift else None,
    )
