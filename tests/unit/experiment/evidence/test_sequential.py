"""Confidence sequences: valid at every look, equal to the product they are, narrowing only."""

from __future__ import annotations

from fractions import Fraction
from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from ville import BettingCS

from nudge_sync.experiment.evidence.sequential import (
    BET_FRACTIONS,
    compute_log_wealth,
    compute_lower_bound,
    compute_upper_bound,
    predict_remaining,
)

OBSERVATIONS = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30).map(np.array)


def draw_credits(mean, shape, seed=0, clicked=0.6):
    """Return -1, 0 and 1: sessions without a click, and those that preferred an arm."""
    rng = np.random.default_rng(seed)
    sign = np.where(rng.random(shape) < 0.5 + mean / clicked / 2, 1.0, -1.0)
    return np.where(rng.random(shape) < clicked, sign, 0.0)


def most_rejections(count, alpha):
    """Return how many of `count` true hypotheses a level-alpha test rejects at most, but for one
    time in a million.
    """
    return int(binom.ppf(1 - 1e-6, count, alpha))


@pytest.mark.parametrize("clicked", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("alpha", [0.025, 0.2])
def test_a_true_mean_is_rejected_no_more_often_than_alpha_at_any_time(clicked, alpha):
    observations = draw_credits(0.0, (1000, 800), seed=1, clicked=clicked)
    ever_rejected = (compute_log_wealth(observations, 0.0, -1.0) >= -log(alpha)).any(axis=1)
    assert ever_rejected.sum() <= most_rejections(1000, alpha)


def test_it_is_valid_for_rare_large_gains_too():
    rng = np.random.default_rng(2)
    observations = np.where(rng.random((1000, 800)) < 0.05, 19.0, -1.0)
    ever_rejected = (compute_log_wealth(observations, 0.0, -1.0) >= -log(0.05)).any(axis=1)
    assert 0 < ever_rejected.sum() <= most_rejections(1000, 0.05)
    ever_rejected = (compute_log_wealth(-observations, 0.0, -19.0) >= -log(0.05)).any(axis=1)
    assert ever_rejected.sum() <= most_rejections(1000, 0.05)


def test_the_wealth_is_the_mean_of_the_products():
    observations, mean = [1, 0, 0.5, -1, 1], 0.25
    gains = [(Fraction(x) + 1) / (Fraction(mean) + 1) - 1 for x in observations]
    bettors = []
    for fraction in BET_FRACTIONS.tolist():
        wealth = Fraction(1)
        for gain in gains:
            wealth *= 1 + Fraction(fraction) * gain
        bettors.append(wealth)
    expected = float(sum(bettors) / len(bettors))
    log_wealth = compute_log_wealth(np.array(observations), mean, -1.0)
    assert np.exp(log_wealth[-1]) == pytest.approx(expected, rel=1e-12)


def test_wealth_stays_finite_over_long_runs_either_way():
    always = np.ones(20_000)
    assert np.isfinite(compute_log_wealth(always, 0.0, -1.0)).all()
    assert np.isfinite(compute_log_wealth(-always, 0.0, -1.0)).all()


@settings(max_examples=30)
@given(OBSERVATIONS, st.floats(-0.9, 0.9), st.floats(0.01, 0.09))
def test_a_higher_mean_is_never_easier_to_reject(observations, mean, more):
    lower = compute_log_wealth(observations, mean, -1.0)
    assert (compute_log_wealth(observations, mean + more, -1.0) <= lower + 1e-9).all()


@settings(max_examples=20)
@given(OBSERVATIONS, OBSERVATIONS)
def test_more_observations_never_widen_the_interval(earlier, later):
    both = np.concatenate([earlier, later])
    assert compute_lower_bound(both, -1, 1, 0.1) >= compute_lower_bound(earlier, -1, 1, 0.1)
    assert compute_upper_bound(both, -1, 1, 0.1) <= compute_upper_bound(earlier, -1, 1, 0.1)


@settings(max_examples=20)
@given(OBSERVATIONS)
def test_the_bounds_are_mirror_images(observations):
    upper = compute_upper_bound(-observations, -1, 1, 0.1)
    assert upper == -compute_lower_bound(observations, -1, 1, 0.1)


def test_the_lower_bound_is_the_highest_mean_that_was_ever_rejected():
    observations = np.concatenate([draw_credits(0.5, 300), -np.ones(40)])
    bound = compute_lower_bound(observations, -1, 1, 0.05)
    assert 0 < bound < 0.5
    assert compute_log_wealth(observations, bound, -1).max() >= -log(0.05)
    assert compute_log_wealth(observations, bound + 1e-5, -1).max() < -log(0.05)
    assert compute_log_wealth(observations, bound, -1)[-1] < -log(0.05)


def test_nothing_is_known_without_observations():
    assert compute_lower_bound(np.zeros(0), -1, 1, 0.05) == -1
    assert compute_upper_bound(np.zeros(0), -1, 1, 0.05) == 1
    assert predict_remaining(np.zeros(0), 0.0, -1, 0.05) == inf


@pytest.mark.parametrize("mean", [0.0, 0.1, 0.4])
def test_the_interval_is_about_as_wide_as_that_of_hedged_capital(mean):
    observations = draw_credits(mean, 2000, seed=3)
    other = BettingCS((-1, 1), alpha=0.1, grid=2000)
    other.update(observations)
    other_low, other_high = other.lower_[-1], other.upper_[-1]
    low = compute_lower_bound(observations, -1, 1, 0.05)
    high = compute_upper_bound(observations, -1, 1, 0.05)
    assert low < mean < high
    assert max(low, other_low) < min(high, other_high)
    assert high - low < 1.1 * (other_high - other_low)


def test_the_prediction_is_right_to_within_a_factor():
    observations = draw_credits(0.2, 5000, seed=4)
    needed = int((compute_log_wealth(observations, 0.0, -1.0) >= -log(0.025)).argmax()) + 1
    after = needed // 2
    predicted = after + predict_remaining(observations[:after], 0.0, -1.0, 0.025)
    assert needed / 2 < predicted < needed * 2
    assert predict_remaining(observations[:needed], 0.0, -1.0, 0.025) == 0.0
    assert predict_remaining(-observations[:after], 0.0, -1.0, 0.025) == inf
