"""Which share of the answers is cold, which means on points without feedback, by what was shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.base.spooled import release_pages
from nudge_sync.feedback.log.columns import Searches
from nudge_sync.metrics import RANKING_DEPTH
from nudge_sync.solve.selection.document_folds import SUGGESTED_COLD_SHARE

ColdShareSource: TypeAlias = Literal["log", "assumed", "settings"]
"""What a share of cold answers comes from: the lists that searches showed, the assumption that is
made where none are known, or the settings."""

PRIOR_SEARCHES = 20.0
"""How many searches the assumed share counts for beside those of the log."""
SHARE_STEP = 0.05
"""Estimates are multiples of this, so that a few more searches do not move every point."""
MIN_SHARE, MAX_SHARE = SUGGESTED_COLD_SHARE, 0.95
"""Bounds of an estimate. Lists never lower it below what is assumed without them: points that moved
towards feedback fill the lists, and people ask for what they know to be there, so a low share says
that cold points are shown little, not that they matter little. Were it believed, the next plan
would spare them less and show them less still."""
_SEARCHES_PER_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class ColdShare:
    """How much cold answers count beside warm ones, and how that is known."""

    share: float = SUGGESTED_COLD_SHARE
    """0 to 1."""
    source: ColdShareSource = "assumed"


def estimate_cold_share(searches: Searches, has_feedback: NDArray[np.bool_]) -> ColdShare:
    """Estimate the share of cold answers from the lists that searches showed.

    has_feedback: (points,), whether feedback moves a point, by the rows of `Log.point_ids`.
    With c_i the share of search i's list that points without feedback hold, its first
    RANKING_DEPTH ranks r weighted by 1 / log2(1 + r) as in NDCG, and s searches with a list,

        share = (sum_i c_i + PRIOR_SEARCHES * SUGGESTED_COLD_SHARE) / (s + PRIOR_SEARCHES),

    rounded to SHARE_STEP, from MIN_SHARE to MAX_SHARE. It takes the ranking to be as right about
    points without feedback as about others. Where no search logged a list, as with labels alone,
    nothing is known, and SUGGESTED_COLD_SHARE is assumed.
    """
    cold_sum, list_count = 0.0, 0
    for start in range(0, len(searches.shown_starts) - 1, _SEARCHES_PER_CHUNK):
        shares = _measure_lists(searches, has_feedback, start)
        cold_sum, list_count = cold_sum + float(shares.sum()), list_count + len(shares)
        release_pages()
    if not list_count:
        return ColdShare()
    share = (cold_sum + PRIOR_SEARCHES * SUGGESTED_COLD_SHARE) / (list_count + PRIOR_SEARCHES)
    rounded = round(round(share / SHARE_STEP) * SHARE_STEP, 2)
    return ColdShare(min(max(rounded, MIN_SHARE), MAX_SHARE), "log")


def _measure_lists(searches: Searches, has_feedback: NDArray[np.bool_], start: int) -> Float64:
    """Return the share of each list, of a chunk of searches, that points without feedback hold."""
    bounds = searches.shown_starts[start : start + _SEARCHES_PER_CHUNK + 1]
    begins, lengths = bounds[:-1], np.minimum(np.diff(bounds), RANKING_DEPTH)
    cold, total = np.zeros(len(begins)), np.zeros(len(begins))
    for rank in range(RANKING_DEPTH):
        rows = np.flatnonzero(lengths > rank)
        discount = 1 / np.log2(rank + 2)
        total[rows] += discount
        cold[rows] += discount * ~has_feedback[searches.shown[begins[rows] + rank]]
    has_list = lengths > 0
    return np.asarray(cold[has_list] / total[has_list], np.float64)
