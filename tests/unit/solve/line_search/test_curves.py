"""Scores as curves of the angle: every point that may be among the best has one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync import metrics
from nudge_sync.solve.line_search.curves import Curves, build_curves
from nudge_sync.solve.line_search.paths import build_paths, compute_pulls, move_points
from tests.support.solver_problems import make_line_search_problem

METHODS = [("nudge-n", "cosine"), ("nudge-n", "dot"), ("nudge-m", "dot")]


def make_curves(cosine, sine, stop):
    count = len(cosine)
    columns = (np.asarray(one, float) for one in (cosine, sine, stop))
    return Curves(np.zeros(count, np.int64), *columns, np.zeros(count))


def score_curves(curves, angle):
    at = np.minimum(curves.stop, angle)
    return curves.cosine * np.cos(at) + curves.sine * np.sin(at)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(METHODS), st.floats(0.05, 1.4), st.floats(0, 1))
def test_every_point_among_the_best_has_a_curve_that_gives_its_score(seed, method, limit, share):
    points, queries, attraction, validation = make_line_search_problem(seed, method[1])
    pulls, metric = compute_pulls(points, queries, attraction), metrics.parse_metric("ndcg@3")
    paths = build_paths(points, pulls, method=method[0], similarity=method[1], limit=limit)
    curves, angle = build_curves(paths, validation, metric, limit), limit * share
    moved = move_points(points, pulls, method=method[0], angle=angle)
    scale = (np.cos(angle) if method[0] == "nudge-m" else 1.0) / paths.score_unit
    judged_scores = validation.vectors @ moved.T * scale
    found = score_curves(curves, angle)
    for query in range(len(validation)):
        expected = np.append(judged_scores[query], validation.unjudged[query] * scale)
        best = np.sort(expected[np.isfinite(expected)])[::-1][: metric.depth]
        own = np.sort(found[curves.query == query])[::-1][: metric.depth]
        np.testing.assert_allclose(own[: len(best)], best, atol=3e-5)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1.5), st.floats(0, 1.5), st.floats(0, 1.5))
def test_no_angle_between_scores_outside_the_range(cosine, sine, stop, one, other):
    curves, (low, high) = make_curves([cosine], [sine], [stop]), sorted((one, other))
    least, most = curves.score_range(low, high)
    scores = np.array([score_curves(curves, angle) for angle in np.linspace(low, high, 50)])
    assert scores.min() >= least[0] - 1e-12
    assert scores.max() <= most[0] + 1e-12


def test_a_curve_that_others_always_beat_is_no_contender():
    curves = make_curves([0.9, 0.5, 0.1], [0.0, 0.6, 0.3], [0.0, 1.0, 1.0])
    kept = curves.select_contenders(1, 0.0, 1.0)
    assert kept.cosine.tolist() == [0.9]
    assert curves.select_contenders(2, 0.0, 1.0).cosine.tolist() == [0.9, 0.5]


def test_pairs_are_those_of_a_relevant_candidate_and_any():
    curves = make_curves([0.9, 0.5, 0.1], [0.0] * 3, [0.0] * 3)
    relevant = Curves(curves.query, curves.cosine, curves.sine, curves.stop, np.array([1.0, 0, 2]))
    assert curves.count_pairs() == 0
    assert relevant.count_pairs() == 6
    assert relevant.select(np.array([0, 1])).count_pairs() == pytest.approx(2)
