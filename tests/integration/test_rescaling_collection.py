"""qdrant-client's local mode rescales cosine vectors as it opens: what comes back is told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import nudge_sync_qdrant
from nudge_sync import cycle
from nudge_sync.config import CollectionSettings
from nudge_sync.store.target import open_target
from nudge_sync.writing.rollback import RollbackReport, roll_back
from tests.support.passing_plan import make_passing_plan
from tests.support.unit_vectors import make_unit_rows, perturb_rows

POINTS, DIMENSION = 50, 384
SETTINGS = CollectionSettings()


def test_originals_that_differ_in_a_bit_once_reopened_are_counted(tmp_path: Path) -> None:
    section = {"path": str(tmp_path)}
    originals = make_unit_rows(POINTS, DIMENSION, 0)
    database = nudge_sync_qdrant.connect(section)
    nudge_sync_qdrant.ingest(database, "docs", list(range(POINTS)), originals, metric="cosine")
    kept = database.collection("docs").read(range(POINTS)).vectors
    target = open_target(database, "docs")
    plan = make_passing_plan(target, SETTINGS, dict(enumerate(perturb_rows(originals, 1))))
    cycle.apply(target, SETTINGS, plan)
    roll_back(target, SETTINGS, originals=True)
    database.close()

    database = nudge_sync_qdrant.connect(section)
    report: RollbackReport = roll_back(open_target(database, "docs"), SETTINGS, originals=True)
    reopened = database.collection("docs").read(range(POINTS)).vectors
    database.close()

    differing = int((reopened != kept).any(axis=1).sum())
    assert differing > 0
    assert np.abs(reopened - kept).max() < 1e-6
    assert report.identical == POINTS
    assert report.rescaled == differing
