"""The sample ratio: a true share is hardly ever doubted, a wrong one is found out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from ville import BernoulliTest

from nudge_sync.experiment.evidence.sample_ratio import (
    MISMATCH_ALPHA,
    check_sample_ratio,
    compute_ratio_evidence,
)


@settings(max_examples=20)
@given(
    st.lists(st.booleans(), min_size=1, max_size=60).map(np.array),
    st.sampled_from([0.5, 0.1, 0.05, 0.8]),
)
def test_the_evidence_is_that_of_a_beta_binomial_mixture(is_treatment, expected):
    smaller = min(expected, 1 - expected)
    other = BernoulliTest(expected, prior=(expected / smaller, (1 - expected) / smaller))
    other.update(is_treatment.astype(float))
    evidence = compute_ratio_evidence(is_treatment, expected)
    np.testing.assert_allclose(evidence, other.log_e_values_, atol=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_true_share_is_doubted_no_more_often_than_it_may_be(share):
    is_treatment = np.random.default_rng(0).random((1000, 1000)) < share
    evidence = compute_ratio_evidence(is_treatment, share)
    doubted = (evidence >= -np.log(MISMATCH_ALPHA)).any(axis=1).sum()
    assert doubted <= binom.ppf(1 - 1e-6, 1000, MISMATCH_ALPHA)


def test_sessions_lost_in_one_arm_are_found_out():
    rng = np.random.default_rng(1)
    is_treatment = rng.random(4000) < 0.1
    kept = ~is_treatment | (rng.random(4000) < 0.6)
    assert not check_sample_ratio(is_treatment, 0.1).mismatch
    ratio = check_sample_ratio(is_treatment[kept], 0.1)
    assert ratio.mismatch
    assert ratio.treatment == is_treatment[kept].sum()
    assert ratio.total == kept.sum()


def test_a_mismatch_is_not_forgotten():
    lopsided = np.ones(30, np.bool_)
    balanced = np.tile([False, True], 2000)
    assert check_sample_ratio(np.concatenate([lopsided, balanced]), 0.5).mismatch


def test_no_assignment_is_no_mismatch():
    assert check_sample_ratio(np.zeros(0, np.bool_), 0.5).summary() == {
        "expected": 0.5,
        "treatment": 0,
        "total": 0,
        "mismatch": False,
    }
