"""Simulated searches and clicks, as impressions and as records, for tests of the click model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nudge_sync.feedback.clicks.impressions.counts import Impressions, collect_impressions
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.log.columns import Actions, ActionSelection, Searches
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings

DIMENSION, RANKS, SESSIONS = 16, 8, 40


def simulate_impressions(seed=0, groups=300, points=120, promoted=(), promotion_rate=0.0):
    """Return impressions of lists of RANKS points, and which rows are relevant.

    A rank r is examined with probability 1 / r; a relevant point is then clicked with 0.8, another
    with 0.1, and a promoted one, which is never relevant, at whatever rank with `promotion_rate`
    more.
    """
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(points)[:RANKS] for _ in range(groups)])
    is_relevant = rng.random((groups, RANKS)) < np.linspace(0.5, 0.05, RANKS)
    is_relevant &= ~np.isin(lists, promoted)
    chance = np.where(is_relevant, 0.8, 0.1) / np.arange(1, RANKS + 1)
    chance = np.where(np.isin(lists, promoted), chance + promotion_rate, chance)
    clicked = rng.binomial(SESSIONS, chance).astype(np.float64)
    group, index = np.divmod(np.arange(groups * RANKS), RANKS)
    impressions = Impressions(
        query_group=group,
        point=lists.ravel(),
        rank=index + 1,
        distance_class=np.zeros(len(group), np.int64),
        shown=np.full(len(group), float(SESSIONS)),
        clicked=clicked.ravel(),
        skipped=np.zeros(len(group)),
    )
    order = np.lexsort((impressions.rank, impressions.point, impressions.query_group))
    return impressions.select(order), is_relevant.ravel()[order]


def collect_from_lists(groups, clicked):
    """Return the impressions of searches whose lists hold points of their own query group.

    groups: (s,).  clicked: (s, k), which results of each list were clicked.
    """
    count, size = clicked.shape
    zeros = np.zeros(count, np.int32)
    points = (groups[:, None] * size + np.arange(size)).astype(np.int32)
    searches = Searches(
        query_ids=[f"{row:06d}" for row in range(count)],
        vector_row=groups.astype(np.int32),
        time=zeros.astype(np.float64),
        session=zeros,
        client=zeros,
        shown_starts=np.arange(count + 1) * size,
        shown=points.ravel(),
    )
    search, index = np.nonzero(clicked)
    unused = np.zeros(len(search), np.int32)
    actions = Actions(
        search.astype(np.int32),
        points[search, index],
        weight=np.ones(len(search)),
        rank=unused,
        time=unused.astype(np.float64),
        session=unused,
        client=unused,
    )
    clicks = ActionSelection.select_all(actions)
    return collect_impressions(searches, groups.astype(np.int32), clicks, np.ones(count))


def replace_by_random_clicks(impressions, rate, seed=0):
    """Return the impressions with clicks that depend on the rank and on `rate` alone."""
    clicked = np.random.default_rng(seed).binomial(SESSIONS, rate / impressions.rank)
    return replace(impressions, clicked=clicked.astype(np.float64))


def unit_rows(rows):
    """Return the rows scaled to length 1, float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def store_click_log(queries, events):
    """Store ten queries, each searched by twenty people; point 100 + q answers query q at rank 2.

    Fifteen people click the answer; one clicks the point above it and one that was not shown.
    """
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(10, DIMENSION)).astype(np.float32)
    for q in range(10):
        for n in range(20):
            name, client = f"{q} {n:02d}", f"c{q} {n}"
            shown = (q, 100 + q, 20 + q, 30 + q)
            search = Search(name, vectors[q], timestamp=1e9 + n, shown=shown, client_id=client)
            queries.put([to_search_record(search)])
            points = [100 + q] * (n % 4 != 3) + [q, 77] * (n == 5)
            for point in points:
                events.put([to_event_record(Event(name, "click", point, client_id=client))])


def store_rank_bias(queries, events, groups, searches, points=4000):
    """Store lists of random points, of which people click two by their rank alone."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(groups, DIMENSION)).astype(np.float32)
    examination = 1 / np.arange(1, RANKS + 1)
    for q in range(groups):
        shown = tuple(rng.permutation(points)[:RANKS].tolist())
        for n in range(searches):
            name, client = f"{q:03d} {n:02d}", f"c{q} {n}"
            search = Search(name, vectors[q], shown=shown, client_id=client)
            queries.put([to_search_record(search)])
            for index in rng.choice(RANKS, 2, p=examination / examination.sum()):
                event = Event(name, "click", shown[index], client_id=client)
                events.put([to_event_record(event)])


def store_noisy_clicks(queries, events, groups=120, searches=8):
    """Store lists of one relevant point among others, clicked with 0.8 and 0.1 over the rank."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(groups, DIMENSION)).astype(np.float32)
    for q in range(groups):
        points = [q, *rng.choice(np.arange(groups, 2 * groups), RANKS - 1, replace=False).tolist()]
        for n in range(searches):
            shown = tuple(rng.permutation(points).tolist())
            search = Search(f"{q:03d} {n}", vectors[q], shown=shown, client_id=f"c{q} {n}")
            queries.put([to_search_record(search)])
            for index, point in enumerate(shown):
                if rng.random() < (0.8 if point == q else 0.1) / (index + 1):
                    event = Event(search.query_id, "click", point, client_id=search.client_id)
                    events.put([to_event_record(event)])


def read_click_judgements(log, **settings):
    """Return the judgements of a pair (queries, events) of records."""
    return read_judgements(*log, FeedbackSettings(**settings), DIMENSION)
