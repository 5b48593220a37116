"""A collection, and the collections that the sidecar keeps beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from nudge_sync.connector import CollectionFacts, Database, Records, open_records_beside
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.store import checksum
from nudge_sync.store.feedback.stamped_records import STORED_AT_FIELD, StampedRecords
from nudge_sync.store.history import History
from nudge_sync.store.ledger import Ledger, Revision
from nudge_sync.store.retry import (
    PATIENCE_SECONDS,
    RetryingCollection,
    RetryingRecords,
    retry_transient,
)
from nudge_sync.store.shadow import Shadow

Companion: TypeAlias = Literal[
    "originals", "history", "candidate", "revisions", "queries", "events", "blocks"
]
"""What a collection of the sidecar's own holds, which is also how its name ends."""

_INDEXED_FIELDS: dict[Companion, tuple[str, ...]] = {
    "originals": (),
    "history": ("revision",),
    "candidate": ("revision",),
    "revisions": ("kind",),
    "queries": (
        "query_id",
        "timestamp",
        "client_id",
        "session_id",
        "experiment",
        STORED_AT_FIELD,
    ),
    "events": ("query_id", "timestamp", "client_id", "session_id", STORED_AT_FIELD),
    "blocks": ("part", "kind", "start"),
}
"""The document fields of each companion that a `Where` names."""
_WITHOUT_VECTORS: tuple[Companion, ...] = ("revisions", "events", "blocks")
_OF_FEEDBACK: tuple[Companion, ...] = ("queries", "events", "blocks")
"""Companions that belong to the name that the application uses."""
_STAMPED: tuple[Companion, ...] = ("queries", "events")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")


@dataclass(frozen=True)
class Target:
    """One vector of one collection, with everything the sidecar keeps beside it.

    `shadow`, `history` and the ledger belong to the real collection behind an alias, since that
    is what holds the vectors; `queries`, `events` and `blocks` belong to the name that the
    application uses, since feedback outlives a re-indexing.
    """

    name: str
    database: Database
    collection: RetryingCollection
    facts: CollectionFacts
    shadow: Shadow
    history: History
    ledger_records: Records
    """The ledger's own records: one a revision, the lease, and the state of erasure."""
    queries: Records
    events: Records
    blocks: Records
    """What closed days of `queries` and `events` hold, as columns; see `feedback.blocks`."""
    patience: float = PATIENCE_SECONDS
    """Seconds for which a request is tried again after a transient error."""

    @property
    def prefix(self) -> str:
        """What the names of the sidecar's own collections start with."""
        return format_prefix(self.facts.collection, self.facts.vector)

    @property
    def ledger_name(self) -> str:
        """The name of the collection that holds the ledger."""
        return format_companion_name(self.prefix, "revisions")

    def open_ledger(self) -> Ledger:
        """Return the ledger, to be read once; an operation opens its own."""
        owner = (self.facts.collection, self.facts.vector)
        return Ledger(self.ledger_records, self.ledger_name, owner)


def format_prefix(collection: str, vector: str) -> str:
    """Return what the names of the sidecar's own collections start with.

    The vector "title" of "docs" and a collection "docs__title" come to the same.
    """
    if not vector:
        return collection
    is_plain = _PLAIN_NAME.fullmatch(vector)
    suffix = vector if is_plain else checksum.digest_bytes(vector.encode())[:12]
    return f"{collection}__{suffix}"


def format_companion_name(prefix: str, companion: Companion) -> str:
    """Return the name of one of the sidecar's own collections."""
    return f"{prefix}__nudge_{companion}"


def list_companions(target: Target) -> dict[Companion, str]:
    """Return the names of the target's own collections, by what they hold."""
    state_prefix = target.prefix
    feedback_prefix = format_prefix(target.name, target.facts.vector)
    prefixes: dict[Companion, str] = dict.fromkeys(_INDEXED_FIELDS, state_prefix)
    prefixes |= dict.fromkeys(_OF_FEEDBACK, feedback_prefix)
    return {each: format_companion_name(prefix, each) for each, prefix in prefixes.items()}


