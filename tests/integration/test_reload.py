"""SIGHUP: the daemon goes on by the configuration as it is now, or by the one before."""

from __future__ import annotations

import json
import signal

import pytest

from tests.support.operations.running_daemon import (
    fetch_page,
    read_metric,
    start_daemon,
    stop_daemon,
    wait_until,
)
from tests.support.operations.service_manager import listen_as_service_manager
from tests.support.workspace import Workspace, make_workspace

DAILY = '[schedule]\nevery = "1d"'
RELOADED = "nudge_sync_config_last_reload_successful"
NEXT_RUN = "nudge_sync_next_run_timestamp_seconds"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("shop"))


def read_log(child, message: str) -> dict:
    """Return the next line of a daemon's log that says `message`."""
    entries = (json.loads(line) for line in child.stderr)
    return next(entry for entry in entries if message in entry["message"])


def test_it_goes_on_by_the_file_as_it_is_now(workspace: Workspace, tmp_path):
    workspace.write_config(DAILY)
    cycles = 'nudge_sync_cycles_total{collection="docs",outcome="refused"}'
    with (
        listen_as_service_manager(tmp_path) as manager,
        start_daemon(workspace, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="9000000") as started,
    ):
        child, url = started
        manager.receive("READY=1")
        manager.receive("WATCHDOG=1")
        assert read_metric(url, RELOADED) == 1
        health = fetch_page(f"{url}/healthz")

        workspace.write_config('[schedule]\nevery = "six hours"')
        child.send_signal(signal.SIGHUP)
        refused = read_log(child, "configuration refused")
        assert "schedule.every" in refused["reason"]
        manager.receive("RELOADING=1")
        manager.receive("READY=1")
        assert read_metric(url, RELOADED) == 0
        assert fetch_page(f"{url}/healthz") == health
        assert f'{NEXT_RUN}{{collection="docs"}}' in fetch_page(f"{url}/metrics")[1]

        workspace.write_config('[schedule]\nevery = "1s"\n[collections.new]', min_queries=5000)
        child.send_signal(signal.SIGHUP)
        manager.receive("RELOADING=1")
        manager.receive("READY=1")
        assert read_log(child, "configuration reloaded")["collections"] == ["docs", "new"]
        assert read_metric(url, RELOADED) == 1
        wait_until(lambda: read_metric(url, cycles) >= 1)
        assert f'{NEXT_RUN}{{collection="new"}}' in fetch_page(f"{url}/metrics")[1]

        workspace.write_config(DAILY)
        child.send_signal(signal.SIGHUP)
        manager.receive("RELOADING=1")
        manager.receive("READY=1")
        assert f'{NEXT_RUN}{{collection="new"}}' not in fetch_page(f"{url}/metrics")[1]
        stop_daemon(child)
        manager.receive("STOPPING=1")


def test_where_it_listens_takes_a_restart(workspace: Workspace):
    workspace.write_config(DAILY)
    with start_daemon(workspace) as (child, url):
        workspace.write_config(f"{DAILY}\n[serve]\nfeedback_port = 0")
        child.send_signal(signal.SIGHUP)
        assert read_log(child, "takes effect with a restart")["level"] == "warning"
        wait_until(lambda: fetch_page(f"{url}/healthz")[0] == 200)
        stop_daemon(child)
