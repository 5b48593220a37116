"""The softmax over all pairs equals a double loop, however many blocks the queries are cut into."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.solve.softmax import dense
from nudge_sync.solve.softmax.dense import cut_blocks, sum_all_responsibilities
from tests.support.solver_problems import make_contrast_problem


def sum_by_double_loop(vectors, queries, grades, rivals, tau, cold):
    """The sums of r_ij q_i and of r_ij, as the head of `nudge_c` defines r_ij."""
    shares = np.zeros(grades.shape)
    for i, row in enumerate(grades):
        odds = np.exp(tau * vectors @ queries[i])
        others = odds[row <= 0].sum() + np.exp(tau * rivals[i]).sum()
        answers = np.flatnonzero(row > 0)
        for j in range(len(row)):
            if row[j] > 0:
                shares[i, j] = odds[j] / (odds[j] + others)
            else:
                shares[i, j] = odds[j] * (1 / (odds[answers] + others)).sum()
                shares[i, j] += cold[i] * odds[j] / others
            if row[j] < 0:
                shares[i, j] += odds[j] / others
    return shares.T @ queries, shares.sum(axis=0)


@pytest.mark.parametrize("block", [512, 7])
@pytest.mark.parametrize("cold_weight", [None, 0.7])
def test_all_pairs_are_summed_as_by_a_double_loop(block, cold_weight, monkeypatch):
    monkeypatch.setattr(dense, "_QUERIES_PER_BLOCK", block)
    monkeypatch.setattr(dense, "_MIN_QUERIES_PER_BLOCK", 1)
    points, queries, grades, rivals = make_contrast_problem(5)
    cold = None if cold_weight is None else np.full(len(queries), cold_weight, np.float32)
    positive, negative = (csr_matrix(rows.astype(np.float32)) for rows in (grades > 0, grades < 0))
    blocks = cut_blocks(queries, positive, negative, rivals, cold)
    assert len(blocks) == -(-len(queries) // block)
    sums = sum_all_responsibilities(points, None, blocks, 5.0)
    no_cold = np.zeros(len(queries)) if cold is None else cold
    expected = sum_by_double_loop(points, queries, grades, rivals, 5.0, no_cold)
    for one, other in zip(sums, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_lengths_scale_the_scores():
    points, queries, grades, rivals = make_contrast_problem(5)
    positive = csr_matrix((grades > 0).astype(np.float32))
    blocks = cut_blocks(queries, positive, None, rivals, None)
    norms = np.linspace(0.5, 2, len(points)).astype(np.float32)
    sums = sum_all_responsibilities(points, norms, blocks, 5.0)
    longer = points * norms[:, None]
    expected = sum_by_double_loop(longer, queries, np.maximum(grades, 0), rivals, 5.0, [0] * 40)
    np.testing.assert_allclose(sums[0], expected[0], rtol=1e-4, atol=1e-5)
