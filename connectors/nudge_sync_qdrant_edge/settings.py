"""The `[database]` table for the connector "qdrant-edge"."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from nudge_sync.connector import Section


class EdgeSettings(Section):
    """Where the shards are, and what a write has to survive."""

    path: Path
    """One subdirectory a collection; made with the first collection that an application makes."""
    sync: bool = True
    """Flush to disk (about 0.1 s) before a record counts as stored. False: records still survive
    a killed process, but not a power cut."""
    hnsw_ef: Annotated[int, Field(ge=1)] | None = None
    """How many points a search of the index visits; as many as the index was built with
    (`ef_construct`), or are asked for, if absent. More find more, and take longer."""
    payload_mark: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """A payload key of no other use, such as _nudge_sync, where threads of this process upsert
    while the sidecar writes: rows are marked while they are written, so that an upsert that lands
    between compare and write wins."""
