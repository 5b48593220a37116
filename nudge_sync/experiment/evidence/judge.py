"""From the experiment that runs to a decision, by what the database holds now."""

from __future__ import annotations

from dataclasses import replace

from nudge_sync.errors import ConfigError, DatabaseError
from nudge_sync.experiment.evidence.credit import load_credits
from nudge_sync.experiment.evidence.decision import (
    SECONDS_PER_DAY,
    Decision,
    decide,
    decide_holdback,
    weigh_evidence,
)
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.experiments.running import RunningExperiment
from nudge_sync.store.target import Target


def judge_experiment(
    target: Target,
    running: RunningExperiment,
    feedback: FeedbackSettings,
    canary: CanarySettings,
    *,
    now: float,
) -> Decision:
    """Return what to do with the experiment that runs, at `now`, in seconds since 1970.

    Mode, share and unit are those it was started with, whatever the settings say by now. A database
    that does not answer pauses it, and so does an application's log that cannot be read as
    configured: neither keeps it from ending when its time is over.
    """
    settings = canary.model_copy(update={"mode": running.mode})
    is_canary = running.kind == "canary"
    started = running.started_at / 1000
    if not is_canary:
        started = _begin_period(started, settings.max_days * SECONDS_PER_DAY, now)
    trouble = ""
    try:
        session_credits = load_credits(
            target,
            running.experiment_id,
            feedback,
            settings,
            unit=running.unit,
            started=started,
            now=now,
        )
    except (DatabaseError, ConfigError) as error:
        evidence, trouble = None, f": {error}"
    else:
        treatment_share = running.share if is_canary else 1 - running.share
        evidence = weigh_evidence(session_credits, settings, treatment_share)
    conclude = decide if is_canary else decide_holdback
    decision = conclude(evidence, settings, started=started, now=now)
    return replace(decision, reason=decision.reason + trouble)


def _begin_period(started: float, length: float, now: float) -> float:
    """Return when the period of a holdback began that `now` is in."""
    return started + max(0.0, now - started) // length * length
