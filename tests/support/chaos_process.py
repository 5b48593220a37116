"""A process that changes a collection and is killed while it does."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from threading import Timer
from typing import Any

import numpy as np

from nudge_sync import cycle
from nudge_sync.canary.by_hand import promote, stop
from nudge_sync.canary.start import start
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import connect
from nudge_sync.errors import NudgeSyncError
from nudge_sync.store import retry
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.faults import Faults, FaultyDatabase, When, kill
from nudge_sync.writing.rollback import roll_back
from tests.support.passing_plan import make_passing_plan
from tests.support.unit_vectors import perturb_rows

POINTS, DIMENSION = 60, 8
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=8, keep_revisions=3))


@dataclass(frozen=True)
class KillPoint:
    """When a process is killed: at a call that writes, or after a time.

    With call 0 and no time it is left alone.
    """

    call: int = 0
    when: When = "before"
    seconds: float | None = None
    suspend: bool = False
    """Whether it is stopped at that call by SIGSTOP instead, until somebody wakes it."""


@dataclass(frozen=True)
class ChaosJob:
    """What the process is to do, and on which engine."""

    connector: str
    section: dict[str, Any]
    verb: str
    """apply, undo, originals, or a canary that is promoted ("canary") or stopped ("stop")."""
    rows: tuple[int, ...] = ()
    seed: int = 0
    originals: bytes = b""
    """What the nudged vectors are made from: (POINTS, DIMENSION) float32."""
    delays: tuple[float, ...] = retry.DELAYS


def make_new_vectors(job: ChaosJob) -> dict[int, np.ndarray]:
    """Return the vectors that an `apply` writes, or a canary shows, by point."""
    originals = np.frombuffer(job.originals, np.float32).reshape(POINTS, DIMENSION)
    new_vectors = perturb_rows(originals, job.seed)
    return {row: new_vectors[row] for row in job.rows}


def run_chaos_job(job: ChaosJob, kill_point: KillPoint, reached: Event | None = None) -> None:
    """Make the change, and be killed at `kill_point`.

    With `reached` the process sets that event there instead, and goes on.
    """
    retry.DELAYS = job.delays
    strike = reached.set if reached else _suspend_process if kill_point.suspend else kill
    database = connect(job.connector, job.section)
    faulty = FaultyDatabase(database, Faults(kill_point.call, kill_point.when, strike))
    target = open_target(faulty, "docs")
    if kill_point.seconds is not None:
        timer = Timer(kill_point.seconds, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    # Where it is the database that is killed, the change fails.
    with suppress(*[NudgeSyncError] if reached else []):
        _run_job(job, target)
    database.close()


def _run_job(job: ChaosJob, target: Target) -> None:
    if job.verb in {"undo", "originals"}:
        roll_back(target, SETTINGS, originals=job.verb == "originals")
        return
    plan = make_passing_plan(target, SETTINGS, make_new_vectors(job))
    if job.verb == "apply":
        cycle.apply(target, SETTINGS, plan)
        return
    start(target, SETTINGS, plan)
    if job.verb == "canary":
        promote(target, SETTINGS, "chaos")
    else:
        stop(target, SETTINGS, "chaos")


def _suspend_process() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
