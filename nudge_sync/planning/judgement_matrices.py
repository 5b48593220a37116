"""Judgements as matrices: what finding each point is worth, and how much each judgement attracts.

The gate, `evaluate` and `explain` all take them from here, so that they answer the same question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.connector import PointId
from nudge_sync.feedback.judgements import Judgements


@dataclass(frozen=True, slots=True)
class JudgementMatrices:
    """The judgements of q queries on n points."""

    relevance: csr_matrix
    """(q, n): what finding a point is worth to a query, above 0; and, as explicit entries of 0 or
    below, the judgements that say that a point does not answer it."""
    weights: csr_matrix
    """(q, n): the weight of each judgement; only those above 0 attract."""
    has_only_labels: bool
    """Whether there is no behaviour among the judgements; then each answer attracts with 1,
    whatever its grade."""
    missing_count: int
    """Judgements left out because their point is gone or has no direction."""

    @property
    def train_weights(self) -> csr_matrix | None:
        """How strongly each judgement attracts, (q, n), as the solver takes it; None for 1 each."""
        return None if self.has_only_labels else self.weights.maximum(0)

    def select(self, rows: NDArray[Any]) -> JudgementMatrices:
        """Return the matrices of some of the queries: row numbers or a mask."""
        return JudgementMatrices(
            self.relevance[rows], self.weights[rows], self.has_only_labels, self.missing_count
        )


def build_judgement_matrices(
    judgements: Judgements, point_ids: Sequence[PointId], vectors: Float32
) -> JudgementMatrices:
    """Return the judgements on the points `point_ids`, one column a point.

    vectors: (n, d), the points' originals. A judgement on any other point, or on one whose vector
    is zero, is left out. Behaviour is worth its expected gain, also where it is too doubtful to
    attract: a metric that knows clicked points alone takes points that people rarely look at for
    worthless.
    """
    has_length = np.linalg.norm(vectors, axis=1) > 0
    column_of = {point: row for row, point in enumerate(point_ids) if has_length[row]}
    shape = (len(judgements.query_ids), len(point_ids))
    weights = _fill_matrix(
        judgements.query_rows, judgements.point_ids, judgements.weights, column_of, shape
    )
    expected = judgements.expected_gains
    gains = _fill_matrix(expected.query_rows, expected.point_ids, expected.gains, column_of, shape)
    return JudgementMatrices(
        relevance=_add_negative_judgements(gains, weights),
        weights=weights,
        has_only_labels=judgements.only_labels,
        missing_count=sum(point not in column_of for point in judgements.point_ids),
    )


def _fill_matrix(
    query_rows: Int64,
    point_ids: list[PointId],
    values: Float64,
    column_of: dict[PointId, int],
    shape: tuple[int, int],
) -> csr_matrix:
    """Return the values of (query row, point) pairs, without the points that have no column."""
    columns = np.array([column_of.get(point, -1) for point in point_ids], np.int64)
    is_present = columns >= 0
    cells = (query_rows[is_present], columns[is_present])
    matrix = csr_matrix((values[is_present], cells), shape=shape, dtype=np.float64)
    matrix.sort_indices()
    return matrix


def _add_negative_judgements(gains: csr_matrix, weights: csr_matrix) -> csr_matrix:
    """Return the gains, overruled wherever a judgement of 0 or below says otherwise."""
    expected, judged = gains.tocoo(), weights.tocoo()
    width = np.int64(weights.shape[1])
    is_negative = judged.data <= 0
    negative_cells = judged.row[is_negative] * width + judged.col[is_negative]
    is_kept = ~np.isin(expected.row * width + expected.col, negative_cells)
    values = np.concatenate([expected.data[is_kept], judged.data[is_negative]])
    rows = np.concatenate([expected.row[is_kept], judged.row[is_negative]])
    columns = np.concatenate([expected.col[is_kept], judged.col[is_negative]])
    matrix = csr_matrix((values, (rows, columns)), shape=weights.shape, dtype=np.float64)
    matrix.sort_indices()
    return matrix
