"""Write a revision in two phases: stage it completely, then commit it, reading every row back.

Phase one puts originals and the new vectors into the sidecar's own collections and writes nothing
else. Phase two writes the user's collection. A crash in phase one leaves nothing to undo; a crash
in phase two leaves everything that is needed to finish in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.base.in_flight import keep_in_flight
from nudge_sync.base.progress import Progress
from nudge_sync.base.tracing import traced
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import PointId, Points, Record, WriteReport, require_room
from nudge_sync.errors import DamagedRecord, WriteNotVerified
from nudge_sync.store import checksum
from nudge_sync.store.hold import refuse_hold
from nudge_sync.store.lease import HeldLease, hold_lease
from nudge_sync.store.ledger import Ledger, Revision, RevisionState, find_pending_revisions
from nudge_sync.store.lost_revisions import refuse_lost_revisions
from nudge_sync.store.provenance import ClassifiedPoints, has_same_vector
from nudge_sync.store.rights import refuse_missing_rights
from nudge_sync.store.target import (
    Target,
    refuse_other_owner,
    refuse_unsupported_collection,
)
from nudge_sync.writing.pacing import Pacer

_RESERVE_BYTES = 32 * 2**20
"""What has to stay free on an embedded database's disk, whatever is written."""
_COPIES_PER_ROW = 6
"""Three records and their places in the engine's log."""
_BYTES_BESIDE_VECTOR = 500
"""Of a record's document, payload and indexes."""


@dataclass(frozen=True)
class WriteSet:
    """Rows to write."""

    ids: list[PointId]
    live_vectors: Float32
    """(n, d): what each point holds now."""
    vectors: Float32
    """(n, d): what each point shall hold."""
    originals: Float32
    """(n, d): what each point held before it was ever moved."""
    must_add_original: NDArray[np.bool_]
    """(n,): whether the original is not in the shadow yet."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def build(cls, points: ClassifiedPoints, vectors: Float32) -> WriteSet:
        """Return the rows that give each of `points` its row of `vectors` (n, d)."""
        return cls(
            points.ids, points.live_vectors, vectors, points.originals, points.must_add_original
        )

    def batches(self, size: int) -> Iterator[WriteSet]:
        """Yield the rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield WriteSet(
                self.ids[rows],
                self.live_vectors[rows],
                self.vectors[rows],
                self.originals[rows],
                self.must_add_original[rows],
            )


@dataclass
class Tally:
    """What became of the rows of a write set."""

    written: int = 0
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """How many rows were counted."""
        return self.written + len(self.drifted) + len(self.missing)

    def add(self, report: WriteReport) -> None:
        """Count one batch."""
        self.written += len(report.written)
        self.drifted += report.drifted
        self.missing += report.missing


@dataclass(frozen=True)
class Writer:
    """The right to write to one collection, and what that needs."""

    target: Target
    settings: CollectionSettings
    lease: HeldLease
    progress: Progress

    @cached_property
    def ledger(self) -> Ledger:
        """The target's ledger, read once the lease is held and not again."""
        return self.target.open_ledger()

    @cached_property
    def storage_path(self) -> Path | None:
        """The folder on this machine's disk that writes go to, asked for once; None: a server's."""
        return self.target.database.describe().storage_path

    @cached_property
    def pacer(self) -> Pacer:
        """What holds each batch back until the rate and the index allow it."""
        return Pacer(self.target.collection, self.settings.write, self.progress)

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """Call `Collection.write` as long as this process holds the lease. Raises LeaseLost."""
        return self.prepare_write(points, expected)()

    def prepare_write(self, points: Points, expected: Float32) -> Callable[[], WriteReport]:
        """Return the call of `Collection.write`, to be made at once, in any thread.

        Raises LeaseLost, as does a call that is tried again without the lease.
        """
        self.lease.renew()
        guarded = self.target.collection.guard_writes(self.lease.confirm)
        return partial(guarded.write, points, expected)


