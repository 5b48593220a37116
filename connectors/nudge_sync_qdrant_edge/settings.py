"""The `[database]` table for qdrant-edge."""

from __future__ import annotations

from pathlib import Path

from nudge_sync.config import Section


class Settings(Section):
    """Where the shards are, and how surely a write is kept."""

    path: Path
    """One subdirectory a collection; made if it is not there."""
    sync: bool = True
    """Flush to disk (about 0.1 s) before a record counts as stored. False: records still survive
    a killed process, but not a power cut."""
