"""A ledger from an older backup than what stands beside it: nothing is overwritten, all comes back.

A backup of a collection in memory is a copy of its records.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.config import WriteSettings
from nudge_sync.errors import DamagedRecord
from nudge_sync.store.lost_revisions import refuse_lost_revisions
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.operations.clearing import collect
from tests.support.operations.restored_backup import copy_records, restore_records
from tests.support.passing_plan import make_passing_plan
from tests.support.tracked_collection import POINTS, SETTINGS, TrackedCollection
from tests.support.unit_vectors import perturb_rows

LEDGER, ORIGINALS, HISTORY = (
    f"docs__nudge_{name}" for name in ("revisions", "originals", "history")
)
FIRST = 4
"""Points that the first cycle moves; the second moves them all, which the ledger has lost."""


@pytest.fixture
def restored(tracked_collection: TrackedCollection) -> TrackedCollection:
    """A collection after two cycles, with the ledger as it was after the first."""
    tracked = tracked_collection
    tracked.apply_plan(tracked.target(), seed=1, points=FIRST)
    backup = copy_records(tracked, LEDGER)
    tracked.apply_plan(tracked.target(), seed=2)
    restore_records(tracked, backup)
    return tracked


def apply(tracked: TrackedCollection) -> object:
    return tracked.apply_plan(tracked.target(), seed=3)


VERBS: dict[str, Callable[[TrackedCollection], object]] = {
    "verify": lambda tracked: verify(tracked.target()),
    "plan": lambda tracked: cycle.plan(tracked.target(), SETTINGS),
    "apply": lambda tracked: cycle.apply(tracked.target(), SETTINGS),
    "rollback": lambda tracked: roll_back(tracked.target(), SETTINGS),
    "gc": lambda tracked: collect(tracked.target(), WriteSettings(keep_revisions=1)),
    "resume": lambda tracked: resume(tracked.target(), SETTINGS),
}


@pytest.mark.parametrize(
    ("verb", "without"),
    [
        *((verb, without) for verb in VERBS for without in ("", ORIGINALS)),
        # What is left to finish, `resume` knows from the ledger and the history alone.
        *((verb, HISTORY) for verb in VERBS if verb != "resume"),
    ],
)
def test_every_verb_refuses_and_says_what_to_do(
    restored: TrackedCollection, verb: str, without: str
) -> None:
    if without:
        restored.database.records(without, 4).delete([f"2:{point}" for point in range(POINTS)])
    live_vectors = restored.read_vectors().tobytes()
    before = copy_records(restored, LEDGER, ORIGINALS, HISTORY)
    before[LEDGER].pop("lease")
    message = r"ends with revision 1 although .* of revision 2.*rollback --originals"
    with pytest.raises(DamagedRecord, match=message):
        VERBS[verb](restored)
    assert restored.read_vectors().tobytes() == live_vectors
    after = copy_records(restored, LEDGER, ORIGINALS, HISTORY)
    after[LEDGER].pop("lease")
    assert repr(after) == repr(before)


@pytest.mark.parametrize("overwrite_drifted", [False, True])
def test_the_originals_come_back_at_the_first_try(
    restored: TrackedCollection, overwrite_drifted: bool
) -> None:
    report = roll_back(
        restored.target(), SETTINGS, originals=True, overwrite_drifted=overwrite_drifted
    )
    assert (report.revision, report.restored, report.drifted) == (3, POINTS, [])
    assert restored.read_vectors().tobytes() == restored.originals.tobytes()
    assert verify(restored.target()).is_clean
    [first, lost, rollback] = restored.target().open_ledger().entries()
    assert (first.state, lost.state, rollback.state) == ("applied", "superseded", "applied")
    apply(restored)
    restored.assert_nothing_is_lost()


def test_a_ledger_that_is_gone_keeps_no_original_back(restored: TrackedCollection) -> None:
    restored.database.records(LEDGER).drop()
    roll_back(restored.target(), SETTINGS, originals=True)
    assert restored.read_vectors().tobytes() == restored.originals.tobytes()
    apply(restored)
    restored.assert_nothing_is_lost()


def test_what_the_application_embedded_again_stays_unless_it_is_asked_for(
    restored: TrackedCollection,
) -> None:
    before = restored.originals[5].copy()
    restored.rewrite_vector(5, seed=9)
    assert roll_back(restored.target(), SETTINGS, originals=True).drifted == [5]
    assert restored.read_vectors().tobytes() == restored.originals.tobytes()
    roll_back(restored.target(), SETTINGS, originals=True, overwrite_drifted=True)
    assert restored.read_vectors()[5].tobytes() == before.tobytes()


@pytest.mark.parametrize("call", range(1, 10))
def test_a_rollback_that_is_killed_is_finished_by_the_same_command(
    restored: TrackedCollection, call: int
) -> None:
    faulty = open_target(FaultyDatabase(restored.database, Faults(call, "after")), "docs")
    with pytest.raises(Crash):
        roll_back(faulty, SETTINGS, originals=True)
    restored.target().ledger_records.delete(["lease"])
    roll_back(restored.target(), SETTINGS, originals=True)
    restored.assert_nothing_is_lost()


def test_a_cycle_that_runs_beside_is_no_lost_revision(
    tracked_collection: TrackedCollection,
) -> None:
    tracked = tracked_collection
    tracked.apply_plan(tracked.target(), seed=1)
    target: Target = tracked.target()
    entries = target.open_ledger().entries()
    tracked.apply_plan(tracked.target(), seed=2)
    tracked.rewrite_vector(3, seed=4)
    tracked.apply_plan(tracked.target(), seed=3)
    refuse_lost_revisions(target, entries, target.shadow.read_originals())


def test_an_original_is_never_replaced_by_another(
    tracked_collection: TrackedCollection,
) -> None:
    shadow = tracked_collection.target().shadow
    rows = tracked_collection.originals
    shadow.add_originals(2, [6, 7], rows[[6, 7]])
    shadow.add_originals(2, [7, 8], rows[[7, 8]])
    others = perturb_rows(rows, 1)
    with pytest.raises(DamagedRecord, match=r"'2:7'.*is not replaced"):
        shadow.add_originals(2, [5, 7], others[[5, 7]])
    originals = shadow.read_originals()
    assert sorted(originals) == [6, 7, 8]
    vectors = shadow.read_vectors([versions[0] for versions in originals.values()])
    assert np.array_equal(np.stack([vectors[f"2:{point}"] for point in (6, 7, 8)]), rows[6:9])


def test_a_plan_of_points_that_the_lost_revision_moved_first_is_refused(
    restored: TrackedCollection,
) -> None:
    rows = perturb_rows(restored.originals, 3)
    with pytest.raises(DamagedRecord, match="ends with revision 1"):
        cycle.apply(
            restored.target(),
            SETTINGS,
            make_passing_plan(restored.target(), SETTINGS, {row: rows[row] for row in (6, 7)}),
        )
