"""Cycles on a disk that fills up: a script for a process that may die of it.

Called with a folder on a small disk of its own, and with the program of a Qdrant server, which then
has its files there; without one, the embedded engine has. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync import cycle
from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Float32
from nudge_sync.errors import DiskFull, NudgeSyncError
from nudge_sync.store.lease import break_lease
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.passing_plan import make_passing_plan
from tests.support.qdrant_server.node import start_qdrant
from tests.support.unit_vectors import make_unit_rows, perturb_rows

POINTS, DIMENSION = 1500, 256
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=200))
MEBIBYTE = 2**20


class SmallDisk:
    """A disk, and a file that takes up as much of it as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def leave(self, free_bytes: int) -> None:
        """Make the file so large that about `free_bytes` are left."""
        self.clear()
        size = shutil.disk_usage(self.folder).free - free_bytes
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def clear(self) -> None:
        """Remove the file."""
        self._ballast.unlink(missing_ok=True)


def fill_at(disk: SmallDisk, stage: str, free_bytes: int) -> Progress:
    """Return a progress at whose first report of `stage` somebody else fills the disk."""
    is_filled = []

    def report(name: str, done: int, total: int) -> None:
        if name == stage and not is_filled:
            is_filled.append(True)
            disk.leave(free_bytes)

    return report


@contextmanager
def open_filled_database(folder: Path, binary: str) -> Iterator[tuple[Any, Float32]]:
    """Yield a database with its files in `folder`, and the vectors in its collection `docs`.

    binary: the program of a Qdrant server; "": Qdrant's embedded engine.
    """
    originals = make_unit_rows(POINTS, DIMENSION, 0)
    ids = list(range(POINTS))
    if not binary:
        database: Any = nudge_sync_qdrant_edge.connect({"path": str(folder / "shards")})
        nudge_sync_qdrant_edge.ingest(database, "docs", ids, originals)
        yield database, originals
        database.close()
        return
    with start_qdrant(binary, folder=folder / "node") as node:
        database = nudge_sync_qdrant.connect(node.section)
        nudge_sync_qdrant.ingest(database, "docs", ids, originals)
        yield database, originals
        database.close()


def run_rounds(
    disk: SmallDisk, database: Any, originals: Float32, cases: Sequence[tuple[int, str, int]]
) -> list[dict[str, Any]]:
    """Run cycles with less and less room, and with a disk that fills up half-way.

    cases: MiB that are free at first (0: all), and the stage at which how many are left.
    """
    rounds: list[dict[str, Any]] = []
    for number, (free, stage, free_later) in enumerate(cases):
        vectors = perturb_rows(originals, number)
        target = open_target(database, "docs")
        plan = make_passing_plan(target, SETTINGS, dict(enumerate(vectors)))
        progress = fill_at(disk, stage, free_later * MEBIBYTE)
        if free:
            disk.leave(free * MEBIBYTE)
        outcome = "applied"
        try:
            cycle.apply(target, SETTINGS, plan, progress)
        except NudgeSyncError as error:
            outcome = type(error).__name__
        disk.clear()
        # A disk too full for giving the lease back leaves it behind.
        break_lease(open_target(database, "docs"))
        resume(open_target(database, "docs"), SETTINGS)
        provenance = classify_points(open_target(database, "docs"), range(POINTS))
        lost = int((provenance.originals != originals).any(axis=1).sum())
        is_clean = verify(open_target(database, "docs")).is_clean
        rounds.append({"case": [free, stage, free_later], "outcome": outcome, "lost": lost})
        rounds[-1]["clean"] = is_clean
    disk.leave(cases[0][0] * MEBIBYTE)
    with suppress(DiskFull):
        roll_back(open_target(database, "docs"), SETTINGS, originals=True)
        rounds.append({"case": "rollback", "outcome": "applied", "lost": 0, "clean": False})
    disk.clear()
    break_lease(open_target(database, "docs"))
    roll_back(open_target(database, "docs"), SETTINGS, originals=True)
    live_vectors = database.collection("docs").read(list(range(POINTS))).vectors
    rounds.append(
        {
            "case": "originals",
            "outcome": "applied",
            "lost": int((live_vectors != originals).any(axis=1).sum()),
            "clean": bool(np.isfinite(live_vectors).all()),
        }
    )
    return rounds


def main(folder: Path, binary: str) -> None:
    """Print what came of each case."""
    # The embedded engine asks for 32 MiB beside what it writes, a server for some of its log.
    few, some = ((1, 4), (1, 3)) if binary else ((4, 12, 20, 28, 36, 44), (2, 10, 26))
    cases = [(free, "", 0) for free in few]
    cases += [(0, stage, free) for stage in ("note", "write") for free in some]
    with open_filled_database(folder, binary) as (database, originals):
        rounds = run_rounds(SmallDisk(folder), database, originals, cases)
    sys.stdout.write(json.dumps(rounds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
