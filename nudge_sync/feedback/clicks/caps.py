"""Limits on how many clicks of one person, one session, or one person on one point count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32
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
    log, settings = context.log, context.settings
    order = np.argsort(clicks.time, kind="stable").astype(np.int32)
    people, point = identify_people(log, clicks)[order], clicks.point[order]
    query_group = context.query_groups[clicks.search][order]
    session = resolve_sessions(log, clicks)[order]
    kept = is_within_cap([people, query_group, point], 1)
    kept &= is_within_cap([people], settings.client_cap)
    is_unknown = session == anonymous_code(log.session_ids)
    kept &= is_unknown | is_within_cap([session], settings.session_cap)
    kept_rows = np.flatnonzero(kept)
    kept[kept_rows] = is_within_cap([people[kept_rows], point[kept_rows]], settings.point_cap)
    left = clicks.select(np.sort(order[kept]))
    is_capped = np.zeros(len(context.query_groups), np.bool_)
    is_capped[clicks.search] = True
    is_capped[left.search] = False
    return left, StageReport(
        count_stage("caps", kept, "beyond what one client or session may say"),
        excluded_searches=is_capped,
    )


def is_within_cap(keys: Sequence[Int32], cap: int) -> NDArray[np.bool_]:
    """Return which rows are among the first `cap` of those with the same keys, in their order."""
    row_count = len(keys[0])
    order, is_new = order_rows(keys)
    run = np.cumsum(is_new, dtype=np.int32)
    kept = np.ones(row_count, np.bool_)
    # Beyond the first `cap` rows of a run, the row `cap` before belongs to the same run.
    kept[order[cap:]] = run[cap:] != run[: max(0, row_count - cap)]
    return kept
