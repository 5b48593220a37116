"""Queries so alike that they share their evidence."""

import numpy as np

from nudge_sync.feedback.clicks.query_groups import group_queries
from tests.support.simulated_clicks import DIMENSION, unit_rows


def test_each_row_follows_the_first_near_one():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, DIMENSION))
    rows = unit_rows(np.concatenate([base, base + 1e-4 * rng.normal(size=base.shape), -base]))
    every = np.arange(120)
    leaders = group_queries(rows, every, 0.995)
    np.testing.assert_array_equal(leaders, [*range(40), *range(40), *range(80, 120)])
    np.testing.assert_array_equal(group_queries(rows, every, 1.0), every)
    np.testing.assert_array_equal(group_queries(rows, every[40:], 0.995), every[40:])
    assert not len(group_queries(rows, every[:0], 0.995))


def test_near_rows_are_found_among_more_than_are_compared_at_once():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1500, 32)) + 1
    rows = np.repeat(base, rng.integers(1, 5, 1500), axis=0)
    rows = unit_rows(rows + 0.05 * rng.normal(size=rows.shape) * rng.random((len(rows), 1)))
    leaders = group_queries(rows, np.arange(len(rows)), 0.995)
    np.testing.assert_array_equal(leaders[leaders], leaders)
    assert np.einsum("ij,ij->i", rows, rows[leaders]).min() > 0.995 - 1e-6
    distinct = np.unique(leaders)
    near = np.triu(rows[distinct] @ rows[distinct].T >= 0.995, k=1)
    assert near.sum() < 0.002 * (len(rows) - len(distinct))


def test_a_crowd_of_alike_queries_becomes_one_group():
    rng = np.random.default_rng(0)
    rows = unit_rows(1 + 0.01 * rng.normal(size=(2000, 32)))
    assert set(group_queries(rows, np.arange(2000), 0.995)) == {0}
