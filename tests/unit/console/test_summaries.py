"""Figures of any depth become rows that say no number is 0 that is not."""

from __future__ import annotations

from nudge_sync.console.summaries import flatten_summary


def test_small_numbers_keep_a_digit():
    summary = {"gate": {"gain": 0.00003, "interval": [-0.00002, 0.25]}, "share": 0.0, "rows": 3}
    assert flatten_summary(summary) == {
        "gate.gain": "0.00003",
        "gate.interval": "-0.00002, 0.2500",
        "share": "0.0000",
        "rows": "3",
    }
