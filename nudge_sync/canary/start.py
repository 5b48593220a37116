"""Start a canary, by hand or as the daemon's cycle."""

from __future__ import annotations

import math
import time

from nudge_sync import cycle
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.canary.status import find_last_canary
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import AwaitsCanary
from nudge_sync.planning.plan import Plan
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.erasure import read_erasure_state
from nudge_sync.store.experiments.ending import Ending
from nudge_sync.store.ledger import Revision
from nudge_sync.store.target import Target

_SECONDS_PER_DAY = 86_400
_CLOCK_SKEW_SECONDS = 3_600
"""How far the clocks of two machines may be apart."""


def start(
    target: Target,
    settings: CollectionSettings,
    plan: Plan | None = None,
    progress: Progress = ignore_progress,
) -> cycle.CycleReport:
    """Run a cycle whose plan, made now unless it is given, is shown by a canary, not written.

    Raises what `cycle.apply` raises.
    """
    canary = settings.canary or CanarySettings()
    return cycle.apply(target, settings, plan, progress, canary=canary)


def run_cycle(
    target: Target, settings: CollectionSettings, progress: Progress = ignore_progress
) -> cycle.CycleReport:
    """Run a cycle as the daemon does: with a canary where the settings ask for one.

    Raises AwaitsCanary while a canary runs, and for `canary.retry_days` after one that was not
    promoted, unless removed feedback waits to be forgotten; and what `cycle.apply` raises.
    """
    canary = settings.canary
    if canary is None or not canary.enabled:
        return cycle.apply(target, settings, None, progress)
    if not read_erasure_state(target).is_pending:
        _refuse_pause(target, canary)
    return start(target, settings, None, progress)


def _refuse_pause(target: Target, canary: CanarySettings) -> None:
    last = find_last_canary(target.open_ledger().entries())
    ending = None if last is None else last.details.ending
    if last is None or ending is None or ending.verdict == "promote":
        return
    days_left = canary.retry_days - _count_days_since(last, ending)
    if days_left > 0:
        raise AwaitsCanary(
            f'the canary of revision {last.number} on "{target.facts.collection}" ended as '
            f"{ending.verdict}: {ending.reason}. The next one starts in {days_left:.1f} days "
            "(canary.retry_days), or with `nudge-sync canary start`"
        )


def _count_days_since(entry: Revision, ending: Ending) -> float:
    """Return how many days ago the canary of `entry` ended, by this machine's clock.

    An ending that has yet to come is of a clock that ran ahead. The canary counts from when it
    began then, or where that has yet to come, too, as long over: no clock prolongs the pause.
    """
    now = time.time()
    for moment in (ending.at, entry.details.candidate_at):
        seconds = now - moment / 1000
        if seconds > -_CLOCK_SKEW_SECONDS:
            return max(seconds, 0.0) / _SECONDS_PER_DAY
    return math.inf
