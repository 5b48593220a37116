"""What is compared on live traffic now, and what the evidence says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nudge_sync.config import CollectionSettings
from nudge_sync.errors import DamagedRecord
from nudge_sync.experiment.evidence.decision import Decision
from nudge_sync.experiment.evidence.judge import judge_experiment
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.experiments.running import RunningExperiment, read_running_experiment
from nudge_sync.store.ledger import Revision, find_candidate, find_head
from nudge_sync.store.target import Target
from nudge_sync.writing.canary import read_canary_settings


@dataclass(frozen=True)
class ExperimentStatus:
    """The experiment of a collection at one time."""

    collection: str
    running: RunningExperiment | None
    """What applications show; None: the collection alone."""
    candidate: Revision | None
    """The revision that a canary tries."""
    decision: Decision | None
    """What follows from the evidence; None where nothing runs."""
    last: Revision | None
    """The revision whose canary ended last, whether it was written or not."""
    head: int
    """The revision that the collection holds."""

    def summary(self) -> dict[str, Any]:
        """Return the fields of `canary status --json`."""
        running, decision = self.running, self.decision
        return {
            "collection": self.collection,
            "experiment": None if running is None else _summarise_running(running),
            **(decision.summary() if decision else {"verdict": None, "reason": "nothing runs"}),
            "last": None if self.last is None else summarise_ending(self.last),
        }


def read_status(target: Target, settings: CollectionSettings, *, now: float) -> ExperimentStatus:
    """Return what runs, and what its evidence says at `now`, in seconds since 1970. Writes nothing.

    Raises DamagedRecord, DatabaseError.
    """
    entries = target.open_ledger().entries()
    candidate = find_candidate(entries)
    running = read_running_experiment(target)
    decision = None
    if running is not None:
        canary = choose_canary_settings(candidate, settings)
        decision = judge_experiment(target, running, settings.feedback, canary, now=now)
    return ExperimentStatus(
        target.name, running, candidate, decision, find_last_canary(entries), find_head(entries)
    )


def read_status_to_stop(
    target: Target, settings: CollectionSettings, *, now: float
) -> ExperimentStatus:
    """Return what runs, and its evidence, as far as both can be read.

    A damaged record must keep nobody from ending it.
    Raises DamagedRecord where the ledger's revisions cannot be read, DatabaseError.
    """
    try:
        return read_status(target, settings, now=now)
    except DamagedRecord:
        entries = target.open_ledger().entries()
    return ExperimentStatus(
        target.name,
        read_running_to_stop(target)[0],
        find_candidate(entries),
        None,
        find_last_canary(entries),
        find_head(entries),
    )


def read_running_to_stop(target: Target) -> tuple[RunningExperiment | None, bool]:
    """Return what runs, and whether the record that says so is damaged: then it is None."""
    try:
        return read_running_experiment(target), False
    except DamagedRecord:
        return None, True


def choose_canary_settings(
    candidate: Revision | None, settings: CollectionSettings
) -> CanarySettings:
    """Return the settings that a canary was started with; without one, those of the collection."""
    if candidate is not None:
        return read_canary_settings(candidate)
    return settings.canary or CanarySettings()


def find_last_canary(entries: list[Revision]) -> Revision | None:
    """Return the revision whose canary ended last, or None.

    entries: oldest first. One canary runs at a time, so that the newest ended last; clocks of
    several machines would not tell.
    """
    ended = (
        entry
        for entry in reversed(entries)
        if entry.details.ending is not None and entry.state != "candidate"
    )
    return next(ended, None)


def identify_experiment(candidate: Revision | None, running: RunningExperiment | None) -> str:
    """Return what tells an experiment from those before and after it; "" where none runs.

    A canary is its candidate, whether a crash kept it from being shown or not.
    """
    if candidate is not None:
        return f"canary:{candidate.number}"
    return f"{running.experiment_id}:{running.started_at}" if running is not None else ""


def summarise_ending(entry: Revision) -> dict[str, Any]:
    """Return how the canary of a revision ended, as `canary status --json` shows it."""
    ending = entry.details.ending
    if ending is None:
        return {}
    return {
        "revision": entry.number,
        "state": entry.state,
        "verdict": ending.verdict,
        "reason": ending.reason,
        "ended_at": ending.at,
        "by": ending.by,
        **({"evidence": ending.evidence} if ending.evidence else {}),
    }


def _summarise_running(running: RunningExperiment) -> dict[str, Any]:
    return {
        "kind": running.kind,
        "revision": running.revision,
        "mode": running.mode,
        "unit": running.unit,
        "share": running.share,
        "started_at": running.started_at,
        "points": running.rows or None,
    }
