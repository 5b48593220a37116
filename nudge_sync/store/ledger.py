"""The ledger: one sealed record a revision, in the user's database beside the collection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from nudge_sync.connector import Record, Records
from nudge_sync.errors import InputError, LeaseLost
from nudge_sync.store import checksum, schema

RevisionState = Literal["planned", "writing", "written", "applied", "abandoned", "superseded"]
RevisionKind = Literal["apply", "rollback"]

PENDING_STATES: tuple[RevisionState, ...] = ("planned", "writing", "written")
"""States of a revision that a crash or an error left unfinished."""


@dataclass(frozen=True)
class Revision:
    """One change of a collection.

    planned: being noted, nothing written.  writing: completely noted, rows are being written.
    written: every row done, not measured yet.  applied: finished.  abandoned: given up before
    anything was written.  superseded: given up half-way, its rows taken over by a later revision.
    """

    __pydantic_config__ = schema.FORBID_EXTRA

    number: int
    kind: RevisionKind
    state: RevisionState
    parent: int
    """The revision whose vectors the collection held before; 0 for the originals."""
    to: int
    """The revision whose vectors the collection holds once applied: itself, or what a rollback
    went back to."""
    details: dict[str, Any] = field(default_factory=dict)
    generation: int = 0

    def summary(self) -> dict[str, Any]:
        """The fields of `show --json`."""
        rest = {"kind": self.kind, "state": self.state, "parent": self.parent, "to": self.to}
        return {"revision": self.number, **rest, **self.details}


class RevisionDetails(BaseModel):
    """What `Revision.details` may say where the program itself reads it again."""

    model_config = ConfigDict(extra="allow", frozen=True)

    rows: schema.Count = 0
    inputs: str = ""
    plan: dict[str, Any] = {}
    live: dict[str, float | bool | dict[str, float]] | None = None
    collected: bool = False
    planned_at: schema.TimestampMs = 0
    writing_at: schema.TimestampMs = 0
    written_at: schema.TimestampMs = 0
    applied_at: schema.TimestampMs = 0
    abandoned_at: schema.TimestampMs = 0
    superseded_at: schema.TimestampMs = 0


class Ledger:
    """All revisions of one collection, read when first asked for and not again.

    One is made for each operation, where that writes: once it holds the lease. What it notes it
    remembers; what others note it does not see. Nobody else may note anything while the lease is
    held, and where somebody did all the same, the next `open`, `move` or `annotate` of an entry
    that changed raises LeaseLost, since each is a compare-and-set.
    """

    def __init__(self, records: Records, collection_name: str) -> None:
        self.records = records
        self.collection_name = collection_name
        self._entries_by_number: dict[int, Revision] | None = None

    def entries(self) -> list[Revision]:
        """Every revision, oldest first. Raises DamagedRecord."""
        if self._entries_by_number is None:
            entries = [
                parse_entry(record, self.collection_name)
                for batch in self.records.scan({"kind": "revision"}, vectors=False)
                for record in batch
            ]
            self._entries_by_number = {entry.number: entry for entry in entries}
        return [self._entries_by_number[number] for number in sorted(self._entries_by_number)]

    def read_entry(self, number: int) -> Revision:
        """One revision, as it is noted now. Raises InputError if there is none of that number."""
        for record in self.records.get([_format_key(number)]):
            return parse_entry(record, self.collection_name)
        latest_numbers = (
            ", ".join(str(entry.number) for entry in self.entries()[-10:]) or "none yet"
        )
        raise InputError(f"there is no revision {number}; the latest are: {latest_numbers}")

    def add_entry(
        self, kind: RevisionKind, parent: int, head: int | None, details: dict[str, Any]
    ) -> Revision:
        """Note a new planned revision. Raises LeaseLost if another process took its number."""
        entries = self.entries()
        number = entries[-1].number + 1 if entries else 1
        stamped_details = {"planned_at": now_ms(), **details}
        entry = Revision(
            number,
            kind,
            "planned",
            parent,
            number if head is None else head,
            stamped_details,
            generation=1,
        )
        self._swap_entry(entry, None)
        return entry

    def set_state(self, entry: Revision, state: RevisionState, **details: Any) -> Revision:
        """The revision in its next state, noted. Raises LeaseLost if somebody else moved it."""
        return self.add_details(replace(entry, state=state), **{f"{state}_at": now_ms()}, **details)

    def add_details(self, entry: Revision, **details: Any) -> Revision:
        """The same revision with more details, noted. Raises LeaseLost."""
        updated = replace(
            entry, details={**entry.details, **details}, generation=entry.generation + 1
        )
        self._swap_entry(updated, entry.generation)
        return updated

    def set_parent(self, entry: Revision, parent: int) -> Revision:
        """The same revision with an older parent, noted. Raises LeaseLost."""
        updated = replace(entry, parent=parent, generation=entry.generation + 1)
        self._swap_entry(updated, entry.generation)
        return updated

    def delete_entries(self, numbers: Sequence[int]) -> None:
        """Delete these entries."""
        self.records.delete([_format_key(number) for number in numbers])
        for number in numbers:
            (self._entries_by_number or {}).pop(number, None)

    def _swap_entry(self, entry: Revision, expected_generation: int | None) -> None:
        document = {"kind": "revision", "generation": entry.generation, "entry": asdict(entry)}
        record = checksum.add_checksum(_format_key(entry.number), document)
        if not self.records.swap(record, expected_generation):
            raise LeaseLost(
                f"revision {entry.number} was changed by another process; nothing more was "
                "written. See `nudge-sync log`"
            )
        if self._entries_by_number is not None:
            self._entries_by_number[entry.number] = entry


def _format_key(number: int) -> str:
    return f"revision:{number:08d}"


def parse_entry(record: Record, collection_name: str) -> Revision:
    """The revision that a record of the ledger tells of; `place` is its collection.

    Raises DamagedRecord.
    """
    checksum.verify_checksums([record], collection_name)
    entry = schema.parse_content(Revision, record.document.get("entry"), record, collection_name)
    # A parent is always older: what follows parents must come to an end.
    if not 0 <= entry.parent < entry.number or not 0 <= entry.to <= entry.number:
        raise schema.build_record_error(
            record, collection_name, "its parent is not an older revision"
        )
    if record.key != _format_key(entry.number):
        raise schema.build_record_error(
            record, collection_name, "it stands under another revision's key"
        )
    schema.parse_content(RevisionDetails, entry.details, record, collection_name)
    return entry


def now_ms() -> int:
    """Milliseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1_000_000


