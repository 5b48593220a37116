"""From the probability of relevance to weights and expected gains."""

import numpy as np
import pytest

from nudge_sync.feedback.clicks.relevance import (
    PairRelevance,
    compute_expected_gain,
    compute_weights,
)
from nudge_sync.settings.feedback import FeedbackSettings


def make_pairs(*rows, **columns):
    """Return pairs that one person each acted on; a row is (point, relevance, rank)."""
    points, relevance, rank = (np.array(column) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows))
    default = {
        "search": np.arange(len(rows)),
        "point": points,
        "relevance": relevance,
        "action_weight": ones,
        "people": ones.astype(np.int64),
        "searchers": ones.astype(np.int64),
        "traffic": ones,
        "shown": ones,
        "clicked": ones,
        "skipped": 0 * ones,
        "rank": rank,
        "promoted": np.zeros(len(rows), np.bool_),
    }
    return PairRelevance(**default | columns)


def test_the_weight_is_the_relevance_from_the_minimum_on():
    pairs = make_pairs((0, 0.995, 1), (1, 0.99, 3), (1, 0.4, 2), (1, 0.29, 2))
    weights, _ = compute_weights(pairs, FeedbackSettings(), 1.0)
    np.testing.assert_allclose(weights, [0.995, 0.99, 0.4, np.nan])


@pytest.mark.parametrize("bias", ["coec", "ipw"])
def test_estimators_that_give_no_probability_count_from_a_half_on(bias):
    pairs = make_pairs((0, 0.6, 1), (1, 0.4, 3))
    weights, _ = compute_weights(pairs, FeedbackSettings(bias=bias), 1.0)
    np.testing.assert_allclose(weights, [0.6, np.nan])


def test_a_point_whose_only_click_may_be_a_mistake_stays_unless_no_list_was_logged():
    pairs = make_pairs((0, 0.95, 3), (1, 0.95, 0), (2, 0.95, 3), (2, 0.95, 3))
    weights, funnel = compute_weights(pairs, FeedbackSettings(), 1.0)
    np.testing.assert_allclose(weights, [np.nan, 0.95, 0.95, 0.95])
    assert (funnel[-1].name, funnel[-1].removed) == ("doubt", 1)


def test_each_stage_counts_what_it_removed_of_what_was_left():
    pairs = make_pairs(
        *[(point, 0.995, 1) for point in range(4)],
        (4, 0.1, 1),
        people=np.array([0, 1, 2, 2, 2]),
        searchers=np.full(5, 3),
        promoted=np.array([False, True, True, False, False]),
    )
    _, funnel = compute_weights(pairs, FeedbackSettings(min_sessions=2), 1.0)
    counts = [(stage.name, stage.kept, stage.removed) for stage in funnel]
    assert counts == [("sessions", 3, 1), ("pushed", 2, 1), ("belief", 1, 1), ("doubt", 1, 0)]


def test_skipped_points_that_are_surely_irrelevant_are_negatives_if_wanted():
    pairs = make_pairs((0, 0.02, 1), (1, 0.02, 1), (2, 0.9, 1), skipped=np.array([3.0, 2.0, 9.0]))
    settings = FeedbackSettings(negatives=True)
    weights, _ = compute_weights(pairs, settings, 1.0)
    assert weights[0] == pytest.approx(-0.98)
    assert np.isnan(weights[1])
    assert np.isnan(compute_weights(pairs, FeedbackSettings(), 1.0)[0][0])


def test_the_expected_gain_is_the_relevance_of_everything_shown_but_promoted():
    pairs = make_pairs(
        (0, 0.2, 1),
        (1, 0.9, 1),
        (2, 0.005, 1),
        (3, 0.9, 1),
        action_weight=np.array([0.0, 2.0, 1.0, 1.0]),
        promoted=np.array([False, False, False, True]),
    )
    np.testing.assert_allclose(compute_expected_gain(pairs), [0.2, 1.8, 0, 0])
