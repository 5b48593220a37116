"""Clients and sessions that click like nobody else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32, Int64
from nudge_sync.feedback.clicks.actors import anonymous_code, resolve_clients, resolve_sessions
from nudge_sync.feedback.clicks.stages import ClickContext, StageReport, filter_clicks
from nudge_sync.feedback.log.columns import ActionSelection
from nudge_sync.feedback.log.sorting import mark_changes, order_rows

_MIN_DEVIATION = 0.5
"""On the log scale: where all clients click alike, one may still click e times as much."""


def remove_bots(
    clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, StageReport]:
    """Drop the clicks of bots and those on their searches, and exclude their searches."""
    log, limit = context.log, context.settings.outliers
    suspects: list[str] = []
    is_bot_search = np.zeros(len(context.query_groups), np.bool_)
    is_bot_click = np.zeros(len(clicks), np.bool_)
    for kind, names, search_actors, click_actors in (
        ("client", log.client_ids, log.searches.client, resolve_clients(log, clicks)),
        ("session", log.session_ids, log.searches.session, resolve_sessions(log, clicks)),
    ):
        is_known = click_actors != anonymous_code(names)
        known_clicks = clicks.select(is_known)
        bots = find_bots(
            click_actors[is_known],
            context.query_groups[known_clicks.search],
            known_clicks.point,
            limit,
        )
        suspects += [f"{kind} {names[code]}" for code in bots.tolist()]
        is_bot_search |= np.isin(search_actors, bots)
        is_bot_click |= np.isin(click_actors, bots)
    return filter_clicks(
        clicks,
        ~(is_bot_click | is_bot_search[clicks.search]),
        "bots",
        "clients far outside the distribution",
        excluded_searches=is_bot_search,
        suspected_bots=tuple(suspects),
    )


def find_bots(actor: Int32, query_group: Int32, point: Int32, limit: float) -> Int32:
    """Return the actors who click far more than others, or one point for far more queries.

    actor, query_group, point: (e,), one row a click.  limit: see `is_outlier`.
    The result is sorted and names each actor once.
    """
    if not len(actor):
        return actor
    order, is_new = order_rows([actor, point, query_group])
    sorted_actor = actor[order]
    starts = np.flatnonzero(mark_changes(sorted_actor))
    click_counts = np.diff(np.append(starts, len(sorted_actor)))
    distinct_actor, distinct_point = sorted_actor[is_new], point[order[is_new]]
    pair_starts = np.flatnonzero(mark_changes(distinct_actor) | mark_changes(distinct_point))
    query_counts = np.diff(np.append(pair_starts, len(distinct_actor)))
    max_query_counts = np.maximum.reduceat(
        query_counts, np.flatnonzero(mark_changes(distinct_actor[pair_starts]))
    )
    return np.asarray(
        sorted_actor[starts][is_outlier(click_counts, limit) | is_outlier(max_query_counts, limit)]
    )


def is_outlier(counts: Int64, limit: float) -> NDArray[np.bool_]:
    """Return which counts lie more than `limit` deviations above the median, on a log scale.

    A deviation is 1.4826 times the median absolute deviation of log(1 + count), which for normally
    distributed values is the standard deviation and which a few outliers do not change.
    """
    if not counts.size:
        return np.zeros(0, np.bool_)
    log_counts = np.log1p(counts)
    median = np.median(log_counts)
    deviation = max(1.4826 * float(np.median(np.abs(log_counts - median))), _MIN_DEVIATION)
    return np.asarray((log_counts - median) / deviation > limit)
