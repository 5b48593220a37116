"""A cycle on a large collection touches what was judged, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.config import WriteSettings
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import open_target
from nudge_sync.testing.counted import Counted
from nudge_sync_qdrant_edge import connect, ingest
from tests.support.sample_collection import SETTINGS
from tests.support.unit_vectors import make_unit_rows, normalise_rows

POINTS, JUDGED, QUERIES, DIMENSION = 100_000, 2_000, 3_000, 16


@pytest.mark.slow
def test_a_cycle_touches_what_was_judged_and_scans_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = make_unit_rows(POINTS, DIMENSION, 1)
    judged = rng.choice(POINTS, JUDGED, replace=False)
    answers = judged[rng.integers(0, JUDGED, QUERIES)]
    shift = make_unit_rows(POINTS, DIMENSION, 2)
    queries = normalise_rows(
        vectors[answers] + 0.4 * shift[answers] + 0.2 * make_unit_rows(QUERIES, DIMENSION, 3)
    )
    database = Counted(connect({"path": str(tmp_path)}))
    ingest(database.inner, "docs", list(range(POINTS)), vectors)
    target = open_target(database, "docs")
    names = [f"q{row}" for row in range(QUERIES)]
    target.queries.put(
        [to_search_record(Search(name, row)) for name, row in zip(names, queries, strict=True)]
    )
    target.events.put(
        [
            to_event_record(Event(name, "relevant", int(point)))
            for name, point in zip(names, answers, strict=True)
        ]
    )

    settings = SETTINGS.model_copy(update={"write": WriteSettings()})
    applied = cycle.apply(target, settings)

    assert applied.written > 0.6 * JUDGED
    assert applied.plan.figures.after["ndcg@10"] > applied.plan.figures.before["ndcg@10"]
    assert database.counts.touched < 0.03 * POINTS
    assert database.counts.scanned == 0
    assert database.counts.calls["scan"] == 0
    assert database.counts.written <= {int(point) for point in judged}
    database.close()
