"""The log of a collection, as its settings say where it lies and which searches still count."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import Unauthorised
from nudge_sync.feedback.blocks.blocked_log import BlockedLog, build_block_rules
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.embedding_space import read_space
from nudge_sync.store.feedback.block_store import BlockStore
from nudge_sync.store.target import Target


def load_collection_log(
    target: Target,
    settings: CollectionSettings,
    progress: Progress = ignore_progress,
    *,
    keep_blocks: bool = False,
) -> Log:
    """Return all feedback on a collection: whatever explains or counts it reads what a cycle does.

    keep_blocks: closed days are stored as blocks, for the next time; only with the lease held.
    Without it those that there are serve all the same.
    Searches of a former embedding space are left out, unless `gate.max_drifted_share` is 1.
    Raises ConfigError where the application's log cannot be read as configured, DatabaseError,
    DamagedRecord.
    """
    feedback = open_feedback(target, settings.feedback)
    blocks = _open_blocks(target, settings.feedback, keep_blocks=keep_blocks)
    log = load_log(
        feedback.queries,
        feedback.events,
        settings.feedback,
        target.facts.dimension,
        progress,
        space=read_space(target) if settings.gate.suspects_drift else None,
        blocks=blocks,
    )
    return log if blocks is None else replace(log, block_counts=blocks.counts)


def _open_blocks(
    target: Target, settings: FeedbackSettings, *, keep_blocks: bool
) -> BlockedLog | None:
    rules = build_block_rules(settings.block_days)
    # Nobody can say what changed in the application's own log, which is why it is read whole.
    if rules is None or settings.searches is not None or settings.events is not None:
        if keep_blocks:
            with suppress(Unauthorised):
                BlockStore(target.blocks).sweep([])
        return None
    return BlockedLog(target.queries, target.events, target.blocks, rules, writes=keep_blocks)
