"""Keys of pairs of row numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base.arrays import pair_key

ROW = st.integers(0, 2**31 - 1) | st.integers(0, 2)


@given(st.lists(st.tuples(ROW | st.just(-1), ROW)))
def test_keys_sort_and_differ_as_the_pairs_do_and_leave_them_as_they_are(pairs):
    high, low = np.array(pairs, np.int32).reshape(-1, 2).T
    before = high.copy(), low.copy()
    for dtype in (np.int32, np.int64):
        keys = pair_key(high.astype(dtype), low.astype(dtype)).tolist()
        assert [pair for _, pair in sorted(zip(keys, pairs, strict=True))] == sorted(pairs)
        assert len(set(keys)) == len(set(pairs))
    pair_key(high, low)
    np.testing.assert_array_equal((high, low), before)
