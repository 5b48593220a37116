"""The candidate: vectors that a canary shows to some sessions, and that nothing has written yet.

They stand in a collection of their own, `docs__nudge_candidate`, as records of the same form as the
history's. The collection itself is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import Float32, PointId, Record
from nudge_sync.errors import DamagedRecord, InputError, WriteNotVerified
from nudge_sync.store.experiments.running import read_running_experiment
from nudge_sync.store.history import History
from nudge_sync.store.lease import HeldLease
from nudge_sync.store.retry import RetryingRecords
from nudge_sync.store.target import Target, format_companion_name, open_companion

_BATCH_SIZE = 1000


def open_candidate(target: Target) -> History:
    """Return the candidate's records; creates nothing."""
    records = open_companion(target.database, target.prefix, "candidate", target.facts)
    name = format_companion_name(target.prefix, "candidate")
    return History(RetryingRecords(records, target.patience), name)


def stage_candidate(
    target: Target,
    revision: int,
    ids: list[PointId],
    *,
    vectors: Float32,
    replaced: Float32,
    originals: Float32,
    progress: Progress = ignore_progress,
) -> int:
    """Store the vectors that a canary tries, replacing what an earlier one left, and return how
    many there are.

    All arrays are (n, d), a row a point. vectors: of the treatment.  replaced: what the points hold
    now.  originals: what the new vectors were made from.  progress: called after each batch, with a
    heartbeat of the lease. Nobody is shown any of it before `start_experiment`. Call it with the
    lease held. Raises InputError while a canary runs, and
    WriteNotVerified where what is read back is not what was stored.
    """
    running = read_running_experiment(target)
    if running is not None and running.kind == "canary":
        raise InputError(f"experiment {running.experiment_id} uses the candidate; end it first")
    candidate = open_candidate(target)
    candidate.records.drop()
    for start in range(0, len(ids), _BATCH_SIZE):
        rows = slice(start, start + _BATCH_SIZE)
        candidate.add_rows(revision, ids[rows], vectors[rows], replaced[rows], originals[rows])
        progress("note", min(rows.stop, len(ids)), len(ids))
    stored: dict[PointId, bytes] = {}
    for records in candidate.scan_revision(revision):
        stored |= {
            record.document["id"]: record.vector.tobytes()
            for record in records
            if record.vector is not None
        }
        progress("note", len(stored), len(ids))
    if stored != {id_: row.tobytes() for id_, row in zip(ids, vectors, strict=True)}:
        raise WriteNotVerified(
            f'"{candidate.collection_name}": what was read back differs from what was put there; '
            "no canary was started and the collection was not touched"
        )
    return len(ids)


def scan_candidate(target: Target, revision: int, rows: int) -> Iterator[list[Record]]:
    """Yield the records of a candidate's points, with vectors, in batches.

    rows: how many were staged. Raises DamagedRecord, also where there are fewer of them: then no
    arm can be searched, and nothing be written.
    """
    candidate = open_candidate(target)
    count = 0
    for records in candidate.scan_revision(revision):
        count += len(records)
        yield records
    if count != rows:
        raise DamagedRecord(
            f'"{candidate.collection_name}" holds {count} points of revision {revision}, '
            f"and {rows} were staged; `nudge-sync canary stop` ends the canary"
        )


def drop_candidate(target: Target, lease: HeldLease) -> int:
    """Drop the candidate unless a canary runs, and return how many records that were.

    Call it after `end_experiment`; it also clears up what a killed process left.
    lease: the collection's. Raises LeaseLost, since the candidate may be of another process then,
    and DamagedRecord.
    """
    records = open_candidate(target).records
    count = records.count()
    running = read_running_experiment(target)
    if running is not None and running.kind == "canary":
        return 0
    lease.confirm()
    records.drop()
    return count
