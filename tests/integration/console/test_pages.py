"""The console over a whole collection: what it shows, and who may do what."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import pytest

from nudge_sync import cycle
from nudge_sync.console.access import Access
from nudge_sync.console.context import Console
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.console.shield import SECURITY_HEADERS
from nudge_sync.errors import Unreachable
from nudge_sync.planning.plan import RecallFigures
from nudge_sync.store.hold import read_hold
from tests.support.console.console_site import (
    ACTION_TOKEN,
    READ_TOKEN,
    ConsoleSite,
    apply_plan,
    build_config,
    do_confirmed,
    find_proof,
    open_console,
    post_form,
    roll_back,
)
from tests.support.sample_collection import POINTS, SETTINGS, open_sample_collection

PAGES = (
    "/",
    "/c/docs/plan",
    "/c/docs/plan/searches?side=won",
    "/c/docs/plan/searches?side=lost&page=99",
    "/c/docs/plan/points?sort=angle&down=1&search=1",
    "/c/docs/point?id=3",
    "/c/docs/try?search=q",
    "/c/docs/try?query=q3",
    "/c/docs/feedback",
    "/c/docs/revisions",
    "/c/docs/revisions/1",
    "/c/docs/revisions/compare?left=1&right=1",
    "/c/docs/experiment",
)
ACTIONS = (
    *("apply", "rollback", "hold", "release", "drill", "unlock"),
    *("canary-start", "canary-promote", "canary-stop"),
)


@pytest.fixture(params=["memory", "qdrant-edge"])
def sample(request, tmp_path):
    with open_sample_collection(request.param, tmp_path) as opened:
        opened.add_judgements()
        if request.param == "qdrant-edge":
            # The engine lets one connection in, which is the console's from here on.
            opened.database.close()
        yield opened


@pytest.fixture
def site(sample):
    with open_console(sample) as opened:
        yield opened


def test_a_person_applies_a_plan_and_takes_it_back(site):
    client = site.browse(ACTION_TOKEN, "Anna")
    with site.console.opener.open_target("docs") as target:
        before = target.collection.read(range(POINTS)).vectors.tobytes()
    assert "Done" in apply_plan(site, client).text
    with site.console.opener.open_target("docs") as target:
        assert target.collection.read(range(POINTS)).vectors.tobytes() != before
    assert "Done" in roll_back(site, client, "originals").text
    with site.console.opener.open_target("docs") as target:
        assert target.collection.read(range(POINTS)).vectors.tobytes() == before
        hold = read_hold(target)
    assert hold.by.startswith("Anna in the console, from ")
    assert hold.reason == "it looks wrong"
    assert "on hold" in client.get("/").text


def read_page(site, client, path):
    """Return a page once what it waits for is there."""
    client.get(path)
    site.wait_for_jobs()
    return client.get(path).text


def test_a_plan_is_tried_in_a_canary_and_promoted(memory_sample, memory_site):
    before = memory_sample.read_vectors().tobytes()
    client = memory_site.browse(ACTION_TOKEN, "Anna")
    memory_site.compute_plan(client)
    assert "Try in a canary" in client.get("/c/docs/plan").text
    assert "Done" in do_confirmed(memory_site, client, "canary-start")
    assert memory_sample.read_vectors().tobytes() == before
    page = read_page(memory_site, client, "/c/docs/experiment")
    assert "not written yet" in page
    assert "It goes on" in page
    memory_site.compute_plan(client)
    assert "A canary runs" in client.get("/c/docs/do/apply").text
    assert "Done" in do_confirmed(memory_site, client, "canary-promote")
    assert memory_sample.read_vectors().tobytes() != before
    ending = memory_sample.target().open_ledger().read_entry(1).details.ending
    assert ending.by.startswith("Anna in the console, from ")


def test_a_canary_is_ended_with_a_reason(memory_sample, memory_site):
    client = memory_site.browse(ACTION_TOKEN)
    memory_site.compute_plan(client)
    do_confirmed(memory_site, client, "canary-start")
    assert "Done" in do_confirmed(memory_site, client, "canary-stop", reason="a feeling")
    page = read_page(memory_site, client, "/c/docs/experiment")
    assert "Nothing is compared on live traffic" in page
    assert "a feeling" in page
    assert "Nothing runs." in client.get("/c/docs/do/canary-stop").text


def test_every_page_answers(site):
    client = site.browse(ACTION_TOKEN)
    apply_plan(site, client)
    site.compute_plan(client)
    for path in (*PAGES, *(f"/c/docs/do/{action}" for action in ACTIONS)):
        assert client.get(path).status_code == 200, path
        site.wait_for_jobs()
        page = client.get(path)
        assert page.status_code == 200, path
        assert "failed" not in page.text, path
        for name, value in SECURITY_HEADERS.items():
            assert page.headers[name] == value


def test_the_plan_says_what_the_command_line_says(memory_sample, memory_site):
    client = memory_site.browse(READ_TOKEN)
    memory_site.compute_plan(client)
    plan = cycle.plan(memory_sample.target(), SETTINGS)
    view = memory_site.console.plans.get("docs")
    assert view.plan.summary() == plan.summary()
    metric = plan.figures.metric
    # The searches are ranked once more, and come to the scores that the gate went by.
    assert view.searches.queries == plan.figures.queries["held"]
    assert view.searches.before == pytest.approx(plan.figures.before[metric], abs=1e-6)
    assert view.searches.after == pytest.approx(plan.figures.after[metric], abs=1e-6)
    page = client.get("/c/docs/plan").text
    assert "The gate lets this plan pass" in page
    assert f"<dd>{len(plan.rows)}</dd>" in page
    assert "The index finds" not in page


@pytest.mark.parametrize("warning", ["", "the index finds <few>"])
def test_the_plan_says_how_much_the_index_finds(memory_site, warning):
    client = memory_site.browse(READ_TOKEN)
    memory_site.compute_plan(client)
    view = memory_site.console.plans.get("docs")
    recall = RecallFigures(0.875, 32, "exact", warning)
    figures = replace(view.plan.figures, index_recall=recall)
    memory_site.console.plans.put("docs", replace(view, plan=replace(view.plan, figures=figures)))
    page = client.get("/c/docs/plan").text
    assert ("The index finds 87.5 % of the points near a search" in page) == (not warning)
    assert ("<b>Warning:</b> <bdi>the index finds &lt;few&gt;" in page) == bool(warning)


@pytest.mark.parametrize("path", [*PAGES, "/openapi.json", "/jobs/x/events", "/c/docs/do/apply"])
def test_nothing_is_shown_without_a_token(memory_site, path):
    client = memory_site.browse()
    answer = client.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    assert client.get(path, headers={"Accept": "*/*"}).status_code == 401
    wrong = {"Authorization": f"Bearer {READ_TOKEN}x", "Accept": "*/*"}
    assert client.get(path, headers=wrong).status_code == 401


@pytest.mark.parametrize("action", ACTIONS)
def test_a_token_that_reads_cannot_act(memory_sample, memory_site, action):
    before = memory_sample.read_vectors().tobytes()
    client = memory_site.browse(READ_TOKEN)
    memory_site.compute_plan(client)
    assert client.get(f"/c/docs/do/{action}").status_code == 403
    proof = find_proof(client.get("/"))
    assert post_form(client, f"/c/docs/do/{action}", proof).status_code == 403
    memory_site.wait_for_jobs()
    assert memory_sample.read_vectors().tobytes() == before
    assert "/do/" not in client.get("/").text + client.get("/c/docs/plan").text


@pytest.mark.parametrize("action", ACTIONS)
def test_no_action_without_the_proof_of_a_page(memory_site, action):
    client, other = memory_site.browse(ACTION_TOKEN), memory_site.browse(ACTION_TOKEN)
    jobs = memory_site.console.jobs
    path = f"/c/docs/do/{action}"
    assert client.post(path).status_code == 415
    for proof in ("", "0" * 64, find_proof(other.get("/"))):
        assert post_form(client, path, proof).status_code == 403
    assert jobs.list_jobs() == []
    proof = {"proof": find_proof(client.get("/"))}
    for origin in ("http://evil.example", "null", "http://["):
        headers = {"Origin": origin}
        assert client.post(path, data=proof, headers=headers).status_code == 400, origin
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(path, data=proof, headers=headers).status_code == 400
    assert jobs.list_jobs() == []


def test_a_plan_that_was_not_confirmed_is_not_applied(memory_sample, memory_site):
    before = memory_sample.read_vectors().tobytes()
    client = memory_site.browse(ACTION_TOKEN)
    memory_site.compute_plan(client)
    proof = find_proof(client.get("/c/docs/do/apply"))
    answer = post_form(client, "/c/docs/do/apply", proof, confirmed="another plan's digest")
    memory_site.wait_for_jobs()
    page = client.get(answer.headers["location"]).text
    assert "not the one that was confirmed" in page
    assert memory_sample.read_vectors().tobytes() == before


def test_a_stale_plan_is_refused(memory_sample, memory_site):
    client = memory_site.browse(ACTION_TOKEN)
    memory_site.compute_plan(client)
    memory_sample.target().queries.delete([f"q{row}" for row in range(300)])
    question = client.get("/c/docs/do/apply")
    [confirmed] = re.findall(r'name="confirmed" value="(\w+)"', question.text)
    before = memory_sample.read_vectors().tobytes()
    answer = post_form(client, "/c/docs/do/apply", find_proof(question), confirmed=confirmed)
    memory_site.wait_for_jobs()
    assert "plan again" in client.get(answer.headers["location"]).text
    assert memory_sample.read_vectors().tobytes() == before


def test_who_acted_is_logged(memory_site, caplog):
    client = memory_site.browse(ACTION_TOKEN, "Anna\nINFO forged line")
    with caplog.at_level(logging.INFO, "nudge_sync"):
        roll_back(memory_site, client, "originals")
    lines = [record.details for record in caplog.records if record.message == "console action"]
    assert [line["state"] for line in lines] == ["begins", "done"]
    assert lines[0]["by"] == "Anna INFO forged line in the console, from testclient"
    assert (lines[0]["action"], lines[0]["collection"]) == ("rollback", "docs")


def test_other_names_of_this_machine_are_refused(memory_sample):
    with open_console(memory_sample, {"console_hosts": ["nudge.example.org"]}) as site:
        client = site.browse()
        for host, status in {
            "nudge.example.org": 200,
            "NUDGE.example.org:443": 200,
            "127.0.0.1:9466": 200,
            "[::1]:9466": 200,
            "localhost": 200,
            "evil.example": 400,
            "nudge.example.org.evil.example": 400,
            "": 400,
        }.items():
            assert client.get("/login", headers={"Host": host}).status_code == status, host


def test_the_cookie_is_kept_from_scripts_and_other_sites(memory_site):
    client = memory_site.browse()
    answer = client.post("/login", data={"token": READ_TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert READ_TOKEN not in cookie
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "\thttps:x"):
        answer = client.post("/login", data={"token": READ_TOKEN, "next": wanted})
        assert answer.headers["location"] == "/", wanted
    assert client.post("/login", data={"token": "wrong"}).status_code == 401


def test_a_session_ends(memory_site):
    client = memory_site.browse(READ_TOKEN)
    proof = find_proof(client.get("/"))
    stolen = dict(client.cookies)
    assert post_form(client, "/logout", proof).status_code == 303
    client.cookies.update(stolen)
    assert client.get("/").status_code == 303


def test_a_reverse_proxy_says_who_it_is(memory_sample):
    with open_console(memory_sample, {"console_user_header": "X-Forwarded-User"}) as site:
        client = site.browse()
        headers = {"X-Forwarded-User": "anna@example.org", "Accept": "text/html"}
        assert client.get("/", headers=headers).status_code == 303
        page = client.get("/", headers={**headers, "Authorization": f"Bearer {ACTION_TOKEN}"})
        assert "anna@example.org" in page.text
        assert "may act" in page.text


def test_a_bug_and_a_database_that_is_away_end_nothing():
    errors = [RuntimeError("password=hunter2"), Unreachable("no answer from the database")]

    def connect():
        raise errors[0]

    console = Console(DatabaseOpener(build_config(), connect), Access(READ_TOKEN))
    client = ConsoleSite(console).browse(READ_TOKEN)
    page = client.get("/c/docs/revisions")
    assert page.status_code == 500
    assert "unexpected RuntimeError" in page.text
    assert "hunter2" not in page.text
    client.get("/c/docs/feedback")
    ConsoleSite(console).wait_for_jobs()
    assert "unexpected RuntimeError" in client.get("/c/docs/feedback").text
    errors.pop(0)
    page = client.get("/c/docs/revisions")
    assert page.status_code == 503
    assert "no answer from the database" in page.text
    assert "no answer from the database" in client.get("/").text
    console.jobs.close()
