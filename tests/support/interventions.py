"""What somebody else does to a tracked collection while a change of it is paused."""

from __future__ import annotations

from nudge_sync.store import lease
from nudge_sync.writing.resume import resume
from tests.support.paused_writer import PausedWriter
from tests.support.tracked_collection import SETTINGS, TrackedCollection


def run_another_cycle(tracked_collection: TrackedCollection) -> None:
    """Finish what is unfinished, embed a point again, and run a cycle."""
    resume(tracked_collection.target(), SETTINGS)
    tracked_collection.rewrite_vector(3, seed=91)
    tracked_collection.apply_plan(tracked_collection.target(), seed=92)


def unlock_while_running(tracked_collection: TrackedCollection, call: int) -> None:
    """Break the lease of a change that is paused at `call`, and assert that it does no harm."""
    tracked_collection.apply_plan(tracked_collection.target(), seed=1, points=5)
    with PausedWriter(
        tracked_collection.database,
        lambda target: tracked_collection.apply_plan(target, 2),
        call,
        "before",
    ):
        assert lease.break_lease(tracked_collection.target()) is not None
        run_another_cycle(tracked_collection)
        live_vector = tracked_collection.read_vectors()[3]
    assert tracked_collection.read_vectors()[3].tobytes() == live_vector.tobytes()
    tracked_collection.assert_nothing_is_lost()
