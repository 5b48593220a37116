"""The ledger keeps what it read, never overwrites what others stored, and stays short."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.errors import InputError, LeaseLost
from nudge_sync.store.ledger import Ledger, find_head, find_restorable_revisions, trace_lineage
from nudge_sync.store.upkeep.gc import prune_ledger
from nudge_sync.testing.memory import MemoryDatabase


def ledger() -> Ledger:
    return Ledger(MemoryDatabase().records("docs__nudge_revisions"), "docs__nudge_revisions")


def reopen_ledger(known: Ledger) -> Ledger:
    return Ledger(known.records, known.collection_name)


def add_applied_revision(known: Ledger, parent: int, **details: object) -> int:
    entry = known.add_entry("apply", parent, None, details)
    for state in ("writing", "written", "applied"):
        entry = known.set_state(entry, state)
    return entry.number


def test_what_was_noted_is_remembered_and_stored():
    known = ledger()
    assert known.entries() == []
    first = add_applied_revision(known, 0)
    add_applied_revision(known, first)
    assert known.entries() == reopen_ledger(known).entries()


def test_what_another_process_noted_is_not_seen_but_never_overwritten():
    ours = ledger()
    entry = ours.add_entry("apply", 0, None, {})
    theirs = reopen_ledger(ours)
    taken = theirs.set_state(theirs.entries()[0], "abandoned")
    theirs.add_entry("apply", 0, None, {})
    assert [found.number for found in ours.entries()] == [1]
    for attempt in (
        lambda: ours.set_state(entry, "writing"),
        lambda: ours.add_entry("apply", 0, None, {}),
        lambda: ours.set_parent(entry, 0),
    ):
        with pytest.raises(LeaseLost):
            attempt()
    assert reopen_ledger(ours).entries()[0] == taken


@settings(deadline=None)
@given(st.data())
def test_pruning_changes_no_way_back(data):
    known = ledger()
    for number in range(1, data.draw(st.integers(1, 25)) + 1):
        # Mostly on the one before; at times on an older one, as after a rollback.
        parent = data.draw(st.sampled_from([number - 1] * 4 + list(range(number))))
        add_applied_revision(
            known, parent, **({"collected": True} if data.draw(st.booleans()) else {})
        )
    entries = known.entries()
    wanted = find_restorable_revisions(entries, 3)
    whole = {entry.number for entry in entries if not entry.details.collected}
    ways = {number: _filter_numbers(trace_lineage(entries, number), whole) for number in whole}
    keep = data.draw(st.integers(1, 12))
    removed = prune_ledger(known, wanted, keep)
    left = reopen_ledger(known).entries()
    assert left == known.entries()
    assert len(left) == len(entries) - removed
    assert whole <= {entry.number for entry in left}
    assert {number: _filter_numbers(trace_lineage(left, number), whole) for number in whole} == ways
    assert (find_head(left), find_restorable_revisions(left, 3)) == (find_head(entries), wanted)
    asked = {entry.parent for entry in entries if entry.number in wanted}
    needed = whole | asked | set(wanted) | {entry.number for entry in entries[-keep:]}
    assert {entry.number for entry in left} <= needed
    assert add_applied_revision(reopen_ledger(known), find_head(left)) == entries[-1].number + 1


def _filter_numbers(line: list[int], whole: set[int]) -> list[int]:
    return [number for number in line if number in whole]


def test_an_entry_that_is_gone_is_named():
    known = ledger()
    first = add_applied_revision(known, 0, collected=True)
    last = add_applied_revision(known, add_applied_revision(known, first))
    assert prune_ledger(known, [last], 1) == 1
    with pytest.raises(InputError, match="no revision 1"):
        known.read_entry(1)
    assert known.read_entry(2).parent == 0
    assert prune_ledger(known, [last], 1) == 0
