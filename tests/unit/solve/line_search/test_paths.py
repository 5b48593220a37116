"""The path of a point passes where the method moves it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.line_search.paths import build_paths, compute_pulls, move_points
from tests.support.solver_problems import make_line_search_problem


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([("nudge-n", "cosine"), ("nudge-n", "dot"), ("nudge-m", "dot")]),
    st.floats(0.05, 1.4),
    st.floats(0.01, 0.99),
)
def test_a_path_passes_where_the_points_are_moved(seed, method, limit, share):
    points, queries, attraction, _ = make_line_search_problem(seed, method[1])
    pulls, angle = compute_pulls(points, queries, attraction), limit * share
    paths = build_paths(points, pulls, method=method[0], similarity=method[1], limit=limit)
    moves = paths.stop > 0
    at, stop = np.minimum(angle, paths.stop[moves])[:, None], paths.stop[moves][:, None]
    along = np.sin(stop - at) * paths.start[moves] + np.sin(at) * paths.end[moves]
    expected = move_points(points, pulls, method=method[0], angle=angle).astype(np.float64)
    expected *= (np.cos(angle) if paths.shrinks else 1.0) / paths.score_unit
    np.testing.assert_allclose(along / np.sin(stop), expected[moves], atol=2e-5)
    assert paths.end[~moves].tobytes() == paths.start[~moves].tobytes()


def test_a_pull_is_the_weighted_sum_of_a_points_queries():
    points, queries, attraction, _ = make_line_search_problem(3, "cosine")
    attraction = attraction.multiply(np.linspace(0.1, 2, attraction.shape[0])[:, None]).tocsr()
    pulls = compute_pulls(points, queries, attraction)
    np.testing.assert_allclose(pulls.pull, unit(attraction.T @ queries), atol=1e-6)
    pulled = np.asarray(attraction.sum(axis=0)).ravel() > 0
    np.testing.assert_allclose(lengths(pulls.pull), pulled, atol=1e-6)
