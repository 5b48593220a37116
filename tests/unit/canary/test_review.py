"""From a plan to its canary, and from what people click to a write, an end or a way back."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.canary.by_hand import promote, stop
from nudge_sync.canary.review import review
from nudge_sync.canary.start import run_cycle, start
from nudge_sync.canary.status import read_status
from nudge_sync.connector import Replication
from nudge_sync.errors import AwaitsCanary, InputError, OnHold, UnsupportedCollection
from nudge_sync.feedback.erase import FeedbackSelector, erase_feedback
from nudge_sync.planning.lost_inputs import find_lost_revision, format_lost_revision
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.copies import make_missing_copies
from nudge_sync.store.embedding_space import read_space
from nudge_sync.store.experiments.candidate import open_candidate
from nudge_sync.store.experiments.ending import Ending
from nudge_sync.store.experiments.running import (
    EXPERIMENT_KEY,
    read_running_experiment,
    start_experiment,
)
from nudge_sync.store.hold import HoldRequest, place_hold, read_hold, release_hold
from nudge_sync.store.ledger import find_candidate
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.writing.rollback import roll_back
from tests.support.experiments.visits import log_sessions
from tests.support.sample_collection import DIMENSION, POINTS
from tests.support.sample_collection import SETTINGS as SAMPLE_SETTINGS
from tests.support.unit_vectors import make_unit_rows

HALF_A_DAY, DAY = 43_200.0, 86_400.0
CANARY = CanarySettings(share=1.0, min_sessions=50, max_days=3)
SETTINGS = SAMPLE_SETTINGS.model_copy(update={"canary": CANARY})


def with_canary(**options):
    return SAMPLE_SETTINGS.model_copy(update={"canary": CANARY.model_copy(update=options)})


def review_later(sample, seconds=HALF_A_DAY, settings=SETTINGS):
    running = read_running_experiment(sample.target())
    since = running.started_at / 1000 if running else 0.0
    return review(sample.target(), settings, now=since + seconds)


def read_entry(sample, number):
    return sample.target().open_ledger().read_entry(number)


@pytest.fixture
def running(sample):
    report = start(sample.target(), SETTINGS)
    assert report.outcome == "candidate"
    return read_running_experiment(sample.target())


def test_a_canary_shows_the_plan_and_writes_nothing(sample):
    plan = cycle.plan(sample.target(), SETTINGS)
    report = start(sample.target(), SETTINGS, plan)
    running = read_running_experiment(sample.target())
    assert (report.outcome, report.revision, report.written) == ("candidate", None, 0)
    assert (running.kind, running.revision, running.rows) == ("canary", 1, len(plan.rows))
    assert (running.mode, running.share, running.unit) == ("interleave", 1.0, "session")
    assert read_entry(sample, 1).state == "candidate"
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
    assert verify(sample.target()).is_clean


def test_a_canary_of_a_collection_made_anew_with_another_dimension_writes_nothing(sample):
    start(sample.target(), SETTINGS)
    log_sessions(sample.target(), read_running_experiment(sample.target()), "treatment")
    vectors = make_unit_rows(POINTS, DIMENSION + 1, 0)
    sample.application.recreate(sample.database, vectors, "cosine")
    report = promote(sample.target(), SETTINGS, "anna")
    assert (report.step, report.written) == ("ended", 0)
    assert sample.read_vectors().tobytes() == vectors.tobytes()


def test_what_people_prefer_is_written_as_the_plan_had_it(sample):
    plan = cycle.plan(sample.target(), SETTINGS)
    start(sample.target(), SETTINGS, plan)
    log_sessions(sample.target(), read_running_experiment(sample.target()), "treatment")
    report = review_later(sample)
    assert (report.step, report.revision, report.written) == ("promoted", 1, len(plan.rows))
    entry = read_entry(sample, 1)
    assert (entry.state, entry.details.ending.verdict) == ("applied", "promote")
    assert entry.details.ending.evidence["sessions"] == 80
    np.testing.assert_array_equal(sample.read_vectors(plan.rows.ids), plan.rows.vectors)
    assert read_running_experiment(sample.target()) is None
    assert open_candidate(sample.target()).records.count() == 0
    assert roll_back(sample.target(), SETTINGS, originals=True).identical == len(plan.rows)
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()


def test_harm_ends_it_and_the_same_plan_is_not_tried_again(sample, running):
    log_sessions(sample.target(), running, "control")
    report = review_later(sample)
    assert (report.step, report.verdict, report.written) == ("ended", "harm", 0)
    assert read_entry(sample, 1).state == "abandoned"
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
    assert open_candidate(sample.target()).records.count() == 0
    with pytest.raises(AwaitsCanary, match=r"ended as harm: .* starts in 7\.0 days"):
        run_cycle(sample.target(), SETTINGS)
    status = read_status(sample.target(), SETTINGS, now=0).summary()
    assert (status["experiment"], status["last"]["verdict"]) == (None, "harm")


def test_a_plan_that_was_harmful_is_refused_by_the_gate(sample, running):
    entry = read_entry(sample, 1)
    assert find_lost_revision([entry], entry.details.inputs) is None
    log_sessions(sample.target(), running, "control")
    review_later(sample)
    entry = read_entry(sample, 1)
    assert find_lost_revision([entry], entry.details.inputs) == entry
    assert "surely worse to those who saw it in a canary" in format_lost_revision(entry)


def test_harm_that_a_crash_kept_from_ending_it_is_harm_after_a_rollback(sample, running):
    ledger = sample.target().open_ledger()
    ending = Ending("harm", "clicks: surely worse", running.started_at)
    ledger.add_details(ledger.read_entry(1), ending=ending)
    roll_back(sample.target(), SETTINGS, originals=True)
    entry = read_entry(sample, 1)
    assert (entry.state, entry.details.ending) == ("abandoned", ending)
    assert find_lost_revision([entry], entry.details.inputs) == entry


def test_no_conclusion_ends_it_when_its_time_is_over(sample, running):
    log_sessions(sample.target(), running, None)
    assert review_later(sample).step == "none"
    assert review_later(sample, 3.1 * DAY).verdict == "inconclusive"
    assert read_entry(sample, 1).state == "abandoned"


def test_settings_that_change_meanwhile_change_nothing(sample, running):
    log_sessions(sample.target(), running, "treatment")
    changed = with_canary(min_sessions=10_000, on_success="wait", max_days=0.1)
    assert review_later(sample, settings=changed).step == "promoted"


def lower_angle():
    solver = SAMPLE_SETTINGS.solver.model_copy(update={"max_angle": 1e-3})
    return SETTINGS.model_copy(update={"solver": solver})


def test_a_plan_that_the_settings_no_longer_allow_is_refused_and_goes_on(sample, running):
    with pytest.raises(InputError, match=r"turns point .* and solver\.max_angle is 0\.001"):
        promote(sample.target(), lower_angle(), "anna")
    assert read_entry(sample, 1).details.ending is None
    assert read_running_experiment(sample.target()) == running
    assert promote(sample.target(), SETTINGS, "anna").step == "promoted"


@pytest.mark.parametrize("decided_by", ["review", "anna"])
def test_a_review_ends_what_the_settings_no_longer_allow(sample, running, decided_by):
    """Also where a promotion by hand was decided and then killed, before they were changed."""
    log_sessions(sample.target(), running, "treatment")
    if decided_by == "anna":
        ledger = sample.target().open_ledger()
        ending = Ending("promote", "promoted by hand", running.started_at, decided_by)
        ledger.add_details(ledger.read_entry(1), ending=ending)
    report = review_later(sample, settings=lower_angle())
    assert (report.step, report.verdict, report.written) == ("ended", "stopped", 0)
    assert "solver.max_angle is 0.001" in report.reason
    ending = read_entry(sample, 1).details.ending
    assert (ending.verdict, ending.reason, ending.by) == ("stopped", report.reason, "")
    assert read_running_experiment(sample.target()) is None
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()


def test_a_proven_plan_waits_for_a_person_where_the_settings_say_so(sample):
    settings = with_canary(on_success="wait")
    start(sample.target(), settings)
    log_sessions(sample.target(), read_running_experiment(sample.target()), "treatment")
    report = review_later(sample, settings=settings)
    assert (report.step, report.status.decision.verdict) == ("none", "promote")
    report = promote(sample.target(), settings, "anna@web1")
    assert report.step == "promoted"
    assert read_entry(sample, 1).details.ending.by == "anna@web1"


def test_nothing_else_is_written_while_it_runs(sample, running):
    for attempt in (cycle.apply, run_cycle, start):
        with pytest.raises(AwaitsCanary, match="canary tries revision 1"):
            attempt(sample.target(), SETTINGS)
    assert read_running_experiment(sample.target()) == running


def test_a_person_stops_it(sample, running):
    assert stop(sample.target(), SETTINGS, "anna", "a feeling").step == "ended"
    ending = read_entry(sample, 1).details.ending
    assert (ending.verdict, ending.reason, ending.by) == ("stopped", "a feeling", "anna")
    assert stop(sample.target(), SETTINGS, "anna").step == "none"
    with pytest.raises(InputError, match="no canary runs"):
        promote(sample.target(), SETTINGS, "anna")


def test_a_rollback_ends_it(sample, running):
    roll_back(sample.target(), SETTINGS, originals=True)
    assert read_running_experiment(sample.target()) is None
    assert read_entry(sample, 1).details.ending.reason == "the collection was rolled back"


def test_a_damaged_record_of_it_keeps_nobody_from_rolling_back(sample, running):
    records = sample.target().ledger_records
    record = records.get([EXPERIMENT_KEY])[0]
    record.document["experiment"]["running"]["share"] = 0.5
    records.put([record])
    roll_back(sample.target(), SETTINGS, originals=True)
    assert read_running_experiment(sample.target()) is None
    assert find_candidate(sample.target().open_ledger().entries()) is None


def test_on_hold_nothing_is_promoted_until_the_release(sample, running):
    log_sessions(sample.target(), running, "treatment")
    place_hold(sample.target(), HoldRequest("anna", "wait"))
    assert review_later(sample).step == "none"
    with pytest.raises(OnHold):
        promote(sample.target(), SETTINGS, "anna")
    assert read_running_experiment(sample.target()) == running
    release_hold(sample.target())
    assert review_later(sample).step == "promoted"


def test_on_hold_none_starts(sample):
    place_hold(sample.target(), HoldRequest("anna", "wait"))
    with pytest.raises(OnHold):
        start(sample.target(), SETTINGS)
    assert read_running_experiment(sample.target()) is None


def test_removed_feedback_ends_it_and_the_next_cycle_does_not_wait_for_another(sample, running):
    erase_feedback(sample.target(), FeedbackSelector(query="q0"), ["q0"])
    assert review_later(sample).verdict == "stopped"
    report = run_cycle(sample.target(), SETTINGS)
    assert report.outcome == "applied"
    assert read_running_experiment(sample.target()) is None


@pytest.mark.parametrize("by_hand", [True, False])
def test_nothing_learned_from_removed_feedback_is_promoted(sample, running, by_hand):
    """Not on a person's word, nor where the promotion was decided before the removal."""
    if not by_hand:
        ledger = sample.target().open_ledger()
        ending = Ending("promote", "clicks: surely better", running.started_at)
        ledger.add_details(ledger.read_entry(1), ending=ending)
    erase_feedback(sample.target(), FeedbackSelector(query="q0"), ["q0"])
    report = promote(sample.target(), SETTINGS, "anna") if by_hand else review_later(sample)
    assert (report.step, report.verdict, report.written) == ("ended", "stopped", 0)
    assert "feedback was removed" in report.reason
    entry = read_entry(sample, 1)
    assert (entry.state, entry.details.ending.verdict) == ("abandoned", "stopped")
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
    assert open_candidate(sample.target()).records.count() == 0
    assert read_running_experiment(sample.target()) is None


