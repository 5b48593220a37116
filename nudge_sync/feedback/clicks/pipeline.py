"""Clicks and the like -> how likely each point answers each query, and how much that counts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Float32
from nudge_sync.feedback.clicks import bots, neighbours, pbm
from nudge_sync.feedback.clicks.bots import outliers
from nudge_sync.feedback.clicks.caps import distinct, within_cap
from nudge_sync.feedback.clicks.coec import click_ratio
from nudge_sync.feedback.clicks.decay import worth
from nudge_sync.feedback.clicks.funnel import Stage
from nudge_sync.feedback.clicks.impressions import Impressions, collected, positions
from nudge_sync.feedback.clicks.ipw import click_share
from nudge_sync.feedback.clicks.promoted import clicked_unseen, push_rates, scattered
from nudge_sync.feedback.clicks.query_groups import merged
from nudge_sync.feedback.clicks.relevance import Beliefs, gains, weights
from nudge_sync.feedback.clicks.signal_test import telling
from nudge_sync.feedback.log.columns import NO_ONE, Chosen, Log, Names
from nudge_sync.feedback.log.sorting import changes, different

_TWICE = 2.0
_LIKELY = 0.5
_ENOUGH = 100_000
"""Rows of impressions."""
_ROUNDS = 2
"""Times that similar queries hear of each other."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What behaviour says, and what was left out on the way."""

    groups: NDArray[np.int32]
    """(s,): the group of queries that each search belongs to, or -1."""
    beliefs: Beliefs
    weights: NDArray[np.float64]
    """(p,): how much each pair pulls; NaN for pairs that do not count."""
    gains: NDArray[np.float64]
    """(p,): what finding the point is worth, all that was shown taken at its likelihood; 0 where
    next to nothing."""
    funnel: list[Stage]
    set_aside: list[str] = field(default_factory=list)
    """Clients and sessions taken for bots."""
    pushed: list[int] = field(default_factory=list)
    """Points clicked wherever they stand; rows of `Log.points`."""


def weighed(log: Log, settings: FeedbackSettings) -> Weighed:
    """Every stage from behaviour to weights. Nothing in it depends on the order of the records."""
    funnel: list[Stage] = []
    usable = _usable(log, settings, funnel)
    clicks, groups, aside = _without_bots(log, usable, settings, funnel)
    clicks = _capped(log, clicks, groups, settings, funnel)
    age = worth(log.searches.time, settings.half_life_days)
    seen = collected(log.searches, groups, clicks, age)
    of = pbm.pairs(seen)
    belief, pushed, sure = _believed(log.vectors, seen, of, usable.unseen, settings)
    beliefs = _beliefs(log, clicks, groups, seen, of, belief=belief, pushed=pushed)
    pulls = weights(beliefs, settings, funnel, sure)
    hopes = gains(beliefs)
    return Weighed(groups, beliefs, pulls, hopes, funnel, aside, np.flatnonzero(pushed).tolist())


@dataclass(frozen=True, slots=True)
class _Usable:
    clicks: Chosen
    honest: NDArray[np.bool_]
    """(s,): searches that do not push."""
    unseen: NDArray[np.bool_]
    """(points,): clicked where they were not shown."""


def _usable(log: Log, settings: FeedbackSettings, funnel: list[Stage]) -> _Usable:
    """Clicks on what was shown, one a point and search."""
    clicks = Chosen(log.behaviour, np.arange(len(log.behaviour), dtype=np.int32))
    search = clicks.search
    known = search >= 0
    known[known] = log.searches.vector[search[known]] >= 0
    reason = "no search is stored, or its vector does not fit"
    clicks = _kept(clicks, known, "searches", reason, funnel)
    places = positions(log.searches, clicks)
    unseen = clicked_unseen(clicks.point, places >= 0, len(log.points), settings.outliers)
    honest = np.ones(len(log.searches.names), np.bool_)
    honest[clicks.search[(places < 0) & unseen[clicks.point]]] = False
    fine, reason = honest[clicks.search], "the search pushes points that it did not show"
    clicks, places = _kept(clicks, fine, "pushing", reason, funnel), places[fine]
    was_shown = places >= 0
    clicks = _kept(clicks, was_shown, "showings", "the search did not show that point", funnel)
    clicks = _kept(
        clicks,
        _strongest(clicks),
        "repeats",
        "the strongest action on a point counts, once",
        funnel,
    )
    return _Usable(clicks, honest, unseen)


def _kept(
    clicks: Chosen, keep: NDArray[np.bool_], name: str, reason: str, funnel: list[Stage]
) -> Chosen:
    funnel.append(Stage(name, int(keep.sum()), int((~keep).sum()), reason))
    return clicks.only(keep)


