from __future__ import annotations

import re
from dataclasses import dataclass, replace

from nudge_sync.connector import Collection, CollectionFacts, Database, Records
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.feedback.schema.records import INDEXED_EVENT_FIELDS, INDEXED_SEARCH_FIELDS
from nudge_sync.store import checksum
from nudge_sync.store.retry import add_collection_retries, add_record_retries

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")


@dataclass(frozen=True)
class Target:
    """One vector of one collection, with everything the sidecar keeps beside it.

    `originals`, `history` and `ledger` belong to the real collection behind an alias, since that
    is what holds the vectors; `queries` and `events` to the name the application uses, since
    feedback outlives a re-indexing.
    """

    name: str
    database: Database
    collection: Collection
    facts: CollectionFacts
    shadow_records: Records
    history_records: Records
    ledger_records: Records
    queries: Records
    events: Records

    @property
    def prefix(self) -> str:
        """The name that the sidecar's own collections start with."""
        return format_prefix(self.facts.collection, self.facts.vector)


def format_prefix(collection: str, vector: str) -> str:
    """What the names of the sidecar's own collections start with."""
    if not vector:
        return collection
    suffix = (
        vector if _PLAIN_NAME.fullmatch(vector) else checksum.digest_bytes(vector.encode())[:12]
    )
    return f"{collection}__{suffix}"


def open_target(database: Database, name: str, vector: str = "") -> Target:
    """The collection `name` and what is kept beside it; creates nothing.

    Raises CollectionNotFound, UnsupportedCollection.
    """
    alias_facts = add_collection_retries(database.collection(name, vector)).describe()
    # By its real name from here on: an alias that is pointed elsewhere half-way must not carry
    # writes to a collection whose originals are not kept.
    collection = add_collection_retries(database.collection(alias_facts.collection, vector))
    facts = replace(collection.describe(), name=name)
    state_prefix = format_prefix(facts.collection, facts.vector)
    feedback_prefix = format_prefix(name, facts.vector)

    def open_records(prefix: str, suffix: str, dimension: int, *indexed: str) -> Records:
        return add_record_retries(database.records(f"{prefix}__nudge_{suffix}", dimension, indexed))

    return Target(
        name=name,
        database=database,
        collection=collection,
        facts=facts,
        shadow_records=open_records(state_prefix, "originals", facts.dimension),
        history_records=open_records(state_prefix, "history", facts.dimension, "revision"),
        ledger_records=open_records(state_prefix, "revisions", 0, "kind"),
        queries=open_records(feedback_prefix, "queries", facts.dimension, *INDEXED_SEARCH_FIELDS),
        events=open_records(feedback_prefix, "events", 0, *INDEXED_EVENT_FIELDS),
    )


def find_problems(facts: CollectionFacts) -> list[str]:
    """Everything that stands in the way of a safe write, each a sentence; empty if nothing does."""
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
