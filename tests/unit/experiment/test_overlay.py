"""The overlay's own scores and its best points."""

import numpy as np
import pytest

from nudge_sync.experiment.overlay import Overlay, multiply_rows

QUERY = np.array([3, 0, 4], np.float32)
VECTORS = np.array([[1, 0, 0], [0, 0, 2], [0, 5, 0], [3, 0, 4], [0, 0, 0]], np.float32)


@pytest.mark.parametrize(
    ("metric", "scores"),
    [
        ("dot", [25, 8, 3, 0, 0]),
        ("cosine", [1, 0.8, 0.6, 0, 0]),
        ("euclid", [0, -(13**0.5), -(20**0.5), -5, -(50**0.5)]),
    ],
)
def test_scores_grow_with_nearness(metric, scores):
    best = Overlay(list("abcde"), VECTORS, metric).query(QUERY).find_best(5, -np.inf)
    assert best.scores == pytest.approx(scores, abs=1e-6)
    assert best.ids[:3] == ["d", "b", "a"]


@pytest.mark.parametrize("metric", ["dot", "cosine", "euclid"])
def test_the_best_are_those_of_all_scores(metric):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(500, 24)).astype(np.float32)
    overlay = Overlay(range(500), vectors, metric)
    for query in rng.normal(size=(20, 24)).astype(np.float32):
        every = overlay.query(query).find_best(500, -np.inf)
        assert len(every.ids) == 500
        best = overlay.query(query).find_best(7, every.scores[4])
        assert (best.ids, best.scores) == (every.ids[:5], every.scores[:5])
        assert overlay.query(query).find_best(3, -np.inf).ids == every.ids[:3]
        assert overlay.query(query).score(every.ids[10:13]).scores == every.scores[10:13]


def test_a_query_without_direction_scores_zero_by_cosine():
    best = Overlay(["a"], VECTORS[:1], "cosine").query(np.zeros(3)).find_best(1, -np.inf)
    assert best.scores == [0]


def test_an_empty_overlay_has_no_best():
    empty = Overlay([], np.zeros((0, 3), np.float32), "dot").query(QUERY)
    assert empty.find_best(3, -np.inf).ids == []
    assert empty.score([1]).ids == []


def test_products_of_old_numpy_are_those_of_new(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    expected = multiply_rows(rows, rows[0])
    monkeypatch.delattr(np, "vecdot", raising=False)
    assert multiply_rows(rows, rows[0]) == pytest.approx(expected, abs=1e-5)