def _strongest(clicks: Chosen) -> NDArray[np.bool_]:
    """The first of the heaviest actions on each point of each search."""
    fresh = changes(clicks.search) | changes(clicks.point)
    run = np.cumsum(fresh, dtype=np.int32) - 1
    last = np.append(np.flatnonzero(fresh), len(clicks))[1:] - 1
    # Actions are sorted by search, point and weight.
    weight = clicks.weight
    heaviest = np.flatnonzero(weight == weight[last][run])
    found = np.zeros(len(clicks), np.bool_)
    found[heaviest[changes(run[heaviest])]] = True
    return found


def _without_bots(
    log: Log, usable: _Usable, settings: FeedbackSettings, funnel: list[Stage]
) -> tuple[Chosen, NDArray[np.int32], list[str]]:
    clicks = usable.clicks
    groups = _groups(log, clicks, settings.merge_cosine)
    aside: list[str] = []
    good_search = usable.honest.copy()
    good_click = np.ones(len(clicks), np.bool_)
    for kind, names in (("client", log.clients), ("session", log.sessions)):
        asked = getattr(log.searches, kind)
        acted = _actor(getattr(clicks, kind), asked[clicks.search], names)
        is_named = acted != _nobody(names)
        named = clicks.only(is_named)
        suspects = bots.suspicious(
            acted[is_named], groups[named.search], named.point, settings.outliers
        )
        aside += [f"{kind} {names[code]}" for code in suspects.tolist()]
        good_search &= ~np.isin(asked, suspects)
        good_click &= ~np.isin(acted, suspects)
    good_click &= good_search[clicks.search]
    kept = _kept(clicks, good_click, "bots", "clients far outside the distribution", funnel)
    return kept, np.where(good_search, groups, -1).astype(np.int32), aside


def _groups(log: Log, clicks: Chosen, cosine: float) -> NDArray[np.int32]:
    """(s,): for each search the row of the vector that leads its group, or -1: nobody acted."""
    used = different(log.searches.vector[clicks.search]).astype(np.int64)
    leads = np.full(len(log.vectors) + 1, -1, np.int32)
    leads[used] = merged(log.vectors, used, cosine)
    return leads[log.searches.vector]


def _nobody(names: Names) -> int:
    return 0 if names and names[0] == NO_ONE else -1


def _actor(own: NDArray[np.int32], of_search: NDArray[np.int32], names: Names) -> NDArray[np.int32]:
    return np.where(own == _nobody(names), of_search, own).astype(np.int32)


def _people(log: Log, clicks: Chosen) -> NDArray[np.int32]:
    """(e,): one number a person: the client if known, else the session, else the search."""
    client = _actor(clicks.client, log.searches.client[clicks.search], log.clients)
    session = _actor(clicks.session, log.searches.session[clicks.search], log.sessions)
    return _persons(log, client, session, clicks.search)


def _persons(
    log: Log, client: NDArray[np.int32], session: NDArray[np.int32], search: NDArray[np.int32]
) -> NDArray[np.int32]:
    before = len(log.clients)
    by_session = np.where(
        session != _nobody(log.sessions), before + session, before + len(log.sessions) + search
    )
    return np.where(client != _nobody(log.clients), client, by_session).astype(np.int32)


