"""Whether clicks tell answers from others at all, before any single one is believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import betaln, expit

from nudge_sync.base.threads import spread
from nudge_sync.connector import Float32
from nudge_sync.feedback.clicks.impressions import DEEPEST, Impressions
from nudge_sync.feedback.clicks.neighbours import hints
from nudge_sync.feedback.clicks.pbm import Pairs

Float64 = NDArray[np.float64]
SPREADS = np.geomspace(0.5, 500, 13)
"""Of the beta distribution that a pair's click rate may be drawn from; small is wide."""
_LEAST, _MOST = 1e-6, 0.98
_ROUNDS = 2
_ELSEWHERE = 5
"""A point on fewer queries than this cannot be told to be clicked whatever is asked."""
_NEARER = 1
"""Column of `hints`."""


def telling(vectors: Float32, seen: Impressions, of: Pairs) -> float:
    """How likely it is, from 0 to 1, that clicks go with pairs of a query and a point.

    Against it stands that they go with places, with queries that draw more clicks, and with points
    that do, each on its own: then nobody knows what answers what, however many clicks there are.
    Two signs are looked for, and the plainer one counts, less what a sign of its size costs by the
    Bayesian information criterion (Schwarz 1978):
    the same pair is clicked again more often, or less, than chance allows; and who is asked
    something alike clicks on the same point.
    """
    shown, clicked = of.sum(seen.shown), of.sum(seen.clicked)
    if not clicked.any():
        return 0.0
    rate = expected(seen, of) / shown
    sign = max(_repeated(shown, clicked, rate), _shared(vectors, of, shown, clicked, rate))
    return float(expit(sign - np.log(len(of)) / 2))


def expected(seen: Impressions, of: Pairs) -> Float64:
    """(p,): the clicks of each pair that places, queries and points explain each on its own.

    No place is taken to be looked at more than one above it.
    """
    shown, clicked = of.sum(seen.shown), of.sum(seen.clicked)
    found = of.sum(seen.shown * _by_place(seen)[seen.position])
    often = np.bincount(of.point)[of.point] >= _ELSEWHERE
    for _ in range(_ROUNDS):
        found = found * _drawn(of.group, clicked, found)
        found = np.where(often, found * _drawn(of.point, clicked, found), found)
    return np.asarray(np.clip(found, _LEAST * shown, _MOST * shown))


def _drawn(key: NDArray[np.int64], clicked: Float64, expected: Float64) -> Float64:
    """(p,): by how much each key draws more clicks than expected, as far as chance would not.

    The mean of a gamma distribution whose spread is taken from how all keys differ.
    """
    drawn, due = np.bincount(key, weights=clicked), np.bincount(key, weights=expected)
    spread = max(float(((drawn - due) ** 2 - due).sum()), _LEAST) / max(float(due @ due), _LEAST)
    return np.asarray(((drawn + 1 / spread) / (due + 1 / spread))[key])


def _by_place(seen: Impressions) -> Float64:
    shown = np.bincount(seen.position, weights=seen.shown, minlength=DEEPEST + 1)
    clicked = np.bincount(seen.position, weights=seen.clicked, minlength=DEEPEST + 1)
    rate = clicked / np.maximum(shown, _LEAST)
    rate[1:] = isotonic_regression(rate[1:], weights=shown[1:] + _LEAST, increasing=False).x
    return np.asarray(rate)


def _repeated(shown: Float64, clicked: Float64, rate: Float64) -> float:
    """The log likelihood that is gained where pairs may differ in their rate: beta-binomial."""
    missed = np.maximum(shown - clicked, 0)
    alike = float((clicked * np.log(rate) + missed * np.log1p(-rate)).sum())

    def likelihood(of: float) -> float:
        a, b = rate * of, (1 - rate) * of
        return float((betaln(clicked + a, missed + b) - betaln(a, b)).sum())

    return max(spread(likelihood, SPREADS.tolist())) - alike


def _shared(vectors: Float32, of: Pairs, shown: Float64, clicked: Float64, rate: Float64) -> float:
    """Likewise, where similar queries may speak for each other on a point: a score test."""
    surprise = clicked - shown * rate
    heard = hints(vectors, of, surprise)[:, _NEARER]
    doubt = float((shown * rate * (1 - rate) * heard**2).sum())
    score = float((surprise * heard).sum())
    return score**2 / (2 * doubt) if score > 0 and doubt > 0 else 0.0
