"""The softmax over cells and samples equals the formula over all pairs, or nearly so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.base.threads import limit_threads
from nudge_sync.solve.nudge_c import NudgeCSettings, contrast
from nudge_sync.solve.nudge_c_inputs import build_nudge_c_inputs
from nudge_sync.solve.softmax import sampled
from nudge_sync.solve.softmax.cells import build_cells
from nudge_sync.solve.softmax.sampled import Competition, sum_cell_responsibilities
from tests.support.solver_problems import make_contrast_problem

TAU = 9.0


def compute_responsibilities(points, competition):
    """r_ij by its definition: (q, n)."""
    odds = np.exp(TAU * (competition.queries @ points.T).astype(np.float64))
    weights = competition.positive.toarray()
    answers = weights > 0
    others = (odds * ~answers).sum(axis=1) + np.exp(TAU * competition.unjudged_scores).sum(axis=1)
    own = weights / (odds + others[:, None])
    found = own.sum(axis=1)
    if competition.cold_weights is not None:
        found = found + competition.cold_weights / others
    shares = np.where(answers, own * odds, odds * found[:, None])
    if competition.negative is not None:
        rejected = np.where(answers, 0, odds / others[:, None])
        shares = shares + competition.negative.toarray() * rejected
    return shares


def make_competition(seed, *, cold, **sizes):
    points, queries, grades, rivals = make_contrast_problem(seed, **sizes)
    inputs = build_nudge_c_inputs(
        queries, csr_matrix((grades > 0) * 1.0), csr_matrix((grades < 0) * 1.0), rivals
    )
    weights = np.linspace(0, 1, len(queries), dtype=np.float32) if cold else None
    return points, Competition(
        queries, inputs.positive_weights, inputs.negative_weights, rivals, weights
    )


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("queries_at_once", [7, 1024])
@pytest.mark.parametrize("seed", range(5))
def test_with_all_points_and_queries_sampled_the_sums_are_those_of_the_formula(
    seed, queries_at_once, cold, monkeypatch
):
    monkeypatch.setattr(sampled, "_QUERIES_PER_CHUNK", queries_at_once)
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.POINTS_PER_CELL", 4)
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.CELLS_PER_QUERY", 3)
    points, competition = make_competition(seed, cold=cold)
    cells = build_cells(points)
    assert len(cells.means) > 3
    summed, mass = sum_cell_responsibilities(points, competition, cells, TAU)
    expected = compute_responsibilities(points, competition)
    np.testing.assert_allclose(mass, expected.sum(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(summed, expected.T @ competition.queries, rtol=1e-3, atol=1e-5)


def draw_by_chance(random, count, wanted):
    return np.sort(random.permutation(count)[:wanted])


def test_the_mean_of_many_samples_is_near_the_formula(monkeypatch):
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.POINTS_PER_CELL", 10)
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.CELLS_PER_QUERY", 3)
    monkeypatch.setattr(sampled, "MAX_SAMPLED", 60)
    points, competition = make_competition(3, cold=False, n=200, q=150)
    cells = build_cells(points)
    whole = compute_responsibilities(points, competition).T @ competition.queries
    sums = []
    for seed in range(40):
        drawn = partial(draw_by_chance, np.random.default_rng(seed))
        monkeypatch.setattr(sampled, "draw_rows", drawn)
        afresh = replace(competition)
        sums.append(sum_cell_responsibilities(points, afresh, cells, TAU)[0])
    error_of_one, error_of_mean = (
        np.linalg.norm(one - whole) / np.linalg.norm(whole) for one in (sums[0], np.mean(sums, 0))
    )
    assert error_of_one < 0.5
    assert error_of_mean < error_of_one / 3


def test_a_point_outside_all_samples_and_cells_counts_no_more_than_all_there_is(monkeypatch):
    """A query never looks at the point that it scores highest by far."""
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.POINTS_PER_CELL", 1)
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.CELLS_PER_QUERY", 1)
    monkeypatch.setattr(sampled, "MAX_SAMPLED", 1)
    random = np.random.default_rng(0)
    points, queries = (random.normal(size=(n, 8)).astype(np.float32) for n in (50, 50))
    points *= np.float32(20)
    positive = csr_matrix(np.eye(50))
    competition = Competition(queries, positive, None, np.full((50, 1), -np.inf, np.float32), None)
    summed, mass = sum_cell_responsibilities(points, competition, build_cells(points), TAU)
    assert np.isfinite(summed).all()
    # One sampled query stands for 50, and no point has more than all of a query.
    assert 0 <= mass.min() <= mass.max() <= 101


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_cells_and_samples_move_points_almost_as_all_pairs_do(similarity, monkeypatch):
    points, queries, grades, rivals = make_contrast_problem(5, n=400, q=300)
    points *= np.linspace(0.5, 2, len(points), dtype=np.float32)[:, None]
    inputs = build_nudge_c_inputs(
        queries, csr_matrix((grades > 0) * 1.0), csr_matrix((grades < 0) * 1.0), rivals
    )
    settings = NudgeCSettings(20.0)
    whole = contrast(points, inputs, settings, similarity)
    monkeypatch.setattr("nudge_sync.solve.nudge_c.MAX_DENSE_PAIRS", 0)
    exact = contrast(points, inputs, settings, similarity)
    # They differ by rounding, which the processor decides. Most points carry it nowhere; one on a
    # flat ridge moves along it, by a fraction of its way.
    rounding, way = (np.linalg.norm(whole - other, axis=1) for other in (exact, points))
    assert np.median(rounding) < 1e-5
    assert (rounding <= 0.01 * way + 1e-5).all()
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.POINTS_PER_CELL", 10)
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.CELLS_PER_QUERY", 4)
    monkeypatch.setattr(sampled, "MAX_SAMPLED", 100)
    estimated = contrast(points, inputs, settings, similarity)
    moved, differing = (
        np.linalg.norm(estimated - other, axis=1).mean() for other in (points, whole)
    )
    assert 0 < differing < 0.3 * moved
    with limit_threads(1):
        alone = contrast(points, inputs, settings, similarity)
    assert np.abs(alone - estimated).max() < 1e-3
    again = contrast(points, inputs, settings, similarity)
    assert again.tobytes() == estimated.tobytes()
