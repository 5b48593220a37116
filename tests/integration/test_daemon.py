"""The daemon as a real process: it runs on time, answers, and ends between two batches."""

from __future__ import annotations

import json
import re
import signal
import time
from subprocess import Popen
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

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


def fetch_page(port: int, path: str, token: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def read_metric(port: int, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", fetch_page(port, "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_until(reached) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def stop_daemon(child: Popen[str], number: int = signal.SIGTERM) -> str:
    child.send_signal(number)
    _, log = child.communicate(timeout=TIMEOUT_SECONDS)
    assert child.returncode == 0, log
    return log


def test_it_runs_on_time_answers_and_stops(workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config('[schedule]\nevery = "2s"')
    cycles = 'nudge_sync_cycles_total{collection="docs",outcome="%s"}'
    with workspace_with_feedback.start_daemon() as (child, port):
        wait_until(lambda: read_metric(port, cycles % "unchanged") >= 1)
        assert read_metric(port, cycles % "applied") == 1
        assert read_metric(port, 'nudge_sync_points{collection="docs"}') == POINTS
        assert read_metric(port, 'nudge_sync_judged_points{collection="docs"}') == JUDGED_POINTS
        assert (
            read_metric(port, 'nudge_sync_rows_total{collection="docs",result="written"}')
            == JUDGED_POINTS
        )
        held = 'nudge_sync_held_out{collection="docs",metric="ndcg@10",when="%s"}'
        assert read_metric(port, held % "after") > 0
        success = 'nudge_sync_last_success_timestamp_seconds{collection="docs"}'
        assert 0 <= time.time() - read_metric(port, success) < TIMEOUT_SECONDS
        assert fetch_page(port, "/healthz") == (200, "ok\n")
        assert fetch_page(port, "/readyz") == (200, "ok\n")
        assert fetch_page(port, "/else")[0] == 404
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
    with workspace_with_feedback.start_daemon("--now") as (child, port):
        wait_until(lambda: read_metric(port, 'nudge_sync_lease_held{collection="docs"}') == 1)
        assert fetch_page(port, "/healzh")[0] == 404
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
    with workspace_with_feedback.start_daemon("--now") as (child, port):
        wait_until(lambda: read_metric(port, cycles % ("docs", "refused")) == 1)
        wait_until(lambda: read_metric(port, cycles % ("absent", "failed")) == 1)
        assert read_metric(port, 'nudge_sync_gate_total{collection="docs",result="refused"}') == 1
        log = stop_daemon(child)
    assert "refused by the gate" in log
    assert "Traceback" not in log


def test_metrics_ask_for_the_token(workspace_with_feedback: Workspace):
    workspace_with_feedback.write_config('[schedule]\nevery = "1d"')
    with workspace_with_feedback.start_daemon(NUDGE_SYNC_TOKEN="s3cret") as (child, port):
        assert fetch_page(port, "/metrics")[0] == 401
        assert fetch_page(port, "/metrics", "wrong")[0] == 401
        assert fetch_page(port, "/metrics", "s3cret")[0] == 200
        assert fetch_page(port, "/healthz")[0] == 200
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
