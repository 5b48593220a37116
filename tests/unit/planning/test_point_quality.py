"""Odd vectors of judged points are counted and named, and said what they mean."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.planning.point_quality import inspect_judged_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

UNIT = np.eye(4, dtype=np.float32)
VECTORS = np.concatenate([UNIT[:2], UNIT[:1], np.zeros((1, 4), np.float32), 3 * UNIT[2:3], UNIT])


def open_judged(count: int) -> Target:
    """A collection with feedback on the first `count` points."""
    store = MemoryStore()
    store.create("docs", 4, "dot")
    store.upsert("docs", list(range(len(VECTORS))), VECTORS)
    target = open_target(MemoryDatabase(store), "docs")
    target.queries.put([to_search_record(Search("q", UNIT[0]))])
    target.events.put([to_event_record(Event("q", "relevant", row)) for row in range(count)])
    return target


def test_zeros_lengths_and_duplicates_are_named():
    target = open_judged(5)
    quality = inspect_judged_points(target, load_judgements(target, CollectionSettings()))
    assert (quality.zero, quality.unnormalised, quality.duplicates) == ([3], [4], [0, 2])
    assert quality.summary() == {
        "zero": 1,
        "unnormalised": 1,
        "duplicates": 2,
        "zero_ids": [3],
        "unnormalised_ids": [4],
        "duplicates_ids": [0, 2],
    }


@pytest.mark.parametrize(
    ("metric", "meaning"),
    [("cosine", "does not matter"), ("dot", "ranks higher"), ("euclid", "cannot be nudged")],
)
def test_each_note_says_what_it_means(metric: str, meaning: str):
    target = open_judged(5)
    quality = inspect_judged_points(target, load_judgements(target, CollectionSettings()))
    zero, length, duplicates = quality.list_notes(metric)
    assert "1 judged points (3) hold a zero vector" in zero
    assert meaning in length
    assert "2 judged points (0, 2)" in duplicates


def test_points_without_feedback_are_not_looked_at():
    target = open_judged(2)
    quality = inspect_judged_points(target, load_judgements(target, CollectionSettings()))
    assert quality.list_notes("dot") == []
