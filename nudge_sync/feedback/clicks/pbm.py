"""A position-based click model: a click is a look at the place times the appeal of what is there.

P(click | place r, relevance z) = look_r * appeal_z, with look_1 = 1. Whether a pair (query, point)
is relevant is hidden; look, the two appeals and how often each place holds a relevant point are
fitted by expectation maximisation (Dempster et al. 1977) over pairs; without the hidden relevance
it is the model of Richardson et al. 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from nudge_sync.feedback.clicks.impressions import DEEPEST, Impressions

Float64 = NDArray[np.float64]
_LOW, _HIGH = 1e-5, 0.98
_PLACES = DEEPEST + 1
_LONGEST = 16.0
_SETTLED = 1e-3
OPEN = 0.2
"""How likely anything is relevant, as long as nothing is known."""


@dataclass(frozen=True, slots=True)
class ClickModel:
    """What was learned about clicking; the same for all queries."""

    look: Float64
    """(places,): how likely each place is looked at, against the first. Place 0 is unknown, and
    taken to be looked at."""
    appeal: float
    """Of a relevant point that is looked at."""
    noise: float
    """Of any other."""
    prior: Float64
    """(places,): how likely a point that usually stands there is relevant, before any click."""


UNTAUGHT = ClickModel(np.ones(_PLACES), appeal=0.8, noise=0.1, prior=np.full(_PLACES, OPEN))
"""Where no lists were logged at all."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Impressions by pair (group of queries, point)."""

    row: NDArray[np.int64]
    """(m,): the pair of each impression row."""
    group: NDArray[np.int64]
    point: NDArray[np.int64]
    place: NDArray[np.int64]
    """(p,): where each pair is mostly shown."""

    def __len__(self) -> int:
        return len(self.group)

    def sum(self, values: Float64) -> Float64:
        """For each pair the sum over its impression rows."""
        return np.asarray(np.bincount(self.row, weights=values, minlength=len(self)), np.float64)


def pairs(seen: Impressions) -> Pairs:
    """The pairs of the impressions, in their order."""
    fresh = np.ones(len(seen), np.bool_)
    fresh[1:] = (np.diff(seen.group) != 0) | (np.diff(seen.point) != 0)
    row = np.cumsum(fresh) - 1
    total = np.bincount(row, weights=seen.shown)
    depth = np.bincount(row, weights=seen.shown * seen.position)
    place = np.rint(depth / np.maximum(total, 1e-300)).astype(np.int64)
    return Pairs(row, seen.group[fresh], seen.point[fresh], np.minimum(place, DEEPEST))


def fitted(
    seen: Impressions, of: Pairs, *, rounds: int = 60, smoothing: float = 20.0
) -> ClickModel:
    """The model that makes the impressions likeliest, each place held near its neighbours.

    smoothing: how many impressions the smooth curve through all places counts for at each place.
    Each round is three steps of expectation maximisation, the third from a point extrapolated
    from the first two (SQUAREM, Varadhan and Roland 2008); it ends when nothing changes.
    """

    def step(at: Float64) -> Float64:
        model = _model(at)
        belief = relevance(seen, of, model)
        return _coordinates(_improved(seen, of, model, belief, smoothing))

    if not len(seen):
        return _model(_coordinates(UNTAUGHT))
    here = _coordinates(_first_guess(seen))
    for _ in range(rounds):
        once = step(here)
        twice = step(once)
        change, bend = once - here, twice - 2 * once + here
        length = float(np.linalg.norm(change)) / max(float(np.linalg.norm(bend)), 1e-12)
        length = min(max(length, 1.0), _LONGEST)
        there = step(here + 2 * length * change + length**2 * bend)
        settled = float(np.abs(there - here).max()) < _SETTLED
        here = there
        if settled:
            break
    return _model(here)


def _coordinates(model: ClickModel) -> Float64:
    """The model as a point of a space without borders."""
    appeals = logit([model.appeal, model.noise])
    return np.concatenate([np.log(model.look), logit(model.prior), appeals])


def _model(at: Float64) -> ClickModel:
    appeal, noise = np.clip(expit(at[-2:]), _LOW, _HIGH)
    look = np.exp(np.clip(at[:_PLACES], np.log(1e-4), 0.0))
    prior = np.clip(expit(at[_PLACES:-2]), 1e-4, 0.9)
    # Nothing was logged about place 0, and nothing is learned about it.
    look[0], prior[0] = 1.0, OPEN
    return ClickModel(look, float(appeal), float(min(noise, appeal)), prior)


def relevance(
    seen: Impressions, of: Pairs, model: ClickModel, push: Float64 | None = None
) -> Float64:
    """(p,): how likely each pair is relevant, given its clicks.

    push: (m,) or None: how likely a click comes from somebody who clicks this point anywhere.
    """
    return np.asarray(expit(prior_odds(of, model) + of.sum(evidence(seen, model, push))))


