"""A process that changes a collection and is killed while it does."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from threading import Timer

import numpy as np
from handmade import handmade, near

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import connect
from nudge_sync.errors import NudgeSyncError
from nudge_sync.store import retry
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.faults import Faults, FaultyDatabase, When, kill
from nudge_sync.writing.rollback import roll_back

POINTS, DIMENSION = 60, 8
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=8, keep_revisions=3))


@dataclass(frozen=True)
class Death:
    """When the process dies: at a call that writes, or after a time; `at` 0 and no time: never."""

    at: int = 0
    when: When = "before"
    seconds: float | None = None
    only_stop: bool = False
    """Whether the process is stopped at that call, as by SIGSTOP, until somebody wakes it."""


@dataclass(frozen=True)
class Order:
    """What the process is to do, and on which engine."""

    connector: str
    section: dict[str, str]
    verb: str
    """apply, undo or originals."""
    rows: tuple[int, ...] = ()
    seed: int = 0
    originals: bytes = b""
    """What the nudged vectors are made from: (POINTS, DIMENSION) float32."""
    delays: tuple[float, ...] = retry.DELAYS


def wanted(order: Order) -> dict[int, np.ndarray]:
    """The vectors that an `apply` writes, by point."""
    rows = np.frombuffer(order.originals, np.float32).reshape(POINTS, DIMENSION)
    moved = near(rows, order.seed)
    return {row: moved[row] for row in order.rows}


def victim(order: Order, death: Death, begun: Event | None = None) -> None:
    """Carry out the order, or die; with `begun` say so at that call instead, and go on."""
    retry.DELAYS = order.delays
    strike = begun.set if begun else _stop if death.only_stop else kill
    database = connect(order.connector, order.section)
    faulty = FaultyDatabase(database, Faults(death.at, death.when, strike))
    target = open_target(faulty, "docs")
    if death.seconds is not None:
        timer = Timer(death.seconds, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    # Where the database is what is killed, failing is all that is left to do.
    with suppress(*[NudgeSyncError] if begun else []):
        _carry_out(order, target)
    database.close()


def _carry_out(order: Order, target: Target) -> None:
    if order.verb == "apply":
        cycle.apply(target, SETTINGS, handmade(target, SETTINGS, wanted(order)))
    else:
        roll_back(target, SETTINGS, originals=order.verb == "originals")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