@pytest.mark.parametrize("by_hand", [True, False])
def test_nothing_learned_of_a_former_model_is_promoted(sample, running, by_hand):
    """Most documents are embedded by another model, and the plan is of the few that are not yet."""
    log_sessions(sample.target(), running, "treatment")
    sample.upsert(range(30), make_unit_rows(30, DIMENSION, 5))
    report = promote(sample.target(), SETTINGS, "anna") if by_hand else review_later(sample)
    assert (report.step, report.verdict, report.written) == ("ended", "stopped", 0)
    assert "were embedded again" in report.reason
    assert read_entry(sample, 1).state == "abandoned"
    assert read_space(sample.target()).number == 2


@pytest.mark.parametrize("by_hand", [True, False])
def test_nothing_is_promoted_while_originals_have_fewer_copies(sample, running, by_hand):
    log_sessions(sample.target(), running, "treatment")
    copies = sample.database.store.replications
    copies["docs"], copies["docs__nudge_revisions"] = Replication(2, 2, 2), Replication(1, 1, 1)

    def write():
        return promote(sample.target(), SETTINGS, "anna") if by_hand else review_later(sample)

    with pytest.raises(UnsupportedCollection, match=r"check --mend"):
        write()
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
    assert read_entry(sample, 1).details.ending is None
    assert read_running_experiment(sample.target()) == running
    make_missing_copies(sample.target())
    assert write().step == "promoted"


