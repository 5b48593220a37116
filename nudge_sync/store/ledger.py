"""The ledger: one record with a checksum for each revision, beside the user's collection."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nudge_sync.connector import Record, Records
from nudge_sync.errors import InputError, LeaseLost
from nudge_sync.store import checksum, schema
from nudge_sync.store.experiments.ending import Ending

RevisionState = Literal[
    "planned", "candidate", "writing", "written", "applied", "abandoned", "superseded"
]
RevisionKind = Literal["apply", "rollback"]

PENDING_STATES: tuple[RevisionState, ...] = ("planned", "writing", "written")
"""States of a revision that a crash or an error left unfinished."""
_LOST_ENTRY_REASON = "its entry was lost with the ledger, of which an older one is there, or none"


class RevisionDetails(BaseModel):
    """What a revision says beside its state: only fields that were set are stored and shown."""

    # A later version may say more; this one hands it on.
    model_config = ConfigDict(extra="allow", frozen=True)

    owner: tuple[str, str] | None = None
    """The real collection whose points it moves, and the name of their vector; None in revisions of
    older versions."""
    planned_at: schema.TimestampMs = 0
    rows: schema.Count = 0
    """Points that the revision writes."""
    reasons: list[str] = Field(default_factory=list)
    """What is particular about it, each a sentence."""
    inputs: str = ""
    """Digest of what the plan was made from."""
    live: dict[str, float | bool | dict[str, float]] | None = None
    """Scores of held-out queries through the live index: before the write, then with after."""
    held_out: str = ""
    """Digest of these queries and their answers."""
    plan: dict[str, Any] = Field(default_factory=dict)
    """The figures of the plan and its gate."""
    digest: str = ""
    """Digest of the vectors that were planned."""
    writing_at: schema.TimestampMs = 0
    written: schema.Count = 0
    drifted: schema.Count = 0
    missing: schema.Count = 0
    """What became of the rows."""
    written_at: schema.TimestampMs = 0
    applied_at: schema.TimestampMs = 0
    lost: dict[str, Any] | None = None
    """The measurement on the live index that led to its rollback."""
    by: schema.Count = 0
    """The later revision that superseded it."""
    candidate_at: schema.TimestampMs = 0
    canary: dict[str, Any] = Field(default_factory=dict)
    """The settings of the canary that tries it, as it was started with them."""
    staged: schema.Count = 0
    """Points of the candidate that it shows."""
    ending: Ending | None = None
    """How that canary ended."""
    erasures: schema.Count | None = None
    """How many removals of feedback its vectors have forgotten; None: as many as its parent's, or
    an older version wrote it."""
    abandoned_at: schema.TimestampMs = 0
    superseded_at: schema.TimestampMs = 0
    thinned: bool = False
    """Whether history that a rollback to it would need may be gone."""
    collected: bool = False
    """Whether nothing of it is left in the history."""

    def update(self, changes: Mapping[str, Any]) -> RevisionDetails:
        """Return the details with these fields set."""
        return RevisionDetails.model_validate({**self.to_document(), **changes})

    def to_document(self) -> dict[str, Any]:
        """Return the fields that were set, as they are stored."""
        return self.model_dump(mode="json", exclude_unset=True)


@dataclass(frozen=True)
class Revision:
    """One change of a collection.

    planned: being staged, nothing written.  candidate: shown to some sessions by a canary, nothing
    written.  writing: completely staged, rows are being written.  written: every row is done, not
    measured yet.  applied: finished.  abandoned: given up before anything was written.
    superseded: given up half-way, its rows taken over by a later revision.
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
    details: RevisionDetails = field(default_factory=RevisionDetails)
    generation: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the fields of `show --json`."""
        rest = {"kind": self.kind, "state": self.state, "parent": self.parent, "to": self.to}
        return {"revision": self.number, **rest, **self.details.to_document()}

    def to_document(self) -> dict[str, Any]:
        """Return the revision as it is stored."""
        return {
            "number": self.number,
            "kind": self.kind,
            "state": self.state,
            "parent": self.parent,
            "to": self.to,
            "details": self.details.to_document(),
            "generation": self.generation,
        }


class Ledger:
    """All revisions of one collection, read when they are first needed and not again.

    Each operation opens its own, one that writes once it holds the lease. It remembers what it
    stores and does not see what others store. Nobody else may change an entry while the lease is
    held; where somebody did all the same, the next `add_entry`, `set_state`, `add_details` or
    `set_parent` of that entry raises LeaseLost, since each is a compare-and-set.
    """

    def __init__(
        self, records: Records, collection_name: str, owner: tuple[str, str] | None = None
    ) -> None:
        """Read and write `records`; `collection_name` is theirs, for messages.

        owner: as in `RevisionDetails`, of each new entry.
        """
        self.records = records
        self.collection_name = collection_name
        self._owner = owner
        self._entries_by_number: dict[int, Revision] | None = None

    def entries(self) -> list[Revision]:
        """Return every revision, oldest first. Raises DamagedRecord."""
        if self._entries_by_number is None:
            entries = [
                parse_entry(record, self.collection_name)
                for batch in self.records.scan({"kind": "revision"}, vectors=False)
                for record in batch
            ]
            self._entries_by_number = {entry.number: entry for entry in entries}
        return [self._entries_by_number[number] for number in sorted(self._entries_by_number)]

    def read_entry(self, number: int) -> Revision:
        """Return one revision as it is stored now. Raises InputError if there is none."""
        for record in self.records.get([_format_key(number)]):
            return parse_entry(record, self.collection_name)
        latest_numbers = (
            ", ".join(str(entry.number) for entry in self.entries()[-10:]) or "none yet"
        )
        raise InputError(f"there is no revision {number}; the latest are: {latest_numbers}")

    def add_entry(
        self, kind: RevisionKind, parent: int, head: int | None, details: dict[str, Any]
    ) -> Revision:
        """Store a new planned revision. Raises LeaseLost if another process took its number."""
        entries = self.entries()
        number = entries[-1].number + 1 if entries else 1
        entry = Revision(
            number,
            kind,
            "planned",
            parent,
            number if head is None else head,
            RevisionDetails().update({"owner": self._owner, "planned_at": now_ms(), **details}),
            generation=1,
        )
        self._swap_entry(entry, None)
        return entry

    def adopt_entry(self, number: int, rows: int) -> Revision:
        """Store an entry for a revision of which `rows` are kept in the history, but no entry.

        Raises LeaseLost if there is one.
        """
        details = {
            "owner": self._owner,
            "rows": rows,
            "reasons": [_LOST_ENTRY_REASON],
            "collected": not rows,
            "superseded_at": now_ms(),
        }
        entry = Revision(
            number,
            "apply",
            "superseded",
            parent=0,
            to=number,
            details=RevisionDetails().update(details),
            generation=1,
        )
        self._swap_entry(entry, None)
        return entry

    def set_state(self, entry: Revision, state: RevisionState, **details: Any) -> Revision:
        """Store the revision in its next state. Raises LeaseLost if somebody else changed it."""
        return self.add_details(replace(entry, state=state), **{f"{state}_at": now_ms()}, **details)

    def add_details(self, entry: Revision, **details: Any) -> Revision:
        """Store the revision with more details. Raises LeaseLost."""
        updated = replace(
            entry, details=entry.details.update(details), generation=entry.generation + 1
        )
        self._swap_entry(updated, entry.generation)
        return updated

    def set_parent(self, entry: Revision, parent: int) -> Revision:
        """Store the revision with an older parent. Raises LeaseLost."""
        updated = replace(entry, parent=parent, generation=entry.generation + 1)
        self._swap_entry(updated, entry.generation)
        return updated

    def delete_entries(self, numbers: Sequence[int]) -> None:
        """Delete the entries of these revisions."""
        self.records.delete([_format_key(number) for number in numbers])
        for number in numbers:
            (self._entries_by_number or {}).pop(number, None)

    def _swap_entry(self, entry: Revision, expected_generation: int | None) -> None:
        document = {
            "kind": "revision",
            "generation": entry.generation,
            "entry": entry.to_document(),
        }
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
    """Return the revision in a record of the ledger; raise DamagedRecord unless it is intact.

    collection_name: the ledger's, for the message.
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
    return entry


