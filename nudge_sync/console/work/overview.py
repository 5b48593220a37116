"""What the overview says of a collection: read from ledger and settings, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nudge_sync.config import CollectionSettings
from nudge_sync.console.charts import GainRow
from nudge_sync.store import lease
from nudge_sync.store.hold import Hold, read_hold
from nudge_sync.store.ledger import Revision, find_head, find_pending_revisions
from nudge_sync.store.target import Target, find_problems

MAX_CHARTED_REVISIONS = 60
"""The newest revisions that the chart shows."""


@dataclass(frozen=True, slots=True)
class LatestPlan:
    """What the newest revision with a plan says of it."""

    revision: int
    method: str
    metric: str
    before: float | None
    after: float | None
    gain: float | None
    low: float | None
    high: float | None
    """The gate's gain over the originals, with its interval."""
    judged: int | None
    """Points with evidence."""


@dataclass(frozen=True, slots=True)
class CollectionOverview:
    """A collection at a glance."""

    name: str
    collection: str
    """The real collection behind an alias."""
    points: int
    dimension: int
    metric: str
    head: int
    """The revision that is live; 0 for the originals."""
    applied_at: int
    """When that was written, in milliseconds since 1970; 0 where nothing was."""
    revision_count: int
    latest: LatestPlan | None
    gains: list[GainRow]
    hold: Hold | None
    writer: str
    """Who holds the lease, "" if nobody does."""
    schedule: str
    """When cycles run, as configured; "" for never."""
    attention: list[str]
    """What a person should look at, each a sentence."""


def describe_collection(target: Target, settings: CollectionSettings) -> CollectionOverview:
    """Return what is known of a collection without reading its points or its feedback.

    Raises DamagedRecord, DatabaseError.
    """
    entries = target.open_ledger().entries()
    head = find_head(entries)
    hold, holder = read_hold(target), lease.read_active_lease(target)
    written = [entry for entry in entries if entry.details.applied_at]
    return CollectionOverview(
        name=target.name,
        collection=target.facts.collection,
        points=target.facts.points,
        dimension=target.facts.dimension,
        metric=target.facts.metric,
        head=head,
        applied_at=written[-1].details.applied_at if written else 0,
        revision_count=len(entries),
        latest=_find_latest_plan(entries),
        gains=list_gains(entries, MAX_CHARTED_REVISIONS),
        hold=hold,
        writer=holder.describe() if holder else "",
        schedule=describe_schedule(settings),
        attention=[
            *find_problems(target.facts),
            *_list_concerns(entries, head, hold, settings),
        ],
    )


def list_gains(entries: Sequence[Revision], limit: int) -> list[GainRow]:
    """Return the held-out gain of applied revisions with its interval, in points of 100.

    Of the newest `limit` that say one, oldest first.
    """
    rows: list[GainRow] = []
    for entry in reversed(entries):
        if entry.kind == "apply" and entry.state == "applied" and len(rows) < limit:
            gain, low, high = _read_gain(entry.details.plan)
            if gain is not None and low is not None and high is not None:
                rows.append(GainRow(str(entry.number), 100 * gain, 100 * low, 100 * high))
    return rows[::-1]


def describe_schedule(settings: CollectionSettings) -> str:
    """Return when the daemon runs cycles of a collection, for people; "" for never."""
    schedule = settings.schedule
    if schedule.cron:
        return f"{schedule.cron} ({schedule.timezone})"
    return f"every {schedule.every}" if schedule.every else ""


def _find_latest_plan(entries: Sequence[Revision]) -> LatestPlan | None:
    entry = next((entry for entry in reversed(entries) if entry.details.plan), None)
    if entry is None:
        return None
    plan = entry.details.plan
    metric, judged = str(plan.get("metric", "")), plan.get("judged")
    gain, low, high = _read_gain(plan)
    return LatestPlan(
        revision=entry.number,
        method=str(plan.get("method", "")),
        metric=metric,
        before=_read_score(plan, "before", metric),
        after=_read_score(plan, "after", metric),
        gain=gain,
        low=low,
        high=high,
        judged=judged if isinstance(judged, int) else None,
    )


def _read_score(plan: Mapping[str, Any], state: str, metric: str) -> float | None:
    scores = plan.get(state)
    return _read_number(scores.get(metric)) if isinstance(scores, Mapping) else None


def _read_gain(plan: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Return the gate's gain and its interval; None for what a plan of the ledger does not say.

    The ledger keeps whatever any version said of a plan.
    """
    gate = plan.get("gate")
    if not isinstance(gate, Mapping):
        return None, None, None
    interval = gate.get("interval")
    ends = interval if isinstance(interval, list) and len(interval) == 2 else [None, None]  # noqa: PLR2004
    return _read_number(gate.get("gain")), _read_number(ends[0]), _read_number(ends[1])


def _read_number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _list_concerns(
    entries: Sequence[Revision], head: int, hold: Hold | None, settings: CollectionSettings
) -> list[str]:
    concerns = []
    if hold is not None:
        concerns.append(f"On hold {hold.describe()}. No cycle writes until it is released.")
    pending = find_pending_revisions(list(entries))
    if pending:
        numbers = ", ".join(str(entry.number) for entry in pending)
        concerns.append(
            f"Revision {numbers} is unfinished; the next cycle or `nudge-sync resume` ends it."
        )
    last = entries[-1] if entries else None
    if last is not None and last.details.lost is not None:
        concerns.append(
            f"Revision {last.parent} was a loss on the live index and was rolled back by revision "
            f"{last.number}."
        )
    if last is not None and last.details.drifted:
        concerns.append(
            f"{last.details.drifted:,} points of revision {last.number} were re-embedded by the "
            "application meanwhile and were left alone."
        )
    if not entries:
        concerns.append("No cycle has run yet: every point holds its original.")
    elif not head and last is not None and last.kind == "rollback":
        concerns.append("Every point was put back to its original.")
    if not describe_schedule(settings):
        concerns.append("No schedule is set: cycles run only when somebody starts them.")
    return concerns
