"""The share of cold answers is what the formula gives, and stable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.feedback import cold_share
from nudge_sync.feedback.cold_share import (
    MAX_SHARE,
    MIN_SHARE,
    PRIOR_SEARCHES,
    ColdShare,
    estimate_cold_share,
)
from nudge_sync.feedback.log.columns import Searches
from nudge_sync.solve.selection.document_folds import SUGGESTED_COLD_SHARE

POINTS = 8
LISTS = st.lists(st.lists(st.integers(0, POINTS - 1), max_size=15), max_size=60)
HAS_FEEDBACK = st.lists(st.booleans(), min_size=POINTS, max_size=POINTS).map(np.array)


def make_searches(lists: list[list[int]]) -> Searches:
    count = len(lists)
    zeros = np.zeros(count, np.int32)
    return Searches(
        query_ids=[f"q{row:03d}" for row in range(count)],
        vector_row=zeros,
        time=zeros.astype(np.float64),
        session=zeros,
        client=zeros,
        shown_starts=np.concatenate([[0], np.cumsum([len(shown) for shown in lists])]).astype(
            np.int64
        ),
        shown=np.array([point for shown in lists for point in shown], np.int32),
    )


def test_two_hundred_lists_by_hand():
    # Points 0 and 1 have feedback. Rank weights: 1, 0.6309, 0.5. A list of 0, 2, 1 is cold by
    # 0.6309 / 2.1309 = 0.2961; one of 3, 2 wholly. 100 of each: (29.61 + 100 + 10) / 220 = 0.6346.
    has_feedback = np.arange(POINTS) < 2
    estimate = estimate_cold_share(make_searches([[0, 2, 1], [3, 2]] * 100), has_feedback)
    assert estimate == ColdShare(0.65, "log")


def test_few_searches_hardly_change_what_is_assumed():
    # One list that is all warm: (0 + 20 * 0.5) / 21 = 0.476.
    has_feedback = np.ones(POINTS, bool)
    assert estimate_cold_share(make_searches([[0, 1]]), has_feedback) == ColdShare(0.5, "log")
    # Eighty that are all cold: (80 + 10) / 100.
    cold = estimate_cold_share(make_searches([[0, 1]] * 80), ~has_feedback)
    assert cold == ColdShare(0.9, "log")


def test_lists_without_a_cold_point_do_not_say_that_cold_points_matter_less():
    estimate = estimate_cold_share(make_searches([[0, 1]] * 1000), np.ones(POINTS, bool))
    assert estimate == ColdShare(SUGGESTED_COLD_SHARE, "log")


def test_only_the_ranks_that_metrics_look_at_count():
    has_feedback = np.arange(POINTS) == 0
    cold_then_warm = [1] * 10 + [0] * 5
    estimate = estimate_cold_share(make_searches([cold_then_warm] * 80), has_feedback)
    assert estimate.share == 0.9


@pytest.mark.parametrize("lists", [[], [[], []]])
def test_without_a_list_the_suggested_share_is_assumed(lists):
    estimate = estimate_cold_share(make_searches(lists), np.ones(POINTS, bool))
    assert estimate == ColdShare(SUGGESTED_COLD_SHARE, "assumed")


@given(LISTS, HAS_FEEDBACK, st.randoms(use_true_random=False))
def test_the_order_of_searches_and_the_size_of_chunks_change_nothing(lists, has_feedback, random):
    shuffled = random.sample(lists, len(lists))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold_share, "_SEARCHES_PER_CHUNK", 7)
        in_chunks = estimate_cold_share(make_searches(shuffled), has_feedback)
    assert in_chunks == estimate_cold_share(make_searches(lists), has_feedback)


@given(LISTS, HAS_FEEDBACK, st.integers(0, POINTS - 1))
def test_more_feedback_never_raises_the_share(lists, has_feedback, point):
    more = has_feedback.copy()
    more[point] = True
    before, after = (estimate_cold_share(make_searches(lists), one) for one in (has_feedback, more))
    assert after.share <= before.share


@given(LISTS, HAS_FEEDBACK)
def test_neither_kind_is_ever_left_out(lists, has_feedback):
    share = estimate_cold_share(make_searches(lists), has_feedback).share
    assert MIN_SHARE <= share <= MAX_SHARE
    if len(lists) < PRIOR_SEARCHES / 10:
        assert abs(share - SUGGESTED_COLD_SHARE) <= 0.1