def prior_odds(of: Pairs, model: ClickModel) -> Float64:
    """(p,): log odds of relevance before any click."""
    return np.asarray(np.log(model.prior / (1 - model.prior))[of.place])


def evidence(seen: Impressions, model: ClickModel, push: Float64 | None = None) -> Float64:
    """(m,): log likelihood of each impression row if relevant, less that if not."""
    good, bad = (log_likelihood(seen, model, appeal, push) for appeal in _appeals(model))
    return good - bad


def log_likelihood(
    seen: Impressions, model: ClickModel, appeal: float, push: Float64 | None = None
) -> Float64:
    """(m,): of each impression row, for points of this appeal."""
    chance = model.look[seen.position] * appeal
    if push is not None:
        chance = chance + push - chance * push
    # More clicks than impressions: where nothing was listed.
    missed = np.maximum(seen.shown - seen.clicked, 0)
    return np.asarray(seen.clicked * np.log(chance) + missed * np.log1p(-chance))


def _appeals(model: ClickModel) -> tuple[float, float]:
    return model.appeal, model.noise


def _first_guess(seen: Impressions) -> ClickModel:
    rate = _rates(seen, np.ones(len(seen)))
    top = max(float(rate[1:].max(initial=0.0)), 1e-3)
    return ClickModel(
        look=np.clip(rate / top, 1e-3, 1.0),
        appeal=min(max(2 * top, 0.3), 0.9),
        noise=min(max(0.2 * top, 0.01), 0.2),
        prior=np.full(_PLACES, 0.2),
    )


def _rates(seen: Impressions, weights: Float64) -> Float64:
    clicked = _by_place(seen.position, weights * seen.clicked)
    shown = _by_place(seen.position, weights * seen.shown)
    overall = (clicked.sum() + 0.5) / (shown.sum() + 1)
    return np.asarray((clicked + overall) / (shown + 1))


def _improved(
    seen: Impressions, of: Pairs, model: ClickModel, belief: Float64, smoothing: float
) -> ClickModel:
    likely = belief[of.row]
    missed = np.maximum(seen.shown - seen.clicked, 0)
    look = model.look[seen.position]
    looked, drawn = np.zeros(len(seen)), []
    for share, appeal in zip((likely, 1 - likely), _appeals(model), strict=True):
        unclicked_look = look * (1 - appeal) / (1 - look * appeal)
        seen_it = share * (seen.clicked + missed * unclicked_look)
        looked += seen_it
        drawn.append((float((share * seen.clicked).sum()) + 1e-3) / (float(seen_it.sum()) + 1e-2))
    curve = _look(seen, looked, smoothing)
    appeal, noise = (min(max(value * curve[1], _LOW), _HIGH) for value in drawn)
    return ClickModel(
        look=np.clip(curve / curve[1], 1e-4, 1.0),
        appeal=max(appeal, min(1.5 * noise, _HIGH)),
        noise=noise,
        prior=_prior(of, belief),
    )


def _look(seen: Impressions, looked: Float64, smoothing: float) -> Float64:
    at = _by_place(seen.position, looked)
    shown = _by_place(seen.position, seen.shown)
    smooth = _power_law(at, shown)
    return np.asarray(np.clip((at + smoothing * smooth) / (shown + smoothing), _LOW, 1.0))


def _power_law(at: Float64, shown: Float64) -> Float64:
    """The curve a / r^b nearest to the rates at / shown; place 0 gets the mean rate."""
    places = np.arange(1, _PLACES)
    used = (shown[1:] > 0) & (at[1:] > 0)
    mean = float((at.sum() + 1e-3) / (shown.sum() + 1e-2))
    if used.sum() < 2:  # noqa: PLR2004 - a line needs two points
        return np.full(_PLACES, mean)
    x = np.log(places[used])
    y = np.log(at[1:][used] / shown[1:][used])
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(at[1:][used]))
    curve = np.exp(start + min(slope, 0.0) * np.log(places))
    return np.concatenate([[mean], np.clip(curve, _LOW, 1.0)])


def _prior(of: Pairs, belief: Float64) -> Float64:
    """How often each place holds a relevant point: never more often than a place above it.

    Without that order a place little looked at, of many relevant points, fits the clicks as well.
    """
    hits = _by_place(of.place, belief)
    standing = _by_place(of.place, np.ones(len(of)))
    overall = (hits.sum() + 1) / (standing.sum() + 10)
    rates = (hits + 10 * overall) / (standing + 10)
    rates[1:] = isotonic_regression(rates[1:], weights=standing[1:] + 0.1, increasing=False).x
    return np.asarray(np.clip(rates, 1e-4, 0.9))


def _by_place(places: NDArray[np.int64], values: Float64) -> Float64:
    return np.asarray(np.bincount(places, weights=values, minlength=_PLACES), np.float64)
