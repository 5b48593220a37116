"""Limits on how many clicks of one person, one session, or one person on one point count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32
from nudge_sync.base.partitions import Partitions, count_partitions, spread
from nudge_sync.feedback.clicks.actors import anonymous_code, identify_people, resolve_sessions
from nudge_sync.feedback.clicks.stages import ClickContext, StageReport, count_stage
from nudge_sync.feedback.log.columns import ActionSelection
from nudge_sync.feedback.log.sorting import order_rows


def apply_caps(
    clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, StageReport]:
    """Keep the earliest clicks of each person and session, up to the caps of the settings.

    A person counts once for each query group and point, at most `client_cap` times in all, and for
    at most `point_cap` query groups on one point; a known session at most `session_cap` times.
    A search whose clicks are all beyond the caps does not count at all: else whoever finds the same
    result day after day would have skipped it every day but the first.
    """
    settings, kept = context.settings, np.ones(len(clicks), np.bool_)
    by_person, by_session = _distribute(clicks, context)
    for row, time, session in by_session:
        order = np.argsort(time, kind="stable")
        kept[row[order]] = is_within_cap([session[order]], settings.session_cap)
    for row, time, person, query_group, point in by_person:
        order = np.argsort(time, kind="stable")
        rows, people, points = row[order], person[order], point[order]
        is_kept = kept[rows] & is_within_cap([people, query_group[order], points], 1)
        is_kept &= is_within_cap([people], settings.client_cap)
        left = np.flatnonzero(is_kept)
        is_kept[left] = is_within_cap([people[left], points[left]], settings.point_cap)
        kept[rows] = is_kept
    remaining = clicks.select(kept)
    is_capped = np.zeros(len(context.query_groups), np.bool_)
    for chosen, is_beyond in ((clicks, True), (remaining, False)):
        for part in chosen.split():
            is_capped[part.search] = is_beyond
    return remaining, StageReport(
        count_stage("caps", kept, "beyond what one client or session may say"),
        excluded_searches=is_capped,
    )


def _distribute(clicks: ActionSelection, context: ClickContext) -> tuple[Partitions, Partitions]:
    """Return the clicks by their person and, where it is known, by their session.

    Columns: the number of the click, its time, and the person, the query group and the point; or
    the session.
    """
    log, count, first = context.log, count_partitions(len(clicks)), 0
    by_person = Partitions(count, [np.int32, np.float64, np.int32, np.int32, np.int32])
    by_session = Partitions(count, [np.int32, np.float64, np.int32])
    for part in clicks.split():
        row, time = np.arange(first, first + len(part), dtype=np.int32), part.time
        person, session = identify_people(log, part), resolve_sessions(log, part)
        query_group = context.query_groups[part.search]
        by_person.add(spread(person, count), row, time, person, query_group, part.point)
        is_known = session != anonymous_code(log.session_ids)
        known = (column[is_known] for column in (row, time, session))
        by_session.add(spread(session[is_known], count), *known)
        first += len(part)
    return by_person, by_session


def is_within_cap(keys: Sequence[Int32], cap: int) -> NDArray[np.bool_]:
    """Return which rows are among the first `cap` of those with the same keys, in their order."""
    row_count = len(keys[0])
    order, is_new = order_rows(keys)
    run = np.cumsum(is_new, dtype=np.int32)
    kept = np.ones(row_count, np.bool_)
    # Beyond the first `cap` rows of a run, the row `cap` before belongs to the same run.
    kept[order[cap:]] = run[cap:] != run[: max(0, row_count - cap)]
    return kept
