"""Everything nudge-sync raises on purpose.

NudgeSyncError
├── ConfigError                 the TOML file, an option or an environment variable
├── InputError                  arrays, feedback rows, plan files
│   └── ModelMismatch           searches were embedded by another model than the collection
├── DatabaseError               what a connector raises; `transient` says whether to try again
│   ├── Unreachable             no answer, or not ready yet (transient)
│   ├── Unauthorised            the server refused the credentials
│   ├── CollectionNotFound
│   ├── UnsupportedCollection   a safe write is not possible; the message says what would work
│   ├── DiskFull                too little room on the disk of an embedded database, or for
│   │                           temporary files
│   └── WriteNotVerified        what was read back is not what was written
├── SourceError                 what a feedback source raises
│   └── SourceUnreachable       no answer, or none in time (transient)
├── ComputeFailed               the engine of [compute] does not answer, or lost its workers
├── LeaseHeld                   another process works on this collection
├── LeaseLost                   this process no longer holds its lease
├── OnHold                      a person stopped the cycles of this collection
├── AwaitsCanary                a canary runs, or the pause after one is not over
├── ModelChanged                points and feedback are of two embedding models
├── StalePlan                   the collection or its feedback moved on since the plan was made
├── DamagedRecord               a shadow, history or ledger record fails its digest
├── Declined                    a no at the prompt
└── Interrupted                 asked to stop; what is unfinished is resumed next time
"""

from __future__ import annotations


class NudgeSyncError(Exception):
    """nudge-sync could not go on."""

    exit_code = 1
    transient = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class ConfigError(NudgeSyncError):
    """The configuration is not usable."""

    exit_code = 2


class InputError(NudgeSyncError):
    """The input is not usable."""

    exit_code = 2


class ModelMismatch(InputError):
    """The searches were embedded by another model than the collection."""


class DatabaseError(NudgeSyncError):
    """The database refused or failed a request."""


class Unreachable(DatabaseError):
    """The database does not answer, or is not ready yet."""

    transient = True


class Unauthorised(DatabaseError):
    """The database refused the credentials."""


class CollectionNotFound(DatabaseError):
    """There is no such collection."""


class UnsupportedCollection(DatabaseError):
    """This collection cannot be written safely."""


class DiskFull(DatabaseError):
    """The disk of the database, or that of temporary files, has too little room."""


class WriteNotVerified(DatabaseError):
    """What was read back is not what was written."""


class SourceError(NudgeSyncError):
    """A feedback source refused or failed a request."""


class SourceUnreachable(SourceError):
    """A feedback source does not answer."""

    transient = True


class ComputeFailed(NudgeSyncError):
    """The engine of [compute] does not answer, or lost its workers; nothing was written."""


class LeaseHeld(NudgeSyncError):
    """Another process works on this collection."""


class LeaseLost(NudgeSyncError):
    """The lease was taken over by another process; nothing more was written."""


class OnHold(NudgeSyncError):
    """The collection is on hold, and nothing was written; `nudge-sync release` ends that."""

    exit_code = 3


class AwaitsCanary(NudgeSyncError):
    """A canary runs, or ended lately; nothing was written."""

    exit_code = 3


class ModelChanged(NudgeSyncError):
    """The points were embedded by another model than the feedback; nothing was written."""

    exit_code = 3


class StalePlan(NudgeSyncError):
    """The collection or its feedback changed since the plan was made; plan again."""


class DamagedRecord(NudgeSyncError):
    """A record of the sidecar's own fails its digest; nothing was written from it."""


class Declined(NudgeSyncError):
    """Nothing was written: the answer was no."""


class Interrupted(NudgeSyncError):
    """Stopped as asked, between two batches; the next cycle or `resume` finishes what began."""
