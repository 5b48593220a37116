"""Old behaviour counts less, whatever one wrong clock says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base import spooled
from nudge_sync.feedback.clicks.decay import compute_decay_factors, find_newest
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from tests.support.simulated_clicks import DIMENSION, read_click_judgements

DAY = 86_400.0


def test_the_factor_halves_with_each_half_life():
    times = np.array([1e9, 1e9 - 10 * DAY, 0.0])
    np.testing.assert_allclose(compute_decay_factors(times, 10.0), [1, 0.5, 1])
    np.testing.assert_array_equal(compute_decay_factors(times, None), np.ones(3))
    np.testing.assert_array_equal(compute_decay_factors(np.zeros(3), 10.0), np.ones(3))


def test_neither_a_wrong_clock_nor_great_age_takes_the_weight_of_the_others():
    times = np.full(480, 1e9)
    times[0], times[1] = 4e9, 1.0
    factors = compute_decay_factors(times, 1.0)
    np.testing.assert_array_equal(factors[[0, 2, 479]], [1, 1, 1])
    assert 0 < factors[1] < 1e-20


@given(st.lists(st.sampled_from([0.0, *range(1, 250)]), max_size=250), st.integers(1, 300))
def test_the_newest_time_is_the_99th_percentile_of_the_dated_in_whatever_parts(times, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled, "ROWS_PER_PART", rows)
        newest = find_newest(np.array(times, np.float64))
    dated = [time for time in times if time > 0]
    assert newest == (np.quantile(dated, 0.99, method="higher") if dated else 0)


def test_one_very_old_click_takes_nothing_from_the_others(click_log):
    queries, events = click_log
    before = len(read_click_judgements(click_log, half_life_days=1))
    old = Search("old", np.ones(DIMENSION, np.float32), timestamp=1e5, shown=(300, 301))
    queries.put([to_search_record(old)])
    events.put([to_event_record(Event("old", "click", 300, timestamp=1e5))])
    assert len(read_click_judgements(click_log, half_life_days=1)) >= before > 0