def find_head(entries: list[Revision]) -> int:
    """The revision whose vectors the collection holds, 0 for the originals."""
    finished = [entry for entry in entries if entry.state in {"written", "applied"}]
    return finished[-1].to if finished else 0


def trace_lineage(entries: list[Revision], number: int) -> list[int]:
    """`number` and the revisions it was built on, newest first, without 0."""
    parents = {entry.number: entry.parent for entry in entries}
    lineage = []
    while number and number in parents:
        lineage.append(number)
        number = parents[number]
    return lineage


def find_restorable_revisions(entries: list[Revision], keep: int) -> list[int]:
    """The revisions that can be rolled back to, oldest first: the last `keep` that were applied,
    what the collection holds, and what it held before that. Never one whose history was thinned.
    """
    applied_numbers = [
        entry.number for entry in entries if entry.kind == "apply" and entry.state == "applied"
    ]
    head = find_head(entries)
    parents = [entry.parent for entry in entries if entry.number == head]
    thinned_numbers = {entry.number for entry in entries if entry.details.get("thinned")}
    return sorted({*applied_numbers[-keep:], head, *parents} - thinned_numbers - {0})


def find_pending_revisions(entries: list[Revision]) -> list[Revision]:
    """What a crash or an error left unfinished, newest first."""
    return [entry for entry in reversed(entries) if entry.state in PENDING_STATES]