def now_ms() -> int:
    """Return milliseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1_000_000


def find_head(entries: list[Revision]) -> int:
    """Return the revision whose vectors the collection holds; 0 for the originals."""
    finished = [entry for entry in entries if entry.state in {"written", "applied"}]
    return finished[-1].to if finished else 0


def trace_lineage(entries: list[Revision], number: int) -> list[int]:
    """Return `number` and the revisions it was built on, newest first, without 0."""
    parents = {entry.number: entry.parent for entry in entries}
    lineage = []
    while number and number in parents:
        lineage.append(number)
        number = parents[number]
    return lineage


def count_erasures(entries: list[Revision], number: int) -> int:
    """Return how many removals of feedback the vectors of revision `number` have surely forgotten.

    0 where nothing is known of it.
    """
    erasures_by_number = {entry.number: entry.details.erasures for entry in entries}
    counts = (erasures_by_number[revision] for revision in trace_lineage(entries, number))
    return next((count for count in counts if count is not None), 0)


def find_restorable_revisions(entries: list[Revision], keep: int) -> list[int]:
    """Return the revisions that can be rolled back to, oldest first.

    They are the last `keep` that were applied, what the collection holds, and what it held before
    that; never one whose history was thinned.
    """
    applied_numbers = [
        entry.number for entry in entries if entry.kind == "apply" and entry.state == "applied"
    ]
    head = find_head(entries)
    parents = [entry.parent for entry in entries if entry.number == head]
    thinned_numbers = {entry.number for entry in entries if entry.details.thinned}
    return sorted({*applied_numbers[-keep:], head, *parents} - thinned_numbers - {0})


def find_candidate(entries: list[Revision]) -> Revision | None:
    """Return the revision that a canary tries, or None."""
    candidates = [entry for entry in entries if entry.state == "candidate"]
    return candidates[-1] if candidates else None


def find_pending_revisions(entries: list[Revision]) -> list[Revision]:
    """Return what a crash or an error left unfinished, newest first."""
    return [entry for entry in reversed(entries) if entry.state in PENDING_STATES]
