"""Every record of the sidecar's own that is not what it wrote, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import embedding_space, erasure, hold, lease, schema
from nudge_sync.store.experiments.candidate import open_candidate
from nudge_sync.store.experiments.running import EXPERIMENT_KEY, read_running_experiment
from nudge_sync.store.ledger import parse_entry
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.audit import parse_audit_line

MAX_NAMED_RECORDS = 20
"""Records that a message names; all are counted."""
Subject = TypeVar("Subject")


def find_damaged_records(target: Target) -> Iterator[str]:
    """Each record that fails its digest or has another shape: its collection and its key.

    Reads every record with its vector, and writes nothing. What cannot even be read as a record
    is named without a key, and ends the look at its collection. Raises DatabaseError.
    """
    ledger, shadow, history = target.open_ledger(), target.shadow, target.history
    candidate = open_candidate(target)

    def check_original(record: Record) -> object:
        return schema.validate_records(
            [record], shadow.collection_name, schema.OriginalDocument, vectors=True
        )

    def check_history(record: Record) -> object:
        return schema.validate_records(
            [record], history.collection_name, schema.HistoryDocument, vectors=True
        )

    if _is_damaged(lease.read_active_lease, target):
        yield f"{ledger.collection_name} {lease.LEASE_KEY!r}"
    if _is_damaged(erasure.read_erasure_state, target):
        yield f"{ledger.collection_name} {erasure.ERASURE_KEY!r}"
    if _is_damaged(hold.read_hold, target):
        yield f"{ledger.collection_name} {hold.HOLD_KEY!r}"
    if _is_damaged(embedding_space.read_space, target):
        yield f"{ledger.collection_name} {embedding_space.SPACE_KEY!r}"
    if _is_damaged(read_running_experiment, target):
        yield f"{ledger.collection_name} {EXPERIMENT_KEY!r}"
    for kind, check_kind in (("revision", parse_entry), ("action", parse_audit_line)):
        yield from _check_batches(
            ledger.records.scan({"kind": kind}, vectors=False),
            ledger.collection_name,
            partial(check_kind, collection_name=ledger.collection_name),
        )
    for records, collection_name, check in (
        (candidate.records, candidate.collection_name, check_history),
        (shadow.records, shadow.collection_name, check_original),
        (history.records, history.collection_name, check_history),
    ):
        yield from _check_batches(records.scan(), collection_name, check)


def name_damaged_records(target: Target, error: DamagedRecord) -> DamagedRecord:
    """Return `error` with the names of all damaged records, as far as there is room."""
    damaged = list(find_damaged_records(target))
    if len(damaged) < 2:  # noqa: PLR2004 - the one that the error names
        return error
    names = ", ".join(name[:300] for name in damaged[:MAX_NAMED_RECORDS])
    more = (
        f" and {len(damaged) - MAX_NAMED_RECORDS} more" if len(damaged) > MAX_NAMED_RECORDS else ""
    )
    return DamagedRecord(f"{error}. Damaged are {len(damaged)} records: {names}{more}")


def _check_batches(
    batches: Iterator[list[Record]], collection_name: str, check: Callable[[Record], object]
) -> Iterator[str]:
    try:
        for batch in batches:
            for record in batch:
                if _is_damaged(check, record):
                    yield f"{collection_name} {record.key!r}"
    except DamagedRecord as error:
        yield f"{collection_name}: {error}"


def _is_damaged(check: Callable[[Subject], object], subject: Subject) -> bool:
    try:
        check(subject)
    except DamagedRecord:
        return True
    return False
