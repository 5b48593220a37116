"""A hold is placed, read, replaced and released, and one that cannot be read is replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord, LeaseLost, OnHold
from nudge_sync.store import checksum
from nudge_sync.store.hold import (
    HOLD_KEY,
    MAX_TEXT_LENGTH,
    HoldRequest,
    place_hold,
    read_hold,
    refuse_hold,
    release_hold,
)
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.integrity import find_damaged_records
from tests.support.tracked_collection import TrackedCollection

ANNA = HoldRequest("anna@web1", "worse since Tuesday")


@pytest.fixture
def target(tracked_collection: TrackedCollection) -> Target:
    return tracked_collection.target()


def test_without_one_nothing_is_refused_and_nothing_is_stored(target: Target) -> None:
    assert read_hold(target) is None
    refuse_hold(target)
    assert release_hold(target) is None
    assert target.ledger_records.count() == 0


def test_it_says_who_placed_it_when_and_why(target: Target) -> None:
    before = now_ms()
    place_hold(target, ANNA)
    hold = read_hold(target)
    assert hold is not None
    assert (hold.by, hold.reason) == ("anna@web1", "worse since Tuesday")
    assert before <= hold.since <= now_ms()
    with pytest.raises(OnHold, match=r"on hold by anna@web1 since 20.*: worse since Tuesday"):
        refuse_hold(target)


def test_another_takes_its_place_and_one_release_ends_it(target: Target) -> None:
    place_hold(target, ANNA)
    place_hold(target, HoldRequest("ben@web2"))
    hold = read_hold(target)
    assert hold is not None
    assert hold.describe().startswith("by ben@web2 since 20")
    assert hold.generation == 2
    released = release_hold(target)
    assert released == hold
    assert read_hold(target) is None
    assert release_hold(target) is None
    # A released record is one that can be placed again.
    assert place_hold(target, ANNA).generation == 4


def test_one_that_nobody_asked_for_tells_of_the_one_before(target: Target) -> None:
    serve = HoldRequest("nudge-sync serve", "surely worse in the holdback")
    assert place_hold(target, serve, keeps_reason=True).reason == serve.reason
    release_hold(target)
    place_hold(target, ANNA)
    # Twice, as after a process that was killed in between.
    for _ in range(2):
        hold = place_hold(target, serve, keeps_reason=True)
        assert hold.by == "nudge-sync serve"
        assert hold.reason.startswith(
            "surely worse in the holdback; before that on hold by anna@web1 since 20"
        )
        assert hold.reason.endswith(": worse since Tuesday")
        assert hold.reason.count("on hold") == 1
    release_hold(target)
    place_hold(target, ANNA)
    long = HoldRequest("ben@web2", "x" * MAX_TEXT_LENGTH)
    assert place_hold(target, long, keeps_reason=True).reason.endswith(": worse since Tuesday")
    assert read_hold(target) is not None


def test_it_is_seen_by_whoever_opens_the_collection_anew(
    tracked_collection: TrackedCollection,
) -> None:
    place_hold(tracked_collection.target(), ANNA)
    with pytest.raises(OnHold):
        refuse_hold(tracked_collection.target())


def test_long_texts_are_cut_and_still_read(target: Target) -> None:
    place_hold(target, HoldRequest("a" * 2000, "b" * 2000))
    hold = read_hold(target)
    assert hold is not None
    assert (len(hold.by), len(hold.reason)) == (MAX_TEXT_LENGTH, MAX_TEXT_LENGTH)


def test_a_release_does_not_end_a_hold_that_it_has_not_seen(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_hold(target, ANNA)
    swap = target.ledger_records.swap

    def swap_late(record: Record, expected: int | None) -> bool:
        monkeypatch.setattr(target.ledger_records, "swap", swap)
        place_hold(target, HoldRequest("ben@web2"))
        return swap(record, expected)

    monkeypatch.setattr(target.ledger_records, "swap", swap_late)
    with pytest.raises(LeaseLost, match="changed by another process"):
        release_hold(target)
    hold = read_hold(target)
    assert hold is not None
    assert hold.by == "ben@web2"


DAMAGES: list[Callable[[dict[str, Any]], Any]] = [
    lambda body: body.pop("hold"),
    lambda body: body.update(hold=[]),
    lambda body: body["hold"].update(since="never"),
    lambda body: body["hold"].update(since=10**30),
    lambda body: body["hold"].update(by=None),
    lambda body: body["hold"].update(reason="x" * 501),
    lambda body: body["hold"].update(unknown=1),
    lambda body: body["hold"].update(generation=99),
    lambda body: body.update(generation=None),
]


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_one_of_another_shape_is_named_and_keeps_everything_back(
    target: Target, number: int
) -> None:
    place_hold(target, ANNA)
    [record] = target.ledger_records.get([HOLD_KEY])
    body = {key: value for key, value in record.document.items() if key != "seal"}
    body["hold"] = dict(body["hold"])
    DAMAGES[number](body)
    target.ledger_records.put([checksum.add_checksum(HOLD_KEY, body)])
    with pytest.raises(DamagedRecord, match="`nudge-sync hold` replaces it"):
        refuse_hold(target)
    with pytest.raises(DamagedRecord):
        release_hold(target)
    assert list(find_damaged_records(target)) == ["docs__nudge_revisions 'hold'"]
    place_hold(target, ANNA)
    hold = release_hold(target)
    assert hold is not None
    assert hold.by == "anna@web1"
    refuse_hold(target)


def test_one_with_a_flipped_bit_is_not_believed(target: Target) -> None:
    place_hold(target, ANNA)
    [record] = target.ledger_records.get([HOLD_KEY])
    document = {**record.document, "hold": {**record.document["hold"], "since": 0}}
    target.ledger_records.put([replace(record, document=document)])
    with pytest.raises(DamagedRecord):
        refuse_hold(target)
