"""The lease on real engines: one holder at a time, named, and free once its process is gone."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from threading import Barrier, Thread

import pytest

import nudge_sync_qdrant_edge
from nudge_sync.errors import LeaseHeld
from nudge_sync.store import lease
from nudge_sync.store.target import open_target
from nudge_sync.writing.resume import resume
from tests.support.interventions import unlock_while_running
from tests.support.tracked_collection import SETTINGS, TrackedCollection


def test_who_is_unlocked_does_no_harm(
    any_tracked_collection: TrackedCollection,
) -> None:
    unlock_while_running(any_tracked_collection, 10)


def test_two_at_once(any_tracked_collection: TrackedCollection) -> None:
    """Of six that ask at the same moment one gets it, or none."""
    held, refused, barrier = [], [], Barrier(6)

    def ask() -> None:
        target = any_tracked_collection.target()
        barrier.wait()
        try:
            with lease.hold_lease(target, 30) as mine:
                held.append(mine.generation)
                barrier.wait()
        except LeaseHeld:
            refused.append(1)
            barrier.wait()

    threads = [Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) in {(1, 5), (0, 6)}
    with lease.hold_lease(any_tracked_collection.target(), 30):
        pass


def test_who_holds_it_is_said_and_can_be_overruled(
    any_tracked_collection: TrackedCollection,
) -> None:
    target = any_tracked_collection.target()
    with lease.hold_lease(target, 30):
        said = lease.read_active_lease(target).describe()
        assert f"process {os.getpid()}" in said
        with pytest.raises(LeaseHeld, match=f"process {os.getpid()}"):
            resume(any_tracked_collection.target(), SETTINGS)
        assert lease.break_lease(target).describe() == said
        assert lease.read_active_lease(target) is None
    assert lease.break_lease(target) is None


def _take_and_die(section: dict[str, str]) -> None:
    target = open_target(nudge_sync_qdrant_edge.connect(section), "docs")
    with lease.hold_lease(target, 3600):
        os._exit(9)


def test_the_lease_of_a_dead_process_is_free_at_once(tmp_path: Path) -> None:
    tracked = TrackedCollection("qdrant-edge", tmp_path, "")
    tracked.database.close()
    process = multiprocessing.get_context("forkserver").Process(
        target=_take_and_die, args=({"path": str(tmp_path)},)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    tracked.database = tracked.application.connect()
    assert lease.read_active_lease(tracked.target()) is None
    assert resume(tracked.target(), SETTINGS) is None
    tracked.database.close()