@contextmanager
def open_writer(
    target: Target,
    settings: CollectionSettings,
    progress: Progress,
    *,
    accept_lost_revisions: bool = False,
) -> Iterator[Writer]:
    """Hold the collection's lease inside, with a heartbeat whenever progress is reported.

    accept_lost_revisions: opens it although the ledger is older than the history, for who adopts
    what it has lost.
    Raises UnsupportedCollection, Unauthorised, LeaseHeld, DamagedRecord, DatabaseError.
    """
    refuse_unsupported_collection(target.facts)
    refuse_missing_rights(target)
    with hold_lease(target, settings.write.lease_seconds) as held_lease:
        writer = Writer(target, settings, held_lease, held_lease.add_heartbeat(progress))
        refuse_other_owner(target, writer.ledger.entries())
        if not accept_lost_revisions:
            refuse_lost_revisions(target, writer.ledger.entries(), originals={})
        yield writer


def require_room_for_rows(writer: Writer, row_count: int) -> None:
    """Raise DiskFull unless the disk of an embedded database has room to write so many rows.

    Each is stored up to three times: as an original, in the history and in the collection; and
    each time the engine's log holds it again for a while. A server is not asked: Qdrant and Milvus
    tell nobody how much room their disks have left, and refuse by themselves.
    """
    if writer.storage_path is not None:
        row_bytes = _COPIES_PER_ROW * (4 * writer.target.facts.dimension + _BYTES_BESIDE_VECTOR)
        require_room(writer.storage_path, _RESERVE_BYTES + row_count * row_bytes)


@traced("nudge_sync.write")
def write_revision(writer: Writer, entry: Revision, write_set: WriteSet) -> tuple[Revision, Tally]:
    """Write `write_set` as the revision `entry`, planned or a candidate; it is "written" then.

    Raises LeaseLost, WriteNotVerified, DatabaseError, what the progress raises, and OnHold before
    the first row, unless the revision is a rollback. Whatever it raises, each row holds what it
    held before, its new vector or what the application wrote, and `resume` finishes or abandons
    the revision from the database alone.
    """
    # From here on whoever takes the lease finds the entry and finishes or abandons it.
    writer.lease.confirm()
    stage(writer, entry, write_set)
    if entry.kind == "apply":
        # Placed while the plan was made; what is staged is abandoned by whoever comes next.
        refuse_hold(writer.target)
    writer.lease.confirm()
    entry = writer.ledger.set_state(entry, "writing")
    supersede_older_revisions(writer, entry)
    tally = commit(writer, write_set, must_write=entry.kind == "rollback")
    return mark_written(writer, entry, tally), tally


def stage(writer: Writer, entry: Revision, write_set: WriteSet) -> None:
    """Put originals into the shadow, read back, and then the new vectors into history: phase one.

    Raises WriteNotVerified where what is stored is not what was to be stored.
    """
    history, done = writer.target.history, 0
    for batch in write_set.batches(writer.settings.write.batch_size):
        require_room_for_rows(writer, len(batch))
        writer.lease.renew()
        _add_originals(writer, entry, batch)
        history.add_rows(
            entry.number, batch.ids, batch.vectors, batch.live_vectors, batch.originals
        )
        done += len(batch)
        writer.progress("note", done, len(write_set))
    staged = history.records.count({"revision": entry.number})
    if staged != len(write_set):
        raise WriteNotVerified(
            f"{staged} rows of {len(write_set)} were noted in the history; nothing was written to "
            "the collection"
        )


def commit(writer: Writer, write_set: WriteSet, *, must_write: bool = False) -> Tally:
    """Write a staged write set to the user's collection: phase two.

    must_write: as in `Pacer.wait`.
    """
    tally = Tally()

    def receive(report: WriteReport) -> None:
        tally.add(report)
        writer.progress("write", tally.row_count, len(write_set))

    writes = _list_writes(writer, write_set, must_write=must_write)
    keep_in_flight(writes, writer.target.facts.parallel_calls, receive)
    return tally


