"""Intervals cover, p values agree with SciPy's, and Holm's correction is Holm's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nudge_sync.evaluate.statistics import (
    bootstrap_intervals,
    holm,
    permutation_p,
    sum_by_question,
)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    true, queries, columns = 0.3, 80, 400
    gains = rng.exponential(true, size=(queries, columns))

    low, high = bootstrap_intervals(gains, np.ones(queries), rng=rng, resamples=1000)

    covered = np.mean((low <= true) & (true <= high))
    assert 0.88 <= covered <= 0.98


def test_intervals_agree_with_scipys_bootstrap():
    gains = np.random.default_rng(1).normal(0.02, 0.1, size=(200, 1))

    low, high = bootstrap_intervals(gains, np.ones(200), rng=np.random.default_rng(2))
    expected = stats.bootstrap(
        (gains[:, 0],), np.mean, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval

    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-3)


def test_a_query_that_every_seed_tests_is_one_observation():
    once = np.random.default_rng(4).normal(0.02, 0.1, size=(100, 1))

    single = bootstrap_intervals(once, np.ones(100), rng=np.random.default_rng(5))
    repeated = bootstrap_intervals(5 * once, np.full(100, 5.0), rng=np.random.default_rng(5))

    np.testing.assert_allclose(single, repeated)


def test_sums_are_those_of_each_question_in_the_order_in_which_they_appear():
    rng = np.random.default_rng(11)
    questions, values = rng.integers(0, 20, 100), rng.normal(size=(100, 2))
    order = list(dict.fromkeys(questions.tolist()))

    sums = sum_by_question(values, questions)

    expected = [values[questions == question].sum(axis=0) for question in order]
    np.testing.assert_allclose(sums, expected)
    assert sum_by_question(values[:, 0], np.arange(100)).tolist() == values[:, 0].tolist()


def test_labels_of_one_question_are_one_observation():
    rng, draws, false_alarms, left_out = np.random.default_rng(12), 300, 0, 0
    questions = np.repeat(np.arange(30), rng.integers(5, 15, 30))
    counts = sum_by_question(np.ones(len(questions)), questions)
    for gains in rng.normal(0, 0.2, (draws, 30)):
        totals = sum_by_question(gains[questions][:, None], questions)
        false_alarms += permutation_p(totals, rng=rng, resamples=300)[0] <= 0.05
        low, high = bootstrap_intervals(totals, counts, rng=rng, resamples=300)
        left_out += not low[0] <= 0 <= high[0]
    assert false_alarms / draws <= 0.08
    assert left_out / draws <= 0.12


def test_intervals_do_not_depend_on_how_much_is_held_at_once(monkeypatch):
    gains, counts = np.random.default_rng(6).normal(size=(50, 3)), np.ones(50)
    whole = bootstrap_intervals(gains, counts, rng=np.random.default_rng(7), resamples=500)

    monkeypatch.setattr("nudge_sync.evaluate.statistics._NUMBERS_PER_BATCH", 700)
    pieces = bootstrap_intervals(gains, counts, rng=np.random.default_rng(7), resamples=500)

    np.testing.assert_allclose(whole, pieces)


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.03])
def test_permutation_p_agrees_with_scipy(shift):
    rng = np.random.default_rng(8)
    gains = rng.normal(shift, 0.1, size=60)

    p = permutation_p(gains[:, None], rng=rng, resamples=20_000)[0]
    expected = stats.permutation_test(
        (gains,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(9),
    ).pvalue

    assert p == pytest.approx(expected, abs=0.01)


def test_permutation_p_equals_the_exact_one_for_few_queries():
    gains = np.array([0.5, 0.25, 0.125, 1.0])

    p = permutation_p(gains[:, None], rng=np.random.default_rng(10), resamples=50_000)[0]

    assert p == pytest.approx(2 / 2**4, abs=0.01)


def test_no_gain_at_all_has_p_one():
    assert permutation_p(np.zeros((20, 2)), rng=np.random.default_rng(0)).tolist() == [1.0, 1.0]


def test_p_is_never_zero():
    p = permutation_p(np.ones((200, 1)), rng=np.random.default_rng(0), resamples=999)

    assert p[0] == pytest.approx(1 / 1000)


def test_holm_is_the_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    corrected = holm(p_values)

    assert all(p <= new <= 1 for p, new in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)
