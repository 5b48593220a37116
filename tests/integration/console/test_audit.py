"""Who asked for what in the console: a line in the ledger's collection for each action."""

from __future__ import annotations

import re
from threading import Event

from nudge_sync.store.lease import hold_lease
from nudge_sync.store.upkeep.audit import read_audit_lines
from tests.support.console.console_site import (
    ACTION_TOKEN,
    apply_plan,
    do_confirmed,
    find_proof,
    post_form,
    roll_back,
)
from tests.support.timeouts import TIMEOUT_SECONDS


def test_every_action_leaves_a_line_in_the_ledger(memory_sample, memory_site):
    client = memory_site.browse(ACTION_TOKEN, "Anna")
    apply_plan(memory_site, client)
    roll_back(memory_site, client, "originals")
    do_confirmed(memory_site, client, "release")
    do_confirmed(memory_site, client, "hold", reason="a holiday")
    do_confirmed(memory_site, client, "release")
    do_confirmed(memory_site, client, "drill")
    for ending in ("canary-stop", "canary-promote"):
        memory_site.compute_plan(client)
        do_confirmed(memory_site, client, "canary-start")
        do_confirmed(memory_site, client, ending)
    with hold_lease(memory_sample.target(), 60):
        do_confirmed(memory_site, client, "unlock")
    lines = read_audit_lines(memory_sample.target())
    assert [line.action for line in lines] == [
        *("apply", "rollback", "release", "hold", "release", "drill"),
        *("canary-start", "canary-stop", "canary-start", "canary-promote", "unlock"),
    ]
    assert {(line.by, line.address) for line in lines} == {("Anna", "testclient")}
    assert {line.state for line in lines} == {"done"}
    assert all(0 < line.begun_at <= line.ended_at for line in lines)
    entries = memory_sample.target().open_ledger().entries()
    assert {line.revision for line in lines} - {0} == {entry.number for entry in entries}
    assert (lines[1].to, lines[1].reason) == ("originals", "it looks wrong")
    page = client.get("/c/docs/revisions").text
    assert "a holiday" in page
    assert "testclient" in page
    assert "Anna</bdi> in the console, from" in client.get("/c/docs/revisions/1").text


def test_an_action_that_fails_leaves_a_line_too(memory_sample, memory_site):
    client = memory_site.browse(ACTION_TOKEN, "Anna")
    proof = find_proof(client.get("/"))
    post_form(client, "/c/docs/do/rollback", proof, to="7")
    memory_site.wait_for_jobs()
    [line] = read_audit_lines(memory_sample.target())
    assert (line.action, line.to, line.state, line.revision) == ("rollback", "7", "failed", 0)
    assert "revision 7 is not kept" in line.error
    assert "revision 7 is not kept" in client.get("/c/docs/revisions").text


def test_an_action_is_never_taken_for_that_of_somebody_else(memory_sample, memory_site):
    anna, bob = (memory_site.browse(ACTION_TOKEN, name) for name in ("Anna", "Bob"))
    path, fields = "/c/docs/do/rollback", {"to": "originals", "reason": "<worse>"}
    proof, bobs_proof = find_proof(anna.get("/")), find_proof(bob.get("/"))
    release = Event()
    memory_site.console.jobs.start(("wait",), "waiting", lambda _: release.wait(TIMEOUT_SECONDS))
    begun = post_form(anna, path, proof, **fields)
    # The button, pressed twice.
    assert post_form(anna, path, proof, **fields).headers["location"] == begun.headers["location"]
    others = [
        post_form(bob, path, bobs_proof, **fields),
        post_form(anna, path, proof, to="1", reason="<worse>"),
        post_form(anna, path, proof, to="originals", reason="another"),
    ]
    for refused in others:
        assert refused.status_code == 409
        assert "Roll back: docs" in refused.text
        assert "Anna in the console, from testclient, back to the originals" in refused.text
        assert "because: &lt;worse&gt;" in refused.text
    release.set()
    memory_site.wait_for_jobs()
    roll_back(memory_site, bob, "originals")
    lines = read_audit_lines(memory_sample.target())
    assert [(line.by, line.reason) for line in lines] == [
        ("Anna", "<worse>"),
        ("Bob", "it looks wrong"),
    ]


def test_a_rollback_takes_back_the_revision_that_was_looked_at_and_no_other(
    memory_sample, memory_site
):
    client = memory_site.browse(ACTION_TOKEN, "Anna")
    apply_plan(memory_site, client)
    question = client.get("/c/docs/do/rollback")
    [head] = re.findall(r'name="confirmed" value="([0-9]+)"', question.text)
    # Bob is faster: the same once more would go one revision further.
    roll_back(memory_site, memory_site.browse(ACTION_TOKEN, "Bob"))
    post_form(client, "/c/docs/do/rollback", find_proof(question), to="", confirmed=head)
    memory_site.wait_for_jobs()
    (late,) = [line for line in read_audit_lines(memory_sample.target()) if line.state == "failed"]
    assert (late.action, late.by) == ("rollback", "Anna")
    assert f"no longer {head}, whose rollback was confirmed" in late.error
