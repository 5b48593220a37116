"""A runner that kills processes while they change a collection, and counts what that costs."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

from nudge_sync.canary.by_hand import stop
from nudge_sync.canary.review import review
from nudge_sync.connector import Database, Float32
from nudge_sync.errors import DatabaseError
from nudge_sync.store.experiments.candidate import (
    open_candidate,
    scan_candidate,
)
from nudge_sync.store.experiments.running import read_running_experiment
from nudge_sync.store.ledger import find_candidate, find_pending_revisions
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.applications import create_application
from tests.support.chaos_process import (
    DIMENSION,
    POINTS,
    SETTINGS,
    ChaosJob,
    KillPoint,
    make_new_vectors,
    run_chaos_job,
)
from tests.support.operations.clearing import drop
from tests.support.unit_vectors import make_unit_rows

VERBS = ("apply", "canary", "undo", "stop", "apply", "originals")
WRITING_CALLS = {"apply": 22, "canary": 33, "stop": 15, "undo": 15, "originals": 15}
"""How many calls of each verb write something; a process is killed at any of them."""


@dataclass
class ChaosReport:
    """What the kills on one engine cost."""

    engine: str
    kills: int = 0
    """Processes, or databases, that were killed before they were done."""
    survived: int = 0
    """Of these the ones after which everything was as before or as after, and `verify` clean."""
    replayed: int = 0
    """Batches that `resume` wrote again."""
    lost: int = 0
    """Originals that shadow and history no longer give back."""
    differing: int = 0
    """Rows that were not identical after a rollback to the originals."""
    overwritten: int = 0
    """Writes of the application that did not last."""
    failures: list[str] = field(default_factory=list)
    """What was found where a kill was not survived."""
    struck_calls: set[str] = field(default_factory=set)
    """Distinct calls at which a process was killed."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost."""
        harm = self.lost or self.differing or self.overwritten or self.failures
        return self.kills == self.survived and not harm