def _list_writes(
    writer: Writer, write_set: WriteSet, *, must_write: bool
) -> Iterator[Callable[[], WriteReport]]:
    """Yield the call that writes each batch, once the rate, the index and the lease allow it."""
    for batch in write_set.batches(writer.settings.write.batch_size):
        writer.pacer.wait(len(batch), must_write=must_write)
        require_room_for_rows(writer, len(batch))
        yield writer.prepare_write(Points(batch.ids, batch.vectors), batch.live_vectors)


def supersede_older_revisions(writer: Writer, entry: Revision) -> None:
    """Give up every older unfinished revision: `entry` writes over whatever it left."""
    for older in find_pending_revisions(writer.ledger.entries()):
        if older.number < entry.number:
            state: RevisionState = "abandoned" if older.state == "planned" else "superseded"
            writer.ledger.set_state(older, state, by=entry.number)


def roll_forward(writer: Writer, entry: Revision) -> tuple[Revision, Tally]:
    """Repeat phase two from history alone, for a revision that a crash left in state "writing".

    Rows that hold what the revision replaces are written, rows that hold its vector already are
    counted as written, all others are the application's and are left alone.
    """
    supersede_older_revisions(writer, entry)
    tally, done, row_count = Tally(), 0, entry.details.rows
    for records in writer.target.history.scan_revision(entry.number):
        writer.pacer.wait(len(records), must_write=entry.kind == "rollback")
        tally.add(_rewrite_records(writer, records))
        done += len(records)
        writer.progress("resume", done, row_count)
    if done != row_count:
        raise DamagedRecord(
            f"the history holds {done} of the {row_count} rows of revision {entry.number}, which "
            "a crash left half-written; `nudge-sync rollback` undoes it"
        )
    return mark_written(writer, entry, tally), tally


def mark_written(writer: Writer, entry: Revision, tally: Tally) -> Revision:
    """Store the revision in state "written", with its counts."""
    return writer.ledger.set_state(
        entry,
        "written",
        written=tally.written,
        drifted=len(tally.drifted),
        missing=len(tally.missing),
    )


def _add_originals(writer: Writer, entry: Revision, batch: WriteSet) -> None:
    rows = np.flatnonzero(batch.must_add_original)
    if len(rows):
        ids = [batch.ids[row] for row in rows]
        writer.target.shadow.add_originals(entry.number, ids, batch.originals[rows])


def _rewrite_records(writer: Writer, records: list[Record]) -> WriteReport:
    target = writer.target
    ids: list[PointId] = [record.document["id"] for record in records]
    live_points = target.collection.read(ids)
    rows = {point: row for row, point in enumerate(live_points.ids)}
    writable: list[Record] = []
    drifted: list[PointId] = []
    for point, record in zip(ids, records, strict=True):
        if point not in rows:
            continue
        live_vector = live_points.vectors[rows[point]]
        if _is_old_or_new_vector(record, live_vector, rescales=target.facts.rescales):
            writable.append(record)
        else:
            drifted.append(point)
    writable_rows = [rows[record.document["id"]] for record in writable]
    report = _write_records(writer, writable, live_points.vectors[writable_rows])
    return WriteReport(
        written=report.written,
        drifted=[*report.drifted, *drifted],
        missing=[*report.missing, *(point for point in ids if point not in rows)],
    )


def _is_old_or_new_vector(record: Record, live_vector: Float32, *, rescales: bool) -> bool:
    """Return whether a row holds what the revision replaces, or its vector already."""
    return checksum.digest_vector(live_vector) == record.document["replaced"] or has_same_vector(
        record, live_vector, rescales=rescales
    )


def _write_records(writer: Writer, records: list[Record], live_vectors: Float32) -> WriteReport:
    if not records:
        return WriteReport()
    vectors = np.stack([np.asarray(record.vector, np.float32) for record in records])
    ids: list[PointId] = [record.document["id"] for record in records]
    return writer.write(Points(ids, vectors), live_vectors)
