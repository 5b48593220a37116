"""Rows are drawn as by chance, and always the same."""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare, kstest

from nudge_sync.solve.draw import draw_rows


def test_all_rows_are_drawn_where_there_are_no_more():
    assert draw_rows(5, 5).tolist() == draw_rows(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert draw_rows(0, 3).tolist() == draw_rows(3, 0).tolist() == []


def test_rows_are_drawn_once_and_the_same_again():
    drawn = draw_rows(10_000, 700)
    assert len(set(drawn)) == 700
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, draw_rows(10_000, 700))


def test_rows_are_spread_as_by_chance():
    drawn = draw_rows(100_000, 5000)
    assert kstest(drawn / 100_000, "uniform").pvalue > 0.01
    for period in (2, 3, 10, 128):
        assert chisquare(np.bincount(drawn % period, minlength=period)).pvalue > 0.01
    # The gaps of rows drawn by chance are geometric: as wide as their mean, and not all alike.
    gaps = np.diff(drawn)
    assert 0.9 < gaps.std() / gaps.mean() < 1.1
