"""Whether the daemon is ready: as the database answered the last time, and asked again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread

import pytest

from nudge_sync.base.signals import StopRequest
from nudge_sync.config import load_config
from nudge_sync.errors import ConfigError
from nudge_sync.serve.daemon import Daemon
from nudge_sync.serve.jobs.schedule import CycleJob
from nudge_sync.serve.readiness import DatabaseProbe
from nudge_sync_qdrant_edge import connect
from tests.support.operations.memory_connector import install_memory_connector, make_memory_config
from tests.support.operations.running_daemon import wait_until
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import Workspace, make_workspace

AWAY = "the database did not answer for docs"
DAILY = {"docs": {"schedule": {"every": "1d"}}}
WITHOUT_SCHEDULE = {"docs": {}}


@pytest.fixture
def servers(tmp_path, monkeypatch):
    return install_memory_connector(tmp_path / "site", monkeypatch)


def make_daemon(config) -> Daemon:
    daemon = Daemon(config, StopRequest())
    daemon.probe = DatabaseProbe(daemon.jobs, retry_seconds=0.02, check_seconds=0.1)
    return daemon


@pytest.mark.parametrize("collections", [DAILY, WITHOUT_SCHEDULE])
def test_it_is_ready_as_soon_as_the_database_answers(collections, servers):
    daemon = make_daemon(make_memory_config("north", collections, feedback_port=0))
    with daemon.run_schedule(run_at_start=False):
        assert daemon.find_readiness_problem() == AWAY
        servers.start("north", "docs")
        wait_until(lambda: not daemon.find_readiness_problem())


@pytest.mark.parametrize("collections", [DAILY, WITHOUT_SCHEDULE])
def test_a_server_that_goes_away_is_noticed_without_a_cycle(collections, servers, caplog):
    servers.start("north", "docs")
    daemon = make_daemon(make_memory_config("north", collections, feedback_port=0))
    with daemon.run_schedule(run_at_start=False):
        assert daemon.find_readiness_problem() == ""
        servers.stop("north")
        wait_until(lambda: daemon.find_readiness_problem() == AWAY)
        time.sleep(0.1)
    messages = [record.message for record in caplog.records]
    assert messages.count("the database does not answer") == 1


def test_it_asks_between_batches_of_feedback_and_not_beside_them(servers):
    servers.start("north", "docs")
    daemon = make_daemon(make_memory_config("north", DAILY, feedback_port=0))
    checking = Thread(target=daemon.probe.check)
    with daemon.connection_lock:
        checking.start()
        checking.join(0.2)
        assert checking.is_alive()
    checking.join(TIMEOUT_SECONDS)
    assert daemon.find_readiness_problem() == ""


def test_a_server_that_is_known_is_asked_beside_feedback(servers):
    servers.start("north", "docs")
    daemon = make_daemon(make_memory_config("north", DAILY, feedback_port=0))
    daemon.probe.check()
    with daemon.connection_lock:
        checking = Thread(target=daemon.probe.check)
        checking.start()
        checking.join(TIMEOUT_SECONDS)
        assert not checking.is_alive()


def test_a_cycle_that_waits_for_a_server_keeps_out_nobody_and_ends_when_asked(servers):
    servers.start("north", "docs")
    config = make_memory_config("north", DAILY)
    config = config.model_copy(update={"patience": 600.0})
    daemon = make_daemon(config)
    servers.stop("north")
    cycle = Thread(target=daemon.jobs.run, args=[CycleJob("docs")])
    cycle.start()
    time.sleep(0.2)
    assert daemon.connection_lock.acquire(timeout=1)
    daemon.connection_lock.release()
    daemon.stop.request()
    cycle.join(TIMEOUT_SECONDS)
    assert not cycle.is_alive()


def test_one_answer_that_a_cycle_missed_does_not_last_until_the_next(servers):
    servers.start("north", "docs")
    daemon = make_daemon(make_memory_config("north", DAILY))
    with daemon.run_schedule(run_at_start=False):
        daemon.jobs.unreachable_reasons["docs"] = "no answer within the time allowed"
        wait_until(lambda: not daemon.find_readiness_problem())


def test_a_reload_asks_the_database_that_the_file_names_now(servers):
    servers.start("north", "docs", "other")
    daemon = make_daemon(make_memory_config("north", DAILY))
    with daemon.run_schedule(run_at_start=False):
        daemon.use_config(make_memory_config("south", DAILY))
        assert daemon.find_readiness_problem() == AWAY
        daemon.use_config(make_memory_config("north", {"other": DAILY["docs"]}))
        assert daemon.find_readiness_problem() == ""


def test_a_collection_that_is_missing_is_left_to_its_cycle(servers):
    servers.start("north")
    daemon = make_daemon(make_memory_config("north", DAILY))
    assert daemon.probe.check() is None
    assert daemon.find_readiness_problem() == ""


def test_a_database_that_cannot_be_opened_as_the_file_says_ends_the_start():
    config = make_memory_config("north", DAILY)
    daemon = Daemon(config, StopRequest())
    with (
        pytest.raises(ConfigError, match="no connector is called 'memory'"),
        daemon.run_schedule(run_at_start=False),
    ):
        pass


def test_a_bug_of_a_connector_does_not_end_the_questions(servers, caplog):
    def fail():
        raise KeyError("https://user:secret@db")

    daemon = make_daemon(make_memory_config("north", DAILY))
    with daemon.run_schedule(run_at_start=False):
        servers.opened["north"] = fail
        wait_until(lambda: "the database could not be asked" in caplog.text)
        servers.start("north", "docs")
        wait_until(lambda: not daemon.find_readiness_problem())
    assert "secret" not in caplog.text


@contextmanager
def use_embedded(workspace: Workspace) -> Iterator[None]:
    """Have the collection open while inside, so that nobody else can open it."""
    with closing(connect({"path": str(workspace.folder / "shards")})) as database:
        assert database.collection("docs").describe().points
        yield


def test_an_embedded_database_is_asked_again_only_after_it_did_not_answer(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config('[schedule]\nevery = "1d"')
    daemon = make_daemon(load_config(workspace.config_path))
    with use_embedded(workspace):
        daemon.probe.check()
        assert daemon.find_readiness_problem() == AWAY
    with daemon.probe.keep_checking():
        wait_until(lambda: not daemon.find_readiness_problem())
        with use_embedded(workspace):
            time.sleep(0.3)
            assert daemon.find_readiness_problem() == ""