def open_companion(
    database: Database, prefix: str, companion: Companion, facts: CollectionFacts
) -> Records:
    """Return the records of one of the sidecar's own collections, without retries.

    facts: of the collection that it stands beside. Creates nothing: the first record does, with
    as many copies as that collection has.
    """
    return open_records_beside(
        database,
        facts.collection,
        format_companion_name(prefix, companion),
        0 if companion in _WITHOUT_VECTORS else facts.dimension,
        _INDEXED_FIELDS[companion],
    )


def open_target(
    database: Database, name: str, vector: str = "", patience: float = PATIENCE_SECONDS
) -> Target:
    """Return the collection `name` and what is kept beside it; creates nothing.

    patience: seconds for which a request is tried again after a transient error.
    Raises CollectionNotFound, UnsupportedCollection.
    """

    def open_collection(name: str) -> RetryingCollection:
        wrapped = retry_transient(lambda: database.collection(name, vector), patience=patience)
        return RetryingCollection(wrapped, patience=patience)

    collection = open_collection(name)
    facts = collection.describe()
    if facts.collection != name:
        # By its real name from here on: an alias that is pointed elsewhere half-way must not carry
        # writes to a collection whose originals are not kept.
        collection = open_collection(facts.collection)
        facts = collection.describe()
    facts = replace(facts, name=name)
    collection = RetryingCollection(
        collection.wrapped, patience=patience, parallel_calls=facts.parallel_calls
    )
    state_prefix = format_prefix(facts.collection, facts.vector)
    feedback_prefix = format_prefix(name, facts.vector)

    def open_records(prefix: str, companion: Companion) -> Records:
        records = open_companion(database, prefix, companion, facts)
        if companion in _STAMPED:
            # Within the retries, so that each attempt is stamped with its own time.
            records = StampedRecords(records)
        return RetryingRecords(records, patience)

    return Target(
        name=name,
        database=database,
        collection=collection,
        facts=facts,
        shadow=Shadow(
            open_records(state_prefix, "originals"),
            format_companion_name(state_prefix, "originals"),
        ),
        history=History(
            open_records(state_prefix, "history"), format_companion_name(state_prefix, "history")
        ),
        ledger_records=open_records(state_prefix, "revisions"),
        queries=open_records(feedback_prefix, "queries"),
        events=open_records(feedback_prefix, "events"),
        blocks=open_records(feedback_prefix, "blocks"),
        patience=patience,
    )


def find_problems(facts: CollectionFacts) -> list[str]:
    """Return everything that stands in the way of a safe write, each a sentence."""
    problems = list(facts.problems)
    if facts.precision != "float32":
        problems.append(
            f'"{facts.collection}" stores vector {facts.vector!r} as {facts.precision}, which '
            "cannot hold a small change; store it as float32"
        )
    return problems


def refuse_unsupported_collection(facts: CollectionFacts) -> None:
    """Raise UnsupportedCollection if the collection cannot be written safely."""
    problems = find_problems(facts)
    if problems:
        raise UnsupportedCollection("; ".join(problems))


def describe_other_owner(target: Target, entries: list[Revision]) -> str:
    """Return, as a sentence, whose the ledger is if it is not the target's; "" where it is.

    entries: of that ledger. It is another's where `format_prefix` comes to the same for both.
    """
    own = (target.facts.collection, target.facts.vector)
    owners = (entry.details.owner for entry in reversed(entries))
    owner = next((each for each in owners if each is not None), own)
    # With another prefix it is the same collection, renamed or restored with all beside it.
    if owner == own or format_prefix(*owner) != target.prefix:
        return ""
    return (
        f'"{target.ledger_name}" belongs to {_describe(*owner)}; {_describe(*own)} would keep its '
        "originals under the same names. Give one of the two another name. If the former is gone, "
        f'drop the collections whose names begin with "{target.prefix}__nudge_"'
    )


def _describe(collection: str, vector: str) -> str:
    return f'vector "{vector}" of "{collection}"' if vector else f'collection "{collection}"'


def refuse_other_owner(target: Target, entries: list[Revision]) -> None:
    """Raise UnsupportedCollection if what stands beside the collection belongs to another one."""
    problem = describe_other_owner(target, entries)
    if problem:
        raise UnsupportedCollection(f"{problem}. Nothing was written")
