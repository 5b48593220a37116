"""Requests that fail, on real engines: lost answers, half a batch, a disk that is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from places import SETTINGS, Place
from ram import folder

from nudge_sync.errors import DatabaseError
from nudge_sync.store import retry
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.verify import verify
from nudge_sync.testing.faults import Faults, FaultyDatabase, When, disk_full, time_out
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back

ENGINES = [
    "memory",
    "qdrant-edge",
    "milvus-lite",
    pytest.param("milvus", marks=pytest.mark.milvus_server),
]
CALLS = {"entry": 2, "history": 4, "state": 6, "batch": 7, "last batch": 9, "end": 10}
"""Which of the calls that write is struck, once all points were moved before."""
FIRST_ORIGINALS = 3


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (0.0,) * 2)
    monkeypatch.setattr(retry, "SWAP_DELAYS", (0.0,) * 2)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    server = request.getfixturevalue("milvus_server_uri") if request.param == "milvus" else ""
    with folder() as path:
        made = Place(request.param, path, server)
        yield made
        made.database.close()


def faulty(place: Place, at: int, when: When, strike: Callable[[], object]) -> Target:
    return open_target(FaultyDatabase(place.database, Faults(at, when, strike)), "docs")


def place_calls(place: Place) -> dict[str, int]:
    """All of CALLS; of a server, where each takes its time, the two that matter most."""
    few = place.engine == "milvus"
    return {name: CALLS[name] for name in ("state", "batch")} if few else CALLS


def test_an_answer_that_is_lost_changes_nothing(place: Place) -> None:
    """Whether the request took effect or not."""
    for seed, at in enumerate([FIRST_ORIGINALS, *place_calls(place).values()]):
        place.move(faulty(place, at, "after" if seed % 2 else "before", time_out), seed)
        assert verify(place.target()).is_clean
    roll_back(faulty(place, 6, "after", time_out), SETTINGS, originals=True)
    assert place.live().tobytes() == place.originals.tobytes()


def test_a_request_that_fails_for_good_is_finished_later(place: Place) -> None:
    calls = {"originals": FIRST_ORIGINALS, **place_calls(place)}
    for seed, (name, at) in enumerate(calls.items()):
        before = place.live()
        with pytest.raises(DatabaseError, match="no space left"):
            place.move(faulty(place, at, "half", disk_full), seed)
        resume(place.target(), SETTINGS)
        changed = (place.live() != before).any(axis=1)
        assert changed.all() or not changed.any(), name
        assert verify(place.target()).is_clean
        place.move(place.target(), seed=50 + seed)
    place.nothing_is_lost()
