"""A transient error is tried again, any other one is not, and no write is repeated blindly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Barrier, Timer
from typing import Any

import numpy as np
import pytest

from nudge_sync.base.signals import StopRequest
from nudge_sync.connector import Collection, PointId, Points
from nudge_sync.errors import DatabaseError, Interrupted, LeaseLost, Unreachable
from nudge_sync.store import retry
from nudge_sync.store.checksum import add_checksum
from nudge_sync.store.retry import (
    RetryingCollection,
    RetryingRecords,
    pause_by,
    retry_transient,
)
from nudge_sync.testing.faults import Faults, FaultyDatabase, When, disk_full, time_out
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.unit_vectors import make_unit_rows

ROWS = make_unit_rows(4, 3, 0)
IDS = list(range(4))


@pytest.fixture(autouse=True)
def _retry_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (0.0,) * 2)
    monkeypatch.setattr(retry, "SWAP_DELAYS", (0.0,) * 2)


@pytest.fixture
def database() -> MemoryDatabase:
    database = MemoryDatabase()
    database.store.create("docs", 3)
    database.store.upsert("docs", IDS, ROWS)
    return database


def open_collection(database: MemoryDatabase, faults: Faults) -> RetryingCollection:
    return RetryingCollection(FaultyDatabase(database, faults).collection("docs"))


def fail_times(count: int, error: Exception) -> Callable[[], str]:
    """Return a request that fails so many times, and is answered then."""
    errors = [error] * count

    def request() -> str:
        if errors:
            raise errors.pop()
        return "an answer"

    return request


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_transient_error_is_tried_again(count: int) -> None:
    assert retry_transient(fail_times(count, Unreachable())) == "an answer"


@pytest.mark.parametrize(
    ("patience", "delays"),
    [
        (0, ()),
        (0.2, (0.2,)),
        (1.0, (0.5, 0.5)),
        (3.5, (0.5, 1.0, 2.0)),
        (6, (0.5, 1, 2, 2, 0.5)),
    ],
)
def test_the_pauses_last_as_long_as_patience(patience, delays, monkeypatch):
    monkeypatch.setattr(retry, "DELAYS", (0.5, 1.0, 2.0))
    assert retry.list_delays(patience) == pytest.approx(delays)
    assert sum(retry.list_delays(patience)) == pytest.approx(patience)


def test_without_patience_nothing_is_tried_again():
    with pytest.raises(Unreachable):
        retry_transient(fail_times(1, Unreachable()), patience=0)


def test_whoever_is_asked_to_stop_waits_no_longer(monkeypatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (60.0,))
    stop, attempts = StopRequest(), []

    def request() -> None:
        attempts.append(1)
        Timer(0.05, stop.request).start()
        raise Unreachable("away")

    with pause_by(stop.pause), pytest.raises(Interrupted):
        retry_transient(request, patience=600)
    assert attempts == [1]


def test_after_the_last_delay_the_error_is_raised() -> None:
    with pytest.raises(Unreachable):
        retry_transient(fail_times(3, Unreachable()))


def test_the_last_error_says_how_often_and_how_long_it_was_tried():
    with pytest.raises(Unreachable, match=r"^down; tried 3 times in \d+\.\d s$"):
        retry_transient(fail_times(9, Unreachable("down")), patience=0.01)
    with pytest.raises(Unreachable, match=r"^down$"):
        retry_transient(fail_times(9, Unreachable("down")), patience=0)


@pytest.mark.parametrize("error", [DatabaseError("full"), LeaseLost(), ValueError()])
def test_any_other_error_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        retry_transient(fail_times(1, error))


@pytest.mark.parametrize("when", ["before", "after", "half"])
def test_a_write_whose_answer_was_lost_is_repeated(database: MemoryDatabase, when: When) -> None:
    faults = Faults(1, when, time_out)
    collection = open_collection(database, faults)
    report = collection.write(Points(IDS, -ROWS), ROWS)
    assert report.written == IDS
    assert faults.calls == ["docs.write"] * 2
    assert database.collection("docs").read(IDS).vectors.tobytes() == (-ROWS).tobytes()


def test_a_write_is_not_repeated_once_the_lease_is_lost(database: MemoryDatabase) -> None:
    def lose_lease() -> None:
        raise LeaseLost

    faults = Faults(1, "before", time_out)
    collection = open_collection(database, faults).guard_writes(lose_lease)
    with pytest.raises(LeaseLost):
        collection.write(Points(IDS, -ROWS), ROWS)
    assert faults.calls == ["docs.write"]
    assert collection.read(IDS).vectors.tobytes() == ROWS.tobytes()


def test_reads_are_tried_again(database: MemoryDatabase) -> None:
    methods = frozenset({"read", "search", "describe", "health"})
    for number in range(1, 5):
        faults = Faults(number, "before", time_out, only=methods)
        collection = open_collection(database, faults)
        assert collection.describe().points == len(IDS)
        assert collection.read([2]).vectors.tobytes() == ROWS[2].tobytes()
        assert collection.search(ROWS[:1], 1).ids == [[0]]
        assert collection.health().ready
        assert len(faults.calls) == 5


def make_record(generation: int, text: str = "") -> object:
    return add_checksum("lease", {"generation": generation, "text": text})


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_swap_whose_answer_was_lost_took_place_once(database: MemoryDatabase, when: When) -> None:
    faults = Faults(2, when, time_out)
    records = RetryingRecords(FaultyDatabase(database, faults).records("notes"))
    assert records.swap(make_record(1), None)
    assert records.swap(make_record(2), 1)
    assert records.get(["lease"])[0].document["generation"] == 2


def test_a_swap_that_somebody_else_won_is_lost(database: MemoryDatabase) -> None:
    records = RetryingRecords(database.records("notes"))
    assert records.swap(make_record(1, "theirs"), None)
    assert not records.swap(make_record(1, "ours"), None)
    assert records.get(["lease"])[0].document["text"] == "theirs"


def test_a_swap_that_the_database_refuses_is_no_loss(database: MemoryDatabase) -> None:
    faults = Faults(1, "before", disk_full)
    records = RetryingRecords(FaultyDatabase(database, faults).records("notes"))
    with pytest.raises(DatabaseError, match="no space left"):
        records.swap(make_record(1), None)


def test_records_are_stored_and_deleted_again(database: MemoryDatabase) -> None:
    faults = Faults(1, "half", time_out)
    records = RetryingRecords(FaultyDatabase(database, faults).records("notes", 3))
    batch = [add_checksum(str(row), {"row": row}, ROWS[row]) for row in IDS]
    records.put(batch)
    assert records.count() == len(IDS)
    assert np.array_equal(np.stack([one.vector for one in records.get(["0", "1", "2", "3"])]), ROWS)
    faults.calls.clear()
    records.delete(["0", "1", "2"])
    assert records.count() == 1


class MeetingReads:
    """A collection in which each read waits for another one."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._barrier = Barrier(2, timeout=30)

    def read(self, ids: Sequence[PointId]) -> Points:
        self._barrier.wait()
        return self._collection.read(ids)


class ReadsOnce:
    """A collection that fails the first read of each point."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._failed: set[PointId] = set()

    def read(self, ids: Sequence[PointId]) -> Points:
        if not self._failed.issuperset(ids):
            self._failed.update(ids)
            raise Unreachable
        return self._collection.read(ids)


@pytest.mark.parametrize("wrapper", [MeetingReads, ReadsOnce])
def test_many_points_are_read_in_batches_under_way_at_once_and_each_is_tried_again(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch, wrapper: Any
) -> None:
    monkeypatch.setattr(retry, "READ_BATCH", 2)
    ids = [3, 0, 7, 1, 2, 5, 5, 3]
    collection = database.collection("docs")

    points = RetryingCollection(wrapper(collection), parallel_calls=2).read(ids)

    assert points.ids == collection.read(ids).ids == [point for point in ids if point in IDS]
    assert points.vectors.tobytes() == collection.read(ids).vectors.tobytes()
