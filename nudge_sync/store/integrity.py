"""Every record of the sidecar's own that is not what it wrote, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import erasure, lease, schema
from nudge_sync.store.ledger import read_entry
from nudge_sync.store.target import Target

MOST_NAMED = 20
"""Records that a message names; all are counted."""
_REVISIONS = {"kind": "revision"}
T = TypeVar("T")


def damaged(target: Target) -> Iterator[str]:
    """Each record that fails its digest or has another shape: its collection and its key.

    Reads every record with its vector, and writes nothing. What cannot even be read as a record
    is named without a key, and ends the look at its collection. Raises DatabaseError.
    """
    place = target.place
    names = [f"{place}__nudge_{kind}" for kind in ("revisions", "originals", "history")]

    def entry(record: Record) -> object:
        return read_entry(record, names[0])

    def original(record: Record) -> object:
        return schema.opened([record], names[1], schema.OriginalLine, vectors=True)

    def line(record: Record) -> object:
        return schema.opened([record], names[2], schema.HistoryLine, vectors=True)

    if _fails(lease.holder, target.ledger):
        yield f"{names[0]} {lease.KEY!r}"
    if _fails(lambda ledger: erasure.noted(ledger, place), target.ledger):
        yield f"{names[0]} {erasure.KEY!r}"
    yield from _among(target.ledger.scan(_REVISIONS, vectors=False), names[0], entry)
    for records, name, check in (
        (target.originals, names[1], original),
        (target.history, names[2], line),
    ):
        yield from _among(records.scan(), name, check)


def all_named(target: Target, error: DamagedRecord) -> DamagedRecord:
    """The error that was met first, with the names of all others, as far as there is room."""
    found = list(damaged(target))
    if len(found) < 2:  # noqa: PLR2004 - the one that the error names
        return error
    shown = ", ".join(name[:300] for name in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return DamagedRecord(f"{error}. Damaged are {len(found)} records: {shown}{more}")


def _among(
    batches: Iterator[list[Record]], name: str, check: Callable[[Record], object]
) -> Iterator[str]:
    try:
        for batch in batches:
            for record in batch:
                if _fails(check, record):
                    yield f"{name} {record.key!r}"
    except DamagedRecord as error:
        yield f"{name}: {error}"


def _fails(check: Callable[[T], object], subject: T) -> bool:
    try:
        check(subject)
    except DamagedRecord:
        return True
    return False
