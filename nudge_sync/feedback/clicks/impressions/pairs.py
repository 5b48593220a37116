"""Pairs of a query group and a point, and sums over their impressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.feedback.clicks.impressions.counts import Impressions
from nudge_sync.feedback.clicks.impressions.single import MAX_RANK


@dataclass(frozen=True, slots=True)
class Pairs:
    """One row a pair (query group, point), sorted by these."""

    pair_of_impression: Int64
    """(m,): the pair of each row of the impressions."""
    query_group: Int64
    point: Int64
    rank: Int64
    """(p,): the mean rank of each pair's impressions, rounded."""

    def __len__(self) -> int:
        return len(self.query_group)

    def sum(self, values: Float64) -> Float64:
        """Return the sum of `values`, one for each row of the impressions, over each pair, (p,)."""
        return np.asarray(
            np.bincount(self.pair_of_impression, weights=values, minlength=len(self)), np.float64
        )


def group_by_pair(impressions: Impressions) -> Pairs:
    """Return the pairs that the impressions belong to."""
    is_new = np.ones(len(impressions), np.bool_)
    is_new[1:] = (np.diff(impressions.query_group) != 0) | (np.diff(impressions.point) != 0)
    pair_of_impression = np.cumsum(is_new) - 1
    shown = np.bincount(pair_of_impression, weights=impressions.shown)
    rank_sum = np.bincount(pair_of_impression, weights=impressions.shown * impressions.rank)
    rank = np.rint(rank_sum / np.maximum(shown, 1e-300)).astype(np.int64)
    return Pairs(
        pair_of_impression,
        impressions.query_group[is_new],
        impressions.point[is_new],
        np.minimum(rank, MAX_RANK),
    )
