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

State = Literal["planned", "writing", "written", "applied", "abandoned", "superseded"]
Kind = Literal["apply", "rollback"]

PENDING: tuple[State, ...] = ("planned", "writing", "written")
"""States of a revision that a crash or an error left unfinished."""


@dataclass(frozen=True)
class Revision:
    """One change of a collection.

    planned: being noted, nothing written.  writing: completely noted, rows are being written.
    written: every row done, not measured yet.  applied: finished.  abandoned: given up before
    anything was written.  superseded: given up half-way, its rows taken over by a later revision.
    """

    __pydantic_config__ = schema.NOTHING_ELSE

    number: int
    kind: Kind
    state: State
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


class Details(BaseModel):
    """What `Revision.details` may say where the program itself reads it again."""

    model_config = ConfigDict(extra="allow", frozen=True)

    rows: schema.Count = 0
    inputs: str = ""
    plan: dict[str, Any] = {}
    live: dict[str, float | bool | dict[str, float]] | None = None
    collected: bool = False
    planned_at: schema.Moment = 0
    writing_at: schema.Moment = 0
    written_at: schema.Moment = 0
    applied_at: schema.Moment = 0
    abandoned_at: schema.Moment = 0
    superseded_at: schema.Moment = 0


class Ledger:
    """All revisions of one collection, read when first asked for and not again.

    One is made for each operation, where that writes: once it holds the lease. What it notes it
    remembers; what others note it does not see. Nobody else may note anything while the lease is
    held, and where somebody did all the same, the next `open`, `move` or `annotate` of an entry
    that changed raises LeaseLost, since each is a compare-and-set.
    """

    def __init__(self, records: Records, place: str) -> None:
        self.records = records
        self._place = f"{place}__nudge_revisions"
        self._known: dict[int, Revision] | None = None

    def entries(self) -> list[Revision]:
        """Every revision, oldest first. Raises DamagedRecord."""
        if self._known is None:
            found = [
                read_entry(record, self._place)
                for batch in self.records.scan({"kind": "revision"}, vectors=False)
                for record in batch
            ]
            self._known = {entry.number: entry for entry in found}
        return [self._known[number] for number in sorted(self._known)]

    def entry(self, number: int) -> Revision:
        """One revision, as it is noted now. Raises InputError if there is none of that number."""
        for record in self.records.get([_key(number)]):
            return read_entry(record, self._place)
        known = ", ".join(str(entry.number) for entry in self.entries()[-10:]) or "none yet"
        raise InputError(f"there is no revision {number}; the latest are: {known}")

    def open(self, kind: Kind, parent: int, to: int | None, details: dict[str, Any]) -> Revision:
        """Note a new planned revision. Raises LeaseLost if another process took its number."""
        entries = self.entries()
        number = entries[-1].number + 1 if entries else 1
        stamped = {"planned_at": now(), **details}
        entry = Revision(
            number, kind, "planned", parent, number if to is None else to, stamped, generation=1
        )
        self._store(entry, None)
        return entry

    def move(self, entry: Revision, state: State, **details: Any) -> Revision:
        """The revision in its next state, noted. Raises LeaseLost if somebody else moved it."""
        return self.annotate(replace(entry, state=state), **{f"{state}_at": now()}, **details)

    def annotate(self, entry: Revision, **details: Any) -> Revision:
        """The same revision with more details, noted. Raises LeaseLost."""
        noted = replace(
            entry, details={**entry.details, **details}, generation=entry.generation + 1
        )
        self._store(noted, entry.generation)
        return noted

    def built_on(self, entry: Revision, parent: int) -> Revision:
        """The same revision with an older parent, noted. Raises LeaseLost."""
        noted = replace(entry, parent=parent, generation=entry.generation + 1)
        self._store(noted, entry.generation)
        return noted

    def forget(self, numbers: Sequence[int]) -> None:
        """Delete these entries."""
        self.records.delete([_key(number) for number in numbers])
        for number in numbers:
            (self._known or {}).pop(number, None)

    def _store(self, entry: Revision, expected: int | None) -> None:
        document = {"kind": "revision", "generation": entry.generation, "entry": asdict(entry)}
        record = checksum.sealed(_key(entry.number), document)
        if not self.records.swap(record, expected):
            raise LeaseLost(
                f"revision {entry.number} was changed by another process; nothing more was "
                "written. See `nudge-sync log`"
            )
        if self._known is not None:
            self._known[entry.number] = entry


def _key(number: int) -> str:
    return f"revision:{number:08d}"


def read_entry(record: Record, place: str) -> Revision:
    """The revision that a record of the ledger tells of; `place` is its collection.

    Raises DamagedRecord.
    """
    checksum.opened([record], place)
    entry = schema.built(Revision, record.document.get("entry"), record, place)
    # A parent is always older: what follows parents must come to an end.
    if not 0 <= entry.parent < entry.number or not 0 <= entry.to <= entry.number:
        raise schema.misshapen(record, place, "its parent is not an older revision")
    if record.key != _key(entry.number):
        raise schema.misshapen(record, place, "it stands under another revision's key")
    schema.built(Details, entry.details, record, place)
    return entry


def now() -> int:
    """Milliseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1_000_000


def head(entries: list[Revision]) -> int:
    """The revision whose vectors the collection holds, 0 for the originals."""
    done = [entry for entry in entries if entry.state in {"written", "applied"}]
    return done[-1].to if done else 0


def lineage(entries: list[Revision], number: int) -> list[int]:
    """`number` and the revisions it was built on, newest first, without 0."""
    parents = {entry.number: entry.parent for entry in entries}
    line = []
    while number and number in parents:
        line.append(number)
        number = parents[number]
    return line


def restorable(entries: list[Revision], keep: int) -> list[int]:
    """The revisions that can be rolled back to, oldest first: the last `keep` that were applied,
    what the collection holds, and what it held before that. Never one whose history was thinned.
    """
    applied = [
        entry.number for entry in entries if entry.kind == "apply" and entry.state == "applied"
    ]
    current = head(entries)
    before = [entry.parent for entry in entries if entry.number == current]
    thinned = {entry.number for entry in entries if entry.details.get("thinned")}
    return sorted({*applied[-keep:], current, *before} - thinned - {0})


def pending(entries: list[Revision]) -> list[Revision]:
    """What a crash or an error left unfinished, newest first."""
    return [entry for entry in reversed(entries) if entry.state in PENDING]
