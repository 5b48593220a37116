"""Kills processes while they change a collection, and counts what that cost."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from applications import application
from chaos_victim import DIMENSION, POINTS, SETTINGS, Death, Order, victim, wanted

from nudge_sync.connector import Database, Float32
from nudge_sync.errors import DatabaseError
from nudge_sync.store.ledger import Ledger, find_pending_revisions
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import open_target
from nudge_sync.store.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back

VERBS = ("apply", "apply", "undo", "apply", "originals")
CALLS = {"apply": 22, "undo": 15, "originals": 15}
"""How many calls of each order write something; any of them is struck."""


@dataclass
class Toll:
    """What the kills of one engine cost."""

    engine: str
    kills: int = 0
    """Processes, or databases, that were killed before they were done."""
    survived: int = 0
    """Of these the ones after which everything was as before or as after, and `verify` clean."""
    replayed: int = 0
    """Batches that `resume` wrote."""
    lost: int = 0
    """Originals that shadow and history no longer give back."""
    differing: int = 0
    """Rows that were not identical after a rollback to the originals."""
    overwritten: int = 0
    """Writes of the application that did not last."""
    broken: list[str] = field(default_factory=list)
    """What was found where a kill was not survived."""
    steps: set[str] = field(default_factory=set)
    """Distinct calls at which a process was struck."""

    @property
    def clean(self) -> bool:
        """Whether nothing was lost."""
        harm = self.lost or self.differing or self.overwritten or self.broken
        return self.kills == self.survived and not harm


class Rig:
    """One collection of one engine, killed again and again."""

    def __init__(self, engine: str, folder: Path, server: str = "", seed: int = 0) -> None:
        self.application = application(engine, folder, server)
        self.toll = Toll(engine)
        self._way = _way(engine, folder, server)
        self._random = random.Random(seed)
        self.processes = _processes()
        self._round = 0
        rng = np.random.default_rng(seed)
        self.originals: Float32 = _unit(rng.normal(size=(POINTS, DIMENSION)))
        database = self.application.connect()
        self.application.fill(database, self.originals, "cosine")
        database.close()
        self.live = self.originals.copy()

    def order(self, verb: str) -> Order:
        """The next thing to do."""
        rows = sorted(self._random.sample(range(POINTS), 40))
        return Order(*self._way, verb, tuple(rows), self._round, self.originals.tobytes())

    def kill_once(self) -> None:
        """Start one change, end it at a step or a moment, and settle what is left."""
        verb = VERBS[self._round % len(VERBS)]
        order = self.order(verb)
        if self._round % 3 == 2:
            death = Death(seconds=self._random.uniform(0.0, 0.6))
        else:
            at = 1 + self._random.randrange(CALLS[verb])
            death = Death(at, self._random.choice(["before", "after", "half"]))
            self.toll.steps.add(f"{verb} {at} {death.when}")
        ended = self._run(order, death)
        self.toll.kills += ended != 0
        self.settle(order, killed=ended != 0)

    def _run(self, order: Order, death: Death) -> int:
        process = self.processes.Process(target=victim, args=(order, death))
        process.start()
        process.join(600)
        if process.exitcode not in {0, -9}:
            self.toll.broken.append(f"{order.verb} ended by itself with {process.exitcode}")
        return process.exitcode

    def kill_database(self, kill: Callable[[], None], start: Callable[[], None]) -> None:
        """End the database, not the process, while rows are being written."""
        order = replace(self.order("apply"), delays=(0.2,) * 3)
        begun = self.processes.Event()
        death = Death(1 + self._random.randrange(CALLS["apply"] - 4))
        process = self.processes.Process(target=victim, args=(order, death, begun))
        process.start()
        if not begun.wait(300):
            raise AssertionError("the process never came to its first write")
        time.sleep(self._random.uniform(0.0, 0.1))
        kill()
        process.join(300)
        self.toll.kills += 1
        start()
        self._wait_until_loaded()
        self.settle(order, killed=True)

    def _wait_until_loaded(self) -> None:
        database = self.application.connect()
        for _ in range(60):
            try:
                database.collection("docs").read([0])
                break
            except DatabaseError:
                time.sleep(1.0)
        database.close()

    def settle(self, order: Order, *, killed: bool) -> None:
        """What the next start does; then compare."""
        self._round += 1
        database = self.application.connect()
        touched = self._embed_again(database) if self._round % 4 == 0 else []
        counted = Faults()
        target = open_target(FaultyDatabase(database, counted), "docs")
        entries = Ledger(target.ledger_records, "docs").entries()
        unfinished = bool(find_pending_revisions(entries))
        resume(target, SETTINGS)
        self.toll.replayed += counted.calls.count("docs.write")
        whole = self._compare(database, order, touched)
        found = verify(open_target(database, "docs"))
        whole = whole and not found.pending and found.behind == 0
        self.toll.survived += killed and whole
        if not whole:
            self.toll.broken.append(f"{order.verb} {order.seed}, unfinished: {unfinished}; {found}")
        if self._round % 10 == 0:
            self.back(database)
        database.close()

    def _embed_again(self, database: Database) -> list[int]:
        rows = self._random.sample(range(POINTS), 3)
        fresh = _unit(np.random.default_rng(10_000 + self._round).normal(size=(3, DIMENSION)))
        self.application.upsert(database, rows, fresh)
        self.originals[rows] = self.live[rows] = fresh
        return rows

    def _compare(self, database: Database, order: Order, touched: list[int]) -> bool:
        """Whether all rows are as before, or all as after."""
        live = database.collection("docs").read(range(POINTS)).vectors
        after = self.live.copy()
        if order.verb == "apply":
            for row, vector in wanted(order).items():
                after[row] = vector
        else:
            after = live if order.verb == "undo" else self.originals.copy()
        after[touched] = self.live[touched]
        known = classify_points(open_target(database, "docs"), range(POINTS))
        self.toll.lost += int((known.originals != self.originals).any(axis=1).sum())
        self.toll.overwritten += int((live[touched] != self.live[touched]).any(axis=1).sum())
        whole = live.tobytes() in {self.live.tobytes(), after.tobytes()}
        self.live = live
        return whole

    def back(self, database: Database) -> None:
        """Everything back, and every bit compared."""
        roll_back(open_target(database, "docs"), SETTINGS, originals=True)
        self.live = database.collection("docs").read(range(POINTS)).vectors
        self.toll.differing += int((self.live != self.originals).any(axis=1).sum())

    def end(self) -> Toll:
        """Back to the originals a last time."""
        database = self.application.connect()
        self.back(database)
        database.close()
        return self.toll


def _way(engine: str, folder: Path, server: str) -> tuple[str, dict[str, str]]:
    """The connector of an engine, and its section."""
    if engine == "qdrant-edge":
        return engine, {"path": str(folder)}
    return "milvus", {"uri": server or str(folder / "milvus.db")}


def _unit(rows: np.ndarray) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _processes() -> multiprocessing.context.ForkServerContext:
    """Processes that start at once, with everything imported and nothing open."""
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    context.set_forkserver_preload(["chaos_victim"])
    return context
