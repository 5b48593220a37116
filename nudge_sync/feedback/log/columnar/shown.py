"""Lists of points that searches of a table showed, as codes of their distinct ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.connector import PointId
from nudge_sync.feedback.log.columnar.distinct import DistinctValues, parse_each, split_distinct
from nudge_sync.feedback.log.columnar.points import read_point_ids
from nudge_sync.feedback.log.columnar.vectors import read_sizes
from nudge_sync.feedback.schema.values import parse_point_ids


@dataclass(frozen=True, slots=True)
class ShownLists:
    """The lists of n rows, laid end to end."""

    ids: DistinctValues
    """One for each entry of a list."""
    sizes: NDArray[np.int32]
    """(n,)."""
    is_valid: NDArray[np.bool_]
    """(n,): whether the row has a list of ids, or none."""

    def find_entries(self, rows: Int64) -> Int64:
        """Return the indices of the entries of some rows, which ascend."""
        is_selected = np.zeros(len(self.sizes), np.bool_)
        is_selected[rows] = True
        return np.flatnonzero(np.repeat(is_selected, self.sizes))


def read_shown(batch: Any) -> ShownLists:
    """Return the lists of the column "shown" of an Arrow batch, of lists or of texts."""
    if "shown" not in batch.schema.names:
        return _join_lists([()], np.zeros(batch.num_rows, np.int32), np.ones(1, np.bool_))
    column = batch.column("shown")
    if str(column.type) == "string":
        codes, texts = split_distinct(column)
        lists, is_valid = parse_each(texts, lambda text: parse_point_ids(text, "shown"))
        return _join_lists([ids or () for ids in lists], codes, is_valid)
    sizes = read_sizes(column)
    ids = read_point_ids(column.flatten())
    row_of_entry = np.repeat(np.arange(len(sizes)), sizes)
    is_valid = np.ones(len(sizes), np.bool_)
    is_valid[row_of_entry[~ids.find_valid_rows()]] = False
    return ShownLists(ids, sizes, is_valid)


def _join_lists(
    lists: Sequence[Sequence[PointId]], codes: Int32, is_valid: NDArray[np.bool_]
) -> ShownLists:
    """Return the lists of rows, each the code of one of some lists."""
    code_by_id: dict[PointId, int] = {}
    coded = [
        np.array([code_by_id.setdefault(id_, len(code_by_id)) for id_ in ids], np.int32)
        for ids in lists
    ]
    sizes = np.array([len(ids) for ids in lists], np.int32)[codes]
    entries = np.concatenate([np.zeros(0, np.int32), *(coded[code] for code in codes.tolist())])
    ids = DistinctValues(entries, list(code_by_id), np.ones(len(code_by_id), np.bool_))
    return ShownLists(ids, sizes, is_valid[codes])
