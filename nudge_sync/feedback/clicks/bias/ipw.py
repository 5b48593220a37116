"""Click rates by inverse propensity weighting (IPW), after Joachims et al. 2017."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64, pair_key
from nudge_sync.feedback.clicks.impressions.counts import Impressions
from nudge_sync.feedback.clicks.impressions.pairs import Pairs
from nudge_sync.feedback.clicks.impressions.single import MAX_RANK
from nudge_sync.feedback.log.columns import ActionSelection, Searches

MAX_INVERSE_PROPENSITY = 10.0
"""The most that one click may count for. Without it a single click on a result that hardly anybody
looks at outweighs all others; clipping trades a little bias, below an examination of 0.1, for far
less variance (Bottou et al. 2013; Joachims et al. 2017)."""


@dataclass(frozen=True, slots=True)
class LoggedClicks:
    """Clicked impressions of which the application logged the propensity, one row each."""

    query_group: Int64
    point: Int64
    rank: Int64
    propensity: Float64
    """(c,), in (0, 1]: the probability that this result was examined."""
    decay_factor: Float64


def find_logged_clicks(
    searches: Searches,
    query_groups: Int32,
    clicks: ActionSelection,
    decay_factors: Float64,
) -> LoggedClicks | None:
    """Return the clicked impressions with a logged propensity, or None where no search logged any.

    query_groups, decay_factors: (s,).  clicks: at most one for each search and point.
    """
    propensities = searches.propensities
    if propensities is None:
        return None
    empty = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64)
    parts = [_find_cells(searches, propensities, part) for part in clicks.split()]
    search, point, cell = map(np.concatenate, zip(empty, *parts, strict=True))
    offset = cell - searches.shown_starts[search]
    # The order in which they are summed.
    order = np.argsort(offset, kind="stable")
    search, point, cell, offset = search[order], point[order], cell[order], offset[order]
    return LoggedClicks(
        query_groups[search].astype(np.int64),
        point.astype(np.int64),
        np.minimum(offset + 1, MAX_RANK),
        propensities[cell].astype(np.float64),
        decay_factors[search],
    )


def _find_cells(
    searches: Searches, propensities: Float32, clicks: ActionSelection
) -> tuple[Int32, Int32, Int64]:
    """Return the search and the point of each click with a logged propensity, and the row of
    `Searches.shown` that was clicked, in the order of the clicks.
    """
    search, point = clicks.search, clicks.point
    starts = searches.shown_starts[search]
    lengths = searches.shown_starts[search + 1] - starts
    click_rows, cells = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for offset in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > offset)
        rows = rows[searches.shown[starts[rows] + offset] == point[rows]]
        rows = rows[~np.isnan(propensities[starts[rows] + offset])]
        click_rows.append(rows)
        cells.append(starts[rows] + offset)
    rows, cell = np.concatenate(click_rows), np.concatenate(cells)
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    return search[rows], point[rows], cell[order]


def compute_ipw_click_rate(
    impressions: Impressions,
    pairs: Pairs,
    examination: Float64,
    logged_clicks: LoggedClicks | None = None,
    max_inverse_propensity: float = MAX_INVERSE_PROPENSITY,
) -> Float64:
    """Return the click rate that each pair would have if it were always examined, (p,), at most 1.

    rate = sum over clicks of min(1 / propensity, max_inverse_propensity) / impressions

    The propensity of a click is the one that the application logged, or else theta_r, the
    `examination` (MAX_RANK + 1,) of its rank by the click model.
    """

    def invert(propensity: Float64) -> Float64:
        return np.minimum(1 / np.maximum(propensity, 1e-300), max_inverse_propensity)

    weighted_clicks = pairs.sum(impressions.clicked * invert(examination[impressions.rank]))
    if logged_clicks is not None:
        # The sum above counts every click by the model; put the logged propensities in their place.
        pair_rows = np.searchsorted(
            pair_key(pairs.query_group, pairs.point),
            pair_key(logged_clicks.query_group, logged_clicks.point),
        )
        difference = invert(logged_clicks.propensity) - invert(examination[logged_clicks.rank])
        weighted_clicks += np.bincount(
            pair_rows, weights=logged_clicks.decay_factor * difference, minlength=len(pairs)
        )
    click_rate = weighted_clicks / np.maximum(pairs.sum(impressions.shown), 1e-300)
    return np.asarray(np.minimum(click_rate, 1.0))
