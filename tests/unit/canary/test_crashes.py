"""A process killed at any step of a canary: nothing is lost, and it is resumed or ended."""

from __future__ import annotations

import pytest

from nudge_sync.canary.by_hand import promote, stop
from nudge_sync.canary.review import review
from nudge_sync.canary.start import run_cycle, start
from nudge_sync.errors import AwaitsCanary, LeaseLost
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.experiments.candidate import open_candidate, scan_candidate
from nudge_sync.store.experiments.running import read_running_experiment
from nudge_sync.store.lease import break_lease
from nudge_sync.store.ledger import find_candidate, find_pending_revisions
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.operations.clearing import collect
from tests.support.passing_plan import make_passing_plan
from tests.support.tracked_collection import POINTS, TrackedCollection
from tests.support.tracked_collection import SETTINGS as TRACKED_SETTINGS
from tests.support.unit_vectors import perturb_rows

SETTINGS = TRACKED_SETTINGS.model_copy(
    update={"canary": CanarySettings(share=1.0, holdback_share=0.1)}
)
WHENS = ("before", "half", "after")


def open_tracked(folder):
    return TrackedCollection("memory", folder, "")


def make_plan(tracked, seed=1):
    new_vectors = perturb_rows(tracked.originals, seed)
    return make_passing_plan(
        tracked.target(), SETTINGS, {row: new_vectors[row] for row in range(POINTS)}
    )


def run_step(tracked, step, plan, faults):
    target = open_target(FaultyDatabase(tracked.database, faults), "docs")
    match step:
        case "start":
            start(target, SETTINGS, plan)
        case "promote":
            promote(target, SETTINGS, "anna")
        case "stop":
            stop(target, SETTINGS, "anna")


def prepare(folder, step):
    """Return a collection that is ready for the step, and the plan of its canary."""
    tracked = open_tracked(folder)
    plan = make_plan(tracked)
    if step != "start":
        start(tracked.target(), SETTINGS, plan)
    return tracked, plan


def count_calls(folder, step):
    tracked, plan = prepare(folder, step)
    faults = Faults()
    run_step(tracked, step, plan, faults)
    return len(faults.calls)


def come_back(tracked):
    """Do what the sidecar does once it is started again: resume, review, review.

    Somebody says `nudge-sync gc` before the first review.
    """
    break_lease(tracked.target())
    resume(tracked.target(), SETTINGS)
    collect(tracked.target(), SETTINGS.write)
    return [review(tracked.target(), SETTINGS).step for _ in range(2)]


def assert_is_whole(tracked, plan):
    """Assert that what is shown is complete, and that nothing else is left of it."""
    target = tracked.target()
    entries = target.open_ledger().entries()
    assert not find_pending_revisions(entries)
    assert verify(target).is_clean
    candidate, running = find_candidate(entries), read_running_experiment(target)
    if candidate is not None:
        assert (running.kind, running.revision) == ("canary", candidate.number)
        shown = [
            r for batch in scan_candidate(target, running.revision, running.rows) for r in batch
        ]
        assert {r.document["id"] for r in shown} == set(plan.rows.ids)
    else:
        assert running is None or running.kind == "holdback"
        collect(target, SETTINGS.write)
        assert open_candidate(target).records.count() == 0


@pytest.mark.parametrize("when", WHENS)
def test_killed_while_it_starts(tmp_path, when):
    calls = count_calls(tmp_path, "start")
    assert calls >= 8
    for at in range(1, calls + 1):
        tracked, plan = prepare(tmp_path, "start")
        with pytest.raises(Crash):
            run_step(tracked, "start", plan, Faults(at, when))
        come_back(tracked)
        assert tracked.read_vectors().tobytes() == tracked.originals.tobytes()
        assert_is_whole(tracked, plan)
        if find_candidate(tracked.target().open_ledger().entries()) is None:
            start(tracked.target(), SETTINGS, make_plan(tracked))
        assert read_running_experiment(tracked.target()).kind == "canary"
        tracked.assert_nothing_is_lost()


