"""Rows that are written together, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId, WriteReport, is_same_vector
from nudge_sync_milvus.columns import extract_vectors
from nudge_sync_milvus.query import FetchedRows


@dataclass(frozen=True, slots=True)
class WriteChunk:
    """Rows that are written together."""

    ids: list[PointId]
    new_vectors: Float32
    """(n, d): what they should hold."""
    expected: Float32
    """(n, d): what they are expected to hold now."""
    row_by_id: dict[PointId, int] = field(init=False)

    def __post_init__(self) -> None:
        row_by_id = {key: row for row, key in enumerate(self.ids)}
        object.__setattr__(self, "row_by_id", row_by_id)

    def select_new_vectors(self, ids: Sequence[PointId]) -> Float32:
        """Return the new vectors of these ids."""
        return self.new_vectors[[self.row_by_id[key] for key in ids]]

    def compare_rows(
        self, rows: FetchedRows, vector: str
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which of `rows` hold the new vector, and which the expected one, bit for bit."""
        chunk_rows = [self.row_by_id[key] for key in rows.keys]
        live, valid = extract_vectors(rows.columns[vector])
        is_written = is_same_vector(live, self.new_vectors[chunk_rows], rescales=False)
        is_pending = is_same_vector(live, self.expected[chunk_rows], rescales=False)
        return is_written & valid, is_pending & valid

    def sort_report(self, report: WriteReport) -> WriteReport:
        """Return the report with its ids in the order of the chunk."""
        outcomes = (report.written, report.drifted, report.missing)
        return WriteReport(*(sorted(ids, key=self.row_by_id.__getitem__) for ids in outcomes))
