"""Impressions and their ranks, against counting one by one."""

from collections import Counter

import numpy as np
import pytest

from nudge_sync.base import spooled
from nudge_sync.feedback.clicks.impressions import single
from nudge_sync.feedback.clicks.impressions.counts import collect_impressions, count_by_rank
from nudge_sync.feedback.clicks.impressions.single import LEAST_DISTANCES, find_ranks
from nudge_sync.feedback.log.columns import Actions, ActionSelection, Searches

LISTS = [(3, 5, 7), (5, 3, 7), (), (7, 3, 3), (9, 8, 7), ()]
GROUPS = np.array([0, 0, 0, 1, -1, 0], np.int32)
CLICKS = [(0, 5), (0, 7), (1, 3), (2, 9), (3, 3), (5, 4)]


@pytest.fixture
def searches():
    lengths = [len(shown) for shown in LISTS]
    zeros = np.zeros(len(LISTS), np.int32)
    return Searches(
        query_ids=[f"q{n}" for n in range(len(LISTS))],
        vector_row=zeros,
        time=zeros.astype(np.float64),
        session=zeros,
        client=zeros,
        shown_starts=np.concatenate([[0], np.cumsum(lengths)]),
        shown=np.array([point for shown in LISTS for point in shown], np.int32),
    )


def make_clicks(pairs, rank=0):
    search, point = np.array(pairs, np.int32).T
    zeros = np.zeros(len(search), np.int32)
    actions = Actions(search, point, zeros + 1.0, zeros + rank, zeros + 0.0, zeros, zeros)
    return ActionSelection.select_all(actions)


def count_one_by_one(decay_factors):
    """Return [shown, clicked, skipped] by (group, point, rank, distance class)."""
    counts, unlisted = Counter(), {p for s, p in CLICKS if not LISTS[s] and GROUPS[s] == 0}
    for search, shown in enumerate(LISTS):
        group = int(GROUPS[search])
        if group < 0:
            continue
        if not shown:
            for point in unlisted:
                factor, is_clicked = decay_factors[search], (search, point) in CLICKS
                counts[group, point, 0, 0] += np.array([factor, factor * is_clicked, 0])
        clicked = [(search, point) in CLICKS for point in shown]
        for index, point in enumerate(shown):
            skipped = not clicked[index] and any(clicked[index:])
            above = [row for row in range(index) if clicked[row]]
            distance = index - above[-1] if above else 0
            distance_class = sum(distance >= least for least in LEAST_DISTANCES)
            counts[group, point, index + 1, distance_class] += decay_factors[search] * np.array(
                [1, clicked[index], skipped]
            )
    return counts


@pytest.mark.parametrize("chunk", [2, 1_000_000])
def test_impressions_are_counted_as_one_by_one(searches, monkeypatch, chunk):
    monkeypatch.setattr(spooled, "ROWS_PER_PART", chunk)
    monkeypatch.setattr(single, "_CHUNK_INFERRED_PAIRS", chunk)
    decay_factors = np.array([1.0, 0.5, 0.25, 1.0, 1.0, 0.125])
    found = collect_impressions(searches, GROUPS, make_clicks(CLICKS), decay_factors)
    expected = count_one_by_one(decay_factors)
    columns = (found.query_group, found.point, found.rank, found.distance_class)
    keys = list(zip(*columns, strict=True))
    assert keys == sorted(expected)
    for row, key in enumerate(keys):
        counts = found.shown[row], found.clicked[row], found.skipped[row]
        np.testing.assert_allclose(counts, expected[key], err_msg=str(key))


def test_the_rank_is_that_of_the_list_and_without_a_list_the_clicks_own(searches):
    clicks = make_clicks([(0, 7), (1, 5), (0, 9), (2, 9)], rank=4)
    assert find_ranks(searches, clicks).tolist() == [3, 1, -1, 4]


def test_counts_by_rank_add_up_to_all_impressions(searches):
    found = collect_impressions(searches, GROUPS, make_clicks(CLICKS), np.ones(len(LISTS)))
    shown, clicked = count_by_rank(found)
    assert shown[:4].tolist() == [4, 3, 3, 3]
    assert clicked[:4].tolist() == [2, 0, 3, 2]
    assert shown[4:].sum() == clicked[4:].sum() == 0