@pytest.mark.parametrize("when", WHENS)
def test_killed_while_it_is_promoted(tmp_path, when):
    calls = count_calls(tmp_path, "promote")
    assert calls >= 15
    written = 0
    for at in range(1, calls + 1):
        tracked, plan = prepare(tmp_path, "promote")
        faults = Faults(at, when)
        with pytest.raises(Crash):
            run_step(tracked, "promote", plan, faults)
        steps = come_back(tracked)
        live = tracked.read_vectors().tobytes()
        planned = plan.rows.vectors.tobytes()
        assert live in {planned, tracked.originals.tobytes()}, (faults.calls, steps)
        # Once its end was decided it is written, whoever comes next.
        is_decided = at > 2 or (at == 2 and when != "before")
        assert (live == planned) == is_decided, (faults.calls, steps)
        written += live == planned
        assert_is_whole(tracked, plan)
        tracked.assert_nothing_is_lost()
    assert written


@pytest.mark.parametrize("when", WHENS)
def test_killed_while_it_is_stopped(tmp_path, when):
    calls = count_calls(tmp_path, "stop")
    assert calls >= 5
    for at in range(1, calls + 1):
        tracked, plan = prepare(tmp_path, "stop")
        with pytest.raises(Crash):
            run_step(tracked, "stop", plan, Faults(at, when))
        come_back(tracked)
        assert tracked.read_vectors().tobytes() == tracked.originals.tobytes()
        assert_is_whole(tracked, plan)
        tracked.assert_nothing_is_lost()


def kill_once_decided(tracked, verb):
    """Begin to promote or stop the canary, in a process that is killed once the ledger says so."""
    target = open_target(FaultyDatabase(tracked.database, Faults(at=2, when="after")), "docs")
    with pytest.raises(Crash):
        verb(target, SETTINGS, "ben")
    break_lease(tracked.target())
    entry = tracked.target().open_ledger().read_entry(1)
    assert (entry.state, entry.details.ending.by) == ("candidate", "ben")


@pytest.mark.parametrize("word", ["stop", "rollback"])
def test_a_promotion_that_was_killed_and_then_stopped_is_told_as_stopped(tmp_path, word):
    tracked, _ = prepare(tmp_path, "promote")
    kill_once_decided(tracked, promote)
    if word == "stop":
        report = stop(tracked.target(), SETTINGS, "anna", "worse for us")
        assert (report.verdict, report.reason) == ("stopped", "worse for us")
    else:
        roll_back(tracked.target(), SETTINGS)
    entry = tracked.target().open_ledger().read_entry(1)
    told = {"stop": ("worse for us", "anna"), "rollback": ("the collection was rolled back", "")}
    ending = entry.details.ending
    assert (entry.state, ending.verdict) == ("abandoned", "stopped")
    assert (ending.reason, ending.by) == told[word]
    with pytest.raises(AwaitsCanary, match=f"ended as stopped: {ending.reason}"):
        run_cycle(tracked.target(), SETTINGS)


def test_a_stop_that_was_killed_and_then_promoted_is_told_as_promoted(tmp_path):
    tracked, plan = prepare(tmp_path, "stop")
    kill_once_decided(tracked, stop)
    assert promote(tracked.target(), SETTINGS, "anna").step == "promoted"
    assert tracked.read_vectors().tobytes() == plan.rows.vectors.tobytes()
    entry = tracked.target().open_ledger().read_entry(1)
    assert (entry.state, entry.details.ending.verdict) == ("applied", "promote")
    assert entry.details.ending.by == "anna"


def test_a_stop_that_was_killed_and_then_said_again_is_the_first_one(tmp_path):
    tracked, _ = prepare(tmp_path, "stop")
    kill_once_decided(tracked, stop)
    assert stop(tracked.target(), SETTINGS, "anna", "worse for us").reason == "stopped by hand"
    assert tracked.target().open_ledger().read_entry(1).details.ending.by == "ben"


@pytest.mark.parametrize("call", [2, 3])
def test_a_start_that_lost_its_lease_touches_no_candidate(tmp_path, call):
    """Another process took the lease and has staged a candidate of its own."""
    tracked, plan = prepare(tmp_path, "start")
    faults = Faults(
        call,
        "after",
        strike=lambda: break_lease(tracked.target()),
        only=frozenset({"swap", "read", "put", "drop"}),
    )
    with pytest.raises(LeaseLost):
        run_step(tracked, "start", plan, faults)
    touched = [name for name in faults.calls if "candidate" in name]
    assert touched == []
