"""The widening search finds what a scan of the whole collection finds."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.base.progress import ignore_progress
from nudge_sync.connector import LARGEST_ANSWER
from nudge_sync.planning.unjudged.search import (
    QUERIES_PER_SEARCH,
    choose_similarity,
    search_unjudged,
    to_similarity,
)
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.sample_collection import normalise_rows

METRICS = ("cosine", "dot", "euclid")


def make_target(vectors: np.ndarray, metric: str = "cosine") -> Target:
    database = MemoryDatabase()
    database.store.create("docs", vectors.shape[1], metric)
    database.store.upsert("docs", list(range(len(vectors))), vectors)
    return open_target(database, "docs")


def make_vectors(count: int, dimension: int, seed: int) -> np.ndarray:
    return normalise_rows(np.random.default_rng(seed).normal(size=(count, dimension)))


def search(target: Target, queries: np.ndarray, ids_in_play: set[int], depth: int):
    return search_unjudged(
        target, queries, ids_in_play, depth, exact=False, progress=ignore_progress
    )


def scan_unjudged(vectors, queries, ids_in_play, depth):
    """Ids and scores of the best unjudged points by a full scan, on unit vectors."""
    scores = queries @ vectors.T
    unjudged = np.array([row for row in range(len(vectors)) if row not in ids_in_play], np.intp)
    order = np.argsort(-scores[:, unjudged], axis=1, kind="stable")[:, :depth]
    ids = unjudged[order]
    return ids, np.take_along_axis(scores, ids, axis=1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("judged_count", "depth"), [(0, 10), (30, 10), (600, 10), (600, 50)])
def test_ids_and_scores_are_those_of_a_scan(metric, judged_count, depth):
    vectors, queries = make_vectors(1000, 6, 0), make_vectors(300, 6, 1)
    # The points nearest to one query are all in play: the first search shows it none of the rest.
    ids_in_play = set(np.argsort(-(queries[0] @ vectors.T))[:judged_count].tolist())

    found = search(make_target(vectors, metric), queries, ids_in_play, depth)

    ids, scores = scan_unjudged(vectors, queries, ids_in_play, depth)
    assert found.ids == ids.tolist()
    assert (found.bounded_count, found.is_approximate) == (0, True)
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)


def test_a_collection_with_too_few_other_points_leaves_the_rest_at_minus_infinity():
    vectors, queries = make_vectors(100, 6, 0), make_vectors(3, 6, 1)
    ids_in_play = set(range(96))

    found = search(make_target(vectors), queries, ids_in_play, 10)

    ids, scores = scan_unjudged(vectors, queries, ids_in_play, 4)
    assert found.ids == ids.tolist()
    np.testing.assert_allclose(found.scores[:, :4], scores, atol=1e-6)
    assert np.isneginf(found.scores[:, 4:]).all()


def test_where_the_limit_ends_the_search_the_last_score_bounds_the_rest():
    vectors, query = make_vectors(LARGEST_ANSWER + 500, 4, 0), make_vectors(1, 4, 1)
    order = np.argsort(-(query @ vectors.T)[0], kind="stable")
    reached = order[:LARGEST_ANSWER]
    ids_in_play = set(reached.tolist()) - {int(reached[100]), int(reached[9000])}

    found = search(make_target(vectors), query, ids_in_play, 10)

    assert found.ids == [[int(reached[100]), int(reached[9000])]]
    scores = (query @ vectors.T)[0]
    np.testing.assert_allclose(found.scores[0, :2], scores[reached[[100, 9000]]], atol=1e-6)
    np.testing.assert_allclose(found.scores[0, 2:], scores[reached[-1]], atol=1e-6)
    assert found.bounded_count == 1
    assert (found.scores[0, 2:] >= scores[order[LARGEST_ANSWER:]].max() - 1e-6).all()


def test_no_queries_find_nothing_and_progress_is_told():
    target = make_target(make_vectors(10, 4, 0))
    steps: list[tuple[str, int, int]] = []

    found = search_unjudged(
        target, np.empty((0, 4), np.float32), set(), 10, exact=False, progress=ignore_progress
    )
    search_unjudged(
        target,
        make_vectors(QUERIES_PER_SEARCH + 1, 4, 1),
        set(),
        1,
        exact=False,
        progress=lambda *step: steps.append(step),
    )

    assert (found.ids, found.scores.shape) == ([], (0, 10))
    total = QUERIES_PER_SEARCH + 1
    assert steps == [("search", done, total) for done in (0, QUERIES_PER_SEARCH, total)]


@pytest.mark.parametrize("metric", METRICS)
def test_search_scores_become_what_the_solver_compares(metric):
    vectors, query = make_vectors(20, 4, 0), make_vectors(1, 4, 1)

    scores = make_target(vectors, metric).collection.search(query, 20).scores[0]

    expected = np.sort((query @ vectors.T)[0])[::-1]
    np.testing.assert_allclose(to_similarity(scores, metric), expected, atol=1e-6)
    assert choose_similarity(metric) == ("dot" if metric == "dot" else "cosine")
