"""What a reload leaves of the collections, jobs and series of before."""

from __future__ import annotations

import re
import threading

import pytest

from nudge_sync.base.signals import StopRequest
from nudge_sync.connector import Database
from nudge_sync.serve.daemon import Daemon
from nudge_sync.serve.jobs.schedule import CycleJob, DrillJob, ReviewJob
from nudge_sync.serve.notices.notifier import Notifier
from nudge_sync.serve.notices.webhook import Webhook
from tests.support.operations.memory_connector import install_memory_connector, make_memory_config
from tests.support.operations.running_daemon import wait_until

DAILY = {"schedule": {"every": "1d", "drill_every": "1d"}}
REVIEWED = {"canary": {}}
SOURCE = {"feedback": {"sources": [{"source": "phoenix", "url": "http://127.0.0.1:9"}]}}
COUNTS = re.compile(r"_(total|created|bucket|count|sum)$")


@pytest.fixture
def servers(tmp_path, monkeypatch):
    servers = install_memory_connector(tmp_path / "site", monkeypatch)
    servers.start("north", "docs", "old")
    return servers


@pytest.fixture
def daemon(servers) -> Daemon:
    return Daemon(make_memory_config("north", {"docs": DAILY, "old": DAILY}), StopRequest())


def list_gauges(daemon: Daemon, collection: str) -> dict[str, float]:
    """Return the gauges of a collection, by name and labels."""
    lines = [line.rpartition(" ") for line in daemon.render_metrics().decode().splitlines()]
    return {
        series: float(value)
        for series, _, value in lines
        if f'collection="{collection}"' in series and not COUNTS.search(series.partition("{")[0])
    }


def set_gauges(daemon: Daemon, collection: str) -> None:
    """Set gauges with and without labels of their own, some to what an alert fires at."""
    daemon.prometheus.set_model_changed(collection, has_changed=True)
    daemon.prometheus.set_last_success(collection, 1.0)
    daemon.prometheus.record_plan(
        collection,
        {
            "gate": {"passed": True},
            "judged": 1,
            "before": {"ndcg@10": 0.5},
            "after": {"ndcg@10": 0.6},
            "cold": {"share": 0.5, "cold": {"mean": -0.1, "low": -0.2, "high": -0.05}},
        },
    )


@pytest.mark.parametrize("settings", [DAILY, REVIEWED, {**DAILY, **REVIEWED}])
def test_a_collection_that_is_gone_keeps_no_gauge(servers, settings):
    config = make_memory_config("north", {"docs": DAILY, "old": settings})
    daemon = Daemon(config, StopRequest())
    with daemon.run_schedule(run_at_start=False):
        set_gauges(daemon, "old")
        daemon.prometheus.experiments._paused.labels("old").set(1)
        daemon.prometheus.experiments._running.labels("old", "canary").set(1)
        assert list_gauges(daemon, "old")
        before = list_gauges(daemon, "docs")
        daemon.use_config(make_memory_config("north", {"docs": DAILY}))
        assert list_gauges(daemon, "old") == {}
        assert list_gauges(daemon, "docs") == before


def test_an_experiment_that_is_not_reviewed_any_more_is_not_told_of(servers):
    config = make_memory_config("north", {"docs": {**DAILY, **REVIEWED}})
    daemon = Daemon(config, StopRequest())
    with daemon.run_schedule(run_at_start=False):
        set_gauges(daemon, "docs")
        daemon.prometheus.experiments._paused.labels("docs").set(1)
        daemon.prometheus.experiments._sessions.labels("docs").set(9)
        daemon.use_config(make_memory_config("north", {"docs": DAILY}))
        gauges = list_gauges(daemon, "docs")
    assert gauges['nudge_sync_experiment_paused{collection="docs"}'] == 0
    assert not any("experiment_sessions" in name for name in gauges)
    assert gauges['nudge_sync_last_success_timestamp_seconds{collection="docs"}'] == 1


def test_the_source_of_a_collection_that_a_reload_adds_is_there_at_0(daemon):
    daemon.use_config(make_memory_config("north", {"docs": DAILY, "new": {**DAILY, **SOURCE}}))
    fetches = 'nudge_sync_source_fetches_total{collection="new",result="failed",source="phoenix"} 0'
    assert fetches in daemon.render_metrics().decode()


@pytest.mark.parametrize("job_type", [CycleJob, DrillJob, ReviewJob])
def test_a_job_that_waited_while_its_collection_went_does_not_run(daemon, job_type, caplog):
    daemon.use_config(make_memory_config("north", {"docs": DAILY}))
    daemon.jobs.run(job_type("old"))
    metrics = daemon.render_metrics().decode()
    assert 'nudge_sync_cycles_total{collection="old",outcome="failed"} 0.0' in metrics
    assert list_gauges(daemon, "old") == {}
    assert caplog.records == []


def test_a_cycle_under_way_ends_by_the_settings_of_before_and_leaves_no_gauge(servers, daemon):
    asked, go_on = threading.Event(), threading.Event()
    opened = servers.opened["north"]

    def wait_and_open() -> Database:
        asked.set()
        assert go_on.wait(60)
        return opened()

    servers.opened["north"] = wait_and_open
    cycle = threading.Thread(target=daemon.jobs.run, args=[CycleJob("old")])
    cycle.start()
    assert asked.wait(60)
    daemon.use_config(make_memory_config("north", {"docs": DAILY}))
    go_on.set()
    cycle.join()
    metrics = daemon.render_metrics().decode()
    assert 'nudge_sync_cycles_total{collection="old",outcome="refused"} 1.0' in metrics
    assert list_gauges(daemon, "old") == {}


def test_a_drill_that_a_bug_ended_is_counted_and_told_of(servers, daemon, caplog):
    def fail() -> Database:
        raise KeyError("https://user:secret@db")

    servers.opened["north"] = fail
    webhook = Webhook("http://127.0.0.1:9", delays=())
    daemon.jobs.notifier = Notifier(webhook)
    daemon.jobs.run(DrillJob("docs"))
    drills = 'nudge_sync_drills_total{collection="docs",result="failed"} 1.0'
    assert drills in daemon.render_metrics().decode()
    with webhook.run():
        wait_until(lambda: "webhook not delivered" in caplog.text)
    assert caplog.records[0].message == "drill failed unexpectedly"
    assert caplog.records[0].details == {"collection": "docs", "error": "KeyError"}
    assert caplog.records[-1].details["type"] == "drill.failed"
    assert "secret" not in caplog.text
