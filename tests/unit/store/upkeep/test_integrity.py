"""Every damaged record of the sidecar's own is found and named; nothing is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nudge_sync.connector import Records
from nudge_sync.errors import DamagedRecord
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.integrity import find_damaged_records, name_damaged_records
from tests.support.tracked_collection import TrackedCollection


@pytest.fixture
def target(tracked_collection: TrackedCollection) -> Target:
    tracked_collection.apply_plan(tracked_collection.target(), seed=1)
    return tracked_collection.target()


def damage(records: Records, key: str) -> None:
    [record] = records.get([key])
    records.put([replace(record, document={**record.document, "added": 1})])


def test_nothing_is_damaged_after_a_cycle(target: Target) -> None:
    assert list(find_damaged_records(target)) == []


def test_each_is_named_with_its_collection(target: Target) -> None:
    damage(target.ledger_records, "lease")
    damage(target.ledger_records, "revision:00000001")
    damage(target.shadow.records, "1:4")
    damage(target.history.records, "1:9")
    assert list(find_damaged_records(target)) == [
        "docs__nudge_revisions 'lease'",
        "docs__nudge_revisions 'revision:00000001'",
        "docs__nudge_originals '1:4'",
        "docs__nudge_history '1:9'",
    ]


def test_an_error_about_one_names_the_others_as_well(target: Target) -> None:
    damage(target.shadow.records, "1:4")
    first = DamagedRecord("1:4 is damaged")
    assert name_damaged_records(target, first) is first
    damage(target.shadow.records, "1:5")
    named = name_damaged_records(target, first)
    assert str(named).startswith("1:4 is damaged. Damaged are 2 records: ")
    assert "'1:5'" in str(named)
