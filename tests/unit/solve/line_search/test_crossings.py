"""Where scores cross as an angle grows, and which row leads in between."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nudge_sync.solve.line_search.crossings import SCORE_TOLERANCE, find_crossings
from nudge_sync.solve.line_search.curves import Curves

ONE, TWO = np.array([0]), np.array([1])


def make_pair(cosines, sines, stops):
    columns = (np.asarray(one, float) for one in (cosines, sines, stops))
    return Curves(np.zeros(2, np.int64), *columns, np.ones(2))


def lead_of_rival(pair, angle):
    at = np.minimum(pair.stop, angle)
    scores = pair.cosine * np.cos(at) + pair.sine * np.sin(at)
    return scores[1] - scores[0]


coefficient = st.floats(-1, 1, width=32)
stop = st.floats(0, 1.5, width=32)


@settings(max_examples=300)
@example((0.0, 0.0, -1.0, -1.0), (1.5, 1.0), 0.0, 1.5)  # equal until one of them stops
@example((0.5, 0.5, 0.25, 0.25), (0.25, 1.0), 0.0, 1.5)
@given(st.tuples(*[coefficient] * 4), st.tuples(stop, stop), st.floats(0, 0.7), st.floats(0.8, 1.5))
def test_the_leader_is_right_at_every_angle_of_a_grid(coefficients, stops, low, high):
    pair = make_pair(coefficients[:2], coefficients[2:], stops)
    crossings = find_crossings(pair, ONE, TWO, low, high)
    for angle in np.linspace(low, high, 40)[1:-1]:
        passed = crossings.angle < angle
        leads = int(crossings.rival_leads[0]) + crossings.change[passed].sum()
        lead = lead_of_rival(pair, angle)
        near = np.abs(crossings.angle - angle).min(initial=1) < 1e-6
        # A lead within the tolerance is a tie, for as long as it lasts.
        if abs(lead) > 10 * SCORE_TOLERANCE and not near:
            assert bool(leads) == (lead > 0)


def test_two_moving_scores_cross_where_the_tangent_says():
    pair = make_pair([0.6, 0.4], [0.0, 0.5], [1.0, 1.0])
    crossings = find_crossings(pair, ONE, TWO, 0.0, 1.0)
    assert not crossings.rival_leads[0]
    np.testing.assert_allclose(crossings.angle, np.arctan(0.2 / 0.5))
    assert crossings.change.tolist() == [1]


def test_a_score_that_rises_and_falls_meets_a_fixed_one_twice():
    pair = make_pair([0.9, 0.7], [0.0, 0.7], [0.0, 1.5])
    crossings = find_crossings(pair, ONE, TWO, 0.0, 1.5)
    peak, swing = np.pi / 4, np.arccos(0.9 / np.hypot(0.7, 0.7))
    np.testing.assert_allclose(crossings.angle, [peak - swing, peak + swing])
    assert crossings.change.tolist() == [1, -1]


def test_of_equal_scores_the_smaller_row_leads():
    pair = make_pair([0.5, 0.5], [0.1, 0.1], [1.0, 1.0])
    assert not find_crossings(pair, ONE, TWO, 0.0, 1.0).rival_leads[0]
    assert find_crossings(pair, TWO, ONE, 0.0, 1.0).rival_leads[0]
