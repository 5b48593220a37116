"""The restore drill as operators run it: on the daemon's schedule, and with `verify --drill`."""

from __future__ import annotations

import time
from pathlib import Path

from nudge_sync.base.signals import StopRequest
from nudge_sync.config import load_config
from nudge_sync.serve.daemon import Daemon
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import make_workspace


def test_the_daemon_drills_on_its_own_schedule(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config('[schedule]\nevery = "1d"\ndrill_every = "1s"')
    daemon = Daemon(load_config(workspace.config_path), StopRequest())
    with daemon.run_schedule(run_at_start=False):
        line = b'nudge_sync_drills_total{collection="docs",result="restored"}'
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while line not in daemon.render_metrics():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert b'collection="docs drill"' not in daemon.render_metrics()
        assert b"nudge_sync_next_run_timestamp_seconds{" in daemon.render_metrics()


def test_verify_drills_when_asked(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "shop")
    workspace.run("feedback", "import", str(workspace.feedback_path))
    workspace.run("apply", "--yes")
    assert "drill" not in workspace.run("verify")
    found = workspace.run("verify", "--drill", "--sample", "7")
    assert found["drill"]["originals"] == found["drill"]["history"] == 7
    assert (found["drill"]["identical"], found["drill"]["ok"], found["clean"]) == (14, True, True)
    assert workspace.run("gc")["removed"] == 0
