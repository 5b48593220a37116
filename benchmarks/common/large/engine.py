"""What million_points.py asks of an engine: a database with one filled and indexed collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from nudge_sync.connector import Database, Float32


@dataclass(frozen=True)
class Graph:
    """How an HNSW index is built, and searched."""

    m: int
    ef_construct: int
    ef: int


@dataclass
class LargeEngine:
    """An open database with one collection of a made-up corpus, indexed."""

    product: str
    database: Database
    collection: str
    update: Callable[[Sequence[int], Float32], None]
    """The bare client's update of one batch of vectors."""
    count_indexed: Callable[[], int]
    """How many vectors the index holds, as the engine says."""
    resources: ExitStack = field(default_factory=ExitStack)
    """What is closed with the database: clients, servers."""

    def close(self) -> None:
        self.database.close()
        self.resources.close()
