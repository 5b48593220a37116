"""Clusters of this machine and elsewhere: who may connect, and that none outlives its user."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Client

from nudge_sync.base.gc_pause import pause_gc
from nudge_sync.base.progress import ignore_progress
from nudge_sync.compute import dask_cluster
from nudge_sync.compute.dask_executor import DaskExecutor
from nudge_sync.errors import ComputeFailed
from tests.support.source_code import ROOT
from tests.support.workers import worker_tasks as tasks

_KEEP_OPEN = """
import sys
from nudge_sync.base.progress import ignore_progress
from nudge_sync.compute.dask_cluster import start_cluster
if __name__ == "__main__":
    with start_cluster(1, ignore_progress):
        print("started", flush=True)
        sys.stdin.read()
"""


def test_a_cluster_ends_although_whoever_started_it_was_killed(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", _KEEP_OPEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        processes = tasks.list_children(parent.pid)
        parent.send_signal(signal.SIGKILL)
    assert len(processes) >= 2
    tasks.wait_until_gone(processes)
    assert not list(tmp_path.iterdir())


def test_nobody_without_its_certificates_can_use_it(monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1.0)
    environment = dict(os.environ)
    with dask_cluster.start_cluster(1, ignore_progress) as client:
        address = client.scheduler.address
        with pytest.raises(ComputeFailed), dask_cluster.connect_to_cluster(address):
            pass
        plain = address.replace("tls://", "tcp://")
        with pytest.raises(OSError, match=r"Timed out|reset"), pause_gc():
            Client(plain, timeout=1.0, set_as_default=False)
    assert environment == dict(os.environ)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    message = r"the Dask scheduler at tcp://127.0.0.1:9 does not answer.*`address` of \[compute\]"
    with (
        pytest.raises(ComputeFailed, match=message),
        dask_cluster.connect_to_cluster("tcp://127.0.0.1:9"),
    ):
        pass


def test_no_client_that_failed_is_collected_while_another_one_starts(monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    thresholds, usual = [], gc.get_threshold()[0]
    start = Client.start

    def note_gc(client, **options):
        thresholds.append(gc.get_threshold()[0])
        return start(client, **options)

    monkeypatch.setattr(Client, "start", note_gc)
    with pytest.raises(ComputeFailed), dask_cluster.connect_to_cluster("tcp://127.0.0.1:9"):
        pass
    assert len(thresholds) == 1
    assert thresholds[0] > 100 * usual
    assert gc.get_threshold()[0] == usual


def test_a_cluster_that_cannot_start_says_so(monkeypatch):
    monkeypatch.setattr(dask_cluster, "_PROGRAM", "nudge_sync.compute.no_such_program")
    with (
        pytest.raises(ComputeFailed, match="did not start"),
        dask_cluster.start_cluster(1, ignore_progress),
    ):
        pass


def test_a_cluster_that_runs_already_is_used_and_left_running(tmp_path: Path):
    dask = [sys.executable, "-W", "ignore", "-m", "dask"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    connection = tmp_path / "scheduler.json"
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = [*dask, "worker", "--nthreads", "3", "--no-dashboard", "--no-nanny"]
    place = ["--scheduler-file", str(connection)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    with (
        subprocess.Popen([*scheduler, *place], **quiet) as first,
        subprocess.Popen([*worker, *place, "--local-directory", str(tmp_path)], **quiet) as second,
    ):
        try:
            address = tasks.read_address(connection)
            with dask_cluster.connect_to_cluster(address) as client:
                executor = DaskExecutor(client, address, 1, ignore_progress)
                # One at a time, although the worker has three threads.
                assert set(executor.map(tasks.count_at_once, None, range(6))) == {1}
            assert (first.poll(), second.poll()) == (None, None)
        finally:
            # A worker that is asked to end while its scheduler goes may wait for it for ever.
            second.kill()
            first.kill()
