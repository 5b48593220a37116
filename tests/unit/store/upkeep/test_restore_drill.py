"""The restore drill: it restores every bit it samples, and names what a rollback could not use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.restore_drill import open_scratch_records, run_drill
from nudge_sync.testing.faults import Faults, FaultyDatabase
from tests.support.sample_collection import JUDGED_POINTS, SETTINGS, SampleCollection
from tests.support.tracked_collection import TrackedCollection


def test_a_drill_restores_every_bit_and_leaves_nothing_behind(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    before = sample_collection.read_vectors()
    done = run_drill(sample_collection.target(), sample_size=0)
    assert (done.originals, done.history, done.identical) == (
        JUDGED_POINTS,
        JUDGED_POINTS,
        2 * JUDGED_POINTS,
    )
    assert done.is_restorable
    part = run_drill(sample_collection.target(), sample_size=10, rng=np.random.default_rng(0))
    assert (part.originals, part.history, part.identical) == (10, 10, 20)
    assert open_scratch_records(sample_collection.target()).count() == 0
    assert sample_collection.read_vectors().tobytes() == before.tobytes()


def test_nothing_to_drill(sample_collection: SampleCollection) -> None:
    done = run_drill(sample_collection.target())
    assert (done.originals, done.history, done.identical, done.is_restorable) == (0, 0, 0, True)


@pytest.mark.parametrize("sample_collection", ["memory"], indirect=True)
def test_a_drill_names_what_a_rollback_could_not_use(sample_collection: SampleCollection) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    originals = sample_collection.database.store.records["docs__nudge_originals"]
    history = sample_collection.database.store.records["docs__nudge_history"]
    bent, gone = "1:3", "1:5"
    text, vector = originals[bent]
    wrong = vector.copy()
    wrong[0] = -wrong[0]
    originals[bent] = (text, wrong)
    del originals[gone]
    history["1:7"] = ('{"id": 7}', history["1:7"][1])
    done = run_drill(sample_collection.target(), sample_size=0)
    assert done.damaged == ["docs__nudge_originals 1:3", "docs__nudge_history 1:7"]
    assert done.baseless == [gone]
    assert not done.is_restorable
    assert done.identical == 2 * JUDGED_POINTS - 3


def test_a_drill_beside_others_is_not_alarmed(sample_collection: SampleCollection) -> None:
    """Another one that ends drops the collection, just as this one is to read its records back."""
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)

    def drop_scratch() -> None:
        open_scratch_records(sample_collection.target()).drop()

    faults = Faults(2, "before", strike=drop_scratch, only=frozenset({"get"}))
    faulty = FaultyDatabase(sample_collection.database, faults)
    done = run_drill(open_target(faulty, "docs"), sample_size=0)
    assert faults.calls[1] == "docs__nudge_drill.get"
    assert (done.identical, done.is_restorable) == (2 * JUDGED_POINTS, True)


def test_a_drill_beside_a_cycle_finds_every_original(
    tracked_collection: TrackedCollection,
) -> None:
    """The cycle moves more points between the scans of the two collections."""
    tracked_collection.apply_plan(tracked_collection.target(), seed=1, points=5)
    faults = Faults(
        2,
        strike=lambda: tracked_collection.apply_plan(tracked_collection.target(), seed=2),
        only=frozenset({"scan"}),
    )
    done = run_drill(open_target(FaultyDatabase(tracked_collection.database, faults), "docs"))
    assert done.originals > 0
    assert done.history > 0
    assert done.is_restorable


@pytest.mark.parametrize("sample_collection", ["memory"], indirect=True)
def test_records_that_never_come_back_are_named(sample_collection: SampleCollection) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    records = open_scratch_records(sample_collection.target())

    class DropsEach(Faults):
        """Every read of the scratch collection finds it dropped."""

        def run(self, name: str, call: Any, args: Any, named: Any) -> Any:
            if name == "docs__nudge_drill.get":
                records.drop()
            return call(*args, **named)

    faulty = FaultyDatabase(sample_collection.database, DropsEach())
    done = run_drill(open_target(faulty, "docs"), sample_size=5)
    assert (done.identical, len(done.differing)) == (0, 10)
