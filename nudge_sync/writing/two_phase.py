"""Carry out a change: note it completely, then write it, reading every row back.

Phase one puts originals and the new vectors into the sidecar's own collections and writes nothing
else. Phase two writes the collection. A crash in phase one leaves nothing to undo; a crash in
phase two leaves everything that is needed to finish, in the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.progress import Progress
from nudge_sync.config import WriteSettings
from nudge_sync.connector import Float32, PointId, Points, Record, WriteReport
from nudge_sync.errors import DamagedRecord, WriteNotVerified
from nudge_sync.store import checksum
from nudge_sync.store.history import History
from nudge_sync.store.lease import HeldLease
from nudge_sync.store.ledger import Ledger, Revision, RevisionState, find_pending_revisions
from nudge_sync.store.provenance import has_same_vector
from nudge_sync.store.retry import guard_collection_retries
from nudge_sync.store.target import Target
from nudge_sync.writing.pacing import Pacer


@dataclass(frozen=True)
class WriteSet:
    """Rows to write: what each holds now, what it shall hold, and what its original is.

    `enter` marks rows whose original is not in the shadow yet.
    """

    ids: list[PointId]
    live_vectors: Float32
    vectors: Float32
    originals: Float32
    must_add_original: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[WriteSet]:
        """The same rows in order, `size` at a time."""
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
    """What became of the rows of a change."""

    written: int = 0
    drifted: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)

    def add(self, report: WriteReport) -> None:
        """Count one batch."""
        self.written += len(report.written)
        self.drifted += report.drifted
        self.missing += report.missing


@dataclass(frozen=True)
class Writer:
    """What a change is carried out with."""

    target: Target
    settings: WriteSettings
    lease: HeldLease
    progress: Progress

    @cached_property
    def ledger(self) -> Ledger:
        """The target's ledger, read once the lease is held and not again."""
        return self.target.open_ledger()

    @property
    def history(self) -> History:
        """The target's history."""
        return self.target.history

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """`Collection.write` as long as this process holds the lease. Raises LeaseLost."""
        self.lease.renew()
        return guard_collection_retries(self.target.collection, self.lease.confirm).write(
            points, expected
        )


def write_revision(writer: Writer, entry: Revision, write_set: WriteSet) -> tuple[Revision, Tally]:
    """Write `change` as the planned revision `entry`; returns it in state "written".

    Raises LeaseLost, WriteNotVerified, DatabaseError, and what `progress` raises. Whatever it
    raises, each row holds what it held before, its new vector or what the application wrote, and
    `resume.resume` finishes or abandons the revision from the database alone.
    """
    # From here on whoever takes the lease finds the entry, and settles it.
    writer.lease.confirm()
    stage(writer, entry, write_set)
    writer.lease.confirm()
    entry = writer.ledger.set_state(entry, "writing")
    supersede_older_revisions(writer, entry)
    tally, done = Tally(), 0
    pacer = Pacer(writer.target.collection, writer.settings, writer.progress)
    for batch in write_set.batches(writer.settings.batch_size):
        pacer.wait(len(batch))
        tally.add(writer.write(Points(batch.ids, batch.vectors), batch.live_vectors))
        done += len(batch)
        writer.progress("write", done, len(write_set))
    return mark_written(writer, entry, tally), tally


def stage(writer: Writer, entry: Revision, write_set: WriteSet) -> None:
    """Phase one: originals into the shadow, read back; then the new vectors into history."""
    shadow = writer.target.shadow
    done = 0
    for batch in write_set.batches(writer.settings.batch_size):
        writer.lease.renew()
        rows = np.flatnonzero(batch.must_add_original)
        if len(rows):
            shadow.add_originals(
                entry.number, [batch.ids[row] for row in rows], batch.originals[rows]
            )
        writer.history.add_rows(
            entry.number, batch.ids, batch.vectors, batch.live_vectors, batch.originals
        )
        done += len(batch)
        writer.progress("note", done, len(write_set))
    staged = writer.history.records.count({"revision": entry.number})
    if staged != len(write_set):
        raise WriteNotVerified(
            f"{staged} rows of {len(write_set)} were noted in the history; nothing was written to "
            "the collection"
        )


def supersede_older_revisions(writer: Writer, entry: Revision) -> None:
    """Give up every older unfinished revision: `entry` writes over whatever it left."""
    for older in find_pending_revisions(writer.ledger.entries()):
        if older.number < entry.number:
            state: RevisionState = "abandoned" if older.state == "planned" else "superseded"
            writer.ledger.set_state(older, state, by=entry.number)


def roll_forward(writer: Writer, entry: Revision) -> tuple[Revision, Tally]:
    """Phase two again, from history alone, for a revision that a crash left in state "writing".

    Rows that hold what the revision replaces are written, rows that hold its vector already are
    counted as written, all others are the application's and are left alone.
    """
    supersede_older_revisions(writer, entry)
    tally, done = Tally(), 0
    pacer = Pacer(writer.target.collection, writer.settings, writer.progress)
    for records in writer.history.scan_revision(entry.number):
        pacer.wait(len(records))
        tally.add(_rewrite_records(writer, records))
        done += len(records)
        writer.progress("resume", done, entry.details.get("rows", done))
    if done != entry.details.get("rows", done):
        raise DamagedRecord(
            f"the history holds {done} of the {entry.details['rows']} rows of revision "
            f"{entry.number}, which a crash left half-written; `nudge-sync rollback` undoes it"
        )
    return mark_written(writer, entry, tally), tally


def _rewrite_records(writer: Writer, records: list[Record]) -> WriteReport:
    target = writer.target
    ids: list[PointId] = [record.document["id"] for record in records]
    live_points = target.collection.read(ids)
    rows = {point: row for row, point in enumerate(live_points.ids)}
    writable: list[Record] = []
    drifted: list[Record] = []
    for record in records:
        point = record.document["id"]
        if point in rows:
            is_writable = _is_old_or_new_vector(
                record, live_points.vectors[rows[point]], rescales=target.facts.rescales
            )
            (writable if is_writable else drifted).append(record)
    report = _write_records(
        writer, writable, live_points.vectors[[rows[record.document["id"]] for record in writable]]
    )
    return WriteReport(
        written=report.written,
        drifted=[*report.drifted, *(record.document["id"] for record in drifted)],
        missing=[*report.missing, *(point for point in ids if point not in rows)],
    )


def _is_old_or_new_vector(record: Record, live_vector: Float32, *, rescales: bool) -> bool:
    """Whether a row still holds what the revision replaces, or holds its vector already."""
    return checksum.digest_vector(live_vector) == record.document["replaced"] or has_same_vector(
        record, live_vector, rescales=rescales
    )


def _write_records(writer: Writer, records: list[Record], live_vectors: Float32) -> WriteReport:
    if not records:
        return WriteReport()
    vectors = np.stack([np.asarray(record.vector, np.float32) for record in records])
    ids: list[PointId] = [record.document["id"] for record in records]
    return writer.write(Points(ids, vectors), live_vectors)


def mark_written(writer: Writer, entry: Revision, tally: Tally) -> Revision:
    """The revision in state "written", with its counts."""
    return writer.ledger.set_state(
        entry,
        "written",
        written=tally.written,
        drifted=len(tally.drifted),
        missing=len(tally.missing),
    )
