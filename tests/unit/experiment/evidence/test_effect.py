"""The effect: unbiased by either mode, mirrored where the arms are swapped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.experiment.evidence.effect import (
    measure_effect,
    observe_interleaved,
    observe_split,
)

SESSIONS = st.lists(st.tuples(st.floats(0, 1, width=16), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=30)
@given(SESSIONS, st.sampled_from([0.5, 0.1, 0.8]))
def test_swapping_the_arms_mirrors_the_effect(sessions, share):
    credit = np.array([each for each, _ in sessions])
    is_treatment = np.array([each for _, each in sessions])
    observed = observe_split(credit, is_treatment, share)
    swapped = observe_split(credit, ~is_treatment, 1 - share)
    np.testing.assert_allclose(swapped.values, -observed.values, atol=1e-12)
    assert swapped.high == pytest.approx(observed.high)
    effect = measure_effect(observed, alpha_low=0.1, alpha_high=0.1)
    mirrored = measure_effect(swapped, alpha_low=0.1, alpha_high=0.1)
    assert mirrored.low == pytest.approx(-effect.high, abs=1e-4)
    assert mirrored.high == pytest.approx(-effect.low, abs=1e-4)
    assert mirrored.estimate == pytest.approx(-effect.estimate)


@settings(max_examples=30)
@given(SESSIONS, st.sampled_from([0.5, 0.1, 0.8]))
def test_no_observation_lies_outside_its_bounds(sessions, share):
    observed = observe_split(
        np.array([c for c, _ in sessions]), np.array([t for _, t in sessions]), share
    )
    assert (observed.values >= observed.low).all()
    assert (observed.values <= observed.high).all()


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_split_finds_the_difference_of_the_arms(share):
    rng = np.random.default_rng(0)
    is_treatment = rng.random(60_000) < share
    credit = (rng.random(60_000) < np.where(is_treatment, 0.55, 0.45)).astype(float)
    values = observe_split(credit, is_treatment, share).values
    assert values.mean() == pytest.approx(0.1, abs=4 * values.std() / np.sqrt(len(values)))


def test_a_mean_that_does_not_matter_adds_no_variance():
    rng = np.random.default_rng(0)
    is_treatment = rng.random(5000) < 0.5
    credit = 0.9 + 0.1 * rng.random(5000)
    assert observe_split(credit, is_treatment, 0.5).values[100:].std() < 0.1


def test_the_effect_says_what_is_missing():
    credit = np.tile([1.0, 0.0, 0.0, 1.0, -1.0], 10)
    effect = measure_effect(observe_interleaved(credit), alpha_low=0.025, alpha_high=0.0125)
    assert effect.estimate == pytest.approx(0.2)
    assert effect.low < 0 < effect.high
    assert 20 < effect.remaining < 400
    assert effect.summary() == {
        "estimate": effect.estimate,
        "interval": [effect.low, effect.high],
        "sessions_needed": effect.remaining,
    }


@pytest.mark.parametrize("credit", [np.zeros(0), np.ones(5), np.zeros(500)])
def test_nothing_is_predicted_from_little_or_from_no_difference(credit):
    assert (
        measure_effect(observe_interleaved(credit), alpha_low=0.1, alpha_high=0.1).remaining is None
    )
