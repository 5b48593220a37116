"""The daemon as a real process: it runs on time, answers, and ends between two batches."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.support.operations.running_daemon import (
    fetch_page,
    read_metric,
    start_daemon,
    stop_daemon,
    wait_until,
)
from tests.support.sample_collection import JUDGED_POINTS, POINTS
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import Workspace, make_workspace


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory) -> Workspace:
    shop = make_workspace(tmp_path_factory.mktemp("shop"))
    shop.run("feedback", "import", str(shop.feedback_path))
    return shop


@pytest.fixture
def workspace_with_feedback(shared_workspace: Workspace, tmp_path) -> Workspace:
    return shared_workspace.copy_to(tmp_path / "copy")


def test_it_runs_on_time_answers_and_stops(workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config('[schedule]\nevery = "2s"')
    cycles = 'nudge_sync_cycles_total{collection="docs",outcome="%s"}'
    with start_daemon(workspace_with_feedback) as (child, url):
        wait_until(lambda: read_metric(url, cycles % "unchanged") >= 1)
        assert read_metric(url, cycles % "applied") == 1
        assert read_metric(url, 'nudge_sync_points{collection="docs"}') == POINTS
        assert read_metric(url, 'nudge_sync_judged_points{collection="docs"}') == JUDGED_POINTS
        assert (
            read_metric(url, 'nudge_sync_rows_total{collection="docs",result="written"}')
            == JUDGED_POINTS
        )
        held = 'nudge_sync_held_out{collection="docs",metric="ndcg@10",when="%s"}'
        assert read_metric(url, held % "after") > 0
        success = 'nudge_sync_last_success_timestamp_seconds{collection="docs"}'
        assert 0 <= time.time() - read_metric(url, success) < TIMEOUT_SECONDS
        assert fetch_page(f"{url}/healthz") == (200, "ok\n")
        assert fetch_page(f"{url}/readyz") == (200, "ok\n")
        assert fetch_page(f"{url}/else")[0] == 404
        log = stop_daemon(child)
    entries = [json.loads(line) for line in log.splitlines()]
    assert {"time", "level", "message"} <= entries[0].keys()
    assert entries[-1]["message"] == "stopped"
    assert any(entry["message"] == "cycle applied" for entry in entries)
    assert workspace_with_feedback.run("verify")["as_written"] == JUDGED_POINTS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_ends_with_the_batch_in_hand(number, workspace_with_feedback: Workspace):
    # Forty rows in batches of sixteen at four a second: the write takes some seconds.
    workspace_with_feedback.write_config('rate = 4.0\n[schedule]\nevery = "1d"')
    with start_daemon(workspace_with_feedback, "--now") as (child, url):
        wait_until(lambda: read_metric(url, 'nudge_sync_lease_held{collection="docs"}') == 1)
        assert fetch_page(f"{url}/healzh")[0] == 404
        log = stop_daemon(child, number)
    assert "cycle interrupted" in log
    workspace_with_feedback.write_config()
    assert workspace_with_feedback.run("apply", "--yes")["gate"]["passed"]
    found = workspace_with_feedback.run("verify")
    assert (found["as_written"], found["pending"]) == (JUDGED_POINTS, 0)


def test_the_gate_and_a_missing_collection_do_not_end_it(workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config(
        '[schedule]\nevery = "1d"\n[collections.absent]', min_queries=5000
    )
    cycles = 'nudge_sync_cycles_total{collection="%s",outcome="%s"}'
    with start_daemon(workspace_with_feedback, "--now") as (child, url):
        wait_until(lambda: read_metric(url, cycles % ("docs", "refused")) == 1)
        wait_until(lambda: read_metric(url, cycles % ("absent", "failed")) == 1)
        assert read_metric(url, 'nudge_sync_gate_total{collection="docs",result="refused"}') == 1
        log = stop_daemon(child)
    assert "refused by the gate" in log
    assert "Traceback" not in log


def test_metrics_ask_for_the_token(workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config('[schedule]\nevery = "1d"')
    with start_daemon(workspace_with_feedback, NUDGE_SYNC_TOKEN="s3cret") as (child, url):
        assert fetch_page(f"{url}/metrics")[0] == 401
        assert fetch_page(f"{url}/metrics", "wrong")[0] == 401
        assert fetch_page(f"{url}/metrics", "s3cret")[0] == 200
        assert fetch_page(f"{url}/healthz")[0] == 200
        log = stop_daemon(child)
    assert "s3cret" not in log


@pytest.mark.parametrize(
    ("more", "words", "expected"),
    [
        ("", (), "no collection has a schedule"),
        ('[schedule]\nevery = "1d"', ("--host", "0.0.0.0"), "NUDGE_SYNC_TOKEN"),
        ('[schedule]\nevery = "1d"', ("--host", "203.0.113.1"), "NUDGE_SYNC_TOKEN"),
    ],
)
def test_what_it_refuses_to_start_with(more, words, expected, workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config(more)
    child = workspace_with_feedback.start_process("serve", "--port", "0", *words)
    _, said = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, expected in said) == (2, True), said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('connector = "nowhere"', "no connector is called 'nowhere'"),
        ('connector = "qdrant-edge"\nsnyc = true', "database.snyc: unknown key"),
        ('connector = "qdrant"\napi_key = "s3cret"', "database.api_key: a secret does not belong"),
    ],
)
def test_it_does_not_start_with_a_database_that_no_verb_takes(
    line, expected, workspace_with_feedback: Workspace
):
    workspace_with_feedback.write_config('[schedule]\nevery = "1d"')
    path = workspace_with_feedback.config_path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('connector = "qdrant-edge"', line), encoding="utf-8")
    child = workspace_with_feedback.start_process("serve", "--port", "0")
    _, said = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, expected in said) == (2, True), said
    assert "s3cret" not in said


def test_it_does_not_start_with_a_token_that_no_request_could_bear(
    workspace_with_feedback: Workspace,
):
    workspace_with_feedback.write_config('[schedule]\nevery = "1d"')
    child = workspace_with_feedback.start_process(
        "serve", "--port", "0", NUDGE_SYNC_TOKEN="schlüssel"
    )
    _, said = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, "NUDGE_SYNC_TOKEN" in said) == (2, True), said
    assert "schlüssel" not in said
