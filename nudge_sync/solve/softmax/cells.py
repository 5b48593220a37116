"""Points in cells of neighbours, by k-means, so that a query need not look at all of them.

An inverted file (IVF) as approximate search uses it: a query looks into the few cells whose mean
vectors it scores highest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.draw import draw_rows
from nudge_sync.solve.geometry import unit
from nudge_sync.solve.problem import Rows

POINTS_PER_CELL = 128
"""Mean number of points of a cell."""
MAX_CELLS = 4096
"""Most cells; with more, finding the right ones would cost more than looking into them."""
CELLS_PER_QUERY = 16
"""Cells that a query looks into."""
_FIRST_ROUNDS = 4
"""Rounds of k-means from the points that are drawn as the first centres."""
_ROWS_PER_CHUNK = 1024
"""Rows compared at once with all centres: at most 16 MB of scores."""


@dataclass(frozen=True)
class PointCells:
    """Which cell each point lies in."""

    cell: Rows
    """(n,)"""
    means: Float32
    """(c, d): of the points of each cell; 0 for an empty one."""
    centres: Float32
    """(c, d), unit rows: the directions of the means; an empty cell keeps the one it had."""

    @cached_property
    def order(self) -> Rows:
        """(n,): the points, cell by cell, and by row within a cell."""
        return np.argsort(self.cell, kind="stable")

    @cached_property
    def starts(self) -> Rows:
        """(c + 1,): where each cell begins in `order`, and n."""
        return np.searchsorted(self.cell[self.order], np.arange(len(self.means) + 1))

    def find_for_queries(self, queries: Float32) -> Rows:
        """Return the cells that each query looks into, ascending: (q, p).  queries: (q, d)."""
        count = min(CELLS_PER_QUERY, len(self.means))
        is_empty = np.diff(self.starts) == 0
        found = np.empty((len(queries), count), np.int64)

        def find(rows: slice) -> None:
            scores = queries[rows] @ self.means.T
            scores[:, is_empty] = -np.inf
            found[rows] = np.argpartition(-scores, count - 1, axis=1)[:, :count]

        map_in_threads(find, list_chunks(len(queries), _ROWS_PER_CHUNK))
        found.sort(axis=1)
        return found


def build_cells(vectors: Float32) -> PointCells:
    """Put points, (n, d), into cells of similar direction; the same points always into the same."""
    count = min(MAX_CELLS, max(1, len(vectors) // POINTS_PER_CELL))
    first_centres = unit(vectors[draw_rows(len(vectors), count)]).astype(np.float32)
    cells = _assign(vectors, first_centres)
    for _ in range(_FIRST_ROUNDS - 1):
        cells = update_cells(vectors, cells)
    return cells


def update_cells(vectors: Float32, cells: PointCells) -> PointCells:
    """Return the cells after one more round of k-means, of points that may have moved: (n, d)."""
    return _assign(vectors, cells.centres)


def _assign(vectors: Float32, centres: Float32) -> PointCells:
    """Put each point into the cell of the nearest centre.  centres: (c, d), unit rows."""
    cell = np.empty(len(vectors), np.int64)

    def assign(rows: slice) -> None:
        cell[rows] = (vectors[rows] @ centres.T).argmax(axis=1)

    map_in_threads(assign, list_chunks(len(vectors), _ROWS_PER_CHUNK))
    sizes = np.bincount(cell, minlength=len(centres))
    sums = _select(cell, len(centres)) @ vectors
    means = np.asarray(sums / np.maximum(sizes, 1)[:, None], np.float32)
    directions = np.where((sizes > 0)[:, None], unit(means), centres)
    return PointCells(cell, means, directions.astype(np.float32))


def _select(cell: NDArray[np.int64], count: int) -> csr_matrix:
    """Return the matrix, (c, n), with a 1 where a point lies in a cell."""
    ones = np.ones(len(cell), np.float32)
    return csr_matrix((ones, (cell, np.arange(len(cell)))), shape=(count, len(cell)))
