"""A few points on any engine, and what the application last wrote to each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from applications import application
from handmade import handmade, near

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Database, Float32
from nudge_sync.store import lease
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.verify import verify
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back

POINTS, DIMENSION = 10, 4
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=4))


class Place:
    """A collection of a few unit vectors, and what the application last wrote to each."""

    def __init__(self, engine: str, folder: Path, server: str) -> None:
        self.engine = engine
        self.application = application(engine, folder, server)
        self.database: Database = self.application.connect()
        rows = np.random.default_rng(0).normal(size=(POINTS, DIMENSION))
        self.originals: Float32 = np.asarray(
            rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32
        )
        self.application.fill(self.database, self.originals, "cosine")

    def target(self) -> Target:
        return open_target(self.database, "docs")

    def live(self) -> Float32:
        return self.database.collection("docs").read(range(POINTS)).vectors

    def embed(self, point: int, seed: int) -> None:
        self.originals[point] = near(self.originals[[point]], seed)[0]
        self.application.upsert(self.database, [point], self.originals[[point]])

    def move(self, target: Target, seed: int, points: int = POINTS) -> object:
        moved = near(self.originals, seed)
        plan = handmade(target, SETTINGS, {row: moved[row] for row in range(points)})
        return cycle.apply(target, SETTINGS, plan)

    def nothing_is_lost(self) -> None:
        """Every original is known, everything can be settled, and every bit comes back."""
        found = classify_points(self.target(), range(POINTS))
        assert found.originals.tobytes() == self.originals.tobytes()
        lease.break_lease(self.target().ledger_records)
        resume(self.target(), SETTINGS)
        assert verify(self.target()).pending == 0
        done = roll_back(self.target(), SETTINGS, originals=True)
        assert self.live().tobytes() == self.originals.tobytes()
        assert verify(self.target()).behind == 0
        assert done.missing == []
