"""Ledger records that are damaged or none of ours: named, and not believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from nudge_sync import cycle
from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import erasure
from nudge_sync.store.ledger import Revision
from nudge_sync.store.upkeep.integrity import find_damaged_records
from tests.support.nudged_collection import (
    LEDGER,
    NudgedCollection,
    assert_refused,
)
from tests.support.sample_collection import SETTINGS

ENTRIES: list[Callable[[dict[str, Any]], Any]] = [
    lambda body: body.pop("entry"),
    lambda body: body.update(entry=None),
    lambda body: body.update(entry=[]),
    lambda body: body.update(entry={}),
    lambda body: body.update(entry="rollback"),
    lambda body: body["entry"].pop("parent"),
    lambda body: body["entry"].pop("state"),
    lambda body: body["entry"].update(unknown=1),
    lambda body: body["entry"].update(state="done"),
    lambda body: body["entry"].update(state=None),
    lambda body: body["entry"].update(kind="apply; drop"),
    lambda body: body["entry"].update(number="one"),
    lambda body: body["entry"].update(number=2),
    lambda body: body["entry"].update(number=-1),
    lambda body: body["entry"].update(number=None),
    lambda body: body["entry"].update(parent=1),
    lambda body: body["entry"].update(parent=2),
    lambda body: body["entry"].update(parent=-3),
    lambda body: body["entry"].update(parent=[0]),
    lambda body: body["entry"].update(to=7),
    lambda body: body["entry"].update(to="x"),
    lambda body: body["entry"].update(details=None),
    lambda body: body["entry"].update(details=[1]),
    lambda body: body["entry"]["details"].update(planned_at=10**30),
    lambda body: body["entry"]["details"].update(applied_at="now"),
    lambda body: body["entry"]["details"].update(rows=-1),
    lambda body: body["entry"]["details"].update(live=3),
    lambda body: body["entry"]["details"].update(live={"ndcg@10": "high"}),
    lambda body: body["entry"]["details"].update(plan=[]),
    lambda body: body["entry"]["details"].update(inputs={"a": 1}),
    lambda body: body["entry"].update(generation="x"),
]


@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_a_sealed_ledger_entry_of_another_shape(nudged_collection: NudgedCollection, number):
    key = "revision:00000001"
    nudged_collection.rewrite_with_checksum(LEDGER, key, ENTRIES[number])
    assert_refused(nudged_collection, key, "verify", "plan", "resume", "apply", "undo", "originals")
    with pytest.raises(DamagedRecord):
        nudged_collection.target().open_ledger().read_entry(1)


@pytest.mark.parametrize("number", range(5))
def test_a_damaged_ledger_entry(nudged_collection: NudgedCollection, number):
    key = "revision:00000001"
    document = nudged_collection.document(LEDGER, key)
    [
        lambda: document.pop("seal"),
        lambda: document["entry"].update(parent=5),
        lambda: document["entry"].update(state="abandoned"),
        lambda: document.update(entry=None),
        lambda: document["entry"]["details"].update(rows=1),
    ][number]()
    nudged_collection.put(LEDGER, key, document, None)
    assert_refused(nudged_collection, key, "verify", "plan", "resume", "apply", "undo", "originals")


def test_a_plan_in_the_ledger_that_cannot_be_read_is_made_again(
    nudged_collection: NudgedCollection,
):
    def change(body: dict[str, Any]) -> None:
        body["entry"]["details"]["plan"] = {"metric": 3}

    nudged_collection.rewrite_with_checksum(LEDGER, "revision:00000001", change)
    again = cycle.apply(nudged_collection.target(), SETTINGS)
    assert (len(again.plan.rows), again.revision) == (0, None)


def test_a_note_of_removed_feedback_with_a_flipped_bit_is_not_believed(
    nudged_collection: NudgedCollection,
):
    erasure.request_erasure(nudged_collection.target())
    document = nudged_collection.document(LEDGER, "erasure")
    document["erasure"]["done"] += 1
    nudged_collection.put(LEDGER, "erasure", document, None)
    assert_refused(nudged_collection, "erasure", "apply")
    assert f"{LEDGER} 'erasure'" in list(find_damaged_records(nudged_collection.target()))


def test_whatever_the_ledger_wrote_is_read_again(nudged_collection: NudgedCollection):
    ledger = nudged_collection.target().open_ledger()
    entry = ledger.read_entry(1)
    assert isinstance(entry, Revision)
    assert asdict(ledger.entries()[0]) == asdict(entry)
    assert ledger.records.get(["revision:00000001"]) == [
        Record("revision:00000001", nudged_collection.document(LEDGER, "revision:00000001"))
    ]
