"""One of the sidecar's collections is from an older backup than the others: nothing gets lost."""

from __future__ import annotations

import pytest

from nudge_sync import cycle
from nudge_sync.canary.by_hand import promote, stop
from nudge_sync.canary.start import start
from nudge_sync.errors import DamagedRecord
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.lease import break_lease
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.operations.restored_backup import Backup, copy_records, restore_records
from tests.support.passing_plan import make_passing_plan
from tests.support.tracked_collection import POINTS, SETTINGS, TrackedCollection
from tests.support.unit_vectors import perturb_rows

LEDGER, ORIGINALS, HISTORY = (
    f"docs__nudge_{name}" for name in ("revisions", "originals", "history")
)
FIRST = 4
"""Points that the first cycle moves; the second moves them all."""
COMMITTING_CALL = 9
"""The writing call that stores a revision as being written; until then it is planned."""


def restore_after_two_cycles(tracked: TrackedCollection, *names: str) -> None:
    """Put collections back as they were after the first of two cycles."""
    tracked.apply_plan(tracked.target(), seed=1, points=FIRST)
    backup = copy_records(tracked, *names)
    tracked.apply_plan(tracked.target(), seed=2)
    restore_records(tracked, backup)


def test_originals_from_before_are_missed(tracked_collection: TrackedCollection) -> None:
    restore_after_two_cycles(tracked_collection, ORIGINALS)
    live_vectors = tracked_collection.read_vectors().tobytes()
    with pytest.raises(DamagedRecord, match=f"lacks the originals of {POINTS - FIRST} records"):
        verify(tracked_collection.target())
    with pytest.raises(DamagedRecord, match="its original is gone"):
        tracked_collection.apply_plan(tracked_collection.target(), seed=3)
    assert tracked_collection.read_vectors().tobytes() == live_vectors


@pytest.mark.parametrize("names", [(HISTORY,), (HISTORY, LEDGER)])
def test_the_originals_come_back_without_the_history(
    tracked_collection: TrackedCollection, names: tuple[str, ...]
) -> None:
    restore_after_two_cycles(tracked_collection, *names)
    with pytest.raises(DamagedRecord, match="rollback --originals"):
        tracked_collection.apply_plan(tracked_collection.target(), seed=3)
    target = tracked_collection.target()
    assert len(roll_back(target, SETTINGS, originals=True).drifted) == POINTS
    roll_back(target, SETTINGS, originals=True, overwrite_drifted=True)
    assert tracked_collection.read_vectors().tobytes() == tracked_collection.originals.tobytes()
    tracked_collection.apply_plan(tracked_collection.target(), seed=3)
    tracked_collection.assert_nothing_is_lost()


def test_a_ledger_from_while_a_revision_was_planned(tracked_collection: TrackedCollection) -> None:
    backup: Backup = {}
    faults = Faults(
        COMMITTING_CALL, strike=lambda: backup.update(copy_records(tracked_collection, LEDGER))
    )
    faulty = open_target(FaultyDatabase(tracked_collection.database, faults), "docs")
    tracked_collection.apply_plan(faulty, seed=1)
    restore_records(tracked_collection, backup)
    break_lease(tracked_collection.target())
    abandoned = resume(tracked_collection.target(), SETTINGS)
    assert abandoned is not None
    assert abandoned["state"] == "abandoned"
    assert verify(tracked_collection.target()).behind == POINTS
    tracked_collection.apply_plan(tracked_collection.target(), seed=2)
    tracked_collection.assert_nothing_is_lost()


@pytest.mark.parametrize("is_promoted", [False, True])
def test_a_ledger_from_while_a_canary_ran(
    tracked_collection: TrackedCollection, is_promoted: bool
) -> None:
    settings = SETTINGS.model_copy(update={"canary": CanarySettings(share=1.0)})
    target = tracked_collection.target()
    rows = dict(enumerate(perturb_rows(tracked_collection.originals, 1)))
    start(target, settings, make_passing_plan(target, settings, rows))
    backup = copy_records(tracked_collection, LEDGER)
    promote(tracked_collection.target(), settings, "anna")
    restore_records(tracked_collection, backup)
    if is_promoted:
        with pytest.raises(DamagedRecord, match="canary stop"):
            promote(tracked_collection.target(), settings, "anna")
    stop(tracked_collection.target(), settings, "anna")
    assert verify(tracked_collection.target()).behind == POINTS
    assert cycle.plan(tracked_collection.target(), settings).drifted == []
    tracked_collection.assert_nothing_is_lost()