class ChaosRunner:
    """One collection of one engine, killed again and again."""

    def __init__(self, engine: str, folder: Path, server: Any = "", seed: int = 0) -> None:
        self.application = create_application(engine, folder, server)
        self.report = ChaosReport(engine)
        self._connector = _choose_connector(engine, folder, server)
        self._random = random.Random(seed)
        self.process_context = _preload_processes()
        self._round_number = 0
        self.originals: Float32 = make_unit_rows(POINTS, DIMENSION, seed)
        database = self.application.connect()
        self.application.fill(database, self.originals, "cosine")
        database.close()
        self.live_vectors = self.originals.copy()

    def next_job(self, verb: str) -> ChaosJob:
        """Return the next change to make: the verb, on forty points drawn at random."""
        rows = sorted(self._random.sample(range(POINTS), 40))
        return ChaosJob(
            *self._connector, verb, tuple(rows), self._round_number, self.originals.tobytes()
        )

    def kill_once(self) -> None:
        """Start one change, kill it at a call or after a time, and resume what is left."""
        verb = VERBS[self._round_number % len(VERBS)]
        job = self.next_job(verb)
        if self._round_number % 3 == 2:
            kill_point = KillPoint(seconds=self._random.uniform(0.0, 0.6))
        else:
            call = 1 + self._random.randrange(WRITING_CALLS[verb])
            kill_point = KillPoint(call, self._random.choice(["before", "after", "half"]))
            self.report.struck_calls.add(f"{verb} {call} {kill_point.when}")
        exit_code = self._run_process(job, kill_point)
        self.report.kills += exit_code != 0
        self.resume_and_compare(job, killed=exit_code != 0)

    def _run_process(self, job: ChaosJob, kill_point: KillPoint) -> int:
        process = self.process_context.Process(target=run_chaos_job, args=(job, kill_point))
        process.start()
        process.join(600)
        if process.exitcode not in {0, -9}:
            self.report.failures.append(f"{job.verb} ended by itself with {process.exitcode}")
        return process.exitcode

    def kill_database(self, kill: Callable[[], None], start: Callable[[], None]) -> None:
        """Kill the database, not the process, while rows are being written."""
        job = replace(self.next_job("apply"), delays=(0.2,) * 3)
        reached = self.process_context.Event()
        kill_point = KillPoint(1 + self._random.randrange(WRITING_CALLS["apply"] - 4))
        process = self.process_context.Process(
            target=run_chaos_job, args=(job, kill_point, reached)
        )
        process.start()
        if not reached.wait(300):
            raise AssertionError("the process never came to its first write")
        time.sleep(self._random.uniform(0.0, 0.1))
        kill()
        process.join(300)
        self.report.kills += 1
        start()
        self._wait_until_loaded()
        self.resume_and_compare(job, killed=True)

    def _wait_until_loaded(self) -> None:
        database = self.application.connect()
        for _ in range(60):
            try:
                database.collection("docs").read([0])
                break
            except DatabaseError:
                time.sleep(1.0)
        database.close()

    def resume_and_compare(self, job: ChaosJob, *, killed: bool) -> None:
        """Do what the next start of the sidecar does, and compare what the collection holds."""
        self._round_number += 1
        database = self.application.connect()
        rewritten_rows = self._rewrite_vectors(database) if self._round_number % 4 == 0 else []
        faults = Faults()
        target = open_target(FaultyDatabase(database, faults), "docs")
        entries = target.open_ledger().entries()
        unfinished = bool(find_pending_revisions(entries))
        resume(target, SETTINGS)
        self._end_canary(target)
        self.report.replayed += faults.calls.count("docs.write")
        is_intact = self._is_intact(database, job, rewritten_rows)
        verification = verify(open_target(database, "docs"))
        is_intact = is_intact and not verification.pending and verification.behind == 0
        self.report.survived += killed and is_intact
        if not is_intact:
            self.report.failures.append(
                f"{job.verb} {job.seed}, unfinished: {unfinished}; {verification}"
            )
        if self._round_number % 10 == 0:
            self.restore_originals(database)
        database.close()

    def _end_canary(self, target: Target) -> None:
        """Do what reviews do of what a killed canary left, end it, and look for leftovers."""
        for _ in range(2):
            review(target, SETTINGS)
        entries = target.open_ledger().entries()
        running = read_running_experiment(target)
        is_candidate = find_candidate(entries) is not None
        if is_candidate != (running is not None):
            self.report.failures.append(f"candidate: {is_candidate}, shown: {running}")
        if running is not None:
            shown = sum(map(len, scan_candidate(target, running.revision, running.rows)))
            self.report.failures += [] if shown == running.rows else [f"{shown} of {running.rows}"]
            stop(target, SETTINGS, "chaos")
        drop(target)
        left = open_candidate(target).records.count()
        self.report.failures += [f"{left} candidates left"] if left else []

    def _rewrite_vectors(self, database: Database) -> list[int]:
        rows = self._random.sample(range(POINTS), 3)
        new_vectors = make_unit_rows(3, DIMENSION, 10_000 + self._round_number)
        self.application.upsert(database, rows, new_vectors)
        self.originals[rows] = self.live_vectors[rows] = new_vectors
        return rows

    def _is_intact(self, database: Database, job: ChaosJob, rewritten_rows: list[int]) -> bool:
        """Return whether all rows are as before the change, or all as after it."""
        live_vectors = database.collection("docs").read(range(POINTS)).vectors
        after = self.live_vectors.copy()
        if job.verb in {"apply", "canary"}:
            for row, vector in make_new_vectors(job).items():
                after[row] = vector
        elif job.verb != "stop":
            after = live_vectors if job.verb == "undo" else self.originals.copy()
        after[rewritten_rows] = self.live_vectors[rewritten_rows]
        provenance = classify_points(open_target(database, "docs"), range(POINTS))
        self.report.lost += int((provenance.originals != self.originals).any(axis=1).sum())
        self.report.overwritten += int(
            (live_vectors[rewritten_rows] != self.live_vectors[rewritten_rows]).any(axis=1).sum()
        )
        is_intact = live_vectors.tobytes() in {self.live_vectors.tobytes(), after.tobytes()}
        self.live_vectors = live_vectors
        return is_intact

    def restore_originals(self, database: Database) -> None:
        """Roll everything back, and compare every bit."""
        roll_back(open_target(database, "docs"), SETTINGS, originals=True)
        self.live_vectors = database.collection("docs").read(range(POINTS)).vectors
        self.report.differing += int((self.live_vectors != self.originals).any(axis=1).sum())

    def finish(self) -> ChaosReport:
        """Roll back to the originals a last time, and return the report."""
        database = self.application.connect()
        self.restore_originals(database)
        database.close()
        return self.report


def _choose_connector(engine: str, folder: Path, server: Any) -> tuple[str, dict[str, Any]]:
    """Return the connector of an engine, and its section."""
    if engine == "qdrant":
        return engine, server
    if engine == "qdrant-edge":
        return engine, {"path": str(folder)}
    return "milvus", {"uri": server or str(folder / "milvus.db")}


def _preload_processes() -> multiprocessing.context.ForkServerContext:
    """Return a context whose processes start at once, with everything imported and nothing open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.chaos_process"])
    path = os.pathsep.join(path for path in sys.path if path)
    # Only for the server: a path left behind would reach every program that later tests start.
    with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
        forkserver.ensure_running()
    return context
