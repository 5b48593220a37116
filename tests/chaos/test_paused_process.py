"""A process that is stopped between two batches and wakes after its lease was taken."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.store import lease
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import open_target
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.chaos_process import POINTS, SETTINGS, KillPoint, run_chaos_job
from tests.support.chaos_runner import ChaosRunner

SECOND_BATCH = 15
"""The call that writes it: after the lease, the entry, ten batches staged, the state, one batch."""


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.milvus_server
def test_it_stops_writing_and_the_application_keeps_its_word(
    milvus_server_uri: str, tmp_path: Path
) -> None:
    runner = ChaosRunner("milvus", tmp_path, milvus_server_uri, seed=7)
    job = runner.next_job("apply")
    process = runner.process_context.Process(
        target=run_chaos_job, args=(job, KillPoint(SECOND_BATCH, suspend=True))
    )
    process.start()
    while not is_stopped(process.pid):
        assert process.is_alive()
        time.sleep(0.1)
    database = runner.application.connect()
    target = open_target(database, "docs")
    assert lease.break_lease(target) is not None
    assert resume(target, SETTINGS)["state"] == "applied"
    point = job.rows[-1]
    fresh = np.eye(1, runner.originals.shape[1], dtype=np.float32)
    runner.application.upsert(database, [point], fresh)
    os.kill(process.pid, signal.SIGCONT)
    process.join(600)
    assert process.exitcode == 1, "it should have found its lease gone"
    assert target.collection.read([point]).vectors.tobytes() == fresh.tobytes()
    runner.originals[point] = fresh
    provenance = classify_points(target, range(POINTS))
    assert provenance.originals.tobytes() == runner.originals.tobytes()
    assert [entry.state for entry in target.open_ledger().entries()] == ["applied"]
    roll_back(target, SETTINGS, originals=True)
    assert target.collection.read(range(POINTS)).vectors.tobytes() == runner.originals.tobytes()
    database.close()
