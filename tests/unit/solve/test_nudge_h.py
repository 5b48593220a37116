"""Hub-free nudging is its formula, exact at each angle, and NUDGE-N where nothing is in the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nudge_sync import metrics
from nudge_sync.base.threads import limit_threads
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.line_search.curves import build_curves
from nudge_sync.solve.line_search.paths import build_paths, compute_pulls, move_points
from nudge_sync.solve.line_search.step_function import build_step_function
from nudge_sync.solve.nudge_h import MIN_TANGENT, find_unanswered_neighbours, remove_hub_pull
from nudge_sync.solve.relevance import ideal_scores
from nudge_sync.solve.score import metric_values
from tests.support.solver_problems import make_line_search_problem


def build_hub_free_pulls(points, queries, attraction, count):
    neighbours = find_unanswered_neighbours(points, queries, csr_matrix(attraction.T), count)
    pulls = compute_pulls(points, queries, attraction)
    return pulls, remove_hub_pull(points, pulls, queries.astype(np.float64), neighbours)


def move_by_brute_force(points, queries, attraction, count, angle):
    """The formula of the module, point by point in float64."""
    moved, weights = points.astype(np.float64), attraction.toarray()
    for row, point in enumerate(points.astype(np.float64)):
        pull, length = weights[:, row] @ queries.astype(np.float64), np.linalg.norm(point)
        cosine = point @ pull / (length * np.linalg.norm(pull)) if pull.any() else -1
        if cosine < 0 or cosine > 1 - 1e-12:
            continue
        original = point / length
        tangent = pull / np.linalg.norm(pull) - cosine * original
        tangent /= np.linalg.norm(tangent)
        others = queries[weights[:, row] == 0].astype(np.float64)
        nearest = others[np.argsort(-(others @ original), kind="stable")[:count]]
        if len(nearest):
            hub = nearest.mean(axis=0)
            hub -= (hub @ original) * original
            hub /= np.linalg.norm(hub)
            tangent -= max(tangent @ hub, 0) * hub
            if np.linalg.norm(tangent) < MIN_TANGENT:
                continue
            tangent /= np.linalg.norm(tangent)
        turn = min(angle, np.arccos(cosine))
        moved[row] = length * (np.cos(turn) * original + np.sin(turn) * tangent)
    return moved


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from(["cosine", "dot"]), st.integers(1, 25),
    st.floats(0.01, 1.4),
)  # fmt: skip
def test_points_go_where_the_formula_says(seed, similarity, count, angle):
    points, queries, attraction, _ = make_line_search_problem(seed, similarity)
    _, pulls = build_hub_free_pulls(points, queries, attraction, count)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        moved = move_points(points, pulls, method="nudge-n", angle=angle)
    expected = move_by_brute_force(points, queries, attraction, count, angle)
    np.testing.assert_allclose(moved, expected, atol=4e-4 * lengths(points).max())
    np.testing.assert_allclose(lengths(moved), lengths(points), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 10), st.floats(0.01, 1.4))
def test_the_mean_score_of_unanswered_neighbours_never_rises(seed, count, angle):
    points, queries, attraction, _ = make_line_search_problem(seed, "cosine")
    neighbours = find_unanswered_neighbours(points, queries, csr_matrix(attraction.T), count)
    _, pulls = build_hub_free_pulls(points, queries, attraction, count)
    moved = move_points(points, pulls, method="nudge-n", angle=angle)
    for row in range(len(points)):
        mean = queries[neighbours[row][neighbours[row] >= 0]].sum(axis=0, dtype=np.float64)
        if mean @ points[row] >= 0:
            assert moved[row] @ mean <= points[row] @ mean + 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_it_is_nudge_n_bit_for_bit_where_no_unanswered_query_is_in_the_way(seed):
    points, queries, attraction, _ = make_line_search_problem(seed, "cosine")
    everything = csr_matrix(np.ones((len(points), len(queries))))
    pulls = compute_pulls(points, queries, attraction)
    none_left = find_unanswered_neighbours(points, queries, everything, 5)
    assert (none_left == -1).all()
    free = remove_hub_pull(points, pulls, queries.astype(np.float64), none_left)
    assert free.pull.tobytes() == pulls.pull.tobytes()
    # The pulls themselves, mirrored at the point, lead away from it.
    away = 2 * pulls.plane.cosine[:, None] * unit(points) - pulls.pull
    behind = np.arange(len(points))[:, None]
    free = remove_hub_pull(points, pulls, away, behind)
    plain, moved = (move_points(points, one, method="nudge-n", angle=0.4) for one in (pulls, free))
    assert moved.tobytes() == plain.tobytes()


def test_a_point_whose_pull_is_the_hub_itself_stays():
    points = np.array([[1.0, 0.0, 0.0]], np.float32)
    queries = np.array([[0.8, 0.6, 0.0], [0.6, 0.8, 0.0]], np.float32)
    attraction = csr_matrix([[1.0], [0.0]])
    _, pulls = build_hub_free_pulls(points, queries, attraction, 1)
    moved = move_points(points, pulls, method="nudge-n", angle=0.5)
    assert moved.tobytes() == points.tobytes()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["ndcg@10", "mrr@2"]), st.floats(0.1, 1.4))
def test_the_line_search_is_exact_along_the_new_tangents(seed, name, limit):
    points, queries, attraction, validation = make_line_search_problem(seed, "cosine")
    metric = metrics.parse_metric(name)
    _, pulls = build_hub_free_pulls(points, queries, attraction, 5)
    paths = build_paths(points, pulls, method="nudge-n", similarity="cosine", limit=limit)
    curves = build_curves(paths, validation, metric, limit)
    steps = build_step_function(curves, ideal_scores(validation.relevance, metric), metric, limit)
    for angle in np.linspace(0, limit, 9):
        moved = move_points(points, pulls, method="nudge-n", angle=angle)
        scores = validation.vectors @ unit(moved).T
        gaps = np.abs(scores[:, :, None] - scores[:, None, :]) + 9 * np.eye(len(points))
        untied = gaps.min(axis=(1, 2)) > 1e-6
        if np.abs(steps.angle - angle).min(initial=1) > 1e-5:
            expected = metric_values(moved, validation, name)
            np.testing.assert_allclose(steps.evaluate(angle)[untied], expected[untied], atol=1e-9)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 22])
def test_neighbours_are_those_of_a_full_sort_whatever_the_chunks(chunk, monkeypatch):
    monkeypatch.setattr("nudge_sync.solve.nudge_h._SCORES_PER_CHUNK", chunk)
    points, queries, attraction, _ = make_line_search_problem(3, "dot")
    answered = csr_matrix(attraction.T)
    scores = unit(points) @ queries.T
    scores[answered.toarray() > 0] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :6]
    with limit_threads(2):
        found = find_unanswered_neighbours(points, queries, answered, 6)
    np.testing.assert_array_equal(found, expected)
    few = find_unanswered_neighbours(points, queries[:2], answered[:, :2], 6)
    assert few.shape == (len(points), 6)
    assert (few[:, 2:] == -1).all()
