"""The score of one point that stands for many."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.solve.softmax.joint_scores import join_scores


def test_the_joint_score_weighs_as_much_as_all_scores_together():
    random = np.random.default_rng(0)
    queries, vectors = (random.normal(size=(n, 6)).astype(np.float32) for n in (5, 9))
    unjudged = random.normal(size=(5, 3)).astype(np.float32)
    unjudged[0] = unjudged[1, 1:] = -np.inf
    joint = join_scores(queries, vectors, unjudged, 3.0)
    scores = np.concatenate([queries @ vectors.T, unjudged], axis=1)
    np.testing.assert_allclose(joint, np.log(np.exp(3 * scores).sum(axis=1)) / 3, rtol=1e-5)
    alone = join_scores(queries, vectors[:0], unjudged, 3.0)
    assert np.isneginf(alone[0])
    assert np.isfinite(alone[1:]).all()
    assert alone[1] == pytest.approx(unjudged[1, 0])
