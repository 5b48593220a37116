from __future__ import annotations

from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.judgements import Judgements, load
from nudge_sync.target import Target


def judgements_of(target: Target, settings: CollectionSettings) -> Judgements:
    """The judgements that are kept beside a collection, by its own settings."""
    return load(target.queries, target.events, settings.feedback, target.facts.dimension)
