"""Requests that fail, on real engines: lost answers, half a batch, a disk that is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from nudge_sync.errors import DatabaseError
from nudge_sync.store import retry
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase, When, disk_full, time_out
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.collection_fixtures import find_server
from tests.support.ram_disk import ram_folder
from tests.support.tracked_collection import SETTINGS, TrackedCollection

ENGINES = [
    "memory",
    "qdrant-edge",
    "milvus-lite",
    "qdrant",
    pytest.param("milvus", marks=pytest.mark.milvus_server),
]
CALLS = {"entry": 2, "history": 4, "state": 6, "batch": 7, "last batch": 9, "end": 10}
"""Which of the calls that write fails, for a change of points that were all moved before."""
FIRST_ORIGINALS = 3


@pytest.fixture(autouse=True)
def _retry_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (0.0,) * 2)
    monkeypatch.setattr(retry, "SWAP_DELAYS", (0.0,) * 2)


@pytest.fixture(params=ENGINES)
def tracked_collection(request: pytest.FixtureRequest) -> Iterator[TrackedCollection]:
    server = find_server(request, request.param)
    with ram_folder() as path:
        tracked = TrackedCollection(request.param, path, server)
        yield tracked
        tracked.database.close()


def open_faulty_target(
    tracked_collection: TrackedCollection, call: int, when: When, strike: Callable[[], object]
) -> Target:
    return open_target(
        FaultyDatabase(tracked_collection.database, Faults(call, when, strike)), "docs"
    )


def choose_calls(tracked_collection: TrackedCollection) -> dict[str, int]:
    """Return CALLS; on a server, where each takes its time, the two that matter most."""
    only_two = tracked_collection.engine == "milvus"
    return {name: CALLS[name] for name in ("state", "batch")} if only_two else CALLS


def test_an_answer_that_is_lost_changes_nothing(tracked_collection: TrackedCollection) -> None:
    """Each second request took effect, each other one did not."""
    for seed, call in enumerate([FIRST_ORIGINALS, *choose_calls(tracked_collection).values()]):
        tracked_collection.apply_plan(
            open_faulty_target(
                tracked_collection, call, "after" if seed % 2 else "before", time_out
            ),
            seed,
        )
        assert verify(tracked_collection.target()).is_clean
    roll_back(
        open_faulty_target(tracked_collection, 6, "after", time_out), SETTINGS, originals=True
    )
    assert tracked_collection.read_vectors().tobytes() == tracked_collection.originals.tobytes()


def test_a_request_that_fails_for_good_is_finished_later(
    tracked_collection: TrackedCollection,
) -> None:
    calls = {"originals": FIRST_ORIGINALS, **choose_calls(tracked_collection)}
    for seed, (name, call) in enumerate(calls.items()):
        before = tracked_collection.read_vectors()
        with pytest.raises(DatabaseError, match="no space left"):
            tracked_collection.apply_plan(
                open_faulty_target(tracked_collection, call, "half", disk_full), seed
            )
        resume(tracked_collection.target(), SETTINGS)
        changed = (tracked_collection.read_vectors() != before).any(axis=1)
        assert changed.all() or not changed.any(), name
        assert verify(tracked_collection.target()).is_clean
        tracked_collection.apply_plan(tracked_collection.target(), seed=50 + seed)
    tracked_collection.assert_nothing_is_lost()
