"""The experiment that runs on a collection: one record in the ledger's collection.

Applications read it to learn what to show whom, so that they need no settings of their own.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord, InputError, LeaseLost
from nudge_sync.store import checksum, schema
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Target

EXPERIMENT_KEY = "experiment"
"""The key of its record, which stands in the ledger."""
ExperimentKind: TypeAlias = Literal["canary", "holdback"]
"""canary: the treatment is not written yet. holdback: the control is what was there before."""
ExperimentMode: TypeAlias = Literal["split", "interleave"]
"""split: each session sees one arm. interleave: each list is made of both."""
AssignmentUnit: TypeAlias = Literal["session", "client"]
_KEY_BYTES = 16


@dataclass(frozen=True)
class RunningExperiment:
    """What is compared on live traffic, and on how much of it."""

    __pydantic_config__ = schema.FORBID_EXTRA

    kind: ExperimentKind
    revision: Annotated[int, Field(ge=1, lt=2**63)]
    """canary: the revision whose vectors the candidate holds. holdback: the collection's head."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Of sessions or clients that get the arm which the collection does not hold (split), or an
    interleaved list (interleave)."""
    mode: ExperimentMode = "split"
    unit: AssignmentUnit = "session"
    """What is assigned to an arm; a search that does not name its own takes no part."""
    key: Annotated[str, Field(pattern=r"\A[0-9a-f]{32}\z")] = ""
    """Of the hash that assigns: another experiment draws other sessions."""
    started_at: schema.TimestampMs = 0
    rows: schema.Count = 0
    """canary: how many points the candidate holds."""

    @property
    def experiment_id(self) -> str:
        """What searches that take part in it are stored with, such as "canary:12"."""
        return f"{self.kind}:{self.revision}"

    @property
    def live_arm(self) -> Literal["control", "treatment"]:
        """Which arm the collection itself is."""
        return "control" if self.kind == "canary" else "treatment"


@dataclass(frozen=True)
class _StoredExperiment:
    """The record's content; without an experiment after the last one ended."""

    __pydantic_config__ = schema.FORBID_EXTRA

    running: RunningExperiment | None = None
    generation: schema.Count = 0


def read_running_experiment(target: Target) -> RunningExperiment | None:
    """Return the experiment that runs now, or None. Raises DamagedRecord."""
    return _read_stored(target).running


def start_experiment(
    target: Target,
    kind: ExperimentKind,
    revision: int,
    share: float,
    *,
    mode: ExperimentMode = "split",
    unit: AssignmentUnit = "session",
    rows: int = 0,
) -> RunningExperiment:
    """Store that an experiment runs from now on, with a new key, and return it.

    Applications follow within half a minute. The overlay must be complete before: for a canary
    `stage_candidate`, and rows is how many points it staged. Call it with the lease held. Starting
    what runs already changes nothing. Raises InputError while another one runs, LeaseLost if
    another process changed the record meanwhile, and DamagedRecord.
    """
    stored = _read_stored(target)
    if stored.running is not None:
        if (stored.running.kind, stored.running.revision) == (kind, revision):
            return stored.running
        raise InputError(
            f"experiment {stored.running.experiment_id} runs on "
            f'"{target.facts.collection}"; end it first'
        )
    running = RunningExperiment(
        kind, revision, share, mode, unit, secrets.token_hex(_KEY_BYTES), now_ms(), rows
    )
    _swap(target, stored, running)
    return running


def end_experiment(target: Target) -> RunningExperiment | None:
    """Store that no experiment runs, and return the one that did, or None.

    Call it before anything that the experiment compares is changed or dropped, with the lease
    held. A record that cannot be read is replaced: it must not keep anybody from rolling back.
    Raises LeaseLost if another process changed the record meanwhile.
    """
    try:
        stored = _read_stored(target)
    except DamagedRecord:
        # By the clock, since nobody can have come to that many changes.
        target.ledger_records.put([_build_record(_StoredExperiment(generation=now_ms()))])
        return None
    if stored.running is not None:
        _swap(target, stored, None)
    return stored.running


def _read_stored(target: Target) -> _StoredExperiment:
    for record in target.ledger_records.get([EXPERIMENT_KEY]):
        try:
            checksum.verify_checksums([record], target.ledger_name)
            content = record.document.get("experiment")
            return schema.parse_content(_StoredExperiment, content, record, target.ledger_name)
        except DamagedRecord as error:
            cure = "for the experiment: `nudge-sync canary stop`"
            raise DamagedRecord(f"{error}; {cure}") from None
    return _StoredExperiment()


def _swap(target: Target, stored: _StoredExperiment, running: RunningExperiment | None) -> None:
    updated = _StoredExperiment(running, stored.generation + 1)
    if not target.ledger_records.swap(_build_record(updated), stored.generation or None):
        raise LeaseLost(
            f'another process changed the experiment on "{target.facts.collection}" meanwhile; '
            "run the command again"
        )


def _build_record(stored: _StoredExperiment) -> Record:
    document = {"generation": stored.generation, "experiment": asdict(stored)}
    return checksum.add_checksum(EXPERIMENT_KEY, document)
