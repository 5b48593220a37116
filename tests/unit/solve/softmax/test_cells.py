"""Points in cells: each in one, the same each time, and queries look where they score highest."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.solve.softmax.cells import build_cells, update_cells


def draw(count, dimension=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_cells(monkeypatch):
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.POINTS_PER_CELL", 20)
    monkeypatch.setattr("nudge_sync.solve.softmax.cells.CELLS_PER_QUERY", 3)


def test_cells_hold_each_point_once_and_their_means():
    points = draw(500)
    cells = build_cells(points)
    assert sorted(cells.order) == list(range(500))
    for number, (first, last) in enumerate(zip(cells.starts, cells.starts[1:], strict=False)):
        members = cells.order[first:last]
        assert (cells.cell[members] == number).all()
        assert (np.diff(members) > 0).all()
        if len(members):
            np.testing.assert_allclose(cells.means[number], points[members].mean(0), atol=1e-5)


def test_points_lie_nearer_to_their_cell_than_chance_has_it():
    points = draw(2000, dimension=4)
    cells = build_cells(points)
    own = np.einsum("ij,ij->i", points, cells.centres[cells.cell])
    assert (own > np.quantile(points @ cells.centres.T, 0.9, axis=1)).mean() > 0.95


def test_queries_look_into_the_cells_with_the_highest_means():
    points, queries = draw(500), draw(30, seed=1)
    cells = build_cells(points)
    looked = cells.find_for_queries(queries)
    scores = queries @ cells.means.T
    scores[:, np.diff(cells.starts) == 0] = -np.inf
    expected = np.sort(np.argsort(-scores, axis=1)[:, :3], axis=1)
    np.testing.assert_array_equal(looked, expected)


@pytest.mark.parametrize("points", [np.ones((100, 4), np.float32), np.zeros((3, 4), np.float32)])
def test_points_that_are_all_alike_share_a_cell(points):
    cells = build_cells(points)
    assert len(set(cells.cell)) == 1
    assert np.isfinite(cells.centres).all()
    assert len(cells.find_for_queries(draw(5, 4))) == 5


def test_cells_follow_points_that_move():
    points = draw(300)
    moved = points[::-1].copy()
    cells = update_cells(moved, build_cells(points))
    assert (moved @ cells.centres.T).shape == (300, len(cells.means))
    own = np.einsum("ij,ij->i", moved, cells.centres[cells.cell])
    assert own.mean() > (moved @ cells.centres.T).mean()
