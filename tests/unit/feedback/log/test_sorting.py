"""Rows ordered by several keys, against NumPy's lexsort."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.feedback.log.sorting import order_rows, sort_unique

WIDE = st.lists(st.tuples(*[st.integers(-1, 2**31 - 1) | st.integers(0, 2)] * 4), max_size=40)


@given(WIDE)
def test_rows_are_ordered_as_by_lexsort_however_wide_the_keys(rows):
    keys = np.array(rows, np.int32).reshape(-1, 4).T
    order, is_new = order_rows(list(keys))
    np.testing.assert_array_equal(order, np.lexsort(keys[::-1]))
    ordered = [rows[row] for row in order.tolist()]
    assert is_new.tolist() == [
        index == 0 or ordered[index - 1] != ordered[index] for index in range(len(rows))
    ]


@given(st.lists(st.integers(-5, 5)))
def test_each_value_comes_once_ascending(values):
    assert sort_unique(np.array(values, np.int64)).tolist() == sorted(set(values))
