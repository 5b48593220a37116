"""An action of the console is done to what its page showed, or not at all."""

from __future__ import annotations

import pytest

from nudge_sync.canary.by_hand import stop
from nudge_sync.canary.start import start
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.experiments.running import read_running_experiment
from nudge_sync.store.hold import HoldRequest, place_hold, read_hold, release_hold
from nudge_sync.store.lease import hold_lease, read_active_lease
from nudge_sync.store.upkeep.audit import read_audit_lines
from nudge_sync.writing.canary import start_holdback
from nudge_sync.writing.two_phase import open_writer
from tests.support.console.console_site import (
    ACTION_TOKEN,
    apply_plan,
    do_confirmed,
    find_confirmed,
    find_proof,
    post_form,
)
from tests.support.sample_collection import SETTINGS

ANNA = HoldRequest("anna", "trying something")
DAEMON = HoldRequest("nudge-sync serve", "holdback: surely worse")


@pytest.fixture
def client(memory_site):
    return memory_site.browse(ACTION_TOKEN, "Bob")


def press(site, client, action, question):
    """Press the button of a page that was opened before, and return what came of it."""
    fields = {"confirmed": find_confirmed(question)}
    answer = post_form(client, f"/c/docs/do/{action}", find_proof(question), **fields)
    site.wait_for_jobs()
    return client.get(answer.headers["location"]).text


def test_the_lease_of_another_holder_stays(memory_sample, memory_site, client):
    with hold_lease(memory_sample.target(), 60):
        question = client.get("/c/docs/do/unlock")
    with hold_lease(memory_sample.target(), 60) as lease:
        assert "not the one that was confirmed" in press(memory_site, client, "unlock", question)
        lease.confirm()
        # Renewed meanwhile, it is the same holder's.
        question = client.get("/c/docs/do/unlock")
        lease._extend((0.0,))
        assert "Done" in press(memory_site, client, "unlock", question)
        assert read_active_lease(memory_sample.target()) is None
        assert "Done" in press(memory_site, client, "unlock", question)


def test_another_hold_is_not_released(memory_sample, memory_site, client):
    target = memory_sample.target()
    place_hold(target, ANNA)
    question = client.get("/c/docs/do/release")
    release_hold(target)
    place_hold(target, DAEMON)
    said = press(memory_site, client, "release", question)
    assert "holdback: surely worse, which is not the hold that was confirmed" in said
    assert read_hold(target).by == "nudge-sync serve"
    assert "Done" in do_confirmed(memory_site, client, "release")
    assert read_hold(target) is None
    assert "Done" in press(memory_site, client, "release", question)


def test_another_hold_is_not_replaced(memory_sample, memory_site, client):
    target = memory_sample.target()
    question = client.get("/c/docs/do/hold")
    place_hold(target, DAEMON)
    assert "not the hold that was confirmed" in press(memory_site, client, "hold", question)
    assert read_hold(target).by == "nudge-sync serve"
    shown = client.get("/c/docs/do/hold")
    assert "Done" in press(memory_site, client, "hold", shown)
    assert read_hold(target).by.startswith("Bob in the console")
    # Where nothing holds it any more, the wish to stop all cycles is followed.
    release_hold(target)
    assert "Done" in press(memory_site, client, "hold", shown)
    assert read_hold(target) is not None


def start_canary(sample):
    assert start(sample.target(), SETTINGS).outcome == "candidate"
    return read_running_experiment(sample.target())


def test_another_experiment_goes_on(memory_sample, memory_site, client):
    target = memory_sample.target()
    start_canary(memory_sample)
    question = client.get("/c/docs/do/canary-stop")
    stop(target, SETTINGS, "anna")
    with open_writer(target, SETTINGS, lambda *_: None):
        start_holdback(target, 1, CanarySettings(holdback_share=0.1))
    said = press(memory_site, client, "canary-stop", question)
    assert "not the experiment that was confirmed" in said
    assert read_running_experiment(target).kind == "holdback"
    question = client.get("/c/docs/do/canary-stop")
    assert "Done" in press(memory_site, client, "canary-stop", question)
    assert read_running_experiment(target) is None
    assert "Done" in press(memory_site, client, "canary-stop", question)
    start_canary(memory_sample)
    assert "was confirmed" in press(memory_site, client, "canary-stop", question)
    assert read_running_experiment(target).kind == "canary"


def test_another_canary_is_not_promoted(memory_sample, memory_site, client):
    before = memory_sample.read_vectors().tobytes()
    start_canary(memory_sample)
    question = client.get("/c/docs/do/canary-promote")
    stop(memory_sample.target(), SETTINGS, "anna")
    start_canary(memory_sample)
    said = press(memory_site, client, "canary-promote", question)
    assert "tries revision 2 by now, and no longer 1" in said
    assert memory_sample.read_vectors().tobytes() == before


def test_a_canary_starts_as_its_page_said(memory_sample, memory_site, client, monkeypatch):
    memory_site.compute_plan(client)
    question = client.get("/c/docs/do/canary-start")
    # As after a reload of the configuration.
    wider = SETTINGS.model_copy(update={"canary": CanarySettings(share=1.0)})
    with monkeypatch.context() as reloaded:
        reloaded.setattr(DatabaseOpener, "get_settings", lambda *_: wider)
        said = press(memory_site, client, "canary-start", question)
    assert "[canary] of the configuration, is not what was confirmed" in said
    assert read_running_experiment(memory_sample.target()) is None
    assert "Done" in press(memory_site, client, "canary-start", question)


@pytest.mark.parametrize(
    "action",
    ["unlock", "release", "canary-stop", "canary-promote", "canary-start", "rollback", "hold"],
)
def test_what_no_page_asked_about_is_not_done(memory_sample, memory_site, client, action):
    target = memory_sample.target()
    if action == "rollback":
        apply_plan(memory_site, client)
    elif action != "canary-start":
        start_canary(memory_sample)
    memory_site.compute_plan(client)
    place_hold(target, ANNA)
    before = memory_sample.read_vectors().tobytes(), read_running_experiment(target)
    with hold_lease(memory_sample.target(), 60) as lease:
        post_form(client, f"/c/docs/do/{action}", find_proof(client.get("/")))
        memory_site.wait_for_jobs()
        lease.confirm()
    assert read_audit_lines(target)[-1].state == "failed"
    assert read_hold(target).by == "anna"
    assert (memory_sample.read_vectors().tobytes(), read_running_experiment(target)) == before
