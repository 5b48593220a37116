"""The demo's figures: scores, examples, and bits that differ after the rollback."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.connector import Points
from nudge_sync.demo.demo_cycle import compare_points, score_demo_run, search_rows
from nudge_sync.demo.requests import Requests
from nudge_sync.testing.memory import MemoryDatabase


def make_requests(*answers: set[int]) -> Requests:
    names = [f"q{row}" for row in range(len(answers))]
    return Requests(names, np.eye(len(answers), dtype=np.float32), list(map(frozenset, answers)))


def make_run(*rankings: list[int]) -> np.ndarray:
    return np.array([ranking + [-1] * (10 - len(ranking)) for ranking in rankings])


def test_scores_are_means_over_the_requests():
    run = make_run([1, 2, 3], [4, 5, 6])
    scores = score_demo_run(run, make_requests({1}, {5, 9}))
    gain = 1 / np.log2(3)
    assert scores["ndcg@10"] == pytest.approx((1 + gain / (1 + gain)) / 2, abs=1e-6)
    assert scores["recall@10"] == (1 + 0.5) / 2
    assert scores["recall@1"] == 0.5


def test_where_nothing_is_found_nothing_is_gained():
    scores = score_demo_run(make_run([], [7]), make_requests({1}, {2}))
    assert set(scores.values()) == {0.0}


def test_a_search_gives_rows_best_first_and_fills_up():
    database = MemoryDatabase()
    database.store.create("docs", 3)
    database.store.upsert("docs", [0, 1, 2], np.eye(3, dtype=np.float32))
    query = np.array([[0.1, 0.9, 0.5]], np.float32)
    run = search_rows(database.collection("docs"), query)
    assert run.tolist() == [[1, 2, 0] + [-1] * 7]


def test_bits_that_differ_are_counted_and_measured():
    vectors = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]], np.float32)
    other = vectors.copy()
    other[1, 0] += 0.25
    other[2, 0] = -0.0
    points = Points([0, 1, 2], vectors)
    assert compare_points(points, Points([0, 1, 2], vectors.copy())) == {
        "points": 3,
        "identical": 3,
        "max_abs_difference": 0.0,
    }
    # A zero of the other sign is not the same bits, though it is the same number.
    assert compare_points(points, Points([0, 1, 2], other)) == {
        "points": 3,
        "identical": 1,
        "max_abs_difference": 0.25,
    }
    assert compare_points(points, Points([0, 2, 1], vectors))["identical"] == 0
