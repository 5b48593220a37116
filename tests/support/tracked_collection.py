"""A collection of ten points on any engine, with the originals that it must never lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Database, Float32
from nudge_sync.store import lease
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.applications import create_application
from tests.support.passing_plan import make_passing_plan
from tests.support.unit_vectors import make_unit_rows, perturb_rows

POINTS, DIMENSION = 10, 4
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=4))


class TrackedCollection:
    """A collection of a few unit vectors, and what the application last wrote to each."""

    def __init__(self, engine: str, folder: Path, server: Any) -> None:
        self.engine = engine
        self.application = create_application(engine, folder, server)
        self.database: Database = self.application.connect()
        self.originals: Float32 = make_unit_rows(POINTS, DIMENSION, 0)
        self.application.fill(self.database, self.originals, "cosine")

    def target(self) -> Target:
        return open_target(self.database, "docs")

    def read_vectors(self) -> Float32:
        return self.database.collection("docs").read(range(POINTS)).vectors

    def rewrite_vector(self, point: int, seed: int) -> None:
        self.originals[point] = perturb_rows(self.originals[[point]], seed)[0]
        self.application.upsert(self.database, [point], self.originals[[point]])

    def recreate(self, dimension: int) -> None:
        """Drop the collection and fill one of the same name; its companions stay."""
        self.originals = make_unit_rows(POINTS, dimension, 7)
        self.application.recreate(self.database, self.originals, "cosine")

    def apply_plan(self, target: Target, seed: int, points: int = POINTS) -> object:
        new_vectors = perturb_rows(self.originals, seed)
        plan = make_passing_plan(target, SETTINGS, {row: new_vectors[row] for row in range(points)})
        return cycle.apply(target, SETTINGS, plan)

    def assert_nothing_is_lost(self) -> None:
        """Assert that originals are known, that `resume` works, and that every bit comes back."""
        provenance = classify_points(self.target(), range(POINTS))
        assert provenance.originals.tobytes() == self.originals.tobytes()
        lease.break_lease(self.target())
        resume(self.target(), SETTINGS)
        assert verify(self.target()).pending == 0
        rollback = roll_back(self.target(), SETTINGS, originals=True)
        assert self.read_vectors().tobytes() == self.originals.tobytes()
        assert verify(self.target()).behind == 0
        assert rollback.missing == []
