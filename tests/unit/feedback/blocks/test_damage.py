"""Whatever stands where blocks should stand, the log is that of its records."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.store import checksum
from nudge_sync.store.feedback.block_store import BlockStore
from tests.support.clocked_log import DAY, FIRST_DAY, HOUR_MS, ClockedLog


@pytest.mark.parametrize("damage", ["part", "head", "nonsense", "gone", "all"])
def test_a_damaged_block_is_made_again_and_never_trusted(clocked, damage):
    clocked.read(writes=True)
    (head, *_) = BlockStore(clocked.blocks).list_heads()
    (part, *_) = [
        key
        for key in clocked.database.store.records["docs__nudge_blocks"]
        if key.startswith(f"{head.expected_key}:")
    ]
    (record,) = clocked.blocks.get([part])
    if damage == "part":
        clocked.blocks.put([replace(record, document={**record.document, "data": "AAAA"})])
    elif damage == "head":
        (record,) = clocked.blocks.get([head.expected_key])
        clocked.blocks.put([replace(record, document={**record.document, "count": 7})])
    elif damage == "nonsense":
        clocked.blocks.put([Record(part, {"data": 7})])
    elif damage == "gone":
        clocked.blocks.delete([part])
    else:
        clocked.blocks.drop()
    lost = 10 if damage == "all" else 1
    assert clocked.read().records_read == 8 * lost
    counts = clocked.read(writes=True)
    assert counts.reused == 10 - lost
    assert counts.made + counts.remade == lost
    assert clocked.read(writes=True).records_read == 0


class Killed(Exception):
    pass


@pytest.mark.parametrize("calls", range(8))
def test_whoever_is_killed_between_two_writes_leaves_the_old_block_or_the_new(
    clocked, monkeypatch, calls
):
    clocked.read(writes=True)
    clocked.click(99, FIRST_DAY + DAY + 5.0)
    clocked.now += 2 * HOUR_MS
    left = iter(range(calls))
    for name in ("put", "delete"):
        original = getattr(type(clocked.blocks), name)

        def fail(records, items, original=original):
            if records is clocked.blocks and next(left, None) is None:
                raise Killed
            original(records, items)

        monkeypatch.setattr(type(clocked.blocks), name, fail)
    with suppress(Killed):
        clocked.read(writes=True)
    monkeypatch.undo()
    clocked.read()
    clocked.read(writes=True)
    assert clocked.read(writes=True).records_read == 0
    heads = BlockStore(clocked.blocks).list_heads()
    assert clocked.blocks.count() == 2 * len(heads) + 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 100),
    st.dictionaries(
        st.sampled_from(
            ["part", "kind", "start", "end", "count", "data", "digest", "seal", "size", "at"]
        ),
        st.sampled_from([None, 0, -1, 2**70, 1.5, "", "head", "survey", "AAAA", [], {}, True]),
        min_size=1,
    ),
    st.booleans(),
)
def test_no_record_beside_the_log_changes_what_it_says(at, changes, sealed):
    clocked = ClockedLog()
    clocked.fill(days=2, per_day=3)
    clocked.read(writes=True)
    keys = sorted(clocked.database.store.records["docs__nudge_blocks"])
    (record,) = clocked.blocks.get([keys[at % len(keys)]])
    document = {**record.document, **changes}
    if sealed:
        document.pop("seal", None)
        (record,) = [checksum.add_checksum(record.key, document)]
        document = record.document
    clocked.blocks.put([Record(record.key, document)])
    clocked.read()
    clocked.read(writes=True)
    assert clocked.read(writes=True).records_read == 0


@pytest.mark.parametrize("stored_at", [None, "x", True, -1, 0, 1e300, [], 2**63, "1"])
def test_a_time_of_storing_that_is_none_keeps_its_day_from_having_a_block(clocked, stored_at):
    (record,) = clocked.raw_events.get(
        [next(iter(clocked.database.store.records["docs__nudge_events"]))]
    )
    clocked.raw_events.put([replace(record, document={**record.document, "stored_at": stored_at})])
    for _ in range(2):
        assert clocked.read(writes=True).unsettled == 1
