"""Clients and sessions that click like nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32
from nudge_sync.base.partitions import Partitions, count_partitions, spread
from nudge_sync.base.spooled import read_parts
from nudge_sync.feedback.clicks.actors import anonymous_code, resolve_clients, resolve_sessions
from nudge_sync.feedback.clicks.stages import ClickContext, StageReport, filter_clicks
from nudge_sync.feedback.log.columns import ActionSelection, Log
from nudge_sync.feedback.log.sorting import mark_changes, order_rows
from nudge_sync.feedback.log.strings import Strings

_Resolve: TypeAlias = Callable[[Log, ActionSelection], Int32]
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
    for kind, names, search_actors, resolve in (
        ("client", log.client_ids, log.searches.client, resolve_clients),
        ("session", log.session_ids, log.searches.session, resolve_sessions),
    ):
        bots = find_bots(_distribute(clicks, context, names, resolve), limit)
        suspects += [f"{kind} {names[code]}" for code in bots.tolist()]
        if not len(bots):
            continue
        is_bot = np.zeros(len(names), np.bool_)
        is_bot[bots] = True
        is_bot_click |= _mark_clicks(clicks, log, resolve, is_bot)
        for rows in read_parts(len(search_actors)):
            is_bot_search[rows] |= is_bot[search_actors[rows]]
    return filter_clicks(
        clicks,
        ~(is_bot_click | clicks.mark(lambda part: is_bot_search[part.search])),
        "bots",
        "clients far outside the distribution",
        excluded_searches=is_bot_search,
        suspected_bots=tuple(suspects),
    )


def _distribute(
    clicks: ActionSelection, context: ClickContext, names: Strings, resolve: _Resolve
) -> Partitions:
    """Return the clicks of known actors in partitions by actor, query group and point."""
    partitions = Partitions(count_partitions(len(clicks)), [np.int32] * 3)
    for part in clicks.split():
        actor = resolve(context.log, part)
        query_group, point = context.query_groups[part.search], part.point
        is_known = actor != anonymous_code(names)
        known = (column[is_known] for column in (actor, query_group, point))
        partitions.add(spread(actor[is_known], len(partitions)), *known)
    return partitions


def _mark_clicks(
    clicks: ActionSelection, log: Log, resolve: _Resolve, is_bot: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which clicks are those of bots, (e,)."""
    return clicks.mark(lambda part: is_bot[resolve(log, part)])


def find_bots(clicks: Iterable[Sequence[Int32]], limit: float) -> Int32:
    """Return the actors who click far more than others, or one point for far more queries.

    clicks: parts of actor, query group and point, each (e,), one row a click; all of an actor in
    one part.  limit: see `is_outlier`.
    The result is sorted and names each actor once.
    """
    counts = [_count_clicks(*part) for part in clicks]
    actor, click_counts, max_query_counts = map(np.concatenate, zip(*counts, strict=True))
    is_bot = is_outlier(click_counts, limit) | is_outlier(max_query_counts, limit)
    return np.asarray(np.sort(actor[is_bot]))


def _count_clicks(actor: Int32, query_group: Int32, point: Int32) -> tuple[Int32, Int32, Int32]:
    """Return each actor once, (a,), how often it clicked, (a,), and for how many different query
    groups it clicked the point that it clicked for most of them, (a,).
    """
    if not len(actor):
        return actor, actor, actor
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
    return (
        sorted_actor[starts], click_counts.astype(np.int32), max_query_counts.astype(np.int32)
    )  # fmt: skip


def is_outlier(counts: NDArray[np.integer], limit: float) -> NDArray[np.bool_]:
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
