"""`verify` on damaged records: it names them, counts those it has no room for, writes nothing."""

from __future__ import annotations

import pytest

from nudge_sync.errors import DamagedRecord
from nudge_sync.store.upkeep.verify import verify
from tests.support.nudged_collection import (
    HISTORY,
    LEDGER,
    ORIGINALS,
    NudgedCollection,
)


def test_verify_names_every_damaged_record(nudged_collection: NudgedCollection):
    named = []
    for name, keys in (
        (ORIGINALS, nudged_collection.keys(ORIGINALS)[3:9]),
        (HISTORY, nudged_collection.keys(HISTORY)),
    ):
        for key in keys[:6]:
            text, vector = nudged_collection.records[name][key]
            nudged_collection.records[name][key] = (text, vector + 1)
            named.append(f"{name} {key!r}")
    nudged_collection.rewrite_with_checksum(
        LEDGER, "revision:00000001", lambda body: body["entry"].pop("state")
    )
    nudged_collection.rewrite_with_checksum(LEDGER, "lease", lambda body: body.pop("lease"))
    named += [f"{LEDGER} 'revision:00000001'", f"{LEDGER} 'lease'"]
    with pytest.raises(DamagedRecord, match="Damaged are 14 records") as error:
        verify(nudged_collection.target())
    assert [name for name in named if name not in str(error.value)] == []
    assert nudged_collection.read_bytes() == nudged_collection.live_bytes


def test_verify_counts_what_it_has_no_room_for(nudged_collection: NudgedCollection):
    for key in nudged_collection.keys(HISTORY):
        text, vector = nudged_collection.records[HISTORY][key]
        nudged_collection.records[HISTORY][key] = (text.replace('"id"', '"ID"'), vector)
    count = len(nudged_collection.keys(HISTORY))
    with pytest.raises(DamagedRecord, match=f"and {count - 20} more") as error:
        verify(nudged_collection.target())
    assert len(str(error.value)) < 2500
