"""What a stage of the click pipeline takes and gives: clicks in, fewer clicks and a report out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int32
from nudge_sync.base.spooled import compute_column
from nudge_sync.feedback.log.columns import ActionSelection, Log
from nudge_sync.settings.feedback import FeedbackSettings


@dataclass(frozen=True, slots=True)
class FunnelStage:
    """How much one stage kept and removed, and why."""

    name: str
    kept: int
    removed: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClickContext:
    """What every stage may read beside the clicks themselves."""

    log: Log
    settings: FeedbackSettings
    query_groups: Int32
    """(s,): the query group of each search, or -1 where the search does not count. All are -1 until
    the queries have been grouped."""

    def exclude_searches(self, reports: Sequence[StageReport]) -> ClickContext:
        """Return the context in which the searches that the reports exclude do not count."""
        masks = [each.excluded_searches for each in reports if each.excluded_searches is not None]

        def exclude(part: slice) -> Int32:
            query_groups = self.query_groups[part].copy()
            for mask in masks:
                query_groups[mask[part]] = -1
            return query_groups

        query_groups = compute_column(len(self.query_groups), np.int32, exclude)
        return replace(self, query_groups=query_groups)


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage removed, and what else it found out on the way."""

    funnel: FunnelStage
    excluded_searches: NDArray[np.bool_] | None = None
    """(s,): searches of which the impressions are not to be counted either."""
    suspected_bots: tuple[str, ...] = ()
    """Clients and sessions taken for bots."""
    promoted_points: NDArray[np.bool_] | None = None
    """(points,): points that are clicked where they were not shown."""


ClickStage: TypeAlias = Callable[
    [ActionSelection, ClickContext], tuple[ActionSelection, StageReport]
]


def run_stages(
    stages: Sequence[ClickStage], clicks: ActionSelection, context: ClickContext
) -> tuple[ActionSelection, list[StageReport]]:
    """Pass the clicks through the stages in their order; return what is left and each report."""
    reports = []
    for stage in stages:
        clicks, report = stage(clicks, context)
        reports.append(report)
    return clicks, reports


def count_stage(name: str, kept: NDArray[np.bool_], reason: str) -> FunnelStage:
    """Return the funnel stage of a mask of the kept rows."""
    kept_count = int(np.count_nonzero(kept))
    return FunnelStage(name, kept_count, len(kept) - kept_count, reason)


def filter_clicks(
    clicks: ActionSelection, kept: NDArray[np.bool_], name: str, reason: str, **findings: Any
) -> tuple[ActionSelection, StageReport]:
    """Return the kept clicks, and a report that counts them and holds the `findings`."""
    return clicks.select(kept), StageReport(count_stage(name, kept, reason), **findings)
