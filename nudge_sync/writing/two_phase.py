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
from nudge_sync.store.ledger import Ledger, Revision, State, pending
from nudge_sync.store.provenance import holds
from nudge_sync.store.retry import guarded
from nudge_sync.store.shadow import Shadow
from nudge_sync.store.target import Target
from nudge_sync.writing.pacing import Pace


@dataclass(frozen=True)
class Change:
    """Rows to write: what each holds now, what it shall hold, and what its original is.

    `enter` marks rows whose original is not in the shadow yet.
    """

    ids: list[PointId]
    live: Float32
    vectors: Float32
    originals: Float32
    enter: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[Change]:
        """The same rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield Change(
                self.ids[rows],
                self.live[rows],
                self.vectors[rows],
                self.originals[rows],
                self.enter[rows],
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
        return Ledger(self.target.ledger, self.target.place)

    @property
    def history(self) -> History:
        """The target's history."""
        return History(self.target.history, self.target.place)

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """`Collection.write` as long as this process holds the lease. Raises LeaseLost."""
        self.lease.renew()
        return guarded(self.target.collection, self.lease.confirm).write(points, expected)


def carry_out(writer: Writer, entry: Revision, change: Change) -> tuple[Revision, Tally]:
    """Write `change` as the planned revision `entry`; returns it in state "written".

    Raises LeaseLost, WriteNotVerified, DatabaseError, and what `progress` raises. Whatever it
    raises, each row holds what it held before, its new vector or what the application wrote, and
    `resume.resume` finishes or abandons the revision from the database alone.
    """
    # From here on whoever takes the lease finds the entry, and settles it.
    writer.lease.confirm()
    note(writer, entry, change)
    writer.lease.confirm()
    entry = writer.ledger.move(entry, "writing")
    supersede(writer, entry)
    tally, done = Tally(), 0
    pace = Pace(writer.target.collection, writer.settings, writer.progress)
    for batch in change.batches(writer.settings.batch_size):
        pace.wait(len(batch))
        tally.add(writer.write(Points(batch.ids, batch.vectors), batch.live))
        done += len(batch)
        writer.progress("write", done, len(change))
    return finished(writer, entry, tally), tally


def note(writer: Writer, entry: Revision, change: Change) -> None:
    """Phase one: originals into the shadow, read back; then the new vectors into history."""
    shadow = Shadow(writer.target.originals, writer.target.place)
    done = 0
    for batch in change.batches(writer.settings.batch_size):
        writer.lease.renew()
        rows = np.flatnonzero(batch.enter)
        if len(rows):
            shadow.enter(entry.number, [batch.ids[row] for row in rows], batch.originals[rows])
        writer.history.note(entry.number, batch.ids, batch.vectors, batch.live, batch.originals)
        done += len(batch)
        writer.progress("note", done, len(change))
    noted = writer.history.records.count({"revision": entry.number})
    if noted != len(change):
        raise WriteNotVerified(
            f"{noted} rows of {len(change)} were noted in the history; nothing was written to the "
            "collection"
        )


def supersede(writer: Writer, entry: Revision) -> None:
    """Give up every older unfinished revision: `entry` writes over whatever it left."""
    for older in pending(writer.ledger.entries()):
        if older.number < entry.number:
            state: State = "abandoned" if older.state == "planned" else "superseded"
            writer.ledger.move(older, state, by=entry.number)


def roll_forward(writer: Writer, entry: Revision) -> tuple[Revision, Tally]:
    """Phase two again, from history alone, for a revision that a crash left in state "writing".

    Rows that hold what the revision replaces are written, rows that hold its vector already are
    counted as written, all others are the application's and are left alone.
    """
    supersede(writer, entry)
    tally, done = Tally(), 0
    pace = Pace(writer.target.collection, writer.settings, writer.progress)
    for records in writer.history.of(entry.number):
        pace.wait(len(records))
        tally.add(_write_again(writer, records))
        done += len(records)
        writer.progress("resume", done, entry.details.get("rows", done))
    if done != entry.details.get("rows", done):
        raise DamagedRecord(
            f"the history holds {done} of the {entry.details['rows']} rows of revision "
            f"{entry.number}, which a crash left half-written; `nudge-sync rollback` undoes it"
        )
    return finished(writer, entry, tally), tally


def _write_again(writer: Writer, records: list[Record]) -> WriteReport:
    target = writer.target
    ids: list[PointId] = [record.document["id"] for record in records]
    live = target.collection.read(ids)
    rows = {point: row for row, point in enumerate(live.ids)}
    kept: list[Record] = []
    drifted: list[Record] = []
    for record in records:
        point = record.document["id"]
        if point in rows:
            ours = _is_ours(record, live.vectors[rows[point]], rescales=target.facts.rescales)
            (kept if ours else drifted).append(record)
    report = _write(writer, kept, live.vectors[[rows[record.document["id"]] for record in kept]])
    return WriteReport(
        written=report.written,
        drifted=[*report.drifted, *(record.document["id"] for record in drifted)],
        missing=[*report.missing, *(point for point in ids if point not in rows)],
    )


def _is_ours(record: Record, live: Float32, *, rescales: bool) -> bool:
    """Whether a row still holds what the revision replaces, or holds its vector already."""
    return checksum.of_vector(live) == record.document["replaced"] or holds(
        record, live, rescales=rescales
    )


def _write(writer: Writer, records: list[Record], live: Float32) -> WriteReport:
    if not records:
        return WriteReport()
    vectors = np.stack([np.asarray(record.vector, np.float32) for record in records])
    ids: list[PointId] = [record.document["id"] for record in records]
    return writer.write(Points(ids, vectors), live)


def finished(writer: Writer, entry: Revision, tally: Tally) -> Revision:
    """The revision in state "written", with its counts."""
    return writer.ledger.move(
        entry,
        "written",
        written=tally.written,
        drifted=len(tally.drifted),
        missing=len(tally.missing),
    )