def test_points_that_changed_meanwhile_are_left_alone(sample):
    plan = cycle.plan(sample.target(), SETTINGS)
    start(sample.target(), SETTINGS, plan)
    running = read_running_experiment(sample.target())
    rewritten, deleted = plan.rows.ids[:2]
    sample.upsert([rewritten], sample.data.vectors[-1:])
    sample.delete([deleted])
    log_sessions(sample.target(), running, "treatment")
    assert review_later(sample).written == len(plan.rows) - 2
    assert sample.read_vectors([rewritten]).tobytes() == sample.data.vectors[-1:].tobytes()
    assert len(sample.target().collection.read([deleted])) == 0


def test_a_canary_whose_points_are_all_gone_ends(sample):
    plan = cycle.plan(sample.target(), SETTINGS)
    start(sample.target(), SETTINGS, plan)
    running = read_running_experiment(sample.target())
    log_sessions(sample.target(), running, "treatment")
    sample.delete(plan.rows.ids)
    report = review_later(sample)
    assert (report.step, report.verdict) == ("ended", "stopped")
    assert read_entry(sample, 1).state == "abandoned"


def test_a_holdback_follows_and_ends_with_the_next_write(sample):
    settings = with_canary(holdback_share=0.05)
    start(sample.target(), settings)
    log_sessions(sample.target(), read_running_experiment(sample.target()), "treatment")
    review_later(sample, settings=settings)
    running = read_running_experiment(sample.target())
    assert (running.kind, running.revision, running.share) == ("holdback", 1, 0.05)
    assert review(sample.target(), settings).step == "none"
    roll_back(sample.target(), settings)
    assert read_running_experiment(sample.target()) is None


def test_a_holdback_that_shows_harm_brings_the_originals_back_and_holds(sample):
    settings = with_canary(holdback_share=0.05)
    cycle.apply(sample.target(), settings)
    assert review(sample.target(), settings).step == "held back"
    running = read_running_experiment(sample.target())
    log_sessions(sample.target(), running, "control")
    report = review_later(sample, settings=settings)
    assert report.step == "rolled back"
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
    assert "holdback: clicks: surely worse" in read_hold(sample.target()).reason
    assert review(sample.target(), settings).step == "none"


def test_a_holdback_that_a_crash_left_of_another_revision_begins_anew(sample):
    settings = with_canary(holdback_share=0.05)
    cycle.apply(sample.target(), settings)
    start_experiment(sample.target(), "holdback", 7, 0.05)
    assert review(sample.target(), settings).step == "cleared"
    assert review(sample.target(), settings).step == "held back"
    assert read_running_experiment(sample.target()).revision == 1
