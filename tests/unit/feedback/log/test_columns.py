"""Selected actions come in parts that cut through no search."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base import spooled
from nudge_sync.feedback.log.columns import Actions, ActionSelection


@given(
    st.lists(st.integers(-1, 6), max_size=30).map(sorted),
    st.randoms(use_true_random=False),
    st.integers(1, 9),
)
def test_parts_hold_whole_searches_and_together_every_row(searches, chance, rows):
    search = np.array(searches, np.int32)
    numbers = np.arange(len(search), dtype=np.int32)
    actions = Actions(search, numbers, numbers + 0.5, numbers, numbers + 0.0, numbers, numbers)
    mask = np.array([chance.random() < 0.7 for _ in searches], np.bool_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled, "ROWS_PER_PART", rows)
        clicks = ActionSelection.select_all(actions).select(mask)
        parts = list(clicks.split())
        marked = clicks.mark(lambda part: part.point % 2 == 0)
    assert [row for part in parts for row in part.point.tolist()] == numbers[mask].tolist()
    assert marked.tolist() == (numbers[mask] % 2 == 0).tolist()
    ends = [part.search.tolist() for part in parts]
    assert all(ends)
    for before, after in pairwise(ends):
        assert before[-1] == -1 or before[-1] < after[0]
        assert len(before) - before.count(before[-1]) < rows or before[-1] == -1
    for start, stop in ((0, 3), (2, 2), (3, 7)):
        chosen = clicks.select_searches(start, stop).point.tolist()
        assert chosen == [n for n in numbers[mask].tolist() if start <= searches[n] < stop]
