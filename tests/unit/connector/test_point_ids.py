"""How a report shows many point ids."""

from __future__ import annotations

from nudge_sync.connector.point_ids import summarise_ids


def test_all_are_counted_and_the_first_thousand_listed():
    summary = summarise_ids(drifted=list(range(1500)), missing=["a"])
    assert (summary["drifted"], summary["missing"]) == (1500, 1)
    assert summary["drifted_ids"] == list(range(1000))
    assert list(summary) == ["drifted", "drifted_ids", "missing", "missing_ids"]
