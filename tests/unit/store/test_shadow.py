"""The shadow keeps every original that a point ever had, and proves it when it stores one."""

from __future__ import annotations

import pytest

from nudge_sync.errors import DamagedRecord, UnsupportedCollection, WriteNotVerified
from nudge_sync.store.shadow import Shadow
from nudge_sync.testing.faults import Faults, FaultyDatabase
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.unit_vectors import make_unit_rows

NAME = "docs__nudge_originals"
ROWS = make_unit_rows(6, 4, 0)


@pytest.fixture
def shadow() -> Shadow:
    return Shadow(MemoryDatabase().records(NAME, 4), NAME)


def test_originals_come_back_bit_for_bit(shadow: Shadow) -> None:
    shadow.add_originals(1, [7, 8], ROWS[:2])
    originals = shadow.read_originals()
    assert {point: [one.revision for one in versions] for point, versions in originals.items()} == {
        7: [1],
        8: [1],
    }
    vectors = shadow.read_vectors([versions[0] for versions in originals.values()])
    assert {key: vector.tobytes() for key, vector in vectors.items()} == {
        originals[7][0].key: ROWS[0].tobytes(),
        originals[8][0].key: ROWS[1].tobytes(),
    }


def test_an_older_original_stays_beside_a_newer_one(shadow: Shadow) -> None:
    shadow.add_originals(10, [1], ROWS[2:3])
    shadow.add_originals(2, [1, 3], ROWS[:2])
    assert [original.revision for original in shadow.read_originals()[1]] == [2, 10]
    newest = [versions[-1] for versions in shadow.read_originals().values()]
    vectors = shadow.read_vectors(newest)
    assert {key: vector.tobytes() for key, vector in vectors.items()} == {
        "10:1": ROWS[2].tobytes(),
        "2:3": ROWS[1].tobytes(),
    }


def test_deleting_leaves_the_others(shadow: Shadow) -> None:
    shadow.add_originals(1, [1, 2], ROWS[:2])
    shadow.add_originals(2, [1], ROWS[2:3])
    shadow.delete_originals(shadow.read_originals()[1][:1])
    assert {point: len(versions) for point, versions in shadow.read_originals().items()} == {
        1: 1,
        2: 1,
    }


def test_an_original_that_is_gone_is_named(shadow: Shadow) -> None:
    shadow.add_originals(1, [1], ROWS[:1])
    [original] = shadow.read_originals()[1]
    shadow.delete_originals([original])
    with pytest.raises(DamagedRecord, match=f"'1:1' is gone from \"{NAME}\""):
        shadow.read_vectors([original])


def test_what_was_not_stored_completely_is_noticed() -> None:
    half = Faults(1, "half", strike=lambda: None)
    shadow = Shadow(FaultyDatabase(MemoryDatabase(), half).records(NAME, 4), NAME)
    with pytest.raises(WriteNotVerified, match="nothing was written"):
        shadow.add_originals(1, [1, 2], ROWS[:2])


def test_a_shadow_that_was_never_written_is_empty(shadow: Shadow) -> None:
    assert shadow.read_originals() == {}
    assert shadow.read_point_ids() == []


def test_what_could_not_be_read_again_is_not_stored(shadow: Shadow) -> None:
    with pytest.raises(UnsupportedCollection, match=r"could not be read again.*another id"):
        shadow.add_originals(1, [1, True], ROWS[:2])
    assert shadow.records.count() == 0
