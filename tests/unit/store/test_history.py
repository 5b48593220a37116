"""The history says what each revision wrote, and so what a point held at any revision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nudge_sync.errors import DamagedRecord, UnsupportedCollection
from nudge_sync.store.checksum import digest_vector
from nudge_sync.store.history import History
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.unit_vectors import make_unit_rows

NAME = "docs__nudge_history"
ROWS = make_unit_rows(12, 4, 0)


@pytest.fixture
def history() -> History:
    """Three revisions: 1 wrote points 1 to 3, 2 wrote point 2, 3 wrote points 3 and 4."""
    history = History(MemoryDatabase().records(NAME, 4, ("revision",)), NAME)
    history.add_rows(1, [1, 2, 3], ROWS[:3], ROWS[9:], ROWS[9:])
    history.add_rows(2, [2], ROWS[3:4], ROWS[1:2], ROWS[10:11])
    history.add_rows(3, [3, 4], ROWS[4:6], ROWS[6:8], ROWS[6:8])
    return history


def test_a_record_tells_what_was_written_over_what_and_from_which_original(
    history: History,
) -> None:
    [record] = [record for batch in history.scan_revision(2) for record in batch]
    assert record.vector is not None
    assert record.vector.tobytes() == ROWS[3].tobytes()
    assert record.document["replaced"] == digest_vector(ROWS[1])
    assert record.document["original"] == digest_vector(ROWS[10])


def test_the_latest_record_is_the_first_in_the_lineage(history: History) -> None:
    latest = history.find_latest([3, 2, 1], [1, 2, 3, 4, 5], vectors=False)
    assert {point: record.key for point, record in latest.items()} == {
        1: "1:1",
        2: "2:2",
        3: "3:3",
        4: "3:4",
    }
    latest = history.find_latest([2, 1], [3, 4], vectors=True)
    assert {point: record.key for point, record in latest.items()} == {3: "1:3"}
    assert history.find_latest([], [1], vectors=False) == {}


def test_keys_are_those_of_a_revision_alone(history: History) -> None:
    assert history.read_keys(3) == {3: "3:3", 4: "3:4"}
    assert history.read_keys(4) == {}
    assert len(next(history.scan_all())) == history.records.count()
    assert [record.key for record in history.read_by_keys(["3:4", "9:9"])] == ["3:4"]


def test_a_damaged_record_is_named(history: History) -> None:
    [record] = history.records.get(["2:2"])
    history.records.put([replace(record, vector=-ROWS[3])])
    assert history.read_records(2, [2], vectors=False)
    with pytest.raises(DamagedRecord, match="'2:2' in \"docs__nudge_history\""):
        history.read_records(2, [2], vectors=True)


def test_what_could_not_be_read_again_is_not_stored(history: History) -> None:
    with pytest.raises(UnsupportedCollection, match=r"could not be read again.*another id"):
        history.add_rows(4, [1, True], ROWS[:2], ROWS[:2], ROWS[:2])
    assert history.records.count({"revision": 4}) == 0
