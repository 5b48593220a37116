"""A backup that is put back: of the collection alone, and of all six, taken at any moment.

A backup of a database in memory is a copy of what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.store.provenance import Ownership, classify_points
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.memory import MemoryStore
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import (
    JUDGED_POINTS,
    POINTS,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)

KEEP = 2
OLD, LATE, LAST = 2, 5, 6
"""Revisions: one whose history is gone at the end, the last but one, and the last."""


class BackedUpCollection:
    """A sample collection after six cycles, with a backup from before and after each."""

    def __init__(self, sample: SampleCollection) -> None:
        self.sample = sample
        write = WriteSettings(batch_size=16, keep_revisions=KEEP)
        self.settings: CollectionSettings = SETTINGS.model_copy(update={"write": write})
        self.backups = [self._copy()]
        sample.add_judgements()
        for number in range(1, LAST + 1):
            solver = SETTINGS.solver.model_copy(update={"angle": 0.1 + 0.05 * number})
            report = cycle.apply(
                sample.target(), self.settings.model_copy(update={"solver": solver})
            )
            assert report.revision == number
            self.backups.append(self._copy())

    @property
    def store(self) -> MemoryStore:
        return self.sample.application.store  # type: ignore[attr-defined]

    def _copy(self) -> tuple[Any, Any]:
        return deepcopy(self.store.collections), deepcopy(self.store.records)

    def restore_collection(self, number: int) -> None:
        """Put back the user's collection as it was after a revision."""
        self.store.collections["docs"] = deepcopy(self.backups[number][0]["docs"])

    def restore_companions(self, number: int) -> None:
        """Put back the sidecar's own collections as they were after a revision."""
        self.store.records.clear()
        self.store.records.update(deepcopy(self.backups[number][1]))

    def assert_originals_come_back(self, **options: bool) -> None:
        roll_back(self.sample.target(), self.settings, originals=True, **options)
        assert self.sample.read_vectors().tobytes() == self.sample.data.vectors.tobytes()
        assert verify(self.sample.target()).is_clean


@pytest.fixture(scope="module")
def shared_backups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackedUpCollection]:
    with open_sample_collection("memory", tmp_path_factory.mktemp("sample")) as sample:
        yield BackedUpCollection(sample)


@pytest.fixture
def backed_up(shared_backups: BackedUpCollection) -> BackedUpCollection:
    """Return the collection as it is after the last cycle."""
    shared_backups.restore_collection(LAST)
    shared_backups.restore_companions(LAST)
    return shared_backups


def restore_collection(number: int) -> Callable[[BackedUpCollection], None]:
    return lambda backed_up: backed_up.restore_collection(number)


def restore_all(collection: int, companions: int) -> Callable[[BackedUpCollection], None]:
    def restore(backed_up: BackedUpCollection) -> None:
        backed_up.restore_collection(collection)
        backed_up.restore_companions(companions)

    return restore


@pytest.mark.parametrize(
    "restore",
    [
        restore_collection(0),
        restore_collection(LATE),
        restore_all(OLD, OLD),
        restore_all(OLD, OLD + 1),
    ],
    ids=["before the first cycle", "a kept revision", "all at once", "the collection first"],
)
def test_a_restore_that_the_next_cycle_mends(
    backed_up: BackedUpCollection, restore: Callable[[BackedUpCollection], None]
) -> None:
    restore(backed_up)
    points = classify_points(backed_up.sample.target(), range(POINTS))
    assert points.originals.tobytes() == backed_up.sample.data.vectors.tobytes()
    report = cycle.apply(backed_up.sample.target(), backed_up.settings)
    assert (report.outcome, report.drifted, report.plan.drifted) == ("applied", [], [])
    assert verify(backed_up.sample.target()).is_clean
    backed_up.assert_originals_come_back()


@pytest.mark.parametrize(
    "restore",
    [restore_collection(OLD), restore_all(LATE, LATE - 1)],
    ids=["a revision that is not kept", "the collection last"],
)
def test_a_restore_that_is_refused_and_put_right(
    backed_up: BackedUpCollection, restore: Callable[[BackedUpCollection], None]
) -> None:
    restore(backed_up)
    before = backed_up.sample.read_vectors().tobytes()
    report = cycle.apply(backed_up.sample.target(), backed_up.settings)
    assert report.outcome == "refused"
    assert len(report.plan.drifted) == JUDGED_POINTS
    assert "a backup was restored" in report.reason
    assert backed_up.sample.read_vectors().tobytes() == before
    backed_up.assert_originals_come_back(overwrite_drifted=True)
    assert cycle.apply(backed_up.sample.target(), backed_up.settings).outcome == "applied"
    backed_up.assert_originals_come_back()


def test_what_a_cycle_moved_first_before_the_collections_snapshot_nothing_tells(
    backed_up: BackedUpCollection,
) -> None:
    """What docs/operations.md warns of: so the collection's snapshot has to be the first."""
    restore_all(1, 0)(backed_up)
    points = classify_points(backed_up.sample.target(), range(POINTS))
    assert set(points.ownership) == {Ownership.UNMOVED}
    assert points.originals.tobytes() != backed_up.sample.data.vectors.tobytes()
    assert verify(backed_up.sample.target()).points == 0
