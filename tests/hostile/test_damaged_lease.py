"""A lease that is damaged or none of ours: named, not believed, and replaced on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nudge_sync.errors import DamagedRecord
from nudge_sync.store import lease
from tests.support.nudged_collection import (
    LEDGER,
    NudgedCollection,
    assert_refused,
)

LEASES: list[Callable[[dict[str, Any]], Any]] = [
    lambda body: body.pop("lease"),
    lambda body: body.update(lease=None),
    lambda body: body.update(lease=[]),
    lambda body: body.update(lease={}),
    lambda body: body["lease"].pop("expires"),
    lambda body: body["lease"].update(expires="never"),
    lambda body: body["lease"].update(expires=10**30),
    lambda body: body["lease"].update(acquired=-1),
    lambda body: body["lease"].update(seconds=float("1e300")),
    lambda body: body["lease"].update(seconds=0),
    lambda body: body["lease"].update(process="1234"),
    lambda body: body["lease"].update(process="a/b/-1/c"),
    lambda body: body["lease"].update(process="a/b/" + "9" * 40 + "/c"),
    lambda body: body["lease"].update(process="a/b/../../1/c"),
    lambda body: body["lease"].update(host=None),
    lambda body: body["lease"].update(generation="x"),
    lambda body: body["lease"].update(generation=99),
    lambda body: body["lease"].update(unknown=1),
    lambda body: body.update(generation=None),
]


@pytest.mark.parametrize("number", range(len(LEASES)))
def test_a_lease_of_another_shape_is_named_and_can_be_replaced(
    nudged_collection: NudgedCollection, number
):
    nudged_collection.rewrite_with_checksum(LEDGER, "lease", LEASES[number])
    assert_refused(nudged_collection, "lease", "verify", "resume", "apply", "undo")
    target = nudged_collection.target()
    with pytest.raises(DamagedRecord, match="unlock --force"):
        lease.read_active_lease(target)
    assert lease.break_lease(target) is None
    assert lease.read_active_lease(target) is None
    with lease.hold_lease(target, 10):
        assert lease.read_active_lease(target) is not None


def test_a_lease_with_a_flipped_bit_is_not_believed(nudged_collection: NudgedCollection):
    document = nudged_collection.document(LEDGER, "lease")
    document["lease"]["expires"] += 1
    nudged_collection.put(LEDGER, "lease", document, None)
    assert_refused(nudged_collection, "lease", "apply")
