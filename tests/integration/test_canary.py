"""A canary from the command line and in the daemon, from the plan to the write."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest

from nudge_sync.store import checksum
from nudge_sync.store.experiments.candidate import open_candidate
from nudge_sync.store.experiments.running import EXPERIMENT_KEY, read_running_experiment
from nudge_sync.store.target import open_target
from nudge_sync_qdrant_edge import connect
from tests.integration.test_daemon import read_metric, start_daemon, stop_daemon, wait_until
from tests.support.canned_server import Answers, start_server
from tests.support.experiments.visits import log_sessions
from tests.support.sample_collection import JUDGED_POINTS
from tests.support.workspace import Workspace, make_workspace

CANARY = """
[schedule]
every = "{every}"
[canary]
share = 1.0
min_sessions = 50
check_every = "1s"
holdback_share = 0.05
"""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    shop = make_workspace(tmp_path / "shop")
    shop.run("feedback", "import", str(shop.feedback_path))
    return shop


@contextmanager
def open_shop(workspace):
    database = connect({"path": str(workspace.folder / "shards"), "sync": False})
    try:
        yield open_target(database, "docs")
    finally:
        database.close()


def let_sessions_pass(workspace, preferred, after=0.0):
    """Let the experiment that runs begin two hours ago, with sessions that ended since."""
    with open_shop(workspace) as target:
        running = read_running_experiment(target)
        record = target.ledger_records.get([EXPERIMENT_KEY])[0]
        earlier = replace(running, started_at=running.started_at - 7_200_000)
        experiment = {**record.document["experiment"], "running": asdict(earlier)}
        document = {"generation": experiment["generation"], "experiment": experiment}
        target.ledger_records.put([checksum.add_checksum(EXPERIMENT_KEY, document)])
        log_sessions(target, earlier, preferred, after=after)


class Receiver(Answers):
    """Takes notifications."""

    status = 204


def test_by_hand_from_start_to_promotion(workspace):
    before = workspace.read_vectors()
    started = workspace.run("canary", "start")
    assert (started["candidate"], started["revision"], started["written"]) == (1, None, 0)
    np.testing.assert_array_equal(workspace.read_vectors(), before)
    error = workspace.run("apply", "--yes", code=3)
    assert "a canary tries revision 1" in error
    status = workspace.run("canary", "status")
    assert status["experiment"].items() >= {"kind": "canary", "revision": 1}.items()
    assert (status["verdict"], status["last"]) == ("continue", None)
    assert workspace.run("show", "1")["state"] == "candidate"
    assert workspace.run("verify")["as_written"] == 0
    promoted = workspace.run("canary", "promote", "--yes", "--by", "anna")
    assert (promoted["step"], promoted["revision"]) == ("promoted", 1)
    assert promoted["written"] == JUDGED_POINTS == workspace.run("verify")["as_written"]
    last = workspace.run("canary", "status")["last"]
    assert (last["verdict"], last["by"], last["state"]) == ("promote", "anna", "applied")
    workspace.run("rollback", "--originals", "--yes")
    np.testing.assert_array_equal(workspace.read_vectors(), before)


def test_stopped_by_hand_it_leaves_nothing(workspace):
    workspace.run("canary", "start")
    stopped = workspace.run("canary", "stop", "--reason", "a feeling")
    assert (stopped["step"], stopped["verdict"], stopped["revision"]) == ("ended", "stopped", 1)
    assert "no canary runs" in workspace.run("canary", "promote", "--yes", code=2)
    assert workspace.run("canary", "stop")["step"] == "none"
    with open_shop(workspace) as target:
        assert open_candidate(target).records.count() == 0


def test_people_are_told_in_words(workspace):
    from typer.testing import CliRunner  # noqa: PLC0415

    from nudge_sync.cli.app import app  # noqa: PLC0415

    workspace.run("canary", "start")
    let_sessions_pass(workspace, "control")
    environment = {"NUDGE_SYNC_CONFIG": str(workspace.config_path)}
    shown = CliRunner().invoke(app, ["canary", "status"], env=environment)
    assert shown.exit_code == 0
    assert "surely worse" in shown.stdout
    assert "-1.0000" in shown.stdout
    assert "sessions still needed" in shown.stdout


def test_the_daemon_runs_it_and_tells_of_it(workspace):
    workspace.write_config(CANARY.format(every="2s"))
    running = 'nudge_sync_experiment_running{collection="docs",kind="%s"}'
    decided = 'nudge_sync_experiment_decisions_total{collection="docs",decision="%s"}'
    cycles = 'nudge_sync_cycles_total{collection="docs",outcome="canary"}'
    with start_server(Receiver) as receiver:
        address = {"NUDGE_SYNC_WEBHOOK_URL": receiver.section["url"]}
        with start_daemon(workspace, **address) as (child, url):
            wait_until(lambda: read_metric(url, running % "canary") == 1)
            wait_until(lambda: read_metric(url, cycles) >= 2)
            assert (
                read_metric(url, 'nudge_sync_rows_total{collection="docs",result="written"}') == 0
            )
            log = stop_daemon(child)
        assert "canary started, nothing written" in log
        let_sessions_pass(workspace, "treatment")
        workspace.write_config(CANARY.format(every="1d"))
        with start_daemon(workspace, **address) as (child, url):
            wait_until(lambda: read_metric(url, decided % "promoted") == 1)
            wait_until(lambda: read_metric(url, running % "holdback") == 1)
            stop_daemon(child)
        assert workspace.run("verify")["as_written"] == JUDGED_POINTS
        let_sessions_pass(workspace, "control", after=100.0)
        with start_daemon(workspace, **address) as (child, url):
            wait_until(lambda: read_metric(url, decided % "rolled back") == 1)
            stop_daemon(child)
        told = [json.loads(body) for _, _, body in receiver.seen]
    assert [each["type"] for each in told] == [
        "canary.started",
        "experiment.promoted",
        "experiment.rolled_back",
    ]
    assert told[1]["data"]["written"] == JUDGED_POINTS
    found = workspace.run("verify")
    assert (found["as_written"], found["original"]) == (0, JUDGED_POINTS)
    hold = workspace.run("release")["hold"]
    assert "surely worse" in hold["reason"]
    assert time.time() * 1000 - hold["since"] < 3_600_000
