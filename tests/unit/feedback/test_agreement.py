"""What models judge beside what people say."""

from __future__ import annotations

import pytest

from nudge_sync.feedback.agreement import Agreement, measure_agreement
from nudge_sync.feedback.schema.records import Event, to_event_record

KINDS = {
    # By the model, by people: how many pairs.
    (1.0, "relevant"): 20,
    (1.0, "not_relevant"): 5,
    (0.0, "relevant"): 10,
    (0.0, "not_relevant"): 15,
}


def measure(events):
    records = [to_event_record(event) for event in events]
    return measure_agreement([records[::2], records[1::2]])


def test_fifty_pairs_by_hand():
    # The textbook's example: observed 35 of 50, by chance (25 * 30 + 25 * 20) of 2500, kappa 0.4.
    events = []
    for (grade, label), count in KINDS.items():
        for number in range(count):
            query_id = f"{grade}{label}{number}"
            events += [Event(query_id, label, 1), Event(query_id, "machine_relevant", 1, 2, grade)]
    summary = measure(events).summary()
    assert summary["kappa"] == pytest.approx(0.4)
    assert [summary[name] for name in ("pairs", "both_relevant", "only_machine")] == [50, 20, 5]
    assert [summary[name] for name in ("only_people", "neither")] == [10, 15]
    assert summary["right_where_relevant"] == 0.8
    assert summary["right_where_not"] == 0.6


def test_the_latest_counts_and_of_equally_late_ones_the_lower():
    events = [
        Event("q", "relevant", 1, timestamp=5.0),
        Event("q", "not_relevant", 1, timestamp=5.0),
        Event("q", "machine_relevant", 1, grade=0.0, timestamp=9.0),
        Event("q", "machine_relevant", 1, grade=1.0, timestamp=10.0),
    ]
    assert measure(events) == measure(events[::-1]) == Agreement(0, 1, 0, 0)


def test_what_one_of_them_judged_is_no_pair():
    events = [
        Event("q", "relevant", 1),
        Event("q", "click", 2),
        Event("q", "machine_relevant", 2),
        Event("q", "machine_relevant", "1"),
    ]
    agreement = measure(events)
    assert agreement.pairs == 0
    assert agreement.kappa is None
    assert agreement.summary()["right_where_relevant"] is None


def test_one_who_always_says_the_same_has_no_kappa():
    events = [Event("q", "relevant", 1), Event("q", "machine_relevant", 1)]
    assert measure(events).kappa is None
