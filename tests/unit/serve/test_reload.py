"""Reading the configuration again beside a daemon that goes on working."""

from __future__ import annotations

import logging
from threading import Event, Thread

import pytest

from nudge_sync.base.signals import StopRequest
from nudge_sync.serve import reload as reload_module
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.serve.reload import ConfigReload, wait_for_stop
from tests.support.operations.memory_connector import install_memory_connector, make_memory_config
from tests.support.operations.running_daemon import wait_until
from tests.support.timeouts import TIMEOUT_SECONDS


class SlowDaemon:
    """Takes over a configuration as `answer` says, in its own time."""

    def __init__(self, answer):
        self.prometheus = PrometheusMetrics()
        self.answer = answer
        self.taken = []

    def use_config(self, config):
        self.taken.append(config)
        self.answer()

    def find_health_problem(self):
        return ""

    def read_result(self):
        lines = self.prometheus.render().decode().splitlines()
        [line] = [line for line in lines if line.startswith("nudge_sync_config_last_reload_succ")]
        return float(line.split()[-1])


@pytest.fixture
def reload(tmp_path, monkeypatch):
    install_memory_connector(tmp_path / "site", monkeypatch)
    reload = ConfigReload(lambda: make_memory_config("north", {"docs": {}}), Event())
    reload.requested.set()
    return reload


def wait_in_thread(reload, daemon):
    stop = StopRequest()
    thread = Thread(target=wait_for_stop, args=[stop, reload, daemon])
    thread.start()
    return stop, thread


def test_a_daemon_that_is_slow_to_reload_is_alive_and_can_be_stopped(reload, monkeypatch):
    signs = []
    monkeypatch.setattr(reload_module, "notify_alive", lambda: signs.append(1))
    is_over = Event()
    daemon = SlowDaemon(lambda: is_over.wait(TIMEOUT_SECONDS))
    stop, thread = wait_in_thread(reload, daemon)
    wait_until(lambda: bool(daemon.taken))
    before = len(signs)
    wait_until(lambda: len(signs) > before + 2)
    stop.request()
    thread.join(TIMEOUT_SECONDS / 2)
    is_over.set()
    assert not thread.is_alive()


def test_a_bug_in_a_reload_ends_nothing(reload, caplog):
    def fail():
        raise RuntimeError("no such thing")

    daemon = SlowDaemon(fail)
    with caplog.at_level(logging.ERROR):
        stop, thread = wait_in_thread(reload, daemon)
        wait_until(lambda: "configuration not taken over as a whole" in caplog.text)
    wait_until(lambda: daemon.read_result() == 0)
    daemon.answer = lambda: None
    reload.requested.set()
    wait_until(lambda: daemon.read_result() == 1)
    stop.request()
    thread.join(TIMEOUT_SECONDS)
    assert len(daemon.taken) == 2
