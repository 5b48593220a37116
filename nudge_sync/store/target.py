from __future__ import annotations

import re
from dataclasses import dataclass, replace

from nudge_sync.connector import Collection, CollectionFacts, Database, Records
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.feedback.schema.records import INDEXED_EVENT_FIELDS, INDEXED_SEARCH_FIELDS
from nudge_sync.store import checksum
from nudge_sync.store.retry import patient_collection, patient_records

_PLAIN = re.compile(r"[A-Za-z0-9_]{1,40}")


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
    originals: Records
    history: Records
    ledger: Records
    queries: Records
    events: Records

    @property
    def place(self) -> str:
        """The name that the sidecar's own collections start with."""
        return state_name(self.facts.collection, self.facts.vector)


def state_name(collection: str, vector: str) -> str:
    """What the names of the sidecar's own collections start with."""
    if not vector:
        return collection
    plain = vector if _PLAIN.fullmatch(vector) else checksum.of_bytes(vector.encode())[:12]
    return f"{collection}__{plain}"


def open_target(database: Database, name: str, vector: str = "") -> Target:
    """The collection `name` and what is kept beside it; creates nothing.

    Raises CollectionNotFound, UnsupportedCollection.
    """
    named = patient_collection(database.collection(name, vector)).describe()
    # By its real name from here on: an alias that is pointed elsewhere half-way must not carry
    # writes to a collection whose originals are not kept.
    collection = patient_collection(database.collection(named.collection, vector))
    facts = replace(collection.describe(), name=name)
    own = state_name(facts.collection, facts.vector)
    logged = state_name(name, facts.vector)

    def records(prefix: str, suffix: str, dimension: int, *indexed: str) -> Records:
        return patient_records(database.records(f"{prefix}__nudge_{suffix}", dimension, indexed))

    return Target(
        name=name,
        database=database,
        collection=collection,
        facts=facts,
        originals=records(own, "originals", facts.dimension),
        history=records(own, "history", facts.dimension, "revision"),
        ledger=records(own, "revisions", 0, "kind"),
        queries=records(logged, "queries", facts.dimension, *INDEXED_SEARCH_FIELDS),
        events=records(logged, "events", 0, *INDEXED_EVENT_FIELDS),
    )


def refusals(facts: CollectionFacts) -> list[str]:
    """Everything that stands in the way of a safe write, each a sentence; empty if nothing does."""
    found = list(facts.problems)
    if facts.precision != "float32":
        found.append(
            f'"{facts.collection}" stores vector {facts.vector!r} as {facts.precision}, which '
            "cannot hold a small change; store it as float32"
        )
    return found


def refuse_unsupported(facts: CollectionFacts) -> None:
    """Raise UnsupportedCollection if the collection cannot be written safely."""
    found = refusals(facts)
    if found:
        raise UnsupportedCollection("; ".join(found))