def _askers(log: Log, groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each group how many different people searched for it."""
    rows = np.flatnonzero(groups >= 0).astype(np.int32)
    persons = _persons(log, log.searches.client[rows], log.searches.session[rows], rows)
    found = np.zeros(len(log.vectors), np.int64)
    found[groups[rows]] = distinct([groups[rows]], persons)
    return found


def _capped(
    log: Log,
    clicks: Chosen,
    groups: NDArray[np.int32],
    settings: FeedbackSettings,
    funnel: list[Stage],
) -> Chosen:
    order = np.argsort(clicks.time, kind="stable").astype(np.int32)
    people = _people(log, clicks)[order]
    keep = within_cap([people, groups[clicks.search][order], clicks.point[order]], 1)
    keep &= within_cap([people], settings.client_cap)
    session = _actor(clicks.session, log.searches.session[clicks.search], log.sessions)[order]
    keep &= (session == _nobody(log.sessions)) | within_cap([session], settings.session_cap)
    first = np.flatnonzero(keep)
    points = clicks.point[order[first]]
    keep[first] = within_cap([people[first], points], settings.point_cap)
    reason = "beyond what one client or session may say"
    funnel.append(Stage("caps", int(keep.sum()), int((~keep).sum()), reason))
    return clicks.only(np.sort(order[keep]))


def _believed(
    vectors: Float32,
    seen: Impressions,
    of: pbm.Pairs,
    unseen: NDArray[np.bool_],
    settings: FeedbackSettings,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
    """(p,): how likely each pair is relevant; (points,): which points are pushed; and how likely
    it is that clicks say anything on relevance.
    """
    if not len(seen):
        return np.zeros(0), unseen, 1.0
    if settings.bias == "coec":
        ratio = click_ratio(seen, of)
        return ratio / (ratio + _TWICE), unseen, 1.0
    # Points clicked on far more queries than others teach nothing: if they are pushed, they would
    # teach that people look where they stand.
    odd = unseen | outliers(_queries_clicked(seen, of, len(unseen)), settings.outliers)
    some, of_some = _sample(seen, ~odd)
    model = pbm.fitted(some, of_some)
    if settings.bias == "ipw":
        return click_share(seen, of, model.look), unseen, 1.0
    rates = push_rates(seen, of, model)
    pushed = unseen.copy()
    pushed[: len(rates)] |= rates > 0
    likely = pbm.relevance(seen, of, model, rates[of.point][of.row]) >= _LIKELY
    pushed |= scattered(vectors, of, likely, len(pushed), settings.outliers)
    belief = _with_neighbours(
        vectors, seen, of, model, push=rates[of.point], pushed=pushed[of.point]
    )
    if not len(some):
        return belief, pushed, 1.0
    sure = telling(vectors, *_sample(seen, ~(odd | pushed)))
    doubted = sure * belief + (1 - sure) * np.minimum(belief, pbm.OPEN)
    return np.where(of.place > 0, doubted, belief), pushed, sure


def _queries_clicked(seen: Impressions, of: pbm.Pairs, points: int) -> NDArray[np.int64]:
    """(points,): on how many different queries each is clicked; 0 where it is never shown."""
    return np.bincount(of.point, weights=of.sum(seen.clicked) > 0, minlength=points).astype(
        np.int64
    )


def _sample(seen: Impressions, points: NDArray[np.bool_]) -> tuple[Impressions, pbm.Pairs]:
    """The impressions of `points` in logged lists; of one group in so many, where there are more
    than clicking can be learned from.
    """
    every = max(1, -(-len(seen) // _ENOUGH))
    ranks = np.cumsum(np.diff(seen.group, prepend=-1) != 0)
    some = seen.only((seen.position > 0) & points[seen.point] & (ranks % every == 0))
    return some, pbm.pairs(some)


def _with_neighbours(
    vectors: Float32,
    seen: Impressions,
    of: pbm.Pairs,
    model: pbm.ClickModel,
    *,
    push: NDArray[np.float64],
    pushed: NDArray[np.bool_],
) -> NDArray[np.float64]:
    prior = pbm.prior_odds(of, model)
    own = of.sum(pbm.evidence(seen, model, push[of.row]))
    belief = expit(prior + own)
    for _ in range(_ROUNDS):
        surprise = np.where(pushed, 0.0, belief - expit(prior))
        hint = neighbours.hints(vectors, of, surprise)
        belief = expit(neighbours.odds(prior, hint, belief) + own)
    return np.asarray(belief)


def _beliefs(
    log: Log,
    clicks: Chosen,
    groups: NDArray[np.int32],
    seen: Impressions,
    of: pbm.Pairs,
    *,
    belief: NDArray[np.float64],
    pushed: NDArray[np.bool_],
) -> Beliefs:
    pair = (of.group << 32) | of.point
    row = np.searchsorted(pair, groups[clicks.search].astype(np.int64) << 32 | clicks.point)
    counts = np.bincount(row, minlength=len(of))
    value = np.bincount(row, weights=clicks.weight, minlength=len(of)) / np.maximum(counts, 1)
    people = np.zeros(len(of), np.int64)
    people[row] = distinct([row.astype(np.int32)], _people(log, clicks))
    return Beliefs(
        search=_standing_for(log, clicks, groups)[of.group] if len(of) else of.group,
        point=of.point,
        belief=belief,
        value=value,
        people=people,
        asking=_askers(log, groups)[of.group],
        shown=of.sum(seen.shown),
        clicked=of.sum(seen.clicked),
        passed=of.sum(seen.passed),
        place=of.place,
        pushed=pushed[of.point],
    )


def _standing_for(log: Log, clicks: Chosen, groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each group its earliest search that somebody acted on; it stays when new ones come."""
    acted = different(clicks.search).astype(np.int64)
    order = acted[np.lexsort((acted, log.searches.time[acted], groups[acted]))]
    group, first = np.unique(groups[order], return_index=True)
    found = np.full(len(log.vectors), -1, np.int64)
    found[group] = order[first]
    return found
