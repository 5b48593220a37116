"""Reading the unjudged points once finds what searching for them finds, where that is cheaper."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.base.progress import ignore_progress
from nudge_sync.planning.unjudged.points import (
    MAX_UNJUDGED_READ,
    find_unjudged,
    is_reading_cheaper,
    rank_unjudged,
    scan_others,
)
from nudge_sync.planning.unjudged.search import search_unjudged
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.counted import Counted
from nudge_sync.testing.memory import MemoryDatabase

METRICS = ("cosine", "dot", "euclid")
DEPTH = 10


def make_rows(count: int, seed: int, dimension: int = 6) -> np.ndarray:
    """Rows of lengths from a half to two."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(count, dimension))
    rows *= (generator.uniform(0.5, 2, count) / np.linalg.norm(rows, axis=1))[:, None]
    return rows.astype(np.float32)


def open_docs(vectors: np.ndarray, metric: str) -> tuple[Target, Counted]:
    database = MemoryDatabase()
    database.store.create("docs", vectors.shape[1], metric)
    database.store.upsert("docs", list(range(len(vectors))), vectors)
    counted = Counted(database)
    return open_target(counted, "docs"), counted


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("judged_count", [0, 380, 397, 400])
def test_reading_finds_what_searching_finds(metric, judged_count):
    target, _ = open_docs(make_rows(400, seed=0), metric)
    queries = make_rows(50, seed=1)
    ids_in_play = set(range(judged_count))

    read = rank_unjudged(target, queries, scan_others(target, ids_in_play, ignore_progress), DEPTH)

    searched = search_unjudged(
        target, queries, ids_in_play, DEPTH, exact=False, progress=ignore_progress
    )
    assert read.ids == searched.ids
    np.testing.assert_allclose(read.scores, searched.scores, atol=2e-5)


def test_a_small_collection_is_read_once_and_a_large_one_searched():
    queries = make_rows(20, seed=1)
    small, small_counts = open_docs(make_rows(800, seed=0), "cosine")
    large, large_counts = open_docs(make_rows(801, seed=0), "cosine")

    for target in (small, large):
        find_unjudged(target, queries, set(), DEPTH, exact=False, progress=ignore_progress)

    assert (small_counts.counts.scanned, small_counts.counts.searched) == (800, 0)
    assert (large_counts.counts.scanned, large_counts.counts.searched) == (0, 20)


def test_many_unjudged_points_are_searched_for_however_many_queries_there_are():
    assert is_reading_cheaper(MAX_UNJUDGED_READ, 0, 10**6, DEPTH)
    assert not is_reading_cheaper(MAX_UNJUDGED_READ + 1, 0, 10**6, DEPTH)
    assert is_reading_cheaper(10**6, 10**6 - MAX_UNJUDGED_READ, 10**6, DEPTH)
